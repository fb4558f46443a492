"""Several training seeds: the variance of a mean over seeds on the same items, and the t that suits its two parts.

An item's value under a seed is the sum of what the item has, what the seed has, and what only the two have together. The mean over S seeds then varies by
what the items have (shared by all seeds) and by what seeds differ in, where the third part comes in too. The first part is the mean covariance of the
seeds' estimates over items; the second is s²/S of the seeds' estimates. Their sum counts each part once (Cameron, Gelbach and Miller 2011, two-way clusters).

The second part is known from S − 1 degrees of freedom only. Satterthwaite's t takes a small s² by chance for a certain one: with three seeds and many items
it errs in 8% of studies instead of 5%. So the t here is Cochran and Cox's (1950): the mean of the t quantiles of both parts, weighted by their variances.
It is exact where one part is all, and errs on the wide side between (95 to 97.5% for three seeds or more; benchmarks/error_rates.py).
"""

from __future__ import annotations

import numpy as np
from scipy.special import stdtrit

Array = np.ndarray
LEAST = 1e-100
"""Half of the smallest p: quantiles of t are not sure below it."""
HALVINGS = 40


def shared(covariance: Array) -> float:
    """Variance of the mean over seeds that comes from what items have in all of them: the mean covariance of two seeds, at least 0.

    `covariance`: (seeds, seeds), of the seeds' estimates over the same items or resamples of items.
    """
    seeds = len(covariance)
    return float(np.maximum(covariance.sum() - covariance.trace(), 0.0)) / (seeds * (seeds - 1))  # NaN stays


def half_width(items: Array | float, seeds: Array | float, freedom: Array | float, count: int, confidence: float) -> Array:
    """Half the length of the interval. `items`, `seeds`: the two variances; `freedom`: of the first; `count`: number of seeds. NaN where both are 0."""
    return _weighted(items, seeds, freedom, count, (1 - confidence) / 2)


def p_value(value: Array | float, items: Array | float, seeds: Array | float, freedom: Array | float, count: int) -> Array:
    """Two-sided p of no effect: 1 − the confidence of the interval that ends at 0, by bisection. NaN where both variances are 0."""
    value, items, seeds, freedom = np.broadcast_arrays(np.abs(value), items, seeds, freedom)
    known = items + seeds > 1e-24
    low, high = np.full(value.shape, np.log(LEAST)), np.full(value.shape, np.log(0.5))
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        over = _weighted(items, seeds, freedom, count, np.exp(middle)) > value
        low, high = np.where(over, middle, low), np.where(over, high, middle)
    return np.where(known, np.where(value > 0, 2 * np.exp(high), 1.0), np.nan)


def _weighted(items: Array | float, seeds: Array | float, freedom: Array | float, count: int, tail: Array | float) -> Array:
    items, seeds = np.asarray(items, dtype=np.float64), np.asarray(seeds, dtype=np.float64)
    variance = items + seeds
    known = variance > 1e-24
    of_items = np.where(items > 0, -items * stdtrit(np.where(items > 0, freedom, 1.0), tail), 0.0)
    of_seeds = -seeds * stdtrit(count - 1, tail)
    return np.where(known, (of_items + of_seeds) / np.sqrt(np.where(known, variance, 1.0)), np.nan)
