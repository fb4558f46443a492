"""Adjectives that judge a person, one YAML a language: dimension (agency, beliefs, communion) → pole → words."""

from __future__ import annotations

from functools import cache
from importlib.resources import files

import yaml


@cache
def lexicon(language: str = "en") -> dict[str, tuple[str, str]]:
    """Adjective → its dimension (agency, beliefs, communion) and pole (positive, negative)."""
    table = yaml.safe_load((files("probate") / "tasks" / "lexicons" / f"{language}.yaml").read_text(encoding="utf-8"))
    return {
        word: (dimension, pole) for dimension, poles in table.items() for pole, words in poles.items() for word in words.split()
    }
