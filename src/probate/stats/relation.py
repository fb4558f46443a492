"""Direct against indirect tasks: whether tasks that measure the bias itself change more than the others."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.stats import ttest_ind

from probate.stats.contrast import EMPTY, NAN, Estimate
from probate.study.schema import Analysis

DIRECT_INDIRECT = "direct − indirect"


def direct_against_indirect(
    direct: Sequence[float], indirect: Sequence[float], analysis: Analysis
) -> Estimate:
    """Estimate the mean over direct data sets minus the mean over indirect ones.

    The unit is the data set. Interval and p are by Welch's t (1947), which assumes normal values.

    Parameters
    ----------
    direct, indirect : sequence of float
        One value for each data set: its metric, or the change of its metric.
    analysis : Analysis
        Confidence.

    Returns
    -------
    Estimate
        Interval and p are undefined with fewer than two data sets on a side. All is undefined if a value is
        not finite, because a mean over the other data sets would answer a different question.
    """
    first, second = (np.asarray(side, dtype=float) for side in (direct, indirect))
    if not len(first) or not len(second) or not np.isfinite([*first, *second]).all():
        return EMPTY
    value, n = float(first.mean() - second.mean()), len(first) + len(second)
    if min(len(first), len(second)) < 2 or np.ptp(np.concatenate([first, second])) == 0:
        return Estimate(
            value, NAN, NAN, NAN, n, 1, "none", "undefined (one data set, or no variation)", "data set"
        )
    test = ttest_ind(first, second, equal_var=False)
    low, high = test.confidence_interval(analysis.confidence)
    return Estimate(
        value, float(low), float(high), float(test.pvalue), n, 1, "Welch t over data sets",
        "Welch t over data sets", "data set",
    )  # fmt: skip
