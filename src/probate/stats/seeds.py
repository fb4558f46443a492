"""Several training seeds: the variance of a mean over seeds on the same items, and the t that suits its parts.

An item's value under a seed is the sum of what the item has, what the seed has, and what only the two have together. The mean over S seeds then varies by
what the items have (shared by all seeds) and by what seeds differ in, where the third part comes in too. The first part is the mean covariance of the
seeds' estimates over items; the second is the sum over the arms that are compared of s²/S of each arm's own estimates (`of_arms`). Their sum counts each part once
(Cameron, Gelbach and Miller 2011, two-way clusters).

The arms are taken as trained independently, as in Welch's t (1947): what one seed gives one arm says little of what it gives another, and with three seeds a
variance of their differences is known from two degrees of freedom only, those of two arms from up to four. Where a seed does move all arms alike the
interval is too wide, not too short (benchmarks/worlds/seeds.py).

The second part is known from few degrees of freedom. Satterthwaite's t over both parts takes a small s² by chance for a certain one: with three seeds and many items
it errs in 8% of studies instead of 5%. So the t here is Cochran and Cox's (1950): the mean of the t quantiles of both parts, weighted by their variances.
It is exact where one part is all, and errs on the wide side between.
"""

from __future__ import annotations

import numpy as np
from scipy.special import stdtrit

Array = np.ndarray
LEAST = 1e-100
"""Half of the smallest p: quantiles of t are not sure below it."""
HALVINGS = 40


def shared_variance(covariance: Array) -> float:
    """Variance of the mean over seeds that comes from what items have in all of them: the mean covariance of two seeds, at least 0.

    `covariance`: (seeds, seeds), of the seeds' estimates over the same items or resamples of items.
    """
    seeds = len(covariance)
    return float(np.maximum(covariance.sum() - covariance.trace(), 0.0)) / (seeds * (seeds - 1))  # NaN stays


def seed_variance(parts: Array) -> tuple[Array, Array]:
    """Variance that seeds make of a sum over arms of means over seeds, and its degrees of freedom (Satterthwaite 1946): S − 1 to arms x (S − 1).

    `parts`: (arms, seeds, …), what each arm's own estimate adds to the sum under each seed.
    """
    return summed_variance(parts.var(1, ddof=1) / parts.shape[1], parts.shape[1])


def summed_variance(variances: Array, seeds: int) -> tuple[Array, Array]:
    """As `of_arms`, from the variance that each arm adds, (arms, …)."""
    total, squares = variances.sum(0), (variances**2).sum(0)
    with np.errstate(invalid="ignore", divide="ignore"):
        freedom = np.where(squares > 0, (seeds - 1) * total**2 / squares, seeds - 1.0)
    return total, freedom


def half_width(
    items: Array | float,
    seeds: Array | float,
    freedom: Array | float,
    known: Array | float,
    confidence: float,
) -> Array:
    """Half the length of the interval. `items`, `seeds`: the two variances; `freedom`, `known`: their degrees of freedom. NaN where both are 0."""
    return _weighted(items, seeds, freedom, known, (1 - confidence) / 2)


def p_value(
    value: Array | float,
    items: Array | float,
    seeds: Array | float,
    freedom: Array | float,
    known: Array | float,
) -> Array:
    """Two-sided p of no effect: 1 − the confidence of the interval that ends at 0, by bisection. NaN where both variances are 0."""
    value, items, seeds, freedom, known = np.broadcast_arrays(np.abs(value), items, seeds, freedom, known)
    varies = items + seeds > 1e-24
    low, high = np.full(value.shape, np.log(LEAST)), np.full(value.shape, np.log(0.5))
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        over = _weighted(items, seeds, freedom, known, np.exp(middle)) > value
        low, high = np.where(over, middle, low), np.where(over, high, middle)
    return np.where(varies, np.where(value > 0, 2 * np.exp(high), 1.0), np.nan)


def _weighted(
    items: Array | float,
    seeds: Array | float,
    freedom: Array | float,
    known: Array | float,
    tail: Array | float,
) -> Array:
    items, seeds = np.asarray(items, dtype=np.float64), np.asarray(seeds, dtype=np.float64)
    variance = items + seeds
    varies = variance > 1e-24
    of_items = np.where(items > 0, -items * stdtrit(np.where(items > 0, freedom, 1.0), tail), 0.0)
    of_seeds = -seeds * stdtrit(known, tail)
    return np.where(varies, (of_items + of_seeds) / np.sqrt(np.where(varies, variance, 1.0)), np.nan)
