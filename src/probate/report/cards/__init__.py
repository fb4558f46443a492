"""What lasts beside a data set or a run: checksums, a data card, Croissant metadata, a Hugging Face card."""
