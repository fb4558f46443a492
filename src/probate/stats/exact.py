"""Score and exact intervals of shares, with p by inversion. Counts may be arrays."""

from __future__ import annotations

import numpy as np
from scipy.special import betainc, betaincc, betaincinv, ndtr, ndtri

Array = np.ndarray
FARTHEST = 37.0
"""Normal quantile beyond which p is 0 in double precision."""
HALVINGS = 50


def score_ends(hits: Array | float, n: Array | float, z: Array | float) -> tuple[Array, Array]:
    """Return the ends of the score interval of a share (Wilson 1927), for arrays of counts and quantiles.

    Parameters
    ----------
    hits, n : array or float
        Number of successes and of trials.
    z : array or float
        Quantile of the normal distribution.

    Returns
    -------
    tuple of array
        (low, high) in [0, 1], equal to statsmodels' interval.
    """
    hits, n = np.asarray(hits, dtype=np.float64), np.asarray(n, dtype=np.float64)
    share = hits / n
    middle = (share + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * np.sqrt(share * (1 - share) / n + z**2 / (4 * n**2))
    return np.maximum(middle - half, 0), np.minimum(middle + half, 1)


def newcombe(
    first: tuple[Array | float, int], second: tuple[Array | float, int], confidence: float
) -> tuple[Array, Array]:
    """Return the interval of the difference of two independent shares (Newcombe 1998, method 10) with
    `continuity`.

    Without the correction, equal shares are rejected in more than 7% of samples at 0.95 (10 against 300 at a
    rate of 0.01); with it, in at most 5%.

    Parameters
    ----------
    first, second : tuple of (array or float, int)
        (hits, n) of each share.
    confidence : float
        Confidence of the interval.

    Returns
    -------
    tuple of array
        (low, high) of first minus second, in [−1, 1] but for the correction.
    """
    return _newcombe(first, second, ndtri(0.5 + confidence / 2))


def newcombe_p(first: tuple[Array | float, int], second: tuple[Array | float, int]) -> Array:
    """Return the two-sided p of equal shares: 1 − the confidence at which Newcombe's interval ends at 0, by
    bisection.
    """
    shape = np.broadcast(first[0], second[0]).shape
    low, high = np.zeros(shape), np.full(shape, FARTHEST)
    for _ in range(HALVINGS):
        z = (low + high) / 2
        ends = _newcombe(first, second, z)
        held = (ends[0] <= 0) & (ends[1] >= 0)
        low, high = np.where(held, low, z), np.where(held, z, high)
    return np.asarray(2 * ndtr(-low))


def continuity(n: int, m: int) -> float:
    """Return half of Yates's correction for a difference of two shares, (1/n + 1/m) / 4."""
    return (1 / n + 1 / m) / 4


def _newcombe(
    first: tuple[Array | float, int], second: tuple[Array | float, int], z: Array | float
) -> tuple[Array, Array]:
    (a, n), (b, m) = first, second
    p, q = np.asarray(a) / n, np.asarray(b) / m
    (low_p, high_p), (low_q, high_q) = score_ends(a, n, z), score_ends(b, m, z)
    more = continuity(n, m)
    low = p - q - more - np.sqrt((p - low_p) ** 2 + (high_q - q) ** 2)
    return low, p - q + more + np.sqrt((high_p - p) ** 2 + (q - low_q) ** 2)


def central(
    hits: int, n: int, share: float, confidence: float = 0.95, unclear: int = 0
) -> tuple[float, float, float]:
    """Return the exact interval of a share (Clopper and Pearson 1934) and p against a reference share.

    p is twice the smaller tail, which is the inversion of the interval. If `unclear` of the n trials may be
    hits as well, the interval covers every possible number of hits, and p is the largest.

    Parameters
    ----------
    hits, n : int
        Number of certain successes and of trials.
    share : float
        The reference share.
    confidence : float
        Confidence of the interval.
    unclear : int
        Number of trials whose result is not known.

    Returns
    -------
    tuple of float
        (low, high, p).
    """
    tail, most = (1 - confidence) / 2, hits + unclear
    low = betaincinv(hits, n - hits + 1, tail) if hits else 0.0
    high = betaincinv(most + 1, n - most, 1 - tail) if most < n else 1.0
    upper = betainc(hits, n - hits + 1, share) if hits else 1.0  # the chance of `hits` or more
    lower = betaincc(most + 1, n - most, share) if most < n else 1.0
    return float(low), float(high), min(1.0, 2 * float(min(upper, lower)))
