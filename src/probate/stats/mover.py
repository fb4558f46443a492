"""Two independent estimates compared by their own intervals, and p as the inversion of that comparison.

MOVER (Newcombe 1998 for shares; Zou 2007 and Zou and Donner 2008 for any estimate): of estimates a and b with their ends at one confidence,

    low = a − b − √((a − low_a)² + (high_b − b)²),    high = a − b + √((high_a − a)² + (b − low_b)²).

p is 1 − the confidence at which the interval ends at 0, so that the two never disagree.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.optimize import brentq
from scipy.stats import norm

from probate.stats.exact import score_ends

Array = np.ndarray
FARTHEST = 8.0
"""z of the widest interval that is made: no p is below 1.2e-15."""


@dataclass(frozen=True)
class Side:
    """An estimate with its ends at every z. `lowest` and `highest` are the same, unless what is not known leaves several."""

    lowest: float
    highest: float
    ends: Callable[[float], tuple[float, float]]

    def interval(self, confidence: float) -> tuple[float, float]:
        """Its own interval."""
        return self.ends(_z(confidence))


@dataclass(frozen=True)
class Difference:
    """First minus second: the estimate, its interval at the confidence that was asked for, and p of no difference."""

    value: float
    low: float
    high: float
    p: float


def mover_difference(first: Side, second: Side, confidence: float = 0.95, part: float = 1.0) -> Difference:
    """First minus second, or minus a `part` of it, from 0 to 1."""
    least, most = first.lowest - part * second.highest, first.highest - part * second.lowest

    def low(z: float) -> float:
        (a, _), (_, b) = first.ends(z), second.ends(z)
        return float(least - np.hypot(first.lowest - a, part * (b - second.highest)))

    def high(z: float) -> float:
        (_, a), (b, _) = first.ends(z), second.ends(z)
        return float(most + np.hypot(a - first.highest, part * (second.lowest - b)))

    z = _z(confidence)
    return Difference(
        (least + most) / 2, low(z), high(z), _p(low if least > 0 else high) if least > 0 or most < 0 else 1.0
    )


def _p(end: Callable[[float], float]) -> float:
    """Two-sided p of the z at which an end of the interval is 0."""
    if end(0.0) * end(FARTHEST) > 0:
        return float(2 * norm.sf(FARTHEST))
    return float(2 * norm.sf(brentq(end, 0.0, FARTHEST, xtol=1e-9)))


def _z(confidence: float) -> float:
    return float(norm.ppf(0.5 + confidence / 2))


def share(hits: int, n: int, unclear: int = 0) -> Side:
    """A share of `n` by Wilson's interval. Any of `unclear` of them may be hits as well: then all that this leaves open (Manski 1989)."""

    def ends(z: float) -> tuple[float, float]:
        return float(score_ends(hits, n, z)[0]), float(score_ends(hits + unclear, n, z)[1])

    return Side(hits / n, (hits + unclear) / n, ends)


def inverted(points: Array, z: Array) -> Side:
    """From a test of each of `points`, ascending: `z` is that of the test, from below to above 0; the estimate is where it is 0."""
    z = np.maximum.accumulate(z) + 1e-12 * np.arange(len(z))  # ascending for certain
    value = float(np.interp(0.0, z, points))
    return Side(
        value, value, lambda own: (float(np.interp(-own, z, points)), float(np.interp(own, z, points)))
    )
