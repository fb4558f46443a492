"""Sequential analysis: adding seeds until a result is significant, without a higher error rate.

The error is spent by a plan over the interim analyses (alpha spending).
"""

from __future__ import annotations

import numpy as np
from scipy.stats import norm

from probate.core.errors import InputError
from probate.study.schema import beyond_plan


def spent(share: float, alpha: float) -> float:
    """Return the error spent when `share` of the planned seeds has been trained.

    It is O'Brien and Fleming's boundary as a spending function (Lan and DeMets 1983).
    """
    return float(2 * norm.sf(norm.ppf(1 - alpha / 2) / np.sqrt(share))) if share > 0 else 0.0


def stage_level(seeds: int, planned: int, alpha: float) -> float:
    """Return the significance level of the interim analysis with `seeds` of `planned` seeds.

    There is one analysis after each seed from the second on. The level is the error that this analysis adds
    to the error spent before. The levels of all analyses sum to α. By Bonferroni's inequality, the
    probability of a false positive in any of them is therefore at most α, under any dependence. The last
    analysis has most of the error.

    Parameters
    ----------
    seeds, planned : int
        Number of trained and of planned seeds (0: not planned).
    alpha : float
        Total error rate.

    Returns
    -------
    float
        α if the first analysis reaches `planned`, or if nothing is planned.

    Raises
    ------
    InputError
        More seeds than planned.
    """
    if 0 < planned < seeds:
        raise InputError(beyond_plan(seeds, planned))
    if planned <= 2 or seeds < 2:
        return alpha
    before = spent((seeds - 1) / planned, alpha) if seeds > 2 else 0.0
    return spent(seeds / planned, alpha) - before
