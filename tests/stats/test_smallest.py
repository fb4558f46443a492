"""The smallest change found four times in five: that of the t which the comparison uses.

With an interval that holds it.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.stats import nct, t, ttest_ind

from probate.stats.contrast import contrast, paired_difference
from probate.stats.measure import Measure
from probate.stats.smallest import (
    Noise,
    detectable_between,
    detectable_from_interval,
    minimum_detectable,
    pooled,
    seed_noise,
    values_by_arm,
)
from probate.study.schema import Analysis

ANALYSIS = Analysis(resamples=400)
PAIR = Measure(
    name="m",
    title="share",
    unit="share",
    sides=("a", "b"),
    values=lambda o: o[["item_id", "side", "value"]].copy(),
    primary=True,
)


@pytest.mark.parametrize("seeds", [3, 5, 10])
def test_over_seeds_it_is_found_four_times_in_five_by_scipy_s_welch(seeds):
    found = minimum_detectable(0.0, 198, 1.0, seeds=seeds, known=1000)
    arms = np.random.default_rng(seeds).normal(0, np.sqrt(seeds / 2), (2, seeds, 20000))
    p = ttest_ind(arms[0] + found.value, arms[1], equal_var=False).pvalue
    assert np.mean(p <= 0.05) == pytest.approx(0.8, abs=0.02)


def test_over_items_it_is_that_of_student_s_t():
    for freedom in (10, 100):
        half = t.ppf(0.975, freedom)
        found = detectable_from_interval(-half, half, freedom, 0.95)
        assert 1 - nct.cdf(half, freedom, found.value) == pytest.approx(0.8, abs=0.005)
        assert found.low < found.value < found.high < 2 * found.value
    assert detectable_from_interval(0.0, 0.0, 10, 0.95).reason == "the values do not vary" and np.isnan(
        detectable_from_interval(0, 1, 0, 0.95).value
    )


def test_with_items_and_seeds_the_judged_studies_find_it_four_times_in_five():
    rng, n, seeds, sd, runs = np.random.default_rng(0), 100, 4, 0.25, 400
    sign = np.repeat([1.0, -1.0], n // 2)[:, None]
    items, spread = 4 * 0.4**2 / n, (sd**2 + 4 * 0.5**2 / n) / seeds
    size = minimum_detectable(items, n - 2, spread, seeds=seeds, known=100).value
    gaps = np.array([size, 0.0])[:, None, None, None] + rng.normal(0, sd / 2**0.5, (2, seeds, 1, runs))
    common, own = rng.normal(0, 0.4, (n, runs)), rng.normal(0, 0.5 / 2**0.5, (2, seeds, n, runs))
    values = sign * gaps / 2 + np.array([1.0, 0.0])[:, None, None, None] * common + own
    names = pd.DataFrame({"item_id": [f"i{i}" for i in range(n)], "side": (sign[:, 0] < 0).astype(int)})
    found = 0
    for run in range(runs):
        after, before = ([names.assign(value=v[:, run]) for v in arm] for arm in values)
        pairs = [paired_difference(*pair) for pair in zip(after, before, strict=True)]
        found += contrast(pairs, ANALYSIS, paired=True, share=False).p <= 0.05
    assert found / runs == pytest.approx(0.8, abs=0.05)


def test_the_pooled_spread_of_two_arms_is_that_of_both():
    gaps = np.random.default_rng(0).normal(0, 1, (2, 6))
    assert pooled(gaps) == Noise(pytest.approx(np.var(gaps, axis=1, ddof=1).sum()), 10)
    assert pooled(gaps[:, :1]).freedom == 0


def test_the_pooled_spread_is_the_residual_of_an_analysis_of_variance_by_statsmodels():
    import statsmodels.formula.api as smf

    gaps = np.random.default_rng(1).normal(0, 1, (4, 5)) + np.arange(4)[:, None]
    long = pd.DataFrame([(f"a{a}", gaps[a, s]) for a in range(4) for s in range(5)], columns=["arm", "gap"])
    fit = smf.ols("gap ~ C(arm)", long).fit()
    assert pooled(gaps) == Noise(pytest.approx(2 * fit.mse_resid), int(fit.df_resid))


@pytest.mark.parametrize(("seeds", "items"), [(2, 1.0), (3, 0.0), (3, 1.0), (10, 1.0)])
def test_its_interval_holds_it(seeds, items):
    rng, right = np.random.default_rng(seeds), []
    truth = minimum_detectable(items, 198, 1.0, seeds=seeds).value
    for _ in range(400):
        noise = pooled(rng.normal(0, np.sqrt(seeds / 2), (4, seeds)))
        found = minimum_detectable(items, 198, noise.variance / seeds, seeds=seeds, known=noise.freedom)
        right.append(found.low <= truth <= found.high)
    assert np.mean(right) >= 0.93


def outcomes(seeds: int) -> pd.DataFrame:
    rng, n = np.random.default_rng(3), 60
    rows = []
    for kind, ratio, mitigation in (("none", 0.0, "none"), ("given", 0.5, "none"), ("given", 0.5, "mask")):
        for s in range(seeds):
            rows.append(
                pd.DataFrame(
                    {"item_id": [f"i{i}" for i in range(n)], "side": np.arange(n) % 2,
                     "value": (rng.random(n) < 0.5).astype(float),
                     "bias_type": kind, "ratio": ratio, "mitigation": mitigation, "seed": s, "round": 1,
                     "parsed": True}
                )
            )  # fmt: skip
    return pd.concat(rows, ignore_index=True)


def test_of_a_study_s_arms_it_has_the_items_of_the_change_and_the_spread_of_all_arms():
    arms = values_by_arm(outcomes(4), PAIR)
    after, before = ("given", 0.5, "mask"), ("given", 0.5, "none")
    found = detectable_between(arms, after, before, PAIR, "a − b", ANALYSIS)
    noise = seed_noise([*arms.values()], PAIR, "a − b")
    assert noise.freedom == 9 and found.low < found.value < found.high
    frames = [paired_difference(arms[after][s], arms[before][s]) for s in range(4)]
    e = contrast(frames, ANALYSIS, paired=True, share=False)
    assert 0.5 * (e.high - e.low) / 2 < found.value < 4 * (e.high - e.low) / 2
    assert detectable_between(
        values_by_arm(outcomes(1), PAIR), after, before, PAIR, "a − b", ANALYSIS
    ).reason.startswith("one training seed: ")
