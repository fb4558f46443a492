"""What goes together over arms, freed from γ, and silent where it cannot be told.

Equal to SciPy's, covered in simulation.
"""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import spearmanr

from probate.stats.cause import partial_spearman


def test_without_a_dose_it_is_spearmans():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(2, 20))
    found = partial_spearman(x, y, [0.5] * 20)
    assert (found.rho, found.p) == pytest.approx(spearmanr(x, y))
    assert found.low < found.rho < found.high and found.n == 20


def test_what_only_follows_the_dose_is_no_cause():
    rng = np.random.default_rng(1)
    ratio = np.repeat([0.1, 0.2, 0.3, 0.4, 0.5], 6)
    x, y = (10 * ratio + rng.normal(0, 0.3, 30) for _ in range(2))
    assert spearmanr(x, y).pvalue < 1e-6
    assert partial_spearman(x, y, ratio).p > 0.05
    assert partial_spearman(x, x + rng.normal(0, 0.1, 30), ratio).p < 1e-6


def test_it_errs_as_often_as_it_says():
    rng = np.random.default_rng(2)
    ratio = np.repeat([0.2, 0.5], 6)
    found = [
        partial_spearman(ratio + rng.normal(size=12), ratio + rng.normal(size=12), ratio) for _ in range(600)
    ]
    assert np.mean([f.p < 0.05 for f in found]) <= 0.075
    assert np.mean([f.low <= 0 <= f.high for f in found]) >= 0.92


def test_few_arms_or_no_difference_say_nothing():
    assert np.isnan(partial_spearman(range(7), range(7), [0.5] * 7).rho)
    assert np.isnan(partial_spearman([1.0] * 12, range(12), [0.5] * 12).p)
    assert partial_spearman([*range(9), np.nan], range(10), [0.5] * 10).n == 9
    assert np.isnan(partial_spearman([0.1, 0.5] * 5, range(10), [0.1, 0.5] * 5).rho)
