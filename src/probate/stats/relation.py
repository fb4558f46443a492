"""Direct against indirect: do data sets that are directly related to the bias change more than the others?"""

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
    """Mean over direct data sets minus mean over indirect ones; a value is one data set's metric, or its change.

    The unit is the data set: interval and p by Welch's t (1947), undefined with fewer than two on a side. With a value that is not finite all is
    undefined: a mean over the other data sets would answer another question.
    """
    first, second = (np.asarray(side, dtype=float) for side in (direct, indirect))
    if not len(first) or not len(second) or not np.isfinite([*first, *second]).all():
        return EMPTY
    value, n = float(first.mean() - second.mean()), len(first) + len(second)
    if min(len(first), len(second)) < 2 or np.ptp(np.concatenate([first, second])) == 0:
        return Estimate(
            value, NAN, NAN, NAN, n, 1, "none", "undefined (one data set, or no variation)", "data set"
        )
    found = ttest_ind(first, second, equal_var=False)
    low, high = found.confidence_interval(analysis.confidence)
    return Estimate(
        value, float(low), float(high), float(found.pvalue), n, 1, "Welch t over data sets", "Welch t over data sets", "data set"
    )  # fmt: skip
