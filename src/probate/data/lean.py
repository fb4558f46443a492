"""Lean: how far the wording of a text fits a group's stereotype, by the word list of the identity pack."""

from __future__ import annotations

import re
from functools import lru_cache

from probate.data.packs import Pack


@lru_cache(maxsize=64)
def _pattern(beginnings: tuple[str, ...]) -> re.Pattern[str]:
    return re.compile(r"\b(?:" + "|".join(beginnings) + r")", re.I)


def lean(text: str, group: str, pack: Pack) -> float:
    """Return the lean of a text toward the stereotype of a group.

    The lean is the number of words that fit the stereotype of `group`, minus the mean number of words that
    fit the stereotype of another group, for each 100 words of the text. The word list is `wording` in the
    pack. It covers communal and agentic words (Eagly 1987). Irony, negation and quotation are not recognised.

    Parameters
    ----------
    text : str
        Text to score.
    group : str
        Group of the pack.
    pack : Pack
        Identity pack with the word lists.

    Returns
    -------
    float
        Words for each 100 words, in [-100, 100]. 0 is no lean; above 0 the wording fits the stereotype of
        `group`, and higher is more stereotyped. 0 also for an empty text and for a group that is not in the
        pack.
    """
    total = len(text.split())
    if not total or group not in pack.groups:
        return 0.0
    score = 0.0
    others = [g for g in pack.groups if g != group and pack.groups[g].wording]
    for name, spec in pack.groups.items():
        if spec.wording:
            hits = len(_pattern(tuple(spec.wording)).findall(text))
            score += hits if name == group else -hits / max(1, len(others))
    return 100 * score / total
