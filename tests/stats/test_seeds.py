"""Several seeds: two variances counted once, and a t that holds its error rate whatever their shares."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.stats import t, ttest_ind

from probate.stats.contrast import before_after, contrast, paired_difference
from probate.stats.resample import covariance, influences, strata
from probate.stats.seeds import half_width, p_value, seed_variance, shared_variance
from probate.study.schema import Analysis


def test_where_one_part_is_all_it_is_students():
    assert half_width(0.04, 0, 30, 2, 0.95) == pytest.approx(t.ppf(0.975, 30) * 0.2)
    assert half_width(0, 0.04, np.nan, 2, 0.95) == pytest.approx(t.ppf(0.975, 2) * 0.2)
    assert p_value(0.5, 0.04, 0, 30, 2) == pytest.approx(2 * t.sf(2.5, 30), rel=1e-6)
    assert p_value(0.5, 0, 0.04, np.nan, 2) == pytest.approx(2 * t.sf(2.5, 2), rel=1e-6)
    assert np.isnan(half_width(0, 0, 30, 3, 0.95)) and np.isnan(p_value(0.5, 0, 0, 30, 3))


def test_p_and_interval_are_one():
    for level in (0.5, 0.9, 0.99, 0.9999):
        assert p_value(half_width(0.03, 0.01, 50, 4, level), 0.03, 0.01, 50, 4) == pytest.approx(
            1 - level, rel=1e-6
        )
    assert p_value(0, 0.03, 0.01, 50, 4) == 1
    assert p_value(np.array([-0.4, 0.4]), 0.03, 0.01, 50, 4) == pytest.approx(
        float(p_value(0.4, 0.03, 0.01, 50, 4))
    )


@pytest.mark.parametrize("seeds", [3, 5, 10])
@pytest.mark.parametrize(
    ("seed_part", "noise"), [(0, 0), (0, 0.5), (0.3, 0), (0.9, 0), (0.3, 0.3), (0.5, 0.5), (0.1, 0.8)]
)
def test_coverage_over_all_shares_of_variance(seeds, seed_part, noise):
    """Variances of the mean, 1 in all.

    `seed_part` of seeds, `noise` of items with seeds, the rest of items.
    """
    rng, items, runs = np.random.default_rng(1), 40, 4000
    # of one value, so that the mean over items and seeds has the asked-for parts
    own = rng.normal(0, np.sqrt((1 - seed_part - noise) * items), (runs, items))
    values = own[:, None] + rng.normal(0, np.sqrt(seed_part * seeds), (runs, seeds, 1))
    values = values + rng.normal(0, np.sqrt(noise * items * seeds), (*values.shape[:2], items))
    by_seed = values.mean(2)
    centred = values - values.mean(2, keepdims=True)
    found = np.einsum("rsi,rti->rst", centred, centred) / (items - 1) / items
    ours = np.array([shared_variance(f) for f in found])
    width = half_width(ours, by_seed.var(1, ddof=1) / seeds, items - 1, seeds - 1, 0.95)
    assert 0.94 <= np.mean(np.abs(by_seed.mean(1)) <= width) <= 0.98


def test_the_covariance_is_that_of_the_estimates():
    rng = np.random.default_rng(2)
    first, second = rng.normal(0, 1, (4000, 2, 30)), rng.normal(0, 1, (4000, 2, 20))  # studies, seeds, items
    first, second = first + rng.normal(0, 1, (4000, 1, 30)), second + rng.normal(0, 1, (4000, 1, 20))
    gaps = first.mean(2) - second.mean(2)
    found = []
    for a, b in zip(first[:200], second[:200], strict=True):
        tables = [
            np.concatenate(
                [np.c_[x, np.ones(30), np.zeros((30, 2))], np.c_[np.zeros((20, 2)), y, np.ones(20)]]
            )
            for x, y in zip(a, b, strict=True)
        ]
        found.append(covariance(np.array([influences(own) for own in tables]), strata(tables[0]))[0])
    assert np.mean(found, axis=0) == pytest.approx(np.cov(gaps.T), rel=0.1)


@pytest.mark.parametrize("seeds", [2, 3, 5])
def test_two_arms_are_welch_s_t_by_scipy(seeds):
    """Items that all move with their arm and seed: the arms' own spread is left, and no pairing of seeds."""
    rng = np.random.default_rng(seeds)
    own, other = 0.4 + rng.normal(0, 0.1, seeds), rng.normal(0, 0.3, seeds)
    frame = pd.DataFrame({"item_id": [f"i{i}" for i in range(6)], "side": np.arange(6) % 2})
    after, before = ([frame.assign(value=(1 - frame["side"]) * g) for g in gaps] for gaps in (own, other))
    found = contrast(
        [paired_difference(a, b) for a, b in zip(after, before, strict=True)],
        Analysis(),
        paired=True,
        share=False,
    )
    expected = ttest_ind(own, other, equal_var=False)
    ends = expected.confidence_interval(0.95)
    assert found.p == pytest.approx(expected.pvalue, rel=1e-6) and (found.low, found.high) == pytest.approx(
        tuple(ends)
    )


def test_the_mean_of_one_group_has_two_arms_too():
    rng = np.random.default_rng(1)
    own, other = rng.normal(0.4, 0.1, 4), rng.normal(0, 0.3, 4)
    frame = pd.DataFrame({"item_id": [f"i{i}" for i in range(6)], "side": 0})
    frames = [
        before_after(frame.assign(value=a), frame.assign(value=b)) for a, b in zip(own, other, strict=True)
    ]
    found = contrast(frames, Analysis(), paired=False, share=False)
    assert found.p == pytest.approx(ttest_ind(own, other, equal_var=False).pvalue, rel=1e-6)


@pytest.mark.parametrize("seeds", [2, 3, 5])
@pytest.mark.parametrize("uneven", [1, 3, 30])
def test_arms_that_vary_unlike_do_not_err_more_often(seeds, uneven):
    gaps = np.random.default_rng(seeds).normal(0, 1, (2, seeds, 20000)) * np.array([1, uneven])[:, None, None]
    spread, known = seed_variance(gaps)
    found = p_value((gaps[0] - gaps[1]).mean(0), 0.0, spread, 1.0, known) <= 0.05
    assert found.mean() <= (
        0.065 if seeds == 2 else 0.057
    )  # Welch's t with two seeds of which one arm alone varies: 6.2%


def test_seeds_that_agree_on_every_item_add_nothing():
    rng = np.random.default_rng(3)
    frame = pd.DataFrame(
        {"item_id": [f"i{i}" for i in range(50)], "side": np.arange(50) % 2, "value": rng.normal(0, 1, 50)}
    )
    one, three = (contrast([frame] * k, Analysis(resamples=400), paired=True, share=False) for k in (1, 3))
    assert (one.low, one.high) == pytest.approx((three.low, three.high)) and three.seeds == 3


def test_rare_outcomes_of_several_seeds_stay_wide():
    nothing = pd.DataFrame({"item_id": [f"i{i}" for i in range(20)], "side": np.arange(20) % 2, "value": 0.0})
    found = contrast([nothing] * 3, Analysis(resamples=400), paired=True, share=True)
    assert found.low < -0.1 and found.high > 0.1 and "added" in found.interval and found.p == 1


def test_the_variance_is_statsmodels_two_way_clusters():
    import statsmodels.api as sm

    rng, seeds, items = np.random.default_rng(4), 80, 60  # many, for small-sample corrections differ
    values = rng.normal(0, 1, (seeds, items)) + rng.normal(0, 1, (1, items)) + rng.normal(0, 0.5, (seeds, 1))
    item, seed = np.tile(np.arange(items), seeds), np.repeat(np.arange(seeds), items)
    groups = np.column_stack([item, seed])
    fit = sm.OLS(values.ravel(), np.ones(seeds * items)).fit(cov_type="cluster", cov_kwds={"groups": groups})
    table = [np.c_[v, np.ones(items), np.zeros((items, 2))] for v in values]
    found = covariance(np.array([influences(own) for own in table]), strata(table[0]))[0]
    ours = shared_variance(found) + values.mean(1).var(ddof=1) / seeds
    assert ours == pytest.approx(fit.bse[0] ** 2, rel=0.03)


def test_the_variance_of_two_arms_is_that_of_reml_by_statsmodels():
    """Items that each arm treats in its own way, seeds of their own in each arm, noise.

    A balanced design, where REML and mean squares agree.
    """
    from statsmodels.regression.mixed_linear_model import MixedLM

    rng, seeds, items = np.random.default_rng(5), 5, 14
    both, own = rng.normal(0, 0.5, items), rng.normal(0, 0.6, (2, 1, items))
    values = (
        both
        + own
        + rng.normal(0, 0.5, (2, seeds, 1))
        + rng.normal(0, 0.4, (2, seeds, items))
        + np.array([0, 0.3])[:, None, None]
    )
    frame = pd.DataFrame({"item_id": [f"i{i}" for i in range(items)], "side": 0})
    pairs = [
        before_after(frame.assign(value=values[1, s]), frame.assign(value=values[0, s])) for s in range(seeds)
    ]
    found = contrast(pairs, Analysis(), paired=False, share=False)
    arm, seed, item = (x.ravel() for x in np.meshgrid(range(2), range(seeds), range(items), indexing="ij"))
    long = pd.DataFrame(
        {
            "y": values.ravel(),
            "arm": arm,
            "seed": arm * seeds + seed,
            "item": item,
            "cell": arm * items + item,
            "one": 1,
        }
    )
    parts = {"item": "0 + C(item)", "cell": "0 + C(cell)", "seed": "0 + C(seed)"}
    fit = MixedLM.from_formula("y ~ arm", long, groups="one", vc_formula=parts, re_formula="0").fit(reml=True)
    tables = [np.c_[v[1], np.ones(items), v[0], np.ones(items)] for v in values.transpose(1, 0, 2)]
    between = shared_variance(covariance(np.array([influences(t) for t in tables]), strata(tables[0]))[0])
    ours = between + seed_variance(np.stack([values[1].mean(1), -values[0].mean(1)]))[0]
    assert found.value == pytest.approx(fit.params["arm"], abs=1e-5)
    assert np.sqrt(ours) == pytest.approx(fit.bse["arm"], rel=0.01)
