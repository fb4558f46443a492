"""How strongly two things go together: intervals of Cramér's V and of ε by rank that hold at 0 and away from it.

Under independence X² = n·m·V² (m: the smaller side of the table less 1) is χ² with k = (rows − 1)(columns − 1) degrees of freedom; an interval by the noncentral
χ² (Steiger and Fouladi 1997) holds there, and is too wide where V is large: √X² then varies less than by 1. So X² is taken as
s²·χ²₁(λ/s²) + χ²₍ₖ₋₁₎ with λ = n·m·V₀² and s² the variance of √X² at V₀ by the delta method (Bishop, Fienberg and Holland 1975, ch. 14), in the tables
between independence and the observed one with the same margins; its first two moments are those of a scaled noncentral χ², by which each V₀ is tested. The interval
holds every V₀ that is not rejected, and the estimate is the V₀ of which half of the tables would show less: what chance adds to V is taken out of it.
"""

from __future__ import annotations

import numpy as np
from scipy.stats import ncx2, norm

from probate.analyze.mover import FARTHEST, Side, inverted

Array = np.ndarray
LARGE = 1000.0
"""Noncentrality from which the distribution is by Sankaran's (1963) normal approximation."""
STEPS = 40


def strength(table: Array) -> Side:
    """Cramér's V of counts of shape (labels, groups), without empty rows and columns."""
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
    if v < 1e-9:
        return inverted(points, _z(0.0, (rows - 1) * (columns - 1), n * smaller * points**2, np.ones_like(points)))
    negative = apart < 0
    farthest = max(1.0, float((margins[negative] / -apart[negative]).min()))  # where the first cell is empty
    steps = np.linspace(0, farthest, STEPS + 1)[1:]
    spread = [1.0, *_spread(margins + steps[:, None, None] * apart)]
    s2 = np.interp(points, np.r_[0.0, steps] * v, spread)
    return inverted(points, _z(n * smaller * v**2, (rows - 1) * (columns - 1), n * smaller * points**2, s2))


def rank_strength(r: float, labels: int, n: int) -> Side:
    """ε = √(H / (n − 1)) of Kruskal and Wallis' H between `labels`. s² is 1: the interval errs on the wide side where ε is large."""
    points = _points(r, n - 1)
    return inverted(points, _z((n - 1) * r**2, labels - 1, (n - 1) * points**2, np.ones_like(points)))


def _points(v: float, size: float) -> Array:
    """Strengths to be tested: all of [0, 1], and the closer to `v` the more."""
    near = v + np.linspace(-1.5 * FARTHEST, 1.5 * FARTHEST, 201) / np.sqrt(size)
    return np.unique(np.r_[np.linspace(0, 1, 101), near[(near > 0) & (near < 1)]])


def _spread(p: Array) -> Array:
    """n times the variance of √φ̂² by the delta method, of shares of shape (tables, rows, columns)."""
    first, second = p.sum(2, keepdims=True), p.sum(1, keepdims=True)
    part = p**2 / (first * second)
    phi2 = part.sum((1, 2)) - 1
    slope = 2 * p / (first * second) - part.sum(2, keepdims=True) / first - part.sum(1, keepdims=True) / second
    mean = (p * slope).sum((1, 2))
    return np.asarray(((p * slope**2).sum((1, 2)) - mean**2) / (4 * phi2))


def _z(x: float, k: int, noncentral: Array, s2: Array) -> Array:
    """Standard normal quantile of the chance that X² is `x` or more, for each noncentrality and its s²."""
    s2 = np.maximum(s2, 1e-6)
    mean = s2 + noncentral + k - 1
    variance = 2 * s2**2 + 4 * noncentral * s2 + 2 * (k - 1)
    scale = (mean - np.sqrt(np.maximum(mean**2 - k * variance / 2, 0))) / k
    scale = np.maximum(scale, 1e-9)
    own, shift = x / scale, np.maximum(mean / scale - k, 0)
    below = np.minimum(shift, LARGE)
    exact = np.where(
        ncx2.cdf(own, k, below) < 0.5, -norm.ppf(ncx2.cdf(own, k, below)), norm.ppf(ncx2.sf(own, k, below))
    )
    return np.clip(np.where(shift > LARGE, -_sankaran(own, k, shift), exact), -1.5 * FARTHEST, 1.5 * FARTHEST)


def _sankaran(x: Array, k: int, shift: Array) -> Array:
    both = k + shift
    h = 1 - 2 / 3 * both * (k + 3 * shift) / (k + 2 * shift) ** 2
    p = (k + 2 * shift) / both**2
    m = (h - 1) * (1 - 3 * h)
    middle = 1 + h * p * (h - 1 - 0.5 * (2 - h) * m * p)
    return np.asarray(((x / both) ** h - middle) / (h * np.sqrt(2 * p) * (1 + 0.5 * m * p)))
