"""Intervals and tests: equal to SciPy where it has them, and right in simulation."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from probate.stats.contrast import contrast, paired_difference
from probate.study.schema import Analysis

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
        [(f"p{i}#{s}", s, v[i]) for i in range(20) for s, v in enumerate((first, second))],
        columns=["item_id", "side", "value"],
    )
    own = contrast([pairs], QUICK, paired=False, share=False)
    expected = stats.ttest_rel(first, second).confidence_interval()
    assert (own.low, own.high) == pytest.approx((expected.low, expected.high))
    level = contrast([frame(first, [])], QUICK, paired=False, share=False, sides=1)
    expected = stats.ttest_1samp(first, 0).confidence_interval()
    assert (level.low, level.high) == pytest.approx((expected.low, expected.high))


@pytest.mark.parametrize("linked", [0, 1, 5, 299, 300])
@pytest.mark.parametrize(("paired", "share"), [(False, False), (False, True), (True, True)])
def test_interval_and_p_never_disagree(linked, paired, share):
    """p is 1 − the confidence of the interval ending at 0: for single items, pairs, anything between."""
    rng = np.random.default_rng(linked)
    values = rng.random((300, 2)) < 0.4 if share else rng.normal(0, 1, (300, 2)) + rng.normal(0, 1, (300, 1))
    rows = [
        (f"p{i}#{s}" if i < linked else f"i{i}-{s}", s, float(values[i, s]))
        for i in range(300)
        for s in (0, 1)
    ]
    table = pd.DataFrame(rows, columns=["item_id", "side", "value"])
    for shift in (0.0, 0.06, 0.2):  # a p of 1 has no interval that leaves out 0
        own = table.assign(value=table["value"] + shift * (table["side"] == 0) * (1 if not share else 0.5))
        p = contrast([own], QUICK, paired=paired, share=share).p
        for alpha in (0.99 * p, 1.01 * p):
            found = contrast(
                [own], Analysis.model_construct(confidence=1 - alpha), paired=paired, share=share
            )
            assert (found.low <= 0 <= found.high) == (alpha < p or p == 1)


def test_one_linked_pair_among_many_items_changes_little():
    rng = np.random.default_rng(3)
    table = frame(rng.normal(0.3, 1, 150), rng.normal(0, 1, 150))
    linked = table.assign(item_id=table["item_id"].replace({"i0": "p#0", "i150": "p#1"}))
    apart, together = (contrast([t], QUICK, paired=False, share=False) for t in (table, linked))
    assert (apart.unit, together.unit) == ("item", "item") and together.n == 299
    assert together.p == pytest.approx(apart.p, rel=0.05)
    assert (together.low, together.high) == pytest.approx((apart.low, apart.high), rel=0.02)


def test_clusters_of_any_size_are_weighed_as_statsmodels_does():
    import statsmodels.api as sm

    rng = np.random.default_rng(4)
    source = rng.integers(0, 40, 200)
    side = np.where(
        source < 15, 0, np.where(source < 30, 1, rng.integers(0, 2, 200))
    )  # of one group, the other, and both
    values = rng.normal(0, 1, 200) + rng.normal(0, 1, 40)[source]
    table = pd.DataFrame(
        {"item_id": [f"s{c}#{i}" for i, c in enumerate(source)], "side": side, "value": values}
    )
    found = contrast([table], QUICK, paired=False, share=False)
    fit = sm.OLS(values, sm.add_constant((side == 0).astype(float))).fit()
    robust = fit.get_robustcov_results("cluster", groups=source, use_correction=False, df_correction=False)
    assert found.value == pytest.approx(fit.params[1])
    error = (found.high - found.low) / 2 / stats.t.ppf(0.975, 25)
    assert (
        robust.bse[1] < error < 1.15 * robust.bse[1]
    )  # CR0 is too small by what each cluster has drawn the mean toward itself


def test_pairs_are_one_unit():
    rows = [
        (f"p{k}#{s}", s, 0.5 + (0.1 if s == 0 else -0.1) + 0.01 * (k % 3) * (1 if s == 0 else -1))
        for k in range(12)
        for s in (0, 1)
    ]
    found = contrast(
        [pd.DataFrame(rows, columns=["item_id", "side", "value"])], QUICK, paired=False, share=True
    )
    assert found.unit == "pair" and found.n == 12 and found.value == pytest.approx(0.22, abs=0.01)
    assert found.p < 0.01 and found.test == "inversion of the interval"


def test_a_change_that_both_groups_share_is_not_noise():
    rng = np.random.default_rng(0)
    before = frame(rng.normal(0, 1, 60), rng.normal(0, 1, 60))
    found = []
    for shift in (0.0, -30.0):
        after = before.assign(
            value=before["value"] + shift + np.where(before["side"] == 0, 1.0, 0.0) + rng.normal(0, 1, 120)
        )
        found.append(contrast([paired_difference(after, before)], QUICK, paired=True, share=False))
    assert all(f.p < 0.01 and f.low > 0 for f in found)


def test_no_variation_stays_wide():
    same = frame([1.0] * 10, [1.0] * 10)
    found = contrast([same], QUICK, paired=False, share=True)
    assert (
        found.value == 0 and found.low < -0.1 and found.high > 0.1 and found.interval.startswith("Newcombe")
    )
    nothing = contrast([paired_difference(same, same)], QUICK, paired=True, share=True)
    assert nothing.p == 1 and nothing.high - nothing.low > 0.1
    dollars = contrast([frame([70.0] * 9, [70.0] * 9)], QUICK, paired=False, share=False)
    assert np.isnan(dollars.low) and "no variation" in dollars.interval


def test_intervals_of_shares_end_at_their_range():
    noisy = [frame([1.0] * 5 + [s / 2], []) for s in (0, 1, 2)]
    level = contrast(noisy, QUICK, paired=False, share=True, sides=1)
    assert level.low > 0 and level.high == 1
    assert contrast(noisy, QUICK, paired=False, share=False, sides=1).high > 1
    gap = contrast(
        [frame([1.0] * 5 + [s / 2], [0.0] * 5 + [1 - s / 2]) for s in (0, 1, 2)],
        QUICK,
        paired=False,
        share=True,
    )
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
