"""Adjustment of p for the number of tests in a family.

A p that is NaN is not a test: it stays NaN and does not count.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.stats import false_discovery_control


def holm(p: Sequence[float] | np.ndarray) -> np.ndarray:
    """Adjust p by Holm's (1979) step-down method, which controls the familywise error rate; at most 1.

    It holds under any dependence of the tests.
    """
    adjusted, tested = _parts(p)
    own = adjusted[tested]
    order = np.argsort(own)
    own[order] = np.minimum(np.maximum.accumulate(own[order] * np.arange(len(own), 0, -1)), 1)
    adjusted[tested] = own
    return adjusted


def benjamini_hochberg(p: Sequence[float] | np.ndarray) -> np.ndarray:
    """Adjust p by the method of Benjamini and Hochberg (1995), which controls the false discovery rate; at
    most 1.

    It assumes independent or positively dependent tests.
    """
    adjusted, tested = _parts(p)
    adjusted[tested] = false_discovery_control(adjusted[tested]) if tested.any() else []
    return adjusted


def _parts(p: Sequence[float] | np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    own = np.array(p, dtype=np.float64)
    return own, ~np.isnan(own)
