"""East against West: how much farther a model is from people of Eastern than of Western countries."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import ttest_ind

from probate.stats.values import FEWEST, Distance, by_question, mean, region

NAN = float("nan")
SIDES = ("East", "West")
SIDE_OF = {
    "Arab countries": "East",
    "East Asia": "East",
    "South and Southeast Asia": "East",
    "West and Central Asia": "East",
    "North America and Oceania": "West",
    "Western Europe": "West",
}
"""Region → side. Eastern Europe, Latin America and Sub-Saharan Africa are on neither side. The assignment is
Probate's own, because the paper (arXiv 2502.04419) does not define Eastern and Western."""


@dataclass(frozen=True)
class SideGap:
    """The mean distance of Eastern countries minus that of Western ones, over questions of both sides.

    Attributes
    ----------
    n : int
        Number of questions that countries of both sides answered. Other questions are left out: each side
        would be measured on questions of its own.
    value : float
        The difference, in [−1, 1] (of changes: [−2, 2]). Above 0 is farther from Eastern people. NaN with
        fewer than three questions.
    low, high : float
        Student's t interval over questions, clipped to the range.
    east, west : float
        Mean of each side on the same questions.
    east_n, west_n : int
        Number of all questions of each side.
    unpaired, unpaired_low, unpaired_high : float
        The difference over all questions of each side, with Welch's t interval. The sides then differ in
        their questions, too. NaN with fewer than three questions of a side.
    reason : str
        Why there is no `value`; empty if there is one.
    """

    n: int
    value: float
    low: float
    high: float
    east: float
    west: float
    east_n: int
    west_n: int
    unpaired: float
    unpaired_low: float
    unpaired_high: float
    reason: str = ""


def side(country: str) -> str:
    """Return the side of a country, East or West; empty for neither."""
    return SIDE_OF.get(region(country), "")


def east_west(compared: Sequence[Distance], confidence: float = 0.95, most: float = 1.0) -> SideGap:
    """Compute East minus West.

    A question's distance is averaged over the countries of a side that answered it. The question is the unit.

    Parameters
    ----------
    compared : sequence of Distance
        Distances, or changes of distances.
    confidence : float, default 0.95
        Confidence of the interval.
    most : float, default 1
        Largest possible difference: 1 for distances, 2 for changes.

    Returns
    -------
    SideGap
    """
    east, west = (by_question(c for c in compared if side(c.country) == name) for name in SIDES)
    both = [text for text in east if text in west]
    sizes, apart = (
        (len(east), len(west)),
        _unpaired(list(east.values()), list(west.values()), confidence, most),
    )
    if len(both) < FEWEST:
        reason = _reason(len(both), bool(east), bool(west))
        return SideGap(len(both), NAN, NAN, NAN, NAN, NAN, *sizes, *apart, reason)
    first, second = (np.array([own[text] for text in both]) for own in (east, west))
    gap = mean("", list((first - second) / most), confidence, lowest=-1.0)
    ends = (gap.value * most, gap.low * most, gap.high * most)
    return SideGap(gap.n, *ends, float(first.mean()), float(second.mean()), *sizes, *apart)


def _unpaired(
    east: Sequence[float], west: Sequence[float], confidence: float, most: float
) -> tuple[float, float, float]:
    """Return the difference of means with Welch's t interval, clipped to [−`most`, `most`]."""
    if min(len(east), len(west)) < FEWEST:
        return NAN, NAN, NAN
    value = float(np.mean(east) - np.mean(west))
    if not (np.ptp(east) or np.ptp(west)):
        return value, value, value  # as Student's t interval of equal values
    ends = ttest_ind(east, west, equal_var=False).confidence_interval(confidence)
    return value, max(-most, float(ends.low)), min(most, float(ends.high))


def _reason(both: int, east: bool, west: bool) -> str:
    lacking = [name for name, there in zip(SIDES, (east, west), strict=True) if not there]
    if lacking:
        return f"no question was answered in a country of the {' or the '.join(lacking)}"
    return f"countries of both sides answered {both} of the questions, and at least {FEWEST} are needed"
