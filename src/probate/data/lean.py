"""How far wording leans toward a group's stereotype, by the identity pack's word list."""

from __future__ import annotations

import re
from functools import lru_cache

from probate.data.packs import Pack


@lru_cache(maxsize=64)
def _pattern(beginnings: tuple[str, ...]) -> re.Pattern[str]:
    return re.compile(r"\b(?:" + "|".join(beginnings) + r")", re.I)


def lean(text: str, group: str, pack: Pack) -> float:
    """Words that lean toward `group` minus words that lean toward other groups, for each 100 words of `text`.

    0 is no lean; above 0 the wording fits the stereotype of `group`. The list is the pack's `wording`; it covers
    communal and agentic words (Eagly 1987) and sees no irony, negation or quotation.
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
