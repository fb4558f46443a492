"""Association of labels and groups in the original, and how much stronger it is in the file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import chi2_contingency

from probate.stats.association import strength
from probate.stats.manipulation import cramers_v
from probate.stats.mover import Difference, Side, mover_difference

SAME = 0.25
"""Cosine of two associations from which the original's excuses that of the file in full."""
SHOWN = 0.05
"""p below which an association is shown."""


@dataclass(frozen=True)
class Before:
    """Association of labels and groups in the original.

    Attributes
    ----------
    v : float or None
        Cramér's V, from 0 to 1; None if it was not measured.
    same : float
        Cosine of the associations of file and original, from -1 (opposite direction) to 1 (same direction).
    left : str
        Why `v` was not measured.
    n : int
        Number of texts of the original.
    p : float
        p of no association in the original.
    more : Difference or None
        V of the file minus that part of the original's V that has the same direction.
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
    """Measure the association in the original. Labels are matched without regard to case.

    Parameters
    ----------
    names : sequence of str
        Labels of the file.
    table : array of shape (labels, groups)
        Counts of the file.
    other_names : sequence of str
        Labels of the original.
    other : array of shape (labels of the original, groups)
        Counts of the original, with the groups of the file.
    fewest : int
        Smallest number of texts for which an association is measured.

    Returns
    -------
    Before
    """
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
    """Return the cosine of the mean ranks of the labels, centred.

    Parameters
    ----------
    own, other : dict of str to float
        Label → mean rank, in the file and in the original.

    Returns
    -------
    float
        As `Before.same`; 0 if fewer than two labels are in both.
    """
    folded = {x.casefold(): mean for x, mean in other.items()}
    pairs = np.array([(mean, folded[x.casefold()]) for x, mean in own.items() if x.casefold() in folded])
    if len(pairs) < 2:
        return 0.0
    a, b = (pairs - pairs.mean(0)).T
    return _cosine(a, b)


def stronger(own: Side, other: Side, same: float, p: float) -> Difference:
    """Subtract from the file's association the part that the original excuses.

    Parameters
    ----------
    own, other : Side
        Strength of the association in the file and in the original.
    same : float
        Cosine of the two associations, from -1 to 1. From 0.25, all of the original's association is
        subtracted, otherwise this share of it (none if it is negative).
    p : float
        p of no association in the original. An association that is not shown (p ≥ 0.05) has no known
        direction, so that all of it is subtracted.

    Returns
    -------
    Difference
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
