"""Amounts on a log scale, in their own unit at a typical amount.

Amounts of money are skewed: a few large ones carry the mean, and at small n Student's t for it is too short (of lognormal amounts with σ = 1, 10 against 300, its
95% interval holds the truth in 83%). Their logarithms are nearly symmetric, and a ratio is what one asks about: 3% less for whoever. So an amount y counts as
M (1 + log(y / M)), with M the geometric mean of all usable amounts of the task. A difference of means of that is M times the difference of mean logarithms: what the ratio
of the groups makes of a typical amount. Everything that is linear (gaps, changes, slopes) stays so. A trimmed mean is no choice here: a bias against a tenth of the
people, such as those of one occupation, would be trimmed away.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd

from probate.stats.contrast import Estimate
from probate.stats.measure import Measure


def typical_amount(measure: Measure, outcomes: pd.DataFrame) -> float:
    """Geometric mean of the usable amounts of all arms; NaN where the measure is none of amounts, or an amount is not above 0: they count as they are then."""
    if measure.scale != "log" or outcomes.empty:
        return float("nan")
    amounts = measure.values(outcomes)["value"].to_numpy(dtype=float)
    amounts = amounts[np.isfinite(amounts)]
    return float(np.exp(np.log(amounts).mean())) if len(amounts) and (amounts > 0).all() else float("nan")


def on_log_scale(measure: Measure, middle: float) -> Measure:
    """The measure with values on the log scale at the typical amount `middle`; as it is where that is NaN."""
    if not np.isfinite(middle):
        return measure

    def values(outcomes: pd.DataFrame) -> pd.DataFrame:
        found = measure.values(outcomes)
        with np.errstate(invalid="ignore", divide="ignore"):
            return found.assign(value=middle * (1 + np.log(found["value"].astype(float) / middle)))

    return replace(measure, values=values)


def with_scale(e: Estimate, middle: float, *, level: bool) -> Estimate:
    """The estimate with its scale in the name of the interval; of a level, turned back into a geometric mean."""
    if not np.isfinite(middle):
        return e
    if level:
        value, low, high = (float(middle * np.exp(v / middle - 1)) for v in (e.value, e.low, e.high))
        return replace(e, value=value, low=low, high=high, interval=f"{e.interval}, geometric mean")
    return replace(e, interval=f"{e.interval}, log scale at the typical ${middle:,.0f}")
