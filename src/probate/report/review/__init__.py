"""Blind review of texts by people in a local page, with their agreement and the detector's error."""
