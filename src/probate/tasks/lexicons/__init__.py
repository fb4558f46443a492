"""Adjectives that describe a person, one YAML file for each language: dimension → pole → words."""

from __future__ import annotations

from functools import cache

from probate.core.yaml_file import own_yaml


@cache
def lexicon(language: str = "en") -> dict[str, tuple[str, str]]:
    """Return adjective → its dimension (agency, beliefs, communion) and pole (positive, negative)."""
    table = own_yaml("tasks", "lexicons", f"{language}.yaml")
    return {
        word: (dimension, pole)
        for dimension, poles in table.items()
        for pole, words in poles.items()
        for word in words.split()
    }
