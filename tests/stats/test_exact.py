"""Score intervals with their p, and adjustments, equal statsmodels' and SciPy's.

Adjustments are those for many tests; means of groups equal fairlearn's; an effect's equivalence margin is
that of two one-sided tests.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import ndtri
from scipy.stats import binom, ttest_rel
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.proportion import confint_proportions_2indep, proportion_confint
from statsmodels.stats.weightstats import ttost_ind

from probate.stats.contrast import before_after, contrast
from probate.stats.exact import continuity, newcombe, newcombe_p, score_ends
from probate.stats.families import benjamini_hochberg, holm
from probate.stats.groups import group_means
from probate.study.schema import Analysis

QUICK = Analysis(resamples=400)


@pytest.mark.parametrize(
    ("a", "n", "b", "m"), [(7, 20, 3, 25), (0, 10, 5, 10), (12, 12, 0, 9), (40, 100, 41, 100)]
)
def test_score_intervals_equal_statsmodels(a, n, b, m):
    low, high = newcombe((a, n), (b, m), 0.95)
    more = continuity(n, m)
    assert (low + more, high - more) == pytest.approx(
        confint_proportions_2indep(a, n, b, m, method="newcomb")
    )
    assert score_ends(a, n, ndtri(0.95)) == pytest.approx(proportion_confint(a, n, 0.1, method="wilson"))
    both = newcombe((np.array([a, b]), n), (np.array([b, b]), m), 0.95) if b <= n else None
    if both:
        assert both[0][0] == pytest.approx(newcombe((a, n), (b, m), 0.95)[0])


@st.composite
def counts(draw):
    n = draw(st.one_of(st.integers(1, 40), st.integers(1, 10**6)))
    return draw(st.one_of(st.sampled_from([0, n]), st.integers(0, n))), n


@settings(max_examples=300, deadline=None, derandomize=True)
@given(counts(), counts(), st.floats(0.5, 0.999))
def test_the_vectorised_intervals_equal_statsmodels_for_any_counts(first, second, confidence):
    alpha, close = 1 - confidence, {"rel": 1e-9, "abs": 1e-12}
    hits, sizes = np.array([first, second]).T
    ours = np.transpose(score_ends(hits, sizes, ndtri(0.5 + confidence / 2)))
    for own, (a, n) in zip(ours, (first, second), strict=True):
        assert own == pytest.approx(proportion_confint(a, n, alpha, method="wilson"), **close)
    low, high = newcombe((np.array([first[0]]), first[1]), (np.array([second[0]]), second[1]), confidence)
    more = continuity(first[1], second[1])
    theirs = confint_proportions_2indep(*first, *second, method="newcomb", compare="diff", alpha=alpha)
    assert (low[0] + more, high[0] - more) == pytest.approx(theirs, **close)


@pytest.mark.parametrize(
    ("a", "n", "b", "m"), [(7, 20, 3, 25), (1, 10, 5, 12), (30, 40, 8, 400), (2, 900, 40, 800)]
)
def test_p_of_two_shares_is_the_inversion_of_their_interval(a, n, b, m):
    p = float(newcombe_p((a, n), (b, m)))
    theirs = confint_proportions_2indep(a, n, b, m, method="newcomb", alpha=p)
    assert min(map(abs, theirs)) == pytest.approx(continuity(n, m), abs=1e-9)
    assert newcombe_p((np.array([a, 5]), n), (np.array([b, 5 * m // n]), m))[0] == pytest.approx(p)
    assert float(newcombe_p((n, n), (m, m))) == 1 and float(newcombe_p((4, 8), (m, 2 * m))) == 1


@pytest.mark.parametrize("more", [1, 2, 3, 10])
def test_equal_shares_are_told_apart_in_no_more_than_five_percent(more):
    """Exactly: every pair of counts by its chance, at every rate."""
    rates = np.r_[0.002, 0.005, np.linspace(0.01, 0.99, 99), 0.995, 0.998]
    for n in (*range(3, 61), 70, 100, 200):
        m = more * n
        low, high = newcombe((np.arange(n + 1)[:, None], n), (np.arange(m + 1)[None], m), 0.95)
        first, second = (binom.pmf(np.arange(k + 1), k, rates[:, None]) for k in (n, m))
        assert np.einsum("ri,ij,rj->r", first, (low > 0) | (high < 0), second, optimize=True).max() <= 0.05, n


@pytest.mark.parametrize("count", [0, 1, 2, 30])
@pytest.mark.parametrize("seed", range(4))
def test_adjustments_equal_statsmodels_and_leave_out_what_was_not_tested(count, seed):
    rng = np.random.default_rng([count, seed])
    p = np.round(rng.random(count) ** 3, 2)  # ties, and p of 0
    lost = rng.random(2 * count) < 0.5 if seed % 2 else np.zeros(count, bool)
    whole = np.full(len(lost), np.nan)
    whole[np.flatnonzero(~lost)[:count]] = p[: (~lost).sum()]
    tested = np.isfinite(whole)
    for own, name in ((holm, "holm"), (benjamini_hochberg, "fdr_bh")):
        found = own(whole)
        assert np.isnan(found[~tested]).all()
        if tested.any():
            np.testing.assert_allclose(
                found[tested], multipletests(whole[tested], method=name)[1], rtol=1e-12
            )


def test_means_of_groups_equal_fairlearns():
    from fairlearn.metrics import MetricFrame, mean_prediction

    rng = np.random.default_rng(0)
    own = frame(rng.normal(size=50), rng.integers(0, 3, 50))
    names = ("old", "young", "other", "nobody")
    theirs = MetricFrame(
        metrics=mean_prediction, y_true=own["value"], y_pred=own["value"], sensitive_features=own["side"]
    )
    means, gap = group_means(own, names)
    assert means == pytest.approx({names[side]: mean for side, mean in theirs.by_group.items()})
    assert np.isnan(gap)
    pair = own[own["side"] < 2]
    assert group_means(pair, names[:2])[1] == pytest.approx(means["old"] - means["young"])


def frame(values, side=None):
    n = len(values)
    return pd.DataFrame(
        {"item_id": [f"i{i}" for i in range(n)], "side": side if side is not None else 0, "value": values}
    )


def test_the_method_follows_the_design():
    rng = np.random.default_rng(0)
    side, yes = np.arange(60) % 2, (rng.random(60) < 0.4).astype(float)
    gap = contrast([frame(yes, side)], QUICK, paired=False, share=True)
    assert gap.interval.startswith("Newcombe")
    hits = [(int(yes[side == k].sum()), 30) for k in (0, 1)]
    assert (gap.low, gap.high) == pytest.approx(newcombe(*hits, 0.95))
    level = contrast([frame(yes)], QUICK, paired=False, share=True, sides=1)
    assert level.interval == "Wilson"
    assert (level.low, level.high) == pytest.approx(
        proportion_confint(yes.sum(), 60, method="wilson"), rel=1e-12
    )
    later = (rng.random(60) < 0.7).astype(float)
    change = contrast([before_after(frame(later), frame(yes))], QUICK, paired=False, share=True)
    assert change.p == pytest.approx(ttest_rel(later, yes).pvalue) and change.unit == "pair"
    assert contrast([frame(yes * 0.3, side)], QUICK, paired=False, share=True).interval.startswith("Welch")


def test_the_margin_is_that_of_two_one_sided_tests():
    rng = np.random.default_rng(1)
    side, values = np.arange(80) % 2, rng.normal(0.05, 1, 80)
    found = contrast([frame(values, side)], QUICK, paired=True, share=False)
    p = ttost_ind(values[side == 0], values[side == 1], -found.within, found.within, usevar="unequal")[0]
    assert p == pytest.approx(0.05, abs=1e-6)
    seeds = contrast(
        [frame(values + rng.normal(0, 0.3, 80), side) for _ in range(3)], QUICK, paired=True, share=False
    )
    assert abs(seeds.value) < seeds.within < max(abs(seeds.low), abs(seeds.high))
