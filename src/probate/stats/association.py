"""Strength of an association, with intervals that are valid both near independence and away from it.

The intervals are for Cramér's V of a contingency table and for ε, the rank-based strength.

Under independence, X² = n·m·V² (m: the smaller dimension of the table less 1) follows a χ² distribution
with k = (rows − 1)(columns − 1) degrees of freedom. An interval by the noncentral χ² (Steiger and
Fouladi 1997) is valid there, but too wide for a large V, because the variance of √X² is then below 1.

X² is therefore modelled as s²·χ²₁(λ/s²) + χ²₍ₖ₋₁₎ with λ = n·m·V₀². Here s² is
the variance of √X² at V₀ by the delta method (Bishop, Fienberg and Holland 1975, ch. 14), on the line
from the independent table to the observed table, which have the same margins. A scaled noncentral χ² with
the same first two moments gives the test of each V₀.

The interval holds every V₀ that is not rejected. The estimate is the V₀ for which half of the tables
would show a smaller association: it is corrected for the upward bias of V by chance.
"""

from __future__ import annotations

import numpy as np
from scipy.stats import ncx2, norm

from probate.stats.mover import FARTHEST, Side, inverted

Array = np.ndarray
LARGE = 1000.0
"""Noncentrality above which the distribution is Sankaran's (1963) normal approximation."""
WIDEST = 1.5 * FARTHEST
STEPS = 40
EITHER = 3.0
"""z up to which the association may have either direction; the larger of the two variances is then used."""


def strength(table: Array) -> Side:
    """Estimate Cramér's V of a contingency table, with its interval at every confidence.

    Parameters
    ----------
    table : array of shape (labels, groups)
        Counts. Empty rows and columns are removed.

    Returns
    -------
    Side
        The bias-corrected estimate and its interval, in [0, 1]: 0 is independence, 1 complete association. A
        table with one row or one column gives 0 with the interval [0, 1].
    """
    own = np.asarray(table, dtype=np.float64)
    own = own[own.sum(1) > 0][:, own.sum(0) > 0]
    rows, columns = own.shape
    smaller, n = min(rows, columns) - 1, own.sum()
    if smaller < 1:
        return Side(0.0, 0.0, lambda _: (0.0, 1.0))
    p = own / n
    margins = np.outer(p.sum(1), p.sum(0))
    apart = p - margins
    v = float(np.sqrt((apart**2 / margins).sum() / smaller))
    points = _points(v, n * smaller)
    v = max(v, 1e-9)
    ahead, back = (_path(margins, way * apart, points / v) for way in (1, -1))
    either = (points + v) * np.sqrt(n * smaller) < EITHER
    s2, noise = np.where(either, np.maximum(ahead, back), ahead)
    return inverted(
        points, _z(n * smaller * v**2, (rows - 1) * (columns - 1), n * smaller * points**2, s2, noise)
    )


def rank_strength(r: float, labels: int, n: int) -> Side:
    """Estimate ε = √(H / (n − 1)), where H is Kruskal and Wallis's statistic.

    Parameters
    ----------
    r : float
        The observed ε, in [0, 1]: 0 is no association of the ranks with the label, 1 complete association.
    labels : int
        Number of labels.
    n : int
        Number of observations.

    Returns
    -------
    Side
        The estimate and its interval. The variance s² is taken as 1, so the interval is conservative for a
        large ε.
    """
    points = _points(r, n - 1)
    one = np.ones_like(points)
    return inverted(points, _z((n - 1) * r**2, labels - 1, (n - 1) * points**2, one, (labels - 1) * one))


def _points(v: float, size: float) -> Array:
    """Return the strengths to test: a grid over [0, 1] that is finer close to `v`."""
    near = v + np.linspace(-WIDEST, WIDEST, 201) / np.sqrt(size)
    return np.unique(np.r_[np.linspace(0, 1, 101), near[(near > 0) & (near < 1)]])


def _path(margins: Array, apart: Array, steps: Array) -> Array:
    """Return s² and the mean of the noise along the line from independence through the observed table.

    `steps` are distances from independence in units of the observed distance. Beyond the table in which a
    cell would become negative, the last values are kept. The result has shape (2, steps).
    """
    negative = apart < 0
    farthest = float((margins[negative] / -apart[negative]).min()) if negative.any() else 1.0
    used = np.linspace(0, min(farthest, float(steps.max())), STEPS + 1)[1:]
    p = margins + used[:, None, None] * apart
    first, second = p.sum(2, keepdims=True), p.sum(1, keepdims=True)
    by_row, by_column = p / first, p / second
    part = by_row * by_column
    phi2 = np.maximum(part.sum((1, 2)) - 1, 1e-24)
    slope = 2 * by_row / second - part.sum(2, keepdims=True) / first - part.sum(1, keepdims=True) / second
    mean = (p * slope).sum((1, 2))
    s2 = ((p * slope**2).sum((1, 2)) - mean**2) / (4 * phi2)
    noise = (by_row / second - part / first - part / second + part * by_row / second).sum((1, 2))
    free = (margins.shape[0] - 1) * (margins.shape[1] - 1)
    return np.array(
        [np.interp(steps, np.r_[0.0, used], np.r_[start, own]) for start, own in ((1.0, s2), (free, noise))]
    )


def _z(x: float, k: int, noncentral: Array, s2: Array, noise: Array) -> Array:
    """Return the standard normal quantile of P(X² ≥ x) for each noncentrality, its s² and the mean of its
    noise.
    """
    s2 = np.maximum(s2, 1e-6)
    others = np.maximum(noise - s2, 0) if k > 1 else np.zeros_like(s2)
    mean = noncentral + s2 + others
    variance = 2 * s2**2 + 4 * noncentral * s2 + 2 * others**2 / max(1, k - 1)
    scale = (mean - np.sqrt(np.maximum(mean**2 - k * variance / 2, 0))) / k
    scale = np.maximum(scale, 1e-9)
    own, shift = np.maximum(x / scale, 1e-6), np.maximum(mean / scale - k, 0)
    z = -_sankaran(own, k, shift)
    exact = (shift < LARGE) & (np.abs(np.sqrt(own) - np.sqrt(shift + k)) < WIDEST)
    below, above = (f(own[exact], k, shift[exact]) for f in (ncx2.cdf, ncx2.sf))
    z[exact] = np.where(below < 0.5, -norm.ppf(below), norm.ppf(above))
    return np.clip(z, -WIDEST, WIDEST)


def _sankaran(x: Array, k: int, shift: Array) -> Array:
    both = k + shift
    h = 1 - 2 / 3 * both * (k + 3 * shift) / (k + 2 * shift) ** 2
    p = (k + 2 * shift) / both**2
    m = (h - 1) * (1 - 3 * h)
    middle = 1 + h * p * (h - 1 - 0.5 * (2 - h) * m * p)
    return np.asarray(((x / both) ** h - middle) / (h * np.sqrt(2 * p) * (1 + 0.5 * m * p)))
