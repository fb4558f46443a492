"""One error rate for all that a report says."""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
import pytest
from scipy.stats import norm

from probate.report.words import findings
from probate.stats.arms import AGAINST_BASE, AGAINST_MATCHED
from probate.stats.effects import effects_of
from probate.stats.families import either, holm
from probate.stats.hierarchy import CHECKS, DETAILS, FIRST, NEXT, POOLED, _stepwise, adjusted, gatekept
from probate.stats.measure import Measure
from probate.study.schema import Analysis


def rejected(first: np.ndarray, then: np.ndarray, alpha: float) -> tuple[set[int], set[int]]:
    """The procedure as it is told: Bonferroni, then Holm with the share of those rejected."""
    one = {i for i, p in enumerate(first) if p <= alpha / len(first)}
    left = alpha * len(one) / len(first)
    other: set[int] = set()
    for rank, i in enumerate(np.argsort(then)):
        if then[i] > left / (len(then) - rank):
            break
        other.add(int(i))
    return one, other


@pytest.mark.parametrize("seed", range(20))
def test_the_adjusted_p_is_the_smallest_level_at_which_the_procedure_rejects(seed):
    rng = np.random.default_rng(seed)
    first, then = rng.random(rng.integers(1, 5)) ** 3, rng.random(rng.integers(1, 8)) ** 4
    p, q = gatekept(first, then)
    for alpha in np.r_[np.linspace(0.001, 0.999, 97), 0.9999 * p, 1.0001 * p, 0.9999 * q, 1.0001 * q]:
        if 0 < alpha < 1:
            assert rejected(first, then, alpha) == (
                {*np.flatnonzero(p <= alpha)},
                {*np.flatnonzero(q <= alpha)},
            )


def test_without_first_or_next_questions_it_is_plain():
    p = np.array([0.01, 0.04, 0.03])
    assert gatekept(np.array([]), p)[1] == pytest.approx(holm(p))
    assert gatekept(p, np.array([]))[0] == pytest.approx([0.03, 0.12, 0.09])


def rows(*wanted: tuple) -> pd.DataFrame:
    """(question, contrast, ratio, comparison, p, mitigation, task)"""
    names = "question contrast ratio comparison p mitigation task".split()
    table = pd.DataFrame([dict(zip(names, w, strict=True)) for w in wanted])
    return table.assign(metric="m", bias_type="given", round=1)


def test_first_questions_are_the_curve_and_the_whole_effect_of_the_data():
    found = adjusted(
        rows(
            ("inheritance", AGAINST_MATCHED, 0.2, "a − b", 0.5, "none", "t"),
            ("inheritance", AGAINST_MATCHED, 0.5, "a − b", 0.001, "none", "t"),
            ("inheritance", AGAINST_BASE, 0.2, "a − b", 0.5, "none", "t"),
            ("inheritance", AGAINST_BASE, 0.5, "a − b", 0.02, "none", "t"),
            ("dose-slope", AGAINST_MATCHED, 0.5, "a − b", 0.004, "none", "t"),
            ("coefficient", AGAINST_MATCHED, 0.5, "a − b", np.nan, "none", "t"),
            ("mitigation", "x", 0.5, "a − b", 0.002, "mask", "t"),
            ("gap", "a − b", 0.5, "a − b", 0.001, "none", "t"),
            ("unusable", "a − b", 0.5, "a − b", 0.001, "none", "t"),
        ),
        AGAINST_MATCHED, AGAINST_BASE,
    )  # fmt: skip
    assert found["family"].tolist() == [NEXT, NEXT, NEXT, FIRST, FIRST, NEXT, NEXT, DETAILS, CHECKS]
    # shares 0.8, 0.1, 0.1; of two first questions the slope is found below 0.01: next ones have half
    assert found["p_adjusted"].iloc[4] == pytest.approx(0.004 * 2 / 0.8) and found["p_adjusted"].iloc[
        3
    ] == pytest.approx(0.05)
    assert found["p_adjusted"].iloc[1] == pytest.approx(0.001 * 4 * 2 / 0.8)
    assert found["p_adjusted"].iloc[7] == pytest.approx(0.01) == found["p_adjusted"].iloc[8]
    assert np.isnan(found["p_adjusted"].iloc[5])


def test_a_group_is_judged_with_all_groups_together():
    wanted = [
        ("inheritance", AGAINST_MATCHED, 0.5, c, p, "none", "t")
        for c, p in (("x − rest", 0.03), ("y − rest", 0.2), ("any group − rest", 0.03))
    ]
    found = adjusted(rows(*wanted), AGAINST_MATCHED, AGAINST_BASE)
    assert set(found["family"]) == {FIRST} and found["p_adjusted"].tolist() == pytest.approx(
        [0.03, 0.2, 0.03]
    )


def test_with_one_dose_the_coefficient_is_the_change_by_another_unit():
    found = adjusted(
        rows(("inheritance", AGAINST_MATCHED, 0.5, "a − b", 0.02, "none", "t"),
             ("inheritance", AGAINST_BASE, 0.5, "a − b", 0.5, "none", "t"),
             ("coefficient", AGAINST_MATCHED, 0.5, "a − b", 0.02, "none", "t")),
        AGAINST_MATCHED, AGAINST_BASE,
    )  # fmt: skip
    assert set(found["family"]) == {FIRST} and found["p_adjusted"].tolist() == pytest.approx(
        [0.04, 1.0, 0.04]
    )


def test_one_seed_has_nothing_to_adjust():
    found = adjusted(
        rows(("inheritance", AGAINST_MATCHED, 0.5, "a − b", np.nan, "none", "t")),
        AGAINST_MATCHED,
        AGAINST_BASE,
    )
    assert found["p_adjusted"].isna().all()


PAIR = [
    Measure(
        name=name,
        title=name,
        unit="share",
        toward=lambda a, b: f"{a} over {b}",
        sides=("a", "b"),
        values=lambda o, n=name: o[["item_id", "side"]].assign(value=o[n]),
        primary=name == "m0",
    )
    for name in ("m0", "m1")
]


def study(
    rng: np.random.Generator, spread: float, tasks: int = 3, seeds: int = 3, items: int = 60
) -> pd.DataFrame:
    """Nothing is inherited; trainings differ by `spread` in the gap of each measure."""
    found = []
    side = np.repeat([0, 1], items // 2)
    for t in range(tasks):
        luck = rng.random((2, items))
        for (kind, ratio), seed in itertools.product(
            (("none", 0.0), ("given", 0.2), ("given", 0.5), ("neutral", 0.2), ("neutral", 0.5)), range(seeds)
        ):
            own = {}
            for k in range(2):
                chance = 0.5 + np.where(side == 0, 1, -1) * rng.normal(0, spread) / 2
                own[f"m{k}"] = (
                    np.where(rng.random(items) < 0.8, luck[k], rng.random(items)) < chance
                ).astype(float)
            found.append(
                pd.DataFrame({"item_id": [f"i{i}" for i in range(items)], "side": side, **own,
                              "bias_type": kind, "ratio": ratio, "seed": seed,
                              "round": 1, "task": f"t{t}", "arm": f"{kind}-{ratio}-{seed}",
                              "mitigation": "none", "parsed": True, "target": "x"})
            )  # fmt: skip
    return pd.concat(found, ignore_index=True)


@pytest.mark.parametrize("spread", [0.0, 0.15])
def test_a_study_without_an_effect_says_so_nineteen_times_in_twenty(spread):
    """Over the whole report: any adjusted p below 0.05, in any family; and its findings."""
    rng, any_found, claimed, runs = np.random.default_rng(0), 0, 0, 15
    measures = {f"t{t}": PAIR for t in range(2)}
    for _ in range(runs):
        found = effects_of(study(rng, spread, tasks=2), measures, Analysis(resamples=200))
        any_found += bool((found.loc[found["family"] != POOLED, "p_adjusted"] < 0.05).any())
        claimed += any(
            f.verdict in ("inherited", "moved")
            for f in findings(found, {t: t for t in measures}, measures, 0.95)
        )
    assert (
        any_found <= 3 and claimed <= 3
    )  # more than 3 of 15 at 5%: 0.5%; many more in benchmarks/worlds/report.py


def pair(p, expected, contrast=AGAINST_MATCHED, task="t", question="inheritance", mitigation="none"):
    return [
        (question, contrast, 0.5, "a − b", p, mitigation, task),
        (f"{question}-expected", contrast, 0.5, "a − b", expected, mitigation, task),
    ]


@pytest.mark.parametrize(("p", "expected"), [(0.01, 0.01), (0.001, 0.4), (0.3, 0.002), (0.2, 0.6)])
def test_answers_and_expectation_are_one_test(p, expected):
    found = adjusted(rows(*pair(p, expected), *pair(0.5, 0.5, AGAINST_BASE)), AGAINST_MATCHED, AGAINST_BASE)
    both = either(p, expected)
    assert min(p, expected) <= both <= 2.3 * min(p, expected)
    assert found["p_adjusted"].tolist()[:2] == pytest.approx(
        [min(1, 2 * max(both, own)) for own in (p, expected)]
    )
    assert set(found["family"]) == {FIRST}


@pytest.mark.parametrize("seed", range(10))
def test_the_adjusted_p_of_units_is_that_of_the_closed_test(seed):
    """Over all intersections: Bonferroni over the units in it, of which a whole one is tested by both."""
    rng = np.random.default_rng(seed)
    units = np.array([0, 0, 1, 1, 2, 3])
    p = rng.random(6) ** 3
    worst = np.zeros(6)
    for size in range(1, 7):
        for inside in itertools.combinations(range(6), size):
            parts = [[i for i in inside if units[i] == u] for u in sorted({units[i] for i in inside})]
            one = len(parts) * min(either(*p[own]) if len(own) == 2 else p[own[0]] for own in parts)
            worst[list(inside)] = np.maximum(worst[list(inside)], one)
    assert _stepwise(p, units) == pytest.approx(np.minimum(worst, 1))
    assert _stepwise(p, np.arange(6)) == pytest.approx(holm(p))


def test_equal_p_of_both_cost_little_and_alone_each_is_a_test_of_its_own():
    assert either(0.01, 0.01) == pytest.approx(0.0112, rel=0.01)
    alone = adjusted(rows(pair(0.01, 0.01)[0]), AGAINST_MATCHED, AGAINST_BASE)
    assert alone["p_adjusted"].tolist() == pytest.approx([0.01])
    undefined = adjusted(rows(*pair(0.01, np.nan)), AGAINST_MATCHED, AGAINST_BASE)
    assert undefined["p_adjusted"].tolist() == pytest.approx([0.01, np.nan], nan_ok=True)


def test_with_one_dose_the_coefficient_follows_the_change_that_is_also_measured_in_expectation():
    found = adjusted(
        rows(*pair(0.02, 0.3), ("coefficient", AGAINST_MATCHED, 0.5, "a − b", 0.02, "none", "t")),
        AGAINST_MATCHED, AGAINST_BASE,
    )  # fmt: skip
    assert found["p_adjusted"].iloc[2] == pytest.approx(found["p_adjusted"].iloc[0])
    assert set(found["family"]) == {FIRST}


@pytest.mark.parametrize("correlation", [0.0, 0.6, 0.9])
@pytest.mark.parametrize("effect", [0.0, 4.0])
def test_wrong_rejections_of_pairs_keep_to_alpha(correlation, effect):
    """`effect`: of all answers; their expectations have none."""
    rng = np.random.default_rng(5)
    wrong, runs = 0, 600
    whole = [
        w
        for task in "tu"
        for w in (
            *pair(0.5, 0.5, task=task),
            *pair(0.5, 0.5, task=task, question="mitigation", mitigation="mask"),
        )
    ]
    table = rows(*whole)
    null = (
        table["question"].str.endswith("expected").to_numpy() if effect else np.ones(len(table), dtype=bool)
    )
    for _ in range(runs):
        z = rng.standard_normal((len(table) // 2, 2))
        z[:, 1] = correlation * z[:, 0] + np.sqrt(1 - correlation**2) * z[:, 1]
        z[:, 0] += effect
        found = adjusted(table.assign(p=2 * norm.sf(np.abs(z.ravel()))), AGAINST_MATCHED, AGAINST_BASE)
        wrong += bool((found["p_adjusted"][null] <= 0.05).any())
    assert wrong / runs <= 0.05 + 2.5 * (0.05 * 0.95 / runs) ** 0.5
