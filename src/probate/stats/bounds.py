"""Worst-case bounds (Manski 1990) on how far unusable answers can move a change of shares.

The bounds are reached if all unusable answers are 0, or if all are 1.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np

from probate.stats.comparisons import ANY
from probate.stats.measure import Measure
from probate.stats.usable import Values

Ends = tuple[float, float]


def change_bounds(
    after: Sequence[Values], before: Sequence[Values], measure: Measure, comparison: str
) -> Ends:
    """Return the lowest and the highest change of a share's level or gap that unusable answers allow.

    The mean of a side lies between its value if each unusable answer counts 0 and its value if each counts 1.
    The bounds combine these extremes in the worst way. If every answer is usable, both bounds equal the
    change of the arms' own means.

    Parameters
    ----------
    after, before : sequence of Values
        The values of the measure in the two arms, one element for each seed. Bounds are means over seeds.
    measure : Measure
        The measure that is compared.
    comparison : str
        Name of the comparison. For `any group − rest` the bounds hold for every group.

    Returns
    -------
    tuple of float
        (lowest, highest); (NaN, NaN) unless the measure is a mean with the unit share.
    """
    if measure.unit != "share" or measure.statistic != "mean":
        return float("nan"), float("nan")
    if comparison == ANY:
        groups = [change_bounds(after, before, measure, f"{g} − rest") for g in measure.sides]
        return min(low for low, _ in groups), max(high for _, high in groups)
    ends = [_of_arms(values, measure, comparison) for values in (after, before)]
    return ends[0][0] - ends[1][1], ends[0][1] - ends[1][0]


def _of_arms(values: Sequence[Values], measure: Measure, comparison: str) -> Ends:
    by_seed = [_of_arm(v, measure, comparison) for v in values if len(v.asked)]
    low, high = np.mean(by_seed, axis=0) if by_seed else (float("nan"), float("nan"))
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
