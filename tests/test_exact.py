"""Score intervals and McNemar's test equal statsmodels' and SciPy's; an effect's equivalence margin is that of two one-sided tests."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.proportion import confint_proportions_2indep, proportion_confint
from statsmodels.stats.weightstats import ttost_ind

from probate.analyze.contrast import before_after, contrast
from probate.analyze.exact import mcnemar_p, newcombe, wilson
from probate.study import Analysis

QUICK = Analysis(resamples=400)


@pytest.mark.parametrize(("a", "n", "b", "m"), [(7, 20, 3, 25), (0, 10, 5, 10), (12, 12, 0, 9), (40, 100, 41, 100)])
def test_score_intervals_equal_statsmodels(a, n, b, m):
    assert newcombe((a, n), (b, m), 0.95) == pytest.approx(confint_proportions_2indep(a, n, b, m, method="newcomb"))
    assert wilson(a, n, 0.9) == pytest.approx(proportion_confint(a, n, 0.1, method="wilson"))
    both = newcombe((np.array([a, b]), n), (np.array([b, b]), m), 0.95) if b <= n else None
    if both:
        assert both[0][0] == pytest.approx(newcombe((a, n), (b, m), 0.95)[0])


@pytest.mark.parametrize(("b", "c"), [(0, 0), (5, 0), (9, 4), (30, 31)])
def test_mcnemar_equals_statsmodels(b, c):
    assert mcnemar_p(b, c) == pytest.approx(mcnemar([[11, b], [c, 7]], exact=True).pvalue if b + c else 1.0)


def frame(values, side=None):
    n = len(values)
    return pd.DataFrame({"item_id": [f"i{i}" for i in range(n)], "side": side if side is not None else 0, "value": values})


def test_the_method_follows_the_design():
    rng = np.random.default_rng(0)
    side, yes = np.arange(60) % 2, (rng.random(60) < 0.4).astype(float)
    gap = contrast([frame(yes, side)], QUICK, paired=False, share=True)
    assert gap.interval == "Newcombe"
    hits = [(int(yes[side == k].sum()), 30) for k in (0, 1)]
    assert (gap.low, gap.high) == pytest.approx(newcombe(*hits, 0.95))
    assert contrast([frame(yes)], QUICK, paired=False, share=True, sides=1).interval == "Wilson"
    later = (rng.random(60) < 0.7).astype(float)
    change = contrast([before_after(frame(later), frame(yes))], QUICK, paired=False, share=True)
    assert change.test == "exact McNemar"
    assert change.p == mcnemar_p(int(((later == 1) & (yes == 0)).sum()), int(((later == 0) & (yes == 1)).sum()))
    assert contrast([frame(yes * 0.3, side)], QUICK, paired=False, share=True).interval.startswith("Welch")


def test_the_margin_is_that_of_two_one_sided_tests():
    rng = np.random.default_rng(1)
    side, values = np.arange(80) % 2, rng.normal(0.05, 1, 80)
    found = contrast([frame(values, side)], QUICK, paired=True, share=False)
    p = ttost_ind(values[side == 0], values[side == 1], -found.within, found.within, usevar="unequal")[0]
    assert p == pytest.approx(0.05, abs=1e-6)
    seeds = contrast([frame(values + rng.normal(0, 0.3, 80), side) for _ in range(3)], QUICK, paired=True, share=False)
    assert abs(seeds.value) < seeds.within < max(abs(seeds.low), abs(seeds.high))
