"""How far can unusable answers move a change of shares? Worst-case bounds (Manski 1990): all of them 0, or all of them 1."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np

from probate.stats.compare import ANY
from probate.stats.measure import Measure
from probate.stats.usable import Values

Ends = tuple[float, float]


def change_bounds(
    after: Sequence[Values], before: Sequence[Values], measure: Measure, comparison: str
) -> Ends:
    """Lowest and highest change of a share's level or gap that the unusable answers of both arms allow; NaN for other units.

    A side's mean lies between what it is if each unusable answer counts 0 and what it is if each counts 1; the ends of the change put them together
    at their worst. Of `any group − rest` they hold for every group. Where every answer can be used both ends are the change of the arms' own means. A value is a seed's, the ends are means over seeds.
    """
    if measure.unit != "share" or measure.statistic != "mean":
        return float("nan"), float("nan")
    if comparison == ANY:
        groups = [change_bounds(after, before, measure, f"{g} − rest") for g in measure.sides]
        return min(low for low, _ in groups), max(high for _, high in groups)
    ends = [_of_arms(values, measure, comparison) for values in (after, before)]
    return ends[0][0] - ends[1][1], ends[0][1] - ends[1][0]


def _of_arms(values: Sequence[Values], measure: Measure, comparison: str) -> Ends:
    found = [_of_arm(v, measure, comparison) for v in values if len(v.asked)]
    low, high = np.mean(found, axis=0) if found else (float("nan"), float("nan"))
    return float(low), float(high)


def _of_arm(v: Values, measure: Measure, comparison: str) -> Ends:
    sides = range(len(measure.sides))
    if len(measure.sides) == 1:
        return _mean(v, sides)
    first = measure.sides.index(comparison.partition(" − ")[0])
    (a, b), (c, d) = _mean(v, [first]), _mean(v, [s for s in sides if s != first])
    return a - d, b - c


def _mean(v: Values, sides: Collection[int]) -> Ends:
    total, n = float(v.frame.loc[v.frame["side"].isin(sides), "value"].sum()), v.wanted(sides)
    return (total / n, (total + n - v.usable(sides)) / n) if n else (0.0, 1.0)
