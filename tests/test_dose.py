"""Slopes, steps and thresholds of a dose curve: equal to plain formulas, and covered in simulation."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from probate.analyze.contrast import EMPTY
from probate.analyze.dose import shape, slope, steps, threshold
from probate.study import Analysis

QUICK = Analysis(resamples=400)


def frame(values: np.ndarray) -> pd.DataFrame:
    """Items alternate between the two groups."""
    n = len(values)
    return pd.DataFrame({"item_id": [f"i{i:04}" for i in range(n)], "side": np.arange(n) % 2, "value": values})


def curve(gaps: dict[float, float], n: int = 200, seeds: int = 1, rng=None, spread: float = 0.0):
    """Binary outcomes with the given gap at each dose; items keep their own luck, and each seed its own shift of the slope."""
    rng = rng or np.random.default_rng(0)
    luck = rng.random(n)
    side = np.where(np.arange(n) % 2 == 0, 1, -1)
    extra = rng.normal(0, spread, seeds) if spread else np.zeros(seeds)
    found = {}
    for ratio, gap in gaps.items():
        found[ratio] = {}
        for s in range(seeds):
            mixed = np.where(rng.random(n) < 0.7, luck, rng.random(n))
            found[ratio][s] = frame((mixed < 0.5 + side * (gap + extra[s] * ratio) / 2).astype(float))
    return found


def same(data, base=0.0):
    """The arm of γ = 0 as the reference at every dose."""
    return {r: data[base] for r in data}


def test_a_slope_is_least_squares_through_the_origin():
    data = curve({0.0: 0.0, 0.2: 0.1, 0.5: 0.3})
    gaps = {r: f[0].groupby("side")["value"].mean().pipe(lambda m: m[0] - m[1]) for r, f in data.items()}
    for dose in ({0.2: 0.2, 0.5: 0.5}, {0.2: 0.15, 0.5: 0.4}):
        x, y = np.array(list(dose.values())), np.array([gaps[r] - gaps[0.0] for r in dose])
        assert slope(data, same(data), dose, QUICK).value == pytest.approx(np.linalg.lstsq(x[:, None], y, rcond=None)[0][0])
    one = slope(data, same(data), {0.5: 0.5}, QUICK)
    assert one.value == pytest.approx((gaps[0.5] - gaps[0.0]) / 0.5)
    assert slope(data, same(data), {}, QUICK) == slope(data, same(data), {0.5: 0.0}, QUICK) == EMPTY


def test_the_coefficient_is_that_of_statsmodels_with_errors_clustered_by_item():
    import statsmodels.api as sm
    from scipy.stats import t

    bias = {0.1: 0.08, 0.2: 0.17, 0.5: 0.42}
    data = curve({0.0: 0.0} | {r: 0.8 * b for r, b in bias.items()}, 400)
    found = slope(data, same(data), bias, QUICK)
    changes = pd.concat([f[0].assign(value=f[0]["value"] - data[0.0][0]["value"], x=bias[r]) for r, f in data.items() if r])
    design = np.column_stack([changes["x"] * (changes["side"] == k) for k in (0, 1)])
    items = pd.factorize(changes["item_id"])[0]
    fit = sm.OLS(changes["value"].to_numpy(), design).fit(cov_type="cluster", cov_kwds={"groups": items})
    assert found.value == pytest.approx(fit.params[0] - fit.params[1])
    half = t.ppf(0.975, 398) * np.sqrt(fit.cov_params()[0, 0] + fit.cov_params()[1, 1])
    assert (found.low, found.high) == pytest.approx((found.value - half, found.value + half), rel=0.01)


@pytest.mark.parametrize(("truth", "seeds", "spread"), [(0.0, 1, 0.0), (0.8, 1, 0.0), (1.0, 5, 0.1)])
def test_the_coefficient_is_recovered_with_its_coverage(truth, seeds, spread):
    rng = np.random.default_rng(3)
    bias = {0.1: 0.1, 0.2: 0.2, 0.5: 0.5}
    found = []
    for _ in range(150):
        data = curve({0.0: 0.0} | {r: truth * b for r, b in bias.items()}, 160, seeds, rng, spread)
        found.append(slope(data, same(data), bias, QUICK))
    assert np.mean([e.value for e in found]) == pytest.approx(truth, abs=0.05)
    assert 0.9 <= np.mean([e.low <= truth <= e.high for e in found]) <= 1.0


def test_no_step_crosses_a_dose_that_failed():
    data = curve({0.0: 0.0, 0.2: 0.1, 0.5: 0.5}, 600)
    found = steps(data, same(data), [0, 0.2, 0.5], QUICK)
    assert [(s.low, s.high) for s in found] == [(0.0, 0.2), (0.2, 0.5)]
    whole = slope(data, same(data), {0.5: 1.0}, QUICK).value
    assert sum(s.change.value for s in found) == pytest.approx(whole)
    assert found[1].change.p < 0.01
    assert [(s.low, s.high) for s in steps(data, same(data), [0, 0.2, 0.3, 0.5], QUICK)] == [(0.0, 0.2)]


def test_curves_rise_fall_turn_or_are_flat():
    def kind(gaps):
        data = curve(dict(zip((0.0, 0.2, 0.5), gaps, strict=True)), 800)
        return shape([(s.change.value, s.change.p) for s in steps(data, same(data), [0, 0.2, 0.5], QUICK)])

    assert kind((0, 0.3, 0.6)) == "rises" and kind((0, -0.3, -0.6)) == "falls"
    assert kind((0, 0.5, 0)) == "turns" and kind((0, 0, 0)) == "flat"


def test_a_threshold_is_where_the_line_crosses_and_its_interval_holds_it():
    rng = np.random.default_rng(5)
    hits = []
    for _ in range(60):
        data = curve({0.0: 0.0, 0.2: 0.1, 0.5: 0.4}, 300, 3, rng)
        found = threshold(data, same(data), [0, 0.2, 0.5], 0.2, QUICK)
        hits.append(found.low <= 0.3 <= found.high)
    assert np.mean(hits) >= 0.85
    assert 0.2 < found.ratio < 0.45


def test_a_threshold_is_not_reached_or_lies_across_a_failed_dose():
    data = curve({0.0: 0.0, 0.2: 0.02, 0.5: 0.6}, 400)
    assert threshold(data, same(data), [0, 0.2, 0.5], 2.0, QUICK).ratio == np.inf
    assert np.isnan(threshold(data, same(data), [0, 0.2, 0.3, 0.5], 0.3, QUICK).ratio)
    assert np.isnan(threshold(data, {}, [0, 0.2, 0.5], 0.3, QUICK).ratio)
