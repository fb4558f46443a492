"""Augmentation: a generator writes texts, filters check them, and a biased annotator labels them."""
