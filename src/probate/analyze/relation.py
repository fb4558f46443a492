"""Direct against indirect: do data sets that are directly related to the bias change more than the others?"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.stats import permutation_test, ttest_ind

from probate.analyze.contrast import EMPTY, NAN, Estimate
from probate.study import Analysis

DIRECT_INDIRECT = "direct − indirect"


def direct_against_indirect(direct: Sequence[float], indirect: Sequence[float], analysis: Analysis) -> Estimate:
    """Mean over direct data sets minus mean over indirect ones; a value is one data set's metric, or its change.

    The unit is the data set: p by exchanging the relation between data sets (all ways where there are fewer than the
    resamples; at few sets it cannot be small), interval by Welch's t, undefined with fewer than two on a side. With a value that is not finite all is
    undefined: a mean over the other data sets would answer another question.
    """
    first, second = (np.asarray(side, dtype=float) for side in (direct, indirect))
    if not len(first) or not len(second) or not np.isfinite([*first, *second]).all():
        return EMPTY
    value, n = float(first.mean() - second.mean()), len(first) + len(second)
    if min(len(first), len(second)) < 2 or np.ptp(np.concatenate([first, second])) == 0:
        return Estimate(value, NAN, NAN, NAN, n, 1, "none", "undefined (one data set, or no variation)", "data set")
    found = permutation_test(
        (first, second),
        lambda a, b, axis: np.mean(a, axis=axis) - np.mean(b, axis=axis),
        vectorized=True,
        n_resamples=analysis.resamples,
        rng=np.random.default_rng([analysis.seed, 5]),
    )
    low, high = ttest_ind(first, second, equal_var=False).confidence_interval(analysis.confidence)
    return Estimate(
        value, float(low), float(high), float(found.pvalue), n, 1, "permutation over data sets", "Welch t over data sets", "data set"
    )  # fmt: skip
