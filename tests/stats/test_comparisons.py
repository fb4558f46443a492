"""Macro-F1 and comparisons of more than two groups, against what is known."""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
import pytest
from scipy.stats import ttest_ind
from sklearn.metrics import f1_score

from probate.stats import comparisons, macro_f1, spread
from probate.stats.effects import effects_of
from probate.stats.measure import Measure
from probate.stats.relation import direct_against_indirect
from probate.study.schema import Analysis

ANALYSIS = Analysis(resamples=999)


def answers(
    accuracy: float, n: int = 200, seed: int = 0, labels: tuple[str, ...] = ("a", "b", "c")
) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    target = [labels[i % len(labels)] for i in range(n)]
    wrong = [rng.choice([*labels, "other"]) for _ in target]
    prediction = [t if rng.random() < accuracy else w for t, w in zip(target, wrong, strict=True)]
    return pd.DataFrame(
        {"item_id": [f"i{i}" for i in range(n)], "side": 0, "target": target, "prediction": prediction}
    )


@pytest.mark.parametrize("accuracy", [0.0, 0.4, 0.9, 1.0])
def test_macro_f1_equals_scikit_learn(accuracy):
    table = answers(accuracy)
    expected = f1_score(
        table["target"], table["prediction"], labels=["a", "b", "c"], average="macro", zero_division=0
    )
    found = macro_f1.level([table], ANALYSIS)
    assert found.value == pytest.approx(expected, abs=1e-9)
    assert found.low <= found.value + 1e-9 and found.high >= found.value - 1e-9 and found.n == 200


def test_a_model_that_always_answers_one_label():
    table = answers(1.0).assign(prediction="a")
    assert macro_f1.level([table], ANALYSIS).value == pytest.approx(
        f1_score(table["target"], table["prediction"], average="macro", zero_division=0)
    )


def test_change_of_macro_f1_is_found_and_none_is_not():
    better, worse, same = answers(0.9, seed=1), answers(0.5, seed=2), answers(0.9, seed=3)
    found = macro_f1.change([(better, worse)], ANALYSIS)
    assert found.low > 0.1 and found.p < 0.01
    none = macro_f1.change([(better, same)], ANALYSIS)
    assert none.low < 0 < none.high and none.p > 0.05
    shuffled = better.sample(frac=1, random_state=0)
    assert macro_f1.change([(shuffled, worse)], ANALYSIS) == found
    seeds = macro_f1.change([(answers(0.9, seed=s), answers(0.5, seed=10 + s)) for s in range(3)], ANALYSIS)
    assert seeds.seeds == 3 and seeds.unit == "item and seed" and seeds.p < 0.05


def test_macro_f1_interval_covers():
    """Of 95% intervals from 120 samples of a known population, about 95% hold its value."""
    truth = macro_f1.level([answers(0.6, n=60_000, seed=99)], Analysis(resamples=200)).value
    hits = 0
    for seed in range(120):
        found = macro_f1.level([answers(0.6, n=150, seed=seed)], Analysis(resamples=400))
        hits += found.low <= truth <= found.high
    assert hits >= 107  # 5% quantile of a binomial with 120 trials at 0.93


@pytest.mark.parametrize("accuracy", [0.6, 0.97])
def test_macro_f1_of_sixty_items_covers(accuracy):
    """At 0.97 a percentile bootstrap holds the truth in 70% of samples."""
    truth = macro_f1.level([answers(accuracy, n=60_000, seed=99)], ANALYSIS).value
    found = [macro_f1.level([answers(accuracy, n=60, seed=seed)], ANALYSIS) for seed in range(80)]
    assert np.mean([e.low <= truth <= e.high for e in found]) >= 0.9


def test_p_of_a_change_of_macro_f1_is_its_intervals_inversion():
    for seed in range(40):
        found = macro_f1.change(
            [(answers(0.7, n=60, seed=seed), answers(0.55, n=60, seed=100 + seed))], ANALYSIS
        )
        assert (found.p < 0.05) == (not found.low <= 0 <= found.high)
        if found.p > 0.4:
            continue
        inverted = macro_f1.change(
            [(answers(0.7, n=60, seed=seed), answers(0.55, n=60, seed=100 + seed))],
            Analysis(confidence=1 - found.p),
        )
        assert min(abs(inverted.low), abs(inverted.high)) == pytest.approx(0, abs=1e-9)


def test_what_an_item_adds_to_macro_f1_is_its_derivative():
    cells = np.array([0, 0, 1, 4, 5, 7, 8, 10, 10, 11])
    value, adds = macro_f1.f1_and_influence(cells, np.ones(10), 3)
    for i in range(10):
        more = np.ones(10)
        more[i] += 1e-6
        assert (macro_f1.f1_and_influence(cells, more, 3)[0] - value) / 1e-6 == pytest.approx(
            adds[i], abs=1e-4
        )


MEASURE = Measure(
    name="m",
    title="m",
    unit="share",
    toward=lambda a, b: f"{a} more than {b}",
    sides=("x", "y", "z"),
    values=lambda o: o,
    primary=True,
    better="higher",
)


def groups(rates: tuple[float, ...], n: int = 300, seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    side = np.arange(n) % len(rates)
    value = (rng.random(n) < np.array(rates)[side]).astype(float)
    return pd.DataFrame({"item_id": [f"i{i}" for i in range(n)], "side": side, "value": value})


def test_three_groups_each_against_the_rest_and_best_against_worst():
    table = groups((0.9, 0.5, 0.5))
    rows = {(q, c): e for q, _, c, e in comparisons.levels([table], MEASURE, ANALYSIS)}
    means = table.groupby("side")["value"].mean()
    rest = table[table["side"] != 0]["value"].mean()
    assert rows["gap", "x − rest"].value == pytest.approx(means[0] - rest)
    assert rows["gap", "x − rest"].p < 0.01
    assert rows["gap", comparisons.SPREAD].value == pytest.approx(means.max() - means.min())
    worst = rows["worst-group", "worst group"]
    assert worst.value == pytest.approx(means.min()) and worst.low <= worst.value <= worst.high


def test_change_of_three_groups():
    before, after = groups((0.5, 0.5, 0.5), seed=1), groups((0.9, 0.5, 0.5), seed=2)
    found = dict(comparisons.changes([(after, before)], MEASURE, ANALYSIS))
    assert set(found) == {"x − rest", "y − rest", "z − rest", comparisons.ANY}
    assert found["x − rest"].low > 0 and found["x − rest"].p < 0.01
    assert found[comparisons.ANY].p == found["x − rest"].p and found[comparisons.ANY].note.endswith(": x")
    none = dict(comparisons.changes([(groups((0.5, 0.5, 0.5), seed=4), before)], MEASURE, ANALYSIS))
    assert none[comparisons.ANY].p > 0.05


def test_a_measure_without_groups_compares_levels():
    measure = Measure(
        name="m", title="m", unit="share", sides=("all",), values=lambda o: o, primary=True, better="higher"
    )
    before, after = groups((0.3,), seed=1), groups((0.8,), seed=2)
    ((comparison, change),) = comparisons.changes([(after, before)], measure, ANALYSIS)
    assert comparison == "all" and change.value == pytest.approx(
        after["value"].mean() - before["value"].mean()
    )
    assert change.low > 0.3 and change.p < 0.01


def test_spread_of_equal_groups_is_zero():
    table = pd.DataFrame({"item_id": ["a", "b"], "side": [0, 1], "value": [1.0, 1.0]})
    assert spread.level([table], 2, spread.distance, ANALYSIS).value == 0


def test_direct_against_indirect_is_welch_s_t_over_data_sets():
    found = direct_against_indirect([0.3, 0.4, 0.5], [0.0, 0.1], ANALYSIS)
    assert found.value == pytest.approx(0.35) and found.n == 5 and found.unit == "data set"
    assert found.p == pytest.approx(ttest_ind([0.3, 0.4, 0.5], [0.0, 0.1], equal_var=False).pvalue)
    assert found.low < 0.35 < found.high and (found.p < 0.05) == (found.low > 0)
    one = direct_against_indirect([0.3], [0.1], ANALYSIS)
    assert one.value == pytest.approx(0.2) and np.isnan(one.p) and np.isnan(one.low)
    assert direct_against_indirect([], [0.1], ANALYSIS).n == 0


def test_relation_is_nominal_without_a_difference():
    rng = np.random.default_rng(0)
    hits = sum(
        direct_against_indirect(rng.normal(size=8), rng.normal(size=6), ANALYSIS).p < 0.05 for _ in range(200)
    )
    assert 1 <= hits <= 20


def test_relation_effects_come_from_the_tasks_changes():
    measure = Measure(
        name="macro_f1",
        title="macro-F1",
        unit="share",
        sides=("all",),
        values=labels_only,
        primary=True,
        statistic="macro_f1",
    )
    frames = []
    for number, task in enumerate(("a", "b", "c", "d")):
        for (bias_type, ratio), seed in itertools.product((("none", 0.0), ("x", 0.5)), (0, 1)):
            table = answers(0.9 if ratio == 0 or number > 1 else 0.3, seed=number + 10 * seed)
            frames.append(
                table.assign(
                    task=task,
                    bias_type=bias_type,
                    ratio=ratio,
                    seed=seed,
                    mitigation="none",
                    round=1,
                    parsed=True,
                )
            )
    relations = {"a": "direct", "b": "direct", "c": "indirect", "d": "indirect"}
    found = effects_of(pd.concat(frames), {t: [measure] for t in relations}, ANALYSIS, relations=relations)
    changes = found[found["question"] == "inheritance"].set_index("task")["estimate"]
    (row,) = found[found["question"] == "relation"].to_dict("records")
    expected = changes[["a", "b"]].mean() - changes[["c", "d"]].mean()
    assert row["estimate"] == pytest.approx(expected) and row["task"] == "all"
    parts = changes[["a", "b"]], changes[["c", "d"]]
    assert row["p"] == pytest.approx(ttest_ind(*parts, equal_var=False).pvalue)
    assert row["estimate"] < -0.3 and row["seeds"] == 2
    alone = pd.concat([f for f in frames if (f["seed"] == 0).all()])
    (row,) = (
        effects_of(alone, {t: [measure] for t in relations}, ANALYSIS, relations=relations)
        .query("question == 'relation'")
        .to_dict("records")
    )
    assert np.isfinite(row["estimate"]) and np.isnan(row["p"]) and row["test"] == "none: one training seed"


def labels_only(outcomes: pd.DataFrame) -> pd.DataFrame:
    return outcomes[["item_id", "side", "target", "prediction"]]
