"""Score intervals of shares and the exact test of paired yes-or-no outcomes. Vectorised: counts may be arrays."""

from __future__ import annotations

import numpy as np
from scipy.stats import binomtest, norm

Array = np.ndarray


def wilson(hits: Array | float, n: Array | float, confidence: float) -> tuple[Array, Array]:
    """Score interval of a share (Wilson 1927)."""
    hits, n = np.asarray(hits, dtype=np.float64), np.asarray(n, dtype=np.float64)
    z = norm.ppf(0.5 + confidence / 2)
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


def mcnemar_p(only_first: int, only_second: int) -> float:
    """Two-sided exact p (McNemar 1947): of the pairs that differ, is either way as likely?"""
    both = only_first + only_second
    return float(binomtest(only_first, both).pvalue) if both else 1.0
