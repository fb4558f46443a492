"""The tie of labels and groups in the original: how strong it is, whether it goes the same way, and how much stronger the file's is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import chi2_contingency

from probate.stats.association import strength
from probate.stats.manipulation import cramers_v
from probate.stats.mover import Difference, Side, mover_difference

SAME = 0.25
"""Cosine of two ties from which one of the original excuses that of the file in full."""
SHOWN = 0.05
"""p of no tie below which one is shown."""


@dataclass(frozen=True)
class Before:
    """`v`: Cramér's V of the original, None where `left` says why it has none; `same`: the part of it that goes the file's way, in [-1, 1].

    `n`: its texts; `p`: of no tie in it; `more`: the file's V less that of the original, as far as it goes the file's way.
    """

    v: float | None
    same: float = 1.0
    left: str = ""
    n: int = 0
    p: float = float("nan")
    more: Difference | None = None


def tie_before(
    names: Sequence[str], table: np.ndarray, other_names: Sequence[str], other: np.ndarray, fewest: int
) -> Before:
    """Of counts of shape (labels, groups) in the file, and in the original with the same groups. Labels are joined whatever their case."""
    n = int(other.sum())
    if n < fewest:
        return Before(None, left=f"only {n} of its texts have a label and one of the file's groups")
    places = {x.casefold(): i for i, x in enumerate(other_names)}
    common = [x for x in names if x.casefold() in places]
    if len(common) < 2:
        return Before(None, left=f"its labels ({_few(other_names)}) are not the file's ({_few(names)})")
    if (other.sum(0) > 0).sum() < 2:
        return Before(None, left="all of its texts with a label have the same group")
    both = [*names, *(x for x in other_names if x.casefold() not in {c.casefold() for c in common})]
    width = table.shape[1]
    own = np.array([table[i] if i < len(names) else np.zeros(width) for i in range(len(both))])
    old = np.array([other[places[x.casefold()]] if x.casefold() in places else np.zeros(width) for x in both])
    then = other[other.sum(1) > 0][:, other.sum(0) > 0]
    if len(then) < 2:
        return Before(None, left="all of its texts with a group of the file's have the same label")
    p, same = (
        float(chi2_contingency(then, correction=False).pvalue),
        _cosine(_residuals(own), _residuals(old)),
    )
    return Before(float(cramers_v(then)), same, "", n, p, stronger(strength(table), strength(then), same, p))


def ranks_before(own: Mapping[str, float], other: Mapping[str, float]) -> float:
    """As `same`, of the mean ranks of labels; 0 where fewer than two labels are common."""
    folded = {x.casefold(): mean for x, mean in other.items()}
    pairs = np.array([(mean, folded[x.casefold()]) for x, mean in own.items() if x.casefold() in folded])
    if len(pairs) < 2:
        return 0.0
    a, b = (pairs - pairs.mean(0)).T
    return _cosine(a, b)


def stronger(own: Side, other: Side, same: float, p: float) -> Difference:
    """The file's tie less what the original's excuses: all of it where it goes the same way, else the part that does.

    `p`: of no tie in the original. One that is not shown has no direction, so that as much as it may be is taken to go the same way.
    """
    return mover_difference(own, other, part=1.0 if same >= SAME or not p < SHOWN else max(0.0, same))


def _residuals(table: np.ndarray) -> np.ndarray:
    p = table / max(1.0, float(table.sum()))
    expected = np.outer(p.sum(1), p.sum(0))
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(expected > 0, (p - expected) / np.sqrt(expected), 0.0)


def _cosine(a: np.ndarray, b: np.ndarray) -> float:
    size = float(np.linalg.norm(a) * np.linalg.norm(b))
    return float((a * b).sum() / size) if size > 1e-12 else 0.0


def _few(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (" …" if len(names) > 3 else "")
