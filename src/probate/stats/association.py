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

from probate.stats.mover import FARTHEST, Side, inverted

Array = np.ndarray
LARGE = 1000.0
"""Noncentrality from which the distribution is by Sankaran's (1963) normal approximation."""
WIDEST = 1.5 * FARTHEST
STEPS = 40
EITHER = 3.0
"""z up to which the tie may as well be that the other way round: the larger of both variances is then taken."""


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
    v = max(v, 1e-9)
    ahead, back = (_path(margins, way * apart, points / v) for way in (1, -1))
    either = (points + v) * np.sqrt(n * smaller) < EITHER
    s2, noise = np.where(either, np.maximum(ahead, back), ahead)
    return inverted(
        points, _z(n * smaller * v**2, (rows - 1) * (columns - 1), n * smaller * points**2, s2, noise)
    )


def rank_strength(r: float, labels: int, n: int) -> Side:
    """ε = √(H / (n − 1)) of Kruskal and Wallis' H between `labels`. s² is 1: the interval errs on the wide side where ε is large."""
    points = _points(r, n - 1)
    one = np.ones_like(points)
    return inverted(points, _z((n - 1) * r**2, labels - 1, (n - 1) * points**2, one, (labels - 1) * one))


def _points(v: float, size: float) -> Array:
    """Strengths to be tested: all of [0, 1], and the closer to `v` the more."""
    near = v + np.linspace(-WIDEST, WIDEST, 201) / np.sqrt(size)
    return np.unique(np.r_[np.linspace(0, 1, 101), near[(near > 0) & (near < 1)]])


def _path(margins: Array, apart: Array, steps: Array) -> Array:
    """s² and the noise of tables `steps` times as far from independence as the observed one, or of the last before a cell is below 0: (2, steps)."""
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
    """Standard normal quantile of the chance that X² is `x` or more, for each noncentrality, its s² and the noise's mean."""
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
