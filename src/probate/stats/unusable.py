"""Unusable answers (not parsed, refused, empty): their share in each group, and its difference between
groups.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import pandas as pd

from probate.stats import comparisons
from probate.stats.contrast import Estimate
from probate.stats.measure import Measure
from probate.stats.usable import Asked, Values
from probate.study.schema import Analysis

LEVEL, DIFFERENCE = "unusable-level", "unusable"


def unusable_shares(
    values: Sequence[Values], measure: Measure, analysis: Analysis, asked: Asked
) -> Iterator[tuple[str, str, str, Estimate]]:
    """Yield the shares of unusable answers of one kind of arm.

    Intervals of differences are Newcombe's, with p by inversion; for several seeds, see `contrast`. Nothing
    is yielded if all answers are usable.

    Parameters
    ----------
    values : sequence of Values
        One element for each seed.
    measure : Measure
        The measure.
    analysis : Analysis
        Confidence and planned seeds.
    asked : Asked
        The groups that the task asks about.

    Yields
    ------
    tuple of (str, str, str, Estimate)
        Question, name, comparison and estimate: the share in each group in [0, 1], higher is worse, and its
        difference between groups in [−1, 1].
    """
    if all(len(v.frame) == len(v.asked) for v in values):
        return
    frames = [_frame(v) for v in values if len(v.asked)]
    if not any(f["value"].any() for f in frames):
        return
    missing = replace(measure, unit="share", better="none")
    for question, name, comparison, e in comparisons.levels(frames, missing, analysis, asked):
        if question == "level" and (len(measure.sides) == 1 or measure.sides.index(name) in asked.sides):
            yield LEVEL, name, comparison, e
        elif question == "gap" and comparison != comparisons.SPREAD and e.n:
            yield DIFFERENCE, name, comparison, e


def _frame(v: Values) -> pd.DataFrame:
    """Return 1 for each unusable answer, 0 for each usable one."""
    return v.asked[["item_id", "side"]].assign(
        value=(~v.asked["item_id"].isin(v.frame["item_id"])).astype(float)
    )
