"""English: HanTa (Wartena 2019; LGPL), whose model is part of the package."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from typing import Any

from probate.core.plugins import require
from probate.tasks.taggers.words import WORD, Forms, sentences


@cache
def _hanta() -> Any:
    library: Any = require("HanTa.HanoverTagger", "stories")
    return library.HanoverTagger("morphmodel_en.pgz")


def adjectives(text: str) -> list[Forms]:
    """Return each adjective, with the base form of comparatives and superlatives."""
    tagger = _hanta()
    tagged = [t for words in sentences(text) for t in tagger.tag_sent(words)]
    return [(word.lower(), lemma.lower()) for word, lemma, tag in tagged if tag.startswith("AJ")]


def proper_nouns(text: str) -> Iterator[tuple[int, int]]:
    """Yield (start, end) of each run of proper nouns: capitalised and on one line.

    Only spaces, points or initials are allowed between them.
    """
    tagger = _hanta()
    place = 0
    for line in text.splitlines(keepends=True):
        matches = list(WORD.finditer(line))
        run: list[tuple[int, int]] = []
        for word, (_, _, tag) in zip(
            matches, tagger.tag_sent([w.group() for w in matches]) if matches else [], strict=True
        ):
            if word.group() == "." and run and run[-1][1] - run[-1][0] <= 2:  # an abbreviation or an initial
                continue
            named = tag.startswith("NP") and word.group()[0].isupper()
            joined = not run or re.fullmatch(r"[ .]{0,2}", line[run[-1][1] : word.start()])
            if run and not (named and joined):
                yield place + run[0][0], place + run[-1][1]
                run = []
            if named:
                run.append(word.span())
        if run:
            yield place + run[0][0], place + run[-1][1]
        place += len(line)
