"""Numbers, amounts, measures and dates that stand in a column as text, as numbers that can be ordered."""

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
    """The number of each text, NaN for an empty one; None where one is no finite number. Amounts and measures must all have one unit.

    "$55,000", "55k", "1.200 €", "25 years" and "40 %" are read; "A12" and "18-24" are none.
    """
    plain = [_plain(t) if t else math.nan for t in texts]
    if None not in plain:
        return [x for x in plain if x is not None] if any(texts) else None
    found = [AMOUNT.fullmatch(t) if t else None for t in texts]
    units = {(m["before"].casefold(), m["after"].casefold().rstrip("s.")) for m in found if m}
    if len(units) != 1 or any(t and not m for t, m in zip(texts, found, strict=True)):
        return None
    said = [m["number"] if m else "" for m in found]
    if not any(
        re.search(r"\.\d{1,2}$|\.\d{4,}$|,\d{3}\b", s) for s in said
    ):  # a dot that never has decimals behind it parts thousands
        said = [re.sub(r"[. ](?=\d{3})", "", s).replace(",", ".") for s in said]
    return [
        float(re.sub(r"[ ,]", "", s)) * TIMES.get((m["times"] or "").lower(), 1.0) if m else math.nan
        for s, m in zip(said, found, strict=True)
    ]


def days_of(texts: Sequence[str]) -> list[float] | None:
    """The day of each date, counted from 1 January of year 1, NaN for an empty text; None where one is no date.

    Of a date whose day and month may stand in either order only the year counts.
    """
    found = [_day(t) if t else math.nan for t in texts]
    return [x for x in found if x is not None] if None not in found and any(texts) else None


def _plain(text: str) -> float | None:
    try:
        found = float(text)
    except ValueError:
        return None
    return found if math.isfinite(found) else None


def _day(text: str) -> float | None:
    if found := YEAR_FIRST.fullmatch(text):
        year, month, day = (int(x or 1) for x in found.groups())
    elif found := YEAR_LAST.fullmatch(text):
        year, month, day = int(found[1]), 1, 1
    else:
        return None
    try:
        return float(date(year, month, day).toordinal())
    except ValueError:
        return None
