"""Resampling over clusters: intervals and tests for a difference of two group means.

All statistics here are g = mean(first group) − mean(second group) over rows that belong to clusters (an item, or a
pair of candidates). A cluster enters by four numbers: sum and count of its rows in each group. So a bootstrap of B
resamples is one matrix product of (B, clusters) counts with (clusters, 4), and a jackknife one subtraction.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from scipy.stats import norm

Array = np.ndarray


def estimate(table: Array) -> float:
    """g of a (clusters, 4) table with columns sum0, n0, sum1, n1."""
    total = table.sum(0)
    return float(difference(total))


def difference(total: Array) -> Array:
    """g of totals with columns sum0, n0, sum1, n1 in the last axis; a side without a row counts as 0."""
    with np.errstate(invalid="ignore", divide="ignore"):
        first = np.where(total[..., 1] > 0, total[..., 0] / total[..., 1], 0.0)
        second = np.where(total[..., 3] > 0, total[..., 2] / total[..., 3], 0.0)
    return first - second


@lru_cache(maxsize=16)
def draw_counts(size: int, resamples: int, seed: int) -> Array:
    """How often each of `size` clusters is drawn, for each resample: (resamples, size)."""
    rng = np.random.default_rng([seed, size])
    return rng.multinomial(size, np.full(size, 1 / size), size=resamples).astype(np.float32)


def strata(table: Array) -> list[Array]:
    """Indices of clusters by which groups they hold; each kind is resampled by itself."""
    kind = (table[:, 1] > 0) * 2 + (table[:, 3] > 0)
    return [np.flatnonzero(kind == k) for k in np.unique(kind)]


def bootstrap(table: Array, resamples: int, seed: int) -> Array:
    """g of `resamples` bootstrap samples of the clusters, stratified by the groups they hold."""
    totals = np.zeros((resamples, 4))
    for number, index in enumerate(strata(table)):
        totals += draw_counts(len(index), resamples, seed + number) @ table[index].astype(np.float64)
    return difference(totals)


def jackknife(table: Array) -> Array:
    """g without each cluster in turn."""
    return difference(table.sum(0) - table)


def bca_interval(table: Array, confidence: float, resamples: int, seed: int) -> tuple[float, float]:
    """Bias-corrected and accelerated bootstrap interval (Efron 1987); NaN where no resample differs."""
    draws = bootstrap(table, resamples, seed)
    point = estimate(table)
    spread = float(np.ptp(draws))
    if spread <= 1e-12 * max(1.0, abs(point)):
        return float("nan"), float("nan")
    close = 1e-9 * max(1.0, abs(point))  # equal shares of other counts differ in their last bits
    below = (np.sum(draws < point - close) + 0.5 * np.sum(np.abs(draws - point) <= close)) / len(draws)
    z0 = norm.ppf(np.clip(below, 0.5 / len(draws), 1 - 0.5 / len(draws)))
    # Acceleration, with a stratum's influence scaled by its size (Efron and Tibshirani 1993, section 14).
    cubed = squared = 0.0
    leave = jackknife(table)
    for index in strata(table):
        size = len(index)
        influence = (size - 1) * (leave[index].mean() - leave[index])
        cubed += np.sum(influence**3) / size**3
        squared += np.sum(influence**2) / size**2
    acceleration = cubed / (6 * squared**1.5) if squared > 0 else 0.0
    tail = (1 - confidence) / 2
    levels = []
    for z in (norm.ppf(tail), norm.ppf(1 - tail)):
        levels.append(norm.cdf(z0 + (z0 + z) / (1 - acceleration * (z0 + z))))
    low, high = np.quantile(draws, np.clip(levels, 0, 1))
    return float(low), float(high)


def sign_flip_p(table: Array, resamples: int, seed: int) -> float:
    """Two-sided p: under the null, each cluster's contribution is as likely with either sign.

    For clusters that hold both groups (labels exchanged within a cluster). Exact in the limit of all flips; (1 + hits) / (1 + resamples).
    """
    total = table.sum(0)
    with np.errstate(invalid="ignore", divide="ignore"):
        parts = np.where(total[1] > 0, table[:, 0] / total[1], 0.0) - np.where(total[3] > 0, table[:, 2] / total[3], 0.0)
    rng = np.random.default_rng([seed, 1, len(parts)])
    signs = rng.integers(0, 2, (resamples, len(parts)), dtype=np.int8).astype(np.float32) * 2 - 1
    null = np.abs(signs @ parts)
    return p_value(null, abs(parts.sum()))


def relabel_p(table: Array, resamples: int, seed: int) -> float:
    """Two-sided p of a permutation test: group labels exchanged between clusters of one group each."""
    first = table[:, 1] > 0
    values = np.where(first, table[:, 0] / np.maximum(table[:, 1], 1), table[:, 2] / np.maximum(table[:, 3], 1))
    n0 = int(first.sum())
    rng = np.random.default_rng([seed, 2, len(values)])
    order = rng.random((resamples, len(values)), dtype=np.float32).argsort(1)
    shuffled = values[order]
    null = np.abs(shuffled[:, :n0].mean(1) - shuffled[:, n0:].mean(1))
    return p_value(null, abs(values[first].mean() - values[~first].mean()))


def p_value(null: Array, observed: float) -> float:
    """Share of `null` (absolute values) that reaches `observed`, with one added to both counts."""
    return float((1 + np.sum(null >= observed - 1e-9 * max(1.0, observed))) / (1 + len(null)))
