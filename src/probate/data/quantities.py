"""Numbers from text: amounts, measures and dates in a column become numbers that can be ordered."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from datetime import date

AMOUNT = re.compile(
    r"(?P<before>[^\w\s.,+-]{0,2}|(?:us|ca?|a|hk|nz|s)?\$|usd|eur|gbp|chf|inr|jpy|cny|brl|rs\.?)\s*"
    r"(?P<number>[+-]?(?:\d{1,3}(?:[ ,.]\d{3})+|\d+)(?:[.,]\d+)?)\s*(?P<times>k|m|mio|bn)?(?![^\W\d_])\s*"
    r"(?P<after>[^\w\s.,+-]{0,2}|[^\W\d_]+(?:[ /-][^\W\d_]+){0,2})",
    re.I,
)
TIMES = {"k": 1e3, "m": 1e6, "mio": 1e6, "bn": 1e9}
YEAR_FIRST = re.compile(r"(\d{4})[-/.](\d{1,2})(?:[-/.](\d{1,2}))?(?:[T ].*)?")
YEAR_LAST = re.compile(r"\d{1,2}[-/.]\d{1,2}[-/.](\d{4})(?:[T ].*)?")


def numbers_of(texts: Sequence[str]) -> list[float] | None:
    """Parse texts as numbers, amounts or measures.

    "$55,000", "55k", "1.200 €", "25 years" and "40 %" are read. "A12" and "18-24" are not numbers.

    Parameters
    ----------
    texts : sequence of str
        Cells of one column.

    Returns
    -------
    list of float or None
        The number of each text, NaN for an empty text. None if a text is not a finite number, if the units
        differ, or if all texts are empty.
    """
    plain = [_plain(t) if t else math.nan for t in texts]
    if None not in plain:
        return [x for x in plain if x is not None] if any(texts) else None
    amounts = [AMOUNT.fullmatch(t) if t else None for t in texts]
    units = {(m["before"].casefold(), m["after"].casefold().rstrip("s.")) for m in amounts if m}
    if len(units) != 1 or any(t and not m for t, m in zip(texts, amounts, strict=True)):
        return None
    digits = [m["number"] if m else "" for m in amounts]
    # A dot that never precedes decimals separates thousands.
    if not any(re.search(r"\.\d{1,2}$|\.\d{4,}$|,\d{3}\b", s) for s in digits):
        digits = [re.sub(r"[. ](?=\d{3})", "", s).replace(",", ".") for s in digits]
    return [
        float(re.sub(r"[ ,]", "", s)) * TIMES.get((m["times"] or "").lower(), 1.0) if m else math.nan
        for s, m in zip(digits, amounts, strict=True)
    ]


def days_of(texts: Sequence[str]) -> list[float] | None:
    """Parse texts as dates.

    Only the year is used of a date whose day and month can be in either order (`03/04/2020`).

    Parameters
    ----------
    texts : sequence of str
        Cells of one column.

    Returns
    -------
    list of float or None
        Days since 1 January of year 1 (which is day 1), NaN for an empty text. None if a text is not a date,
        or if all texts are empty.
    """
    days = [_day(t) if t else math.nan for t in texts]
    return [x for x in days if x is not None] if None not in days and any(texts) else None


def _plain(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _day(text: str) -> float | None:
    if match := YEAR_FIRST.fullmatch(text):
        year, month, day = (int(x or 1) for x in match.groups())
    elif match := YEAR_LAST.fullmatch(text):
        year, month, day = int(match[1]), 1, 1
    else:
        return None
    try:
        return float(date(year, month, day).toordinal())
    except ValueError:
        return None
