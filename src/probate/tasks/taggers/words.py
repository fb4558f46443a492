"""Sentences and words, and the rule-based tagger that two languages share."""

from __future__ import annotations

import re
from functools import cache
from typing import Any

from probate.core.plugins import require

Forms = tuple[str, ...]
Tagged = list[tuple[str, str]]
WORD = re.compile(r"[^\W\d_]+(?:[-'’][^\W\d_]+)*|[.,;:!?¿¡،؛؟]")
SENTENCE = re.compile(r"(?<=[.!?؟])\s+")


def sentences(text: str) -> list[list[str]]:
    """Return the words and punctuation marks of each sentence."""
    return [words for sentence in SENTENCE.split(text) if (words := WORD.findall(sentence))]


@cache
def ripple(language: str) -> Any:
    """Return RippleTagger's model of a language (ISO 639-3), trained on Universal Dependencies 1.3."""
    models: Any = require("rippletagger.models", "languages")
    models.xrange = range  # the package is of 2016; this is all that keeps it from Python 3
    tagger: Any = require("rippletagger.tagger", "languages")
    return tagger.Tagger(language=language)
