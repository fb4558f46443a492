"""East against West: how much farther a model is from people of Eastern than of Western countries."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from probate.stats.values import FEWEST, Distance, by_question, mean, region

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
    reason : str
        Why there is no difference; empty if there is one.
    """

    n: int
    value: float
    low: float
    high: float
    east: float
    west: float
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
    if len(both) < FEWEST:
        nan = float("nan")
        return SideGap(len(both), nan, nan, nan, nan, nan, _reason(len(both), bool(east), bool(west)))
    first, second = (np.array([own[text] for text in both]) for own in (east, west))
    gap = mean("", list((first - second) / most), confidence, lowest=-1.0)
    return SideGap(
        gap.n, gap.value * most, gap.low * most, gap.high * most, float(first.mean()), float(second.mean())
    )


def _reason(both: int, east: bool, west: bool) -> str:
    lacking = [name for name, there in zip(SIDES, (east, west), strict=True) if not there]
    if lacking:
        return f"no question was answered in a country of the {' or the '.join(lacking)}"
    return f"countries of both sides answered {both} of the questions, and at least {FEWEST} are needed"
