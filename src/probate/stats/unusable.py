"""Answers that cannot be used (not parsed, refused, empty): their share in each group, and whether it differs between groups."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import pandas as pd

from probate.stats import compare
from probate.stats.contrast import Estimate
from probate.stats.measure import Measure
from probate.stats.usable import Asked, Values
from probate.study.schema import Analysis

LEVEL, DIFFERENCE = "unusable-level", "unusable"


def unusable_shares(
    values: Sequence[Values], measure: Measure, analysis: Analysis, asked: Asked
) -> Iterator[tuple[str, str, str, Estimate]]:
    """(question, name, comparison, estimate) of one kind of arm, a `Values` a seed: the share of unusable answers in each group that is asked about,
    and its difference between groups (Newcombe's interval, p by its inversion; several seeds as elsewhere), in [−1, 1].

    Nothing where every answer can be used.
    """
    if all(len(v.frame) == len(v.asked) for v in values):
        return
    frames = [_frame(v) for v in values if len(v.asked)]
    if not any(f["value"].any() for f in frames):
        return
    missing = replace(measure, unit="share", better="none")
    for question, name, comparison, e in compare.levels(frames, missing, analysis, asked):
        if question == "level" and (len(measure.sides) == 1 or measure.sides.index(name) in asked.sides):
            yield LEVEL, name, comparison, e
        elif question == "gap" and comparison != compare.SPREAD and e.n:
            yield DIFFERENCE, name, comparison, e


def _frame(v: Values) -> pd.DataFrame:
    """1 for each answer that cannot be used, 0 for each that can."""
    return v.asked[["item_id", "side"]].assign(
        value=(~v.asked["item_id"].isin(v.frame["item_id"])).astype(float)
    )
