"""Adjectives in a text, found by a part-of-speech tagger, and what they say of a person, by a lexicon."""

from __future__ import annotations

import re
from collections import Counter
from functools import cache
from importlib.resources import files
from typing import Any

import yaml

from probate.errors import InputError
from probate.registry import require

TAGGERS = {"en": "morphmodel_en.pgz"}
"""Language → the model that HanTa carries in its package (Wartena 2019; LGPL). Others have no tagger here yet."""

WORD = re.compile(r"[^\W\d_]+(?:[-'’][^\W\d_]+)*|[.,;:!?]")


@cache
def lexicon() -> dict[str, tuple[str, str]]:
    """Adjective → its dimension (agency, beliefs, communion) and pole (positive, negative)."""
    table = yaml.safe_load((files("probate") / "tasks" / "adjectives.yaml").read_text(encoding="utf-8"))
    return {
        word: (dimension, pole) for dimension, poles in table.items() for pole, words in poles.items() for word in words.split()
    }


@cache
def _tagger(language: str) -> Any:
    if language not in TAGGERS:
        raise InputError(
            f"tasks: story.options.language: '{language}' has no part-of-speech tagger here; there is one for: {', '.join(TAGGERS)}"
        )
    hanta: Any = require("HanTa.HanoverTagger", "stories")
    return hanta.HanoverTagger(TAGGERS[language])


def adjectives(text: str, language: str = "en") -> list[str]:
    """The adjectives of a text in lower case, in order; comparatives and superlatives as their base form.

    Raises:
        InputError: a language without a tagger, or the extra that brings the tagger is not installed.
    """
    tagger = _tagger(language)
    found = []
    for sentence in re.split(r"(?<=[.!?])\s+", text):
        words = WORD.findall(sentence)
        if words:
            found += [lemma.lower() for _, lemma, tag in tagger.tag_sent(words) if tag.startswith("AJ")]
    return found


def judged(text: str, language: str = "en") -> Counter[tuple[str, str, str]]:
    """How often a text has each (adjective, dimension, pole) of the lexicon."""
    known = lexicon()
    return Counter((word, *known[word]) for word in adjectives(text, language) if word in known)
