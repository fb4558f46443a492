"""Rank correlation over arms between a misalignment and inheritance, adjusted for γ."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import norm, rankdata, t

FEWEST = 8
"""Minimum number of arms for a correlation."""


@dataclass(frozen=True)
class RankCorrelation:
    """Spearman's correlation over `n` arms, partial on γ if γ varies, with its interval and two-sided p.

    All are NaN if the correlation is undefined.
    """

    n: int
    rho: float
    low: float
    high: float
    p: float


def partial_spearman(
    x: Sequence[float], y: Sequence[float], ratio: Sequence[float], confidence: float = 0.95
) -> RankCorrelation:
    """Correlate the ranks of `x` and `y` over arms, adjusted for γ.

    The ranks of `x` and `y` are regressed on the ranks of γ and the residuals are correlated. The interval
    is Fisher's z with the variance (1 + ρ²/2) / (n − 3 − k) of Bonett and Wright (2000), where k = 1 if
    γ varies, else 0. p is Student's t with n − 2 − k degrees of freedom. The correlation describes these
    arms. It does not say what would happen if one of the two were changed.

    Parameters
    ----------
    x, y : sequence of float, of shape (arms,)
        The two quantities. Arms in which one of them is NaN are left out.
    ratio : sequence of float, of shape (arms,)
        The bias ratio γ of each arm.
    confidence : float
        Confidence of the interval.

    Returns
    -------
    RankCorrelation
        ρ in [−1, 1]. Undefined with fewer than `FEWEST` arms, or if a quantity does not vary.
    """
    table = np.array([x, y, ratio], dtype=np.float64)
    table = table[:, np.isfinite(table).all(0)]
    n = table.shape[1]
    if n < FEWEST or min(np.ptp(table[0]), np.ptp(table[1])) == 0:
        return RankCorrelation(n, *[float("nan")] * 4)
    ranks = np.array([rankdata(row) for row in table])
    ranks -= ranks.mean(1, keepdims=True)
    given = int(np.ptp(table[2]) > 0)
    if given:
        ranks[:2] -= np.outer(ranks[:2] @ ranks[2] / (ranks[2] @ ranks[2]), ranks[2])
    size = np.sqrt((ranks[:2] ** 2).sum(1))
    if min(size) < 1e-9:
        return RankCorrelation(n, *[float("nan")] * 4)
    rho = float(np.clip(ranks[0] @ ranks[1] / np.prod(size), -1, 1))
    inside = np.clip(rho, -1 + 1e-12, 1 - 1e-12)
    half = norm.ppf(0.5 + confidence / 2) * np.sqrt((1 + rho**2 / 2) / (n - 3 - given))
    freedom = n - 2 - given
    p = float(2 * t.sf(abs(inside) * np.sqrt(freedom / (1 - inside**2)), freedom))
    low, high = np.tanh(np.arctanh(inside) - half), np.tanh(np.arctanh(inside) + half)
    return RankCorrelation(n, rho, float(low), float(high), p)
