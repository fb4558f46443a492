"""Groups of a column: known spellings of a pack's groups are merged, and numbers are grouped in bands.

An unknown value is a group of its own. Missing values are null, NaN, the empty text, and the texts na, n/a,
n.a., n/d, #n/a, <na>, nan, nat and null, dashes, question marks and a dot.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from functools import cache
from itertools import pairwise
from typing import Any

import numpy as np

from probate.data.packs import Pack, dimension_columns, load_pack, pack_names
from probate.data.quantities import days_of, numbers_of
from probate.data.shape.cells import joined, plain
from probate.data.shape.names import key_of

MISSING = {
    "",
    "na",
    "n/a",
    "n.a.",
    "n/d",
    "#n/a",
    "<na>",
    "nan",
    "nat",
    "null",
    "-",
    "--",
    "–",
    "—",
    "?",
    "??",
    ".",
}
FEW_NUMBERS = 10
"""Maximum number of unique numbers for each to be a group."""
ARTICLE = re.compile(r"^(?:an?|the)\s+|\s+(?:person|persons|people)$")
YES, NO = {"1", "true", "yes", "y", "t"}, {"0", "false", "no", "n", "f"}


@dataclass(frozen=True)
class GroupColumn:
    """Groups of one column.

    Attributes
    ----------
    name, column : str
        Dimension and column.
    values : list of str
        Group of each row; empty if missing.
    groups : list of str
        Groups that occur: those of the pack in its order, then the others.
    codes : dict
        Spelling in the file → group.
    missing : int
        Number of rows without a group.
    rule : str
        How numbers were grouped; empty if they were not.
    numbers : list of float or None
        Number of each row, NaN if missing; None if the values are not numbers.
    dates : bool
        True if the numbers are days of dates.
    """

    name: str
    column: str
    values: list[str]
    groups: list[str]
    codes: dict[Any, str]
    missing: int
    rule: str
    numbers: list[float] | None
    dates: bool = False


@cache
def _packs() -> tuple[str, ...]:
    return tuple(pack_names())


@cache
def pack_of(name: str) -> Pack | None:
    """Return the identity pack of a dimension by its name or a usual synonym (`sex` is gender), or None."""
    known = _packs()
    dimension = name if name in known else dimension_columns().get(key_of(name), key_of(name))
    return load_pack(dimension) if dimension in known else None


def group_column(name: str, values: Sequence[Any], column: str = "", *, dates: bool = False) -> GroupColumn:
    """Group the values of a column.

    More than ten different numbers, amounts, measures of one unit or dates are grouped by the bands of the
    pack, or by their quartiles if the pack has no bands.

    Parameters
    ----------
    name : str
        Dimension. An identity pack of this name or synonym is used if there is one.
    values : sequence
        Cells of the column.
    column : str
        Name of the column. Default: `name`.
    dates : bool
        True if the values are already days of dates, as in `GroupColumn.numbers`.

    Returns
    -------
    GroupColumn
        The group of each value. `numbers` keeps the numbers for rank tests.
    """
    column, pack = column or name, pack_of(name)
    texts = ["" if _missing(v) else _text(v) for v in values]
    there = [t for t in texts if t]
    logical = any(isinstance(v, (bool, np.bool_)) for v in values)
    numbers = None if logical else numbers_of(texts)
    days = [float(x) for x in values] if dates else None if logical or numbers else days_of(texts)
    numbers, rule = days or numbers, ""
    if numbers is not None and (len(set(there)) > FEW_NUMBERS or (pack and pack.bands)):
        own, rule = _banded(numbers, pack, days is not None)
    else:
        join = _joined(texts, pack, column)
        own = [join[t] if t else "" for t in texts]
    order = list(pack.groups) if pack else []
    occur = Counter(g for g in own if g)
    groups = [g for g in order if g in occur] + sorted(g for g in occur if g not in order)
    if rule:
        groups = list(
            dict.fromkeys(
                g
                for _, g in sorted(
                    zip(numbers or [], own, strict=True), key=lambda p: (math.isnan(p[0]), p[0])
                )
                if g
            )
        )
    codes = {
        v if isinstance(v, (str, int, float, bool, bytes)) else t: g
        for v, t, g in zip(values, texts, own, strict=True)
        if g
    }
    return GroupColumn(
        name,
        column,
        own,
        groups,
        codes,
        sum(not g for g in own),
        rule,
        numbers if numbers and (rule or len(set(there)) > 2) else None,
        days is not None,
    )


def is_identity(groups: Sequence[str]) -> bool:
    """Check whether all `groups` are spellings of the groups of one pack."""
    own = {g.casefold() for g in groups}
    return bool(own) and any(all(_known(g, load_pack(d), own) for g in own) for d in _packs())


def _missing(value: Any) -> bool:
    try:
        return value is None or bool(value != value) or _text(value).lower() in MISSING
    except (TypeError, ValueError):  # pandas.NA, arrays
        return not isinstance(value, (list, tuple, dict, np.ndarray))


def _text(value: Any) -> str:
    """Return a value as text with single spaces; 1, 1.0 and "1.0" are equal, as are True and "true"."""
    text = " ".join(plain(value.item() if isinstance(value, np.generic) else joined(value)).split())
    if re.fullmatch(r"[+-]?\d+\.0+", text):
        text = text.partition(".")[0]
    return text


def _banded(numbers: Sequence[float], pack: Pack | None, dates: bool) -> tuple[list[str], str]:
    known = np.array([x for x in numbers if not math.isnan(x)])
    years = not dates and known.min() >= 1900 and known.max() <= 2100  # years of birth, not ages
    if pack and pack.bands and not dates and not years:
        bands = sorted(pack.bands.items(), key=lambda b: b[1])
        own = [
            "" if math.isnan(x) else next((g for g, low in reversed(bands) if x >= low), bands[0][0])
            for x in numbers
        ]
        return own, "numbers in the pack's bands: " + ", ".join(f"{g} from {low:g}" for g, low in bands)
    cuts = sorted(set(np.quantile(known, [0.25, 0.5, 0.75], method="lower").tolist()) - {float(known.max())})
    ends = [float(known.min()), *cuts, float(known.max())]
    bounds = [date.fromordinal(int(x)).isoformat() if dates else f"{x:g}" for x in ends]
    names = [f"{'over ' if i else ''}{low} to {high}" for i, (low, high) in enumerate(pairwise(bounds))]
    own = ["" if math.isnan(x) else names[int(np.searchsorted(cuts, x))] for x in numbers]
    return own, f"{'dates' if dates else 'numbers'} by their quartiles: " + ", ".join(names)


def _joined(texts: Sequence[str], pack: Pack | None, column: str) -> dict[str, str]:
    """Map each spelling to its group."""
    counts = Counter(t for t in texts if t)
    keys = {t: t.casefold() for t in counts}
    flag = re.fullmatch(r"(?:is|was)_(.+)|(.+)", key_of(column))
    named = (flag[1] or flag[2] if flag else "").replace("_", " ")
    meant = next((g for d in _packs() if (g := _known(named, load_pack(d), set()))), "")
    if (meant or (flag and flag[1])) and set(keys.values()) <= YES | NO:
        yes = meant or named
        return {t: yes if k in YES else f"not {yes}" for t, k in keys.items()}
    shown: dict[str, str] = {}
    for text, _ in counts.most_common():  # the most frequent of spellings that differ only in case
        shown.setdefault(keys[text], text)
    return {t: (_known(k, pack, set(keys.values())) if pack else "") or shown[k] for t, k in keys.items()}


def _known(key: str, pack: Pack, others: set[str]) -> str:
    """Return the group of the pack of which `key` is a spelling, or an empty string."""
    for _ in range(2):
        key = ARTICLE.sub("", key).strip()
    if key in pack.letters and len(others & set(pack.letters)) >= 2:
        return "" if pack.letters_instead.get(key) in others else pack.letters[key]
    flat = key.replace("-", "").replace(" ", "").replace("_", "")
    for group in pack.groups:
        known = {group, *pack.groups[group].spellings}
        if key in known or flat in {k.replace("-", "").replace(" ", "") for k in known} or key == f"{group}s":
            return group
        noun = ARTICLE.sub("", ARTICLE.sub("", pack.groups[group].noun.casefold())).strip()
        if key == noun:
            return group
    return ""
