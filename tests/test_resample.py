"""Intervals and tests: equal to SciPy where it has them, and right in simulation."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from probate.analyze import resample
from probate.analyze.contrast import cluster_table, contrast, difference
from probate.study import Analysis

QUICK = Analysis(resamples=999)


def frame(first, second) -> pd.DataFrame:
    values = [*first, *second]
    side = [0] * len(first) + [1] * len(second)
    return pd.DataFrame({"item_id": [f"i{k}" for k in range(len(values))], "side": side, "value": values})


@pytest.fixture
def skewed():
    rng = np.random.default_rng(1)
    return rng.exponential(2, 40), rng.exponential(1, 60)


def test_the_interval_is_welchs_and_that_of_pairs(skewed):
    found = contrast([frame(*skewed)], QUICK, paired=False, share=False)
    expected = stats.ttest_ind(*skewed, equal_var=False).confidence_interval()
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))
    first, second = skewed[0][:20], skewed[1][:20]
    pairs = pd.DataFrame(
        [(f"p{i}#{s}", s, v[i]) for i in range(20) for s, v in enumerate((first, second))], columns=["item_id", "side", "value"]
    )
    own = contrast([pairs], QUICK, paired=False, share=False)
    expected = stats.ttest_rel(first, second).confidence_interval()
    assert (own.low, own.high) == pytest.approx((expected.low, expected.high))
    level = contrast([frame(first, [])], QUICK, paired=False, share=False, sides=1)
    expected = stats.ttest_1samp(first, 0).confidence_interval()
    assert (level.low, level.high) == pytest.approx((expected.low, expected.high))


def test_permutation_p_agrees_with_scipy(skewed):
    first, second = skewed[0][:15], skewed[1][:15]
    expected = stats.permutation_test(
        (first, second), lambda a, b, axis: a.mean(axis) - b.mean(axis), n_resamples=20000, vectorized=True, rng=0
    ).pvalue
    assert resample.relabel_p(cluster_table(frame(first, second)), 20000, 0) == pytest.approx(expected, abs=0.01)


def test_sign_flip_agrees_with_exact_enumeration():
    values = np.array([0.3, -0.1, 0.5, 0.2, 0.4, -0.2, 0.1, 0.6])
    table = cluster_table(frame(values, []))
    expected = stats.permutation_test((values,), np.mean, permutation_type="samples", n_resamples=np.inf).pvalue
    assert resample.sign_flip_p(table, 20000, 0) == pytest.approx(expected, abs=0.01)


def test_pairs_are_one_unit():
    rows = [
        (f"p{k}#{s}", s, 0.5 + (0.1 if s == 0 else -0.1) + 0.01 * (k % 3) * (1 if s == 0 else -1))
        for k in range(12)
        for s in (0, 1)
    ]
    found = contrast([pd.DataFrame(rows, columns=["item_id", "side", "value"])], QUICK, paired=False, share=True)
    assert found.unit == "pair" and found.n == 12 and found.value == pytest.approx(0.22, abs=0.01)
    assert found.p < 0.01 and found.test == "paired permutation"


def test_a_change_that_both_groups_share_is_not_noise():
    rng = np.random.default_rng(0)
    before = frame(rng.normal(0, 1, 60), rng.normal(0, 1, 60))
    found = []
    for shift in (0.0, -30.0):
        after = before.assign(value=before["value"] + shift + np.where(before["side"] == 0, 1.0, 0.0) + rng.normal(0, 1, 120))
        found.append(contrast([difference(after, before)], QUICK, paired=True, share=False))
    assert all(f.p < 0.01 and f.low > 0 for f in found)
    assert found[0].test == "permutation of groups over changes"


def test_no_variation_stays_wide():
    same = frame([1.0] * 10, [1.0] * 10)
    found = contrast([same], QUICK, paired=False, share=True)
    assert found.value == 0 and found.low < -0.1 and found.high > 0.1 and found.interval == "Newcombe"
    nothing = contrast([difference(same, same)], QUICK, paired=True, share=True)
    assert nothing.p == 1 and nothing.high - nothing.low > 0.1
    dollars = contrast([frame([70.0] * 9, [70.0] * 9)], QUICK, paired=False, share=False)
    assert np.isnan(dollars.low) and "no variation" in dollars.interval


def test_intervals_of_shares_end_at_their_range():
    noisy = [frame([1.0] * 5 + [s / 2], []) for s in (0, 1, 2)]
    level = contrast(noisy, QUICK, paired=False, share=True, sides=1)
    assert level.low > 0 and level.high == 1
    assert contrast(noisy, QUICK, paired=False, share=False, sides=1).high > 1
    gap = contrast([frame([1.0] * 5 + [s / 2], [0.0] * 5 + [1 - s / 2]) for s in (0, 1, 2)], QUICK, paired=False, share=True)
    assert gap.value > 0.5 and gap.high == 1


def test_empty():
    found = contrast([frame([], [])], QUICK, paired=False, share=True)
    assert np.isnan(found.value) and found.n == 0


def test_resampling_is_seeded(skewed):
    assert contrast([frame(*skewed)], QUICK, paired=False, share=False) == contrast(
        [frame(*skewed)], QUICK, paired=False, share=False
    )


def simulate(seeds: int, effect: float, runs: int, seed_noise: float) -> tuple[float, float]:
    """Share of runs with p < 0.05, and coverage, for paired differences with item and seed noise."""
    rng = np.random.default_rng(7)
    hits = covered = 0
    analysis = Analysis(resamples=500)
    for _ in range(runs):
        item = rng.normal(0, 0.3, 80)
        frames = []
        for _ in range(seeds):
            shift = rng.normal(0, seed_noise)
            noise = item + rng.normal(0, 0.3, 80)
            noise[:40] += effect + shift
            frames.append(frame(noise[:40], noise[40:]))
        found = contrast(frames, analysis, paired=True, share=True)
        hits += found.p < 0.05
        covered += found.low <= effect <= found.high
    return hits / runs, covered / runs


@pytest.mark.parametrize(("seeds", "noise"), [(1, 0.0), (3, 0.0), (3, 0.15), (5, 0.15)])
def test_without_an_effect_it_stays_at_its_error_rate(seeds, noise):
    rate, coverage = simulate(seeds, 0.0, 400, noise)
    assert rate <= 0.08  # 0.05 plus two standard errors of 400 runs, rounded up
    assert coverage >= 0.92


def test_an_effect_is_found():
    assert simulate(3, 0.5, 100, 0.05)[0] > 0.95
