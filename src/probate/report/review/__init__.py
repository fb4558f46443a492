"""A person in the loop: texts read blind in a local page, marks kept at once, agreement and the detector's error computed from them."""
