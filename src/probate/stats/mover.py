"""Differences of two independent estimates from their own intervals, with p by inversion (MOVER).

MOVER is the method of variance estimates recovery (Newcombe 1998 for shares; Zou 2007 and Zou and Donner 2008
for any estimate). For estimates a and b with their interval ends at the same confidence,

    low = a − b − √((a − low_a)² + (high_b − b)²), high = a − b + √((high_a − a)² + (b −
    low_b)²).

p is 1 − the confidence at which the interval ends at 0, so interval and p always agree.
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
"""z of the widest interval; no p is below 1.2e-15."""


@dataclass(frozen=True)
class Side:
    """An estimate with its interval ends at every z.

    `lowest` and `highest` are equal, unless unknown values leave a range of estimates.
    """

    lowest: float
    highest: float
    ends: Callable[[float], tuple[float, float]]

    def interval(self, confidence: float) -> tuple[float, float]:
        """Return the interval of the estimate."""
        return self.ends(_z(confidence))


@dataclass(frozen=True)
class Difference:
    """The difference first minus second: estimate, interval, and two-sided p of no difference."""

    value: float
    low: float
    high: float
    p: float


def mover_difference(first: Side, second: Side, confidence: float = 0.95, part: float = 1.0) -> Difference:
    """Estimate the difference of two independent estimates by MOVER.

    Parameters
    ----------
    first, second : Side
        The estimates.
    confidence : float
        Confidence of the interval.
    part : float
        Factor of the second estimate, in [0, 1].

    Returns
    -------
    Difference
        First minus `part` times second.
    """
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
    """Return the two-sided p of the z at which an end of the interval is 0."""
    if end(0.0) * end(FARTHEST) > 0:
        return float(2 * norm.sf(FARTHEST))
    return float(2 * norm.sf(brentq(end, 0.0, FARTHEST, xtol=1e-9)))


def _z(confidence: float) -> float:
    return float(norm.ppf(0.5 + confidence / 2))


def share(hits: int, n: int, unclear: int = 0) -> Side:
    """Return a share of `n` with Wilson's interval.

    If `unclear` of the n may be hits as well, the interval covers every possible share (Manski 1989).
    """

    def ends(z: float) -> tuple[float, float]:
        return float(score_ends(hits, n, z)[0]), float(score_ends(hits + unclear, n, z)[1])

    return Side(hits / n, (hits + unclear) / n, ends)


def inverted(points: Array, z: Array) -> Side:
    """Return the estimate and interval from the inversion of a test at each of `points`.

    `points` are ascending. `z` is the test's z at each point, from below to above 0; the estimate is where z
    is 0.
    """
    z = np.maximum.accumulate(z) + 1e-12 * np.arange(len(z))  # ascending for certain
    value = float(np.interp(0.0, z, points))
    return Side(
        value, value, lambda own: (float(np.interp(-own, z, points)), float(np.interp(own, z, points)))
    )
