"""Two estimates compared by their own intervals, and the strength of a tie, against what is known."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import brentq
from scipy.stats import chi2_contingency, ncx2
from statsmodels.stats.proportion import confint_proportions_2indep, proportion_confint

from probate.stats.association import rank_strength, strength
from probate.stats.exact import central, continuity, newcombe
from probate.stats.mover import mover_difference, share


@pytest.mark.parametrize(
    ("a", "n", "b", "m"), [(30, 60, 150, 300), (58, 60, 1500, 3000), (3, 20, 19, 25), (0, 20, 9, 40)]
)
def test_shares_are_compared_as_newcombe_does(a, n, b, m):
    found = mover_difference(share(a, n), share(b, m))
    assert (found.low, found.high) == pytest.approx(
        confint_proportions_2indep(a, n, b, m, compare="diff", method="newcomb")
    )
    ends = newcombe((a, n), (b, m), 1 - found.p)
    assert (
        found.p == 1
        or found.p < 1e-9
        or min(abs(x) for x in ends) == pytest.approx(continuity(n, m), abs=1e-6)
    )


def test_p_and_interval_never_disagree():
    rng = np.random.default_rng(0)
    for _ in range(60):
        n, m, unclear = rng.integers(20, 200, 3)
        one, two = (
            share(int(rng.integers(0, n)), int(n + unclear), int(unclear)),
            share(int(rng.integers(0, m)), int(m)),
        )
        own, other = (strength(rng.multinomial(n, rng.dirichlet(np.ones(6))).reshape(2, 3)) for _ in range(2))
        for found in (
            mover_difference(one, two),
            mover_difference(own, other),
            mover_difference(own, other, part=0.2),
        ):
            assert (found.p < 0.05) == (not found.low <= 0 <= found.high)
        hits, expected = int(rng.integers(0, n)), float(rng.uniform(0.05, 0.95))
        low, high, p = central(hits, int(n), expected)
        assert (p < 0.05) == (not low <= expected <= high)
        assert (low, high) == pytest.approx(proportion_confint(hits, n, method="beta"))


def test_what_a_reading_leaves_open_is_in_the_interval():
    low, high, p = central(90, 300, 0.5, unclear=75)
    assert low < 0.3 and high > 0.55 and p > 0.05
    assert central(90, 300, 0.5, unclear=20)[2] < 0.05
    assert mover_difference(share(90, 300, 75), share(150, 300)).p == 1.0


def test_a_tie_is_above_0_where_the_chi_square_test_says_so():
    rng = np.random.default_rng(1)
    for _ in range(40):
        table = rng.multinomial(120, rng.dirichlet(np.full(6, 8.0))).reshape(2, 3)
        assert (strength(table).interval(0.95)[0] > 0) == (
            chi2_contingency(table, correction=False).pvalue < 0.025
        )


def test_strength_by_rank_inverts_scipys_noncentral_chi_square():
    n, labels, r = 150, 4, 0.4
    x = (n - 1) * r**2
    ends = [brentq(lambda nc, q=q: ncx2.cdf(x, labels - 1, nc) - q, 1e-9, 200) for q in (0.975, 0.025)]
    assert rank_strength(r, labels, n).interval(0.95) == pytest.approx(
        np.sqrt(np.array(ends) / (n - 1)), abs=2e-3
    )


def test_a_tie_of_two_and_two_is_a_correlation():
    """With even margins φ̂ has the variance (1 − φ²)/n."""
    low, high = strength(np.array([[80, 20], [20, 80]])).interval(0.95)
    z = [abs(np.sqrt(200) * (0.6 - end) / np.sqrt(1 - end**2)) for end in (low, high)]
    assert z == pytest.approx([1.96, 1.96], abs=0.1)
    assert strength(np.diag([50, 50])).interval(0.95)[1] == 1.0 and strength(np.diag([50, 0])).interval(
        0.95
    ) == (0.0, 1.0)


@pytest.mark.parametrize("v", [0.0, 0.2, 0.5, 0.9])
def test_intervals_of_v_hold_the_truth(v):
    full = np.array([[0.25, 0, 0, 0.25], [0, 0.25, 0, 0], [0, 0, 0.25, 0]])
    p = v * full + (1 - v) * np.outer(full.sum(1), full.sum(0))
    tables = np.random.default_rng(2).multinomial(200, p.ravel(), 150).reshape(-1, 3, 4)
    ends = np.array([strength(own).interval(0.95) for own in tables])
    assert 0.9 <= np.mean((ends[:, 0] <= v) & (v <= ends[:, 1])) <= 0.995
