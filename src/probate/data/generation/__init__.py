"""Augmentation: a generator is asked, its answers are filtered, a biased annotator labels them."""
