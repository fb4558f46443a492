"""Documents of a data set or a run: data card, Croissant metadata, Hugging Face cards."""
