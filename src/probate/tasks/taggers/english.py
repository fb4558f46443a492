"""English: HanTa (Wartena 2019; LGPL), whose model comes with the package."""

from __future__ import annotations

from functools import cache
from typing import Any

from probate.registry import require
from probate.tasks.taggers.words import Forms, sentences


@cache
def _hanta() -> Any:
    library: Any = require("HanTa.HanoverTagger", "stories")
    return library.HanoverTagger("morphmodel_en.pgz")


def adjectives(text: str) -> list[Forms]:
    """Each adjective, and the base form of a comparative or superlative."""
    tagger = _hanta()
    tagged = [t for words in sentences(text) for t in tagger.tag_sent(words)]
    return [(word.lower(), lemma.lower()) for word, lemma, tag in tagged if tag.startswith("AJ")]
