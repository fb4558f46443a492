"""Several training seeds: the variance of a mean over seeds on the same items, and a t test for its
components.

The value of an item under a seed is the sum of an item effect, a seed effect and their interaction. The
variance of the mean over S seeds then has two components: that of the items, which all seeds share, and that
of the seeds, which includes the interaction. The first is the mean covariance between seeds of the estimates
over items. The second is the sum over the compared arms of s²/S of the estimates of each arm
(`seed_variance`). Their sum counts each component once (Cameron, Gelbach and Miller 2011, two-way clusters).

The arms are assumed to be trained independently, as in Welch's t (1947): the effect of a seed on one arm says
little about its effect on another. With three seeds, the variance of the differences would have two degrees
of freedom; that of two arms has up to four. If a seed does shift all arms in common, the interval is too
wide, not too short (benchmarks/worlds/seeds.py).

The second component has few degrees of freedom. Satterthwaite's t over both components treats an s² that is
small by chance as certain: with three seeds and many items, its error rate is 8% instead of 5%. The test here
is therefore Cochran and Cox's (1950): the mean of the t quantiles of both components, weighted by their
variances. It is exact if one component is 0, and conservative otherwise.
"""

from __future__ import annotations

import numpy as np
from scipy.special import stdtrit

Array = np.ndarray
LEAST = 1e-100
"""Half of the smallest p; quantiles of t are not accurate below it."""
HALVINGS = 40


def shared_variance(covariance: Array) -> float:
    """Return the variance of the mean over seeds that items contribute: the mean covariance of two seeds, at
    least 0.

    Parameters
    ----------
    covariance : array of shape (seeds, seeds)
        Covariance of the seeds' estimates over the same items or resamples of items.
    """
    seeds = len(covariance)
    return float(np.maximum(covariance.sum() - covariance.trace(), 0.0)) / (seeds * (seeds - 1))  # NaN stays


def seed_variance(parts: Array) -> tuple[Array, Array]:
    """Return the variance that seeds contribute to a sum over arms of means over seeds, and its degrees of
    freedom.

    The degrees of freedom (Satterthwaite 1946) are from S − 1 to arms x (S − 1).

    Parameters
    ----------
    parts : array of shape (arms, seeds, ...)
        Contribution of each arm's estimate to the sum under each seed.
    """
    return summed_variance(parts.var(1, ddof=1) / parts.shape[1], parts.shape[1])


def summed_variance(variances: Array, seeds: int) -> tuple[Array, Array]:
    """Return `seed_variance` from the variance that each arm contributes, of shape (arms, ...)."""
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
    """Return half the width of the interval; NaN if both variances are 0.

    Parameters
    ----------
    items, seeds : array or float
        The variances of items and of seeds.
    freedom, known : array or float
        The degrees of freedom of these variances.
    confidence : float
        Confidence of the interval.
    """
    return _weighted(items, seeds, freedom, known, (1 - confidence) / 2)


def p_value(
    value: Array | float,
    items: Array | float,
    seeds: Array | float,
    freedom: Array | float,
    known: Array | float,
) -> Array:
    """Return the two-sided p of no effect: 1 − the confidence at which the interval ends at 0, by
    bisection.

    Parameters are as in `half_width`; `value` is the estimate. NaN if both variances are 0.
    """
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
