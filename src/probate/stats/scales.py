"""Answer options of surveys: non-answers and ordered scales."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise

NO_ANSWER = re.compile(
    r"^\W*(dk\b|don'?t know|do not know|no answer|no response|no opinion|refus|missing|other missing|not "
    r"asked|not applicable|not available|"
    r"can'?t choose|unsure|unknown|none given|n/?a\b)",
    re.I,
)
"""Options that do not answer the question. They are set aside, and their share is reported."""

WEAK_NO = re.compile(r"\bnot?\b.*\b(very|too|much|many|often|quite|really)\b", re.I)
STRONG_NO = re.compile(
    r"\b(at all|never|nothing|none|completely|strongly|totally|definitely|very|extremely|entirely)\b", re.I
)
NO = re.compile(
    r"\b(not?|none|never|nothing|dis\w+|un(?!ited|ion|iver)\w+|bad\w*|worse|worst|oppose\w*|against|weak\w*|"
    r"difficult\w*|negative\w*|wrong|"
    r"small|minor|lower|less|rarely|seldom|hardly|harm\w*|poor\w*|decrease\w*)\b",
    re.I,
)
MIDDLE = re.compile(
    r"\b(neither|both|depends|neutral|about the same|hard to say|stay the same|no difference|in between|"
    r"average)\b",
    re.I,
)
STRONG = re.compile(
    r"\b(very|strongly|completely|totally|fully|great|a lot|always|definitely|extremely|entirely|major|"
    r"excellent|one of the most|essential)\b",
    re.I,
)
MILD = re.compile(
    r"\b(somewhat|rather|fairly|quite|mostly|moderate(?:ly)?|probably|generally|some|sometimes|minor|a "
    r"little|slightly|tend)\b",
    re.I,
)


def substantive(options: Sequence[str]) -> list[int]:
    """Return the indices of the options that are answers."""
    return [i for i, option in enumerate(options) if not NO_ANSWER.match(str(option))]


def ordered(options: Sequence[str]) -> bool:
    """Check whether options form an ordered scale.

    They do if there are two of them, if the inner ones are ascending or descending numbers, or if all are
    ascending or descending degrees. Degrees are read from English words of polarity and strength («very
    good», «somewhat good», «not too good», «not good at all»). A scale that is not recognised counts
    as unordered; then only the distance that ignores order is computed.

    Parameters
    ----------
    options : sequence of str
        The options without non-answers.

    Returns
    -------
    bool
    """
    if len(options) == 2:
        return True
    inner = [_number(o) for o in options[1:-1]]
    if inner and None not in inner:
        values = [float(v) for v in inner if v is not None]
        steps = [b - a for a, b in pairwise(values)]
        return all(s > 0 for s in steps) or all(s < 0 for s in steps)
    degrees = [degree(str(o)) for o in options]
    steps = [b - a for a, b in pairwise(degrees)]
    return all(s > 0 for s in steps) or all(s < 0 for s in steps)


def degree(option: str) -> float:
    """Return the degree of an option, from −3 (not at all, strongly against) to 3 (very, strongly for)."""
    if MIDDLE.search(option):
        return 0.0
    if WEAK_NO.search(option) and "at all" not in option.lower():
        return -1.0
    no = NO.search(option)
    if no:
        return (
            -3.0
            if STRONG_NO.search(option)
            else (
                -1.5
                if MILD.search(option) or re.search(r"\b(small|minor|lower|less)\b", option, re.I)
                else -2.0
            )
        )
    return 1.5 if MILD.search(option) else (3.0 if STRONG.search(option) else 2.0)


def _number(option: object) -> float | None:
    try:
        return float(str(option))
    except ValueError:
        return None
