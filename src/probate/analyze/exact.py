"""Score intervals of shares and the exact test of paired yes-or-no outcomes. Vectorised: counts may be arrays."""

from __future__ import annotations

import numpy as np
from scipy.special import betainc, betaincc, betaincinv
from scipy.stats import binomtest, norm

Array = np.ndarray


def wilson(hits: Array | float, n: Array | float, confidence: float) -> tuple[Array, Array]:
    """Score interval of a share (Wilson 1927)."""
    return score_ends(hits, n, float(norm.ppf(0.5 + confidence / 2)))


def score_ends(hits: Array | float, n: Array | float, z: float) -> tuple[Array, Array]:
    """As `wilson`, at a quantile of the normal."""
    hits, n = np.asarray(hits, dtype=np.float64), np.asarray(n, dtype=np.float64)
    share = hits / n
    middle = (share + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * np.sqrt(share * (1 - share) / n + z**2 / (4 * n**2))
    return np.maximum(middle - half, 0), np.minimum(middle + half, 1)


def newcombe(first: tuple[Array | float, int], second: tuple[Array | float, int], confidence: float) -> tuple[Array, Array]:
    """Interval of the difference of two independent shares, each (hits, n), from their Wilson intervals (Newcombe 1998, method 10)."""
    (a, n), (b, m) = first, second
    p, q = np.asarray(a) / n, np.asarray(b) / m
    (low_p, high_p), (low_q, high_q) = wilson(a, n, confidence), wilson(b, m, confidence)
    low = p - q - np.sqrt((p - low_p) ** 2 + (high_q - q) ** 2)
    return low, p - q + np.sqrt((high_p - p) ** 2 + (q - low_q) ** 2)


def central(hits: int, n: int, share: float, confidence: float = 0.95, unclear: int = 0) -> tuple[float, float, float]:
    """Exact interval of a share (Clopper and Pearson 1934), and p against `share`: twice the smaller tail, which is the interval's inversion.

    Any of `unclear` of the n may be hits as well: the interval holds what any number of them leaves open, and p is the largest.
    """
    tail, most = (1 - confidence) / 2, hits + unclear
    low = betaincinv(hits, n - hits + 1, tail) if hits else 0.0
    high = betaincinv(most + 1, n - most, 1 - tail) if most < n else 1.0
    upper = betainc(hits, n - hits + 1, share) if hits else 1.0  # the chance of `hits` or more
    lower = betaincc(most + 1, n - most, share) if most < n else 1.0
    return float(low), float(high), min(1.0, 2 * float(min(upper, lower)))


def mcnemar_p(only_first: int, only_second: int) -> float:
    """Two-sided exact p (McNemar 1947): of the pairs that differ, is either way as likely?"""
    both = only_first + only_second
    return float(binomtest(only_first, both).pvalue) if both else 1.0
