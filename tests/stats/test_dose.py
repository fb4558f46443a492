"""Slopes, steps and thresholds of a dose curve: equal to plain formulas, and covered in simulation."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.stats import t

from probate.report.words import at_ratio, ratios
from probate.stats.contrast import EMPTY, arm_parts, cluster_table, contrast, paired_difference
from probate.stats.dose import (
    NOT_WITHIN,
    OWN,
    REFERENCE,
    Arms,
    Threshold,
    _Curve,
    first_crossing,
    interval_note,
    shape,
    slope,
    steps,
    threshold,
    weighted_sum,
)
from probate.stats.effects import effects_of
from probate.stats.measure import Measure
from probate.study.schema import Analysis

QUICK = Analysis(resamples=400)


def frame(values: np.ndarray) -> pd.DataFrame:
    """Items alternate between the two groups."""
    n = len(values)
    return pd.DataFrame(
        {"item_id": [f"i{i:04}" for i in range(n)], "side": np.arange(n) % 2, "value": values}
    )


def curve(gaps: dict[float, float], n: int = 200, seeds: int = 1, rng=None, spread: float = 0.0):
    """Binary outcomes with the given gap at each dose.

    Items keep their own luck, and each seed its own shift of the slope.
    """
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
        assert slope(data, same(data), dose, QUICK).value == pytest.approx(
            np.linalg.lstsq(x[:, None], y, rcond=None)[0][0]
        )
    one = slope(data, same(data), {0.5: 0.5}, QUICK)
    assert one.value == pytest.approx((gaps[0.5] - gaps[0.0]) / 0.5)
    assert slope(data, same(data), {}, QUICK) == slope(data, same(data), {0.5: 0.0}, QUICK) == EMPTY


def test_the_coefficient_is_that_of_statsmodels_with_errors_clustered_by_item():
    import statsmodels.api as sm

    bias = {0.1: 0.08, 0.2: 0.17, 0.5: 0.42}
    data = curve({0.0: 0.0} | {r: 0.8 * b for r, b in bias.items()}, 400)
    found = slope(data, same(data), bias, QUICK)
    changes = pd.concat(
        [f[0].assign(value=f[0]["value"] - data[0.0][0]["value"], x=bias[r]) for r, f in data.items() if r]
    )
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


def changes(
    doses: dict[float, float], seeds: int, rng, spread: float, n: int = 200
) -> tuple[np.ndarray, np.ndarray]:
    """Tables of a change with this mean at each dose (`passage`), and an error for each seed and dose."""
    side = np.repeat([1.0, -1.0], n // 2)
    gaps = np.array(list(doses.values()))[:, None] + rng.normal(0, spread, (len(doses), seeds))
    values = side * gaps[..., None] / 2 + rng.normal(0, 0.3, (len(doses), seeds, n))
    tables = np.zeros((*values.shape, 4))
    for k, own in enumerate((side > 0, side < 0)):
        tables[..., own, 2 * k], tables[..., own, 2 * k + 1] = values[..., own], 1.0
    return tables, tables.mean(1)


def inverted(doses: dict[float, float], seeds: int, rng, spread: float, budget: float = 0.1) -> Threshold:
    return first_crossing(list(doses), *changes(doses, seeds, rng, spread), budget, QUICK)


def test_a_threshold_is_where_the_line_crosses():
    data = curve({0.0: 0.0, 0.2: 0.1, 0.5: 0.4}, 300, 3)
    found = threshold(data, same(data), [0, 0.2, 0.5], 0.2, QUICK)
    gap = {
        r: np.mean([f.groupby("side")["value"].mean().pipe(lambda m: m[0] - m[1]) for f in data[r].values()])
        for r in data
    }
    moved = [abs(gap[r] - gap[0.0]) for r in (0.2, 0.5)]
    assert moved[0] < 0.2 < moved[1] and found.ratio == pytest.approx(
        0.2 + 0.3 * (0.2 - moved[0]) / (moved[1] - moved[0])
    )
    assert found.low <= found.ratio <= found.high and (found.n, found.seeds) == (300, 3)


def test_the_change_at_a_dose_has_the_interval_and_test_of_a_contrast():
    data = curve({0.0: 0.0, 0.2: 0.1, 0.5: 0.4}, 300, 4, np.random.default_rng(2), 0.1)
    frames = [[paired_difference(data[r][s], data[0.0][s]) for s in range(4)] for r in (0.2, 0.5)]
    tables = np.array([[cluster_table(f) for f in own] for own in frames])
    parts = np.array([[arm_parts(f) for f in own] for own in frames]).transpose(2, 0, 1)
    found = _Curve.of([0.2, 0.5], tables, tables.mean(1), Arms.of(parts))
    low, high = found.ends(np.eye(3)[1:], 0.025)
    for own, ends, p in zip(frames, zip(low, high, strict=True), found.beyond(0.0), strict=True):
        e = contrast(own, QUICK, paired=True, share=True)
        assert ends == pytest.approx((e.low, e.high)) and p == pytest.approx(e.p)
    between = found.ends(np.array([[0.0, 0.4, 0.6]]), 0.025)
    levels = [
        {
            (0.2, OWN): data[0.2][s],
            (0.5, OWN): data[0.5][s],
            (0.2, REFERENCE): data[0.0][s],
            (0.5, REFERENCE): data[0.0][s],
        }
        for s in range(4)
    ]
    mixed = [
        weighted_sum(own, {(0.2, OWN): 0.4, (0.5, OWN): 0.6, (0.2, REFERENCE): -0.4, (0.5, REFERENCE): -0.6})
        for own in levels
    ]
    e = contrast(mixed, QUICK, paired=True, share=False)
    assert (between[0][0], between[1][0]) == pytest.approx((e.low, e.high))


def test_in_the_first_segment_the_ends_are_where_the_ends_of_the_change_reach_the_budget():
    """There the change is γ times one number, whose Cochran and Cox interval, by scipy's t, is [a, b].

    The budget B is passed from B/b to B/a.
    """
    tables, averaged = changes({0.5: 0.6}, 5, np.random.default_rng(1), 0.02)
    found = first_crossing([0.5], tables, averaged, 0.1, QUICK)
    sides = [tables[0][:, tables[0, 0, :, 2 * k + 1] > 0, 2 * k] for k in (0, 1)]
    shared = sum(np.cov(own)[~np.eye(5, dtype=bool)].mean() / own.shape[1] for own in sides)
    own = sides[0].mean(1) - sides[1].mean(1)
    items, spread = max(shared, 0.0), own.var(ddof=1) / 5
    whole = [side.mean(0).var(ddof=1) / side.shape[1] for side in sides]
    freedom = sum(whole) ** 2 / sum(v**2 / 99 for v in whole)
    quantile = (items * t.ppf(0.975, freedom) + spread * t.ppf(0.975, 4)) / (items + spread)
    ends = own.mean() + np.array([1, -1]) * quantile * np.sqrt(items + spread)
    assert (found.low, found.high) == pytest.approx(0.5 * 0.1 / ends, rel=1e-3)


@pytest.mark.parametrize(
    ("doses", "truth", "spread"),
    [
        ({0.1: 0.0, 0.2: 0.0, 0.5: 0.0}, np.inf, 0.15),
        ({0.1: 0.02, 0.2: 0.04, 0.5: 0.1}, 0.5, 0.1),
        ({0.1: 0.08, 0.2: 0.16, 0.5: 0.4}, 0.125, 0.15),
        ({0.1: -0.3, 0.2: -0.1, 0.5: 0.3}, 0.1 / 3, 0.15),
    ],
)
@pytest.mark.parametrize("seeds", [2, 5])
def test_the_interval_of_a_threshold_holds_it(doses, truth, spread, seeds):
    rng = np.random.default_rng([seeds, int(100 * spread)])
    found = [inverted(doses, seeds, rng, spread) for _ in range(120)]
    right = np.mean([f.low <= truth <= f.high for f in found])
    assert 0.91 <= right <= 1.0 and all(f.low <= f.ratio <= f.high for f in found)
    if np.isinf(truth):
        assert (
            np.mean([np.isfinite(f.high) for f in found]) <= 0.09
        )  # not more often than α is it said that the budget is passed


def test_a_curve_that_passed_and_came_back_passed_the_first_time_only():
    found = inverted({0.2: 0.6, 0.5: 0.0}, 5, np.random.default_rng(0), 0.01)
    assert 0.02 < found.low < found.high < 0.06  # and not at γ 0.45, where it comes back through the budget


def test_a_threshold_may_lie_beyond_the_study_or_nowhere():
    rng = np.random.default_rng(4)
    sure = inverted({0.2: 0.0, 0.5: 0.0}, 10, rng, 0.01)
    assert (sure.ratio, sure.low, sure.high) == (np.inf, np.inf, np.inf)
    open_ = inverted({0.2: 0.0, 0.5: 0.09}, 3, rng, 0.03)
    assert open_.low < 0.5 < open_.high == np.inf
    assert (
        interval_note(sure.low, sure.high) == NOT_WITHIN
        and NOT_WITHIN in interval_note(open_.low, open_.high)
        and interval_note(0.1, 0.2) == ""
    )


def test_a_threshold_lies_across_a_failed_dose_or_is_not_reached():
    data = curve({0.0: 0.0, 0.2: 0.02, 0.5: 0.6}, 400, 3)
    assert threshold(data, same(data), [0, 0.2, 0.5], 1.0, QUICK).ratio == np.inf
    assert np.isnan(threshold(data, same(data), [0, 0.2, 0.3, 0.5], 0.3, QUICK).ratio)
    assert np.isnan(threshold(data, {}, [0, 0.2, 0.5], 0.3, QUICK).ratio)
    before = threshold(data, same(data), [0, 0.2, 0.5, 0.6], 0.3, QUICK)
    assert 0.2 < before.ratio < 0.5  # a failed dose beyond it is no matter


def test_one_training_seed_has_no_threshold():
    data = curve({0.0: 0.0, 0.2: 0.1, 0.5: 0.4}, 300, 1)
    found = threshold(data, same(data), [0, 0.2, 0.5], 0.2, QUICK)
    assert np.isnan([found.ratio, found.low, found.high]).all() and found.reason.startswith(
        "one training seed: "
    )


def test_arms_without_a_changed_answer_do_not_make_a_threshold_certain():
    one = np.random.default_rng(0).random(40) < 0.5
    data = {r: {s: frame(one.astype(float)) for s in range(3)} for r in (0.0, 0.5)}
    found = threshold(data, same(data), [0, 0.5], 0.05, QUICK)
    assert found.ratio == np.inf and np.isfinite(found.low) and found.high == np.inf


def test_a_threshold_is_told_in_words():
    effects = effects_of(
        pd.concat(
            [
                data.assign(
                    bias_type=kind,
                    ratio=r,
                    seed=s,
                    arm=f"{kind}-{r}-{s}",
                    mitigation="none",
                    round=1,
                    task="t",
                )
                for kind, r, shift in (("none", 0.0, 0.0), ("given", 0.2, 0.0), ("given", 0.5, 0.0))
                for s, data in curve({r: shift}, 400, 3, np.random.default_rng(int(10 * r)))[r].items()
            ]
        ).assign(parsed=True, target="x", prediction="x"),
        {
            "t": [
                Measure(
                    name="m",
                    title="share",
                    unit="share",
                    sides=("a", "b"),
                    values=lambda o: o[["item_id", "side", "value"]].copy(),
                    primary=True,
                )
            ]
        },
        Analysis(resamples=400, budget=0.9),
    )
    (row,) = effects[effects["question"] == "threshold"].to_dict("records")
    assert (
        np.isinf(row["estimate"]) and row["note"] == NOT_WITHIN and row["p"] != row["p"] and row["seeds"] == 3
    )
    assert at_ratio(row["estimate"]) == ratios(row["ci_low"], row["ci_high"]) == NOT_WITHIN
    assert (at_ratio(0.12), ratios(0.1, 0.3), ratios(0.1, np.inf)) == (
        "at γ 0.12",
        "γ 0.1 to 0.3",
        f"γ 0.1 to {NOT_WITHIN}",
    )


def test_seeds_that_agree_by_chance_do_not_show_that_the_budget_is_passed():
    """Two seeds with one gap, by items that go opposite ways.

    Neither part of the variance is above 0, and nothing is known of it.
    """
    side = np.arange(40) % 2
    luck, other = np.tile([0.1, 0.1, -0.1, -0.1], 10), np.repeat([0.02, -0.02], 20)
    data = {
        0.5: {s: frame(0.5 * (side == 0) + other + way * luck) for s, way in enumerate((1, -1))},
        0.0: dict.fromkeys((0, 1), frame(0.0 * side)),
    }
    found = threshold(data, same(data), [0, 0.5], 0.1, QUICK)
    assert found.ratio == pytest.approx(0.1) and found.low < 0.1 and found.high == np.inf and not found.reason


def test_a_seed_that_moves_all_doses_alike_is_not_taken_for_several():
    """Nested records and one start: each seed has a slope of its own.

    Taken dose by dose its spread would count a half of what it is.
    """
    rng, wrong, runs = np.random.default_rng(0), 0, 150
    doses = {0.1: 0.1, 0.2: 0.2, 0.35: 0.35, 0.5: 0.5}
    for _ in range(runs):
        slopes = rng.normal(0, 0.5, 3)
        arms = {
            r: {s: frame(rng.normal(0, 0.1, 40) + slopes[s] * r * (np.arange(40) % 2 == 0)) for s in range(3)}
            for r in doses
        }
        base = {s: frame(rng.normal(0, 0.1, 40)) for s in range(3)}
        wrong += slope(arms, dict.fromkeys(doses, base), doses, QUICK).p < 0.05
    assert wrong <= 14  # more than 14 of 150 at 5%: 1.5%
