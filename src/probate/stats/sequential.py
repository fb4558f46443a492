"""Adding seeds until it is sure, without erring more often: error is spent by a plan, look by look."""

from __future__ import annotations

import numpy as np
from scipy.stats import norm

from probate.core.errors import InputError
from probate.study.schema import beyond_plan


def spent(share: float, alpha: float) -> float:
    """Error spent when `share` of the planned seeds is in: O'Brien and Fleming's boundary as a function (Lan and DeMets 1983)."""
    return float(2 * norm.sf(norm.ppf(1 - alpha / 2) / np.sqrt(share))) if share > 0 else 0.0


def stage_level(seeds: int, planned: int, alpha: float) -> float:
    """The level at which the look with `seeds` of `planned` seeds is taken, if there was one after each seed from the second on.

    It is what this look adds to what is spent. The levels of all looks sum to α, so that by Bonferroni's inequality the chance of a false result at
    any of them is at most α, whatever the looks have to do with each other. The last look has most of it. α where `planned` is reached by the first look,
    and where nothing is planned (0).

    Raises:
        InputError: more seeds than were planned.
    """
    if 0 < planned < seeds:
        raise InputError(beyond_plan(seeds, planned))
    if planned <= 2 or seeds < 2:
        return alpha
    before = spent((seeds - 1) / planned, alpha) if seeds > 2 else 0.0
    return spent(seeds / planned, alpha) - before
