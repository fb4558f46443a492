"""Amounts on a log scale, expressed in their own unit at a typical amount.

Amounts of money are right-skewed: a few large amounts dominate the mean, and Student's t interval is then
too short at small n. For lognormal amounts with σ = 1 and groups of 10 and 300, its 95% interval covers the
truth in 83% of samples. Logarithms of amounts are nearly symmetric, and the quantity of interest is a ratio,
such as 3% less for one group.

An amount y is therefore replaced by M (1 + log(y / M)), where M is the geometric mean of all usable amounts
of the task. A difference of means on this scale is M times the difference of mean logarithms: the effect of
the ratio between groups at a typical amount. Linear combinations (gaps, changes, slopes) stay linear.

A trimmed mean is not an alternative. It would remove a bias against a tenth of the people, such as those in
one occupation.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd

from probate.stats.contrast import Estimate
from probate.stats.measure import Measure


def typical_amount(measure: Measure, outcomes: pd.DataFrame) -> float:
    """Return the geometric mean of the usable amounts of all arms.

    Parameters
    ----------
    measure : Measure
        A measure of amounts has `scale="log"`.
    outcomes : pandas.DataFrame
        Outcomes of one task in all arms.

    Returns
    -------
    float
        The geometric mean, in the unit of the measure. NaN if the measure does not hold amounts, or if an
        amount is 0 or less; the amounts are then compared as they are.
    """
    if measure.scale != "log" or outcomes.empty:
        return float("nan")
    amounts = measure.values(outcomes)["value"].to_numpy(dtype=float)
    amounts = amounts[np.isfinite(amounts)]
    return float(np.exp(np.log(amounts).mean())) if len(amounts) and (amounts > 0).all() else float("nan")


def on_log_scale(measure: Measure, middle: float) -> Measure:
    """Return the measure with its values on the log scale at the typical amount `middle`.

    Parameters
    ----------
    measure : Measure
        A measure of amounts.
    middle : float
        The typical amount M, see `typical_amount`.

    Returns
    -------
    Measure
        Its values are M (1 + log(y / M)). The measure is returned unchanged if `middle` is NaN.
    """
    if not np.isfinite(middle):
        return measure

    def values(outcomes: pd.DataFrame) -> pd.DataFrame:
        frame = measure.values(outcomes)
        with np.errstate(invalid="ignore", divide="ignore"):
            return frame.assign(value=middle * (1 + np.log(frame["value"].astype(float) / middle)))

    return replace(measure, values=values)


def with_scale(e: Estimate, middle: float, *, level: bool) -> Estimate:
    """Return the estimate with the log scale named in `interval`; a level is transformed back to a geometric
    mean.
    """
    if not np.isfinite(middle):
        return e
    if level:
        value, low, high = (float(middle * np.exp(v / middle - 1)) for v in (e.value, e.low, e.high))
        return replace(e, value=value, low=low, high=high, interval=f"{e.interval}, geometric mean")
    return replace(e, interval=f"{e.interval}, log scale at the typical ${middle:,.0f}")
