"""Pooled tests over all conditions."""

from __future__ import annotations

import itertools
import runpy
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binom, ttest_ind

from probate.stats import comparisons
from probate.stats.amounts import on_log_scale, typical_amount
from probate.stats.arms import AGAINST_BASE, AGAINST_MATCHED, ArmKind, arm_kinds
from probate.stats.comparisons import ANY
from probate.stats.contrast import Estimate
from probate.stats.effects import effects_of
from probate.stats.hierarchy import POOLED, adjusted, gatekept
from probate.stats.measure import Measure
from probate.stats.pooled import combined, estimate
from probate.stats.pooled_effects import pooled_rows
from probate.stats.pooled_grid import Grid
from probate.stats.usable import asked_of, values_of
from probate.study.plan import Arm
from probate.study.schema import Analysis

ANALYSIS = Analysis(resamples=200)
OF_MEAN = ["item_id", "side", "value"]
OF_LABELS = ["item_id", "side", "target", "prediction"]


def measure(unit: str = "share", sides: tuple[str, ...] = ("a", "b"), *, macro: bool = False) -> Measure:
    columns = OF_LABELS if macro else OF_MEAN
    return Measure(
        name="macro_f1" if macro else "m",
        title="m",
        unit=unit,
        toward=lambda a, b: f"{a} over {b}",
        sides=("all",) if macro else sides,
        values=lambda o: o.loc[o["parsed"] & o["side"].notna(), columns],
        primary=True,
        statistic="macro_f1" if macro else "mean",
        scale="log" if unit == "US$" else "plain",
    )


def study(
    rng: np.random.Generator,
    m: Measure,
    *,
    task: str = "t",
    types: tuple[str, ...] = ("x", "y"),
    ratios: tuple[float, ...] = (0.2, 0.5),
    seeds: int = 3,
    items: int = 24,
    mitigations: tuple[str, ...] = ("mask",),
    control: bool = True,
    links: int = 1,
    members: bool = False,
    unusable: float = 0.0,
    spread: float = 0.1,
    bias: float = 0.4,
    left: float = 0.1,
    rate: float = 0.5,
) -> pd.DataFrame:
    """Outcomes of one task: bias moves the gap by `bias` (at the largest γ), of which `left` is mitigated."""
    groups = len(m.sides)
    side = np.arange(items) % groups
    ids = [f"{task}-{i // links}" + (f"#{i % links}" if links > 1 else "") for i in range(items)]
    if members:  # pairs of a woman and a man, each of several pairs
        ids = [f"{task}-p{i // 2}@@w{i // 2 % 4}@@m{i // 8}#{i % 2}" for i in range(items)]
    arms = [("none", 0.0, "none")] + [("neutral", r, "none") for r in ratios if control]
    arms += [(t, r, k) for t in types for r in ratios for k in ("none", *mitigations)]
    luck, found = rng.normal(0, 1, items), []
    for (kind, ratio, mitigation), seed in itertools.product(arms, range(seeds)):
        moved = 0.0 if kind in ("none", "neutral") else ratio / max(ratios)
        gap = rng.normal(0, spread) + moved * (bias if mitigation == "none" else left)
        latent = 0.9 * luck + 0.4 * rng.normal(0, 1, items)
        tilt = np.where(side == 0, 1, -1) if groups > 1 else 1
        level = np.quantile(luck, 1 - rate) - tilt * gap
        target = np.where(np.arange(items) % 3, "u", "v")
        answer = np.where(rng.random(items) < 0.7 - gap, target, "u")
        found.append(
            pd.DataFrame(
                {
                    "item_id": ids, "side": side, "bias_type": kind, "ratio": ratio, "seed": seed,
                    "value": 50_000 * np.exp(0.3 * latent + tilt * gap)
                    if m.unit == "US$" else (latent > level).astype(float),
                    "mitigation": mitigation, "round": 1, "task": task, "target": target,
                    "prediction": answer, "parsed": rng.random(items) >= unusable,
                }
            )
        )  # fmt: skip
    return pd.concat(found, ignore_index=True)


def grid_of(outcomes: pd.DataFrame, m: Measure, arms: Sequence[Arm] = ()) -> Grid:
    middle = typical_amount(m, outcomes)
    m = on_log_scale(m, middle)
    frames = {}
    for kind, seeds in arm_kinds(outcomes, arms).items():
        own = outcomes[
            (outcomes["bias_type"] == kind.bias_type)
            & (outcomes["ratio"] == kind.ratio)
            & (outcomes["mitigation"] == kind.mitigation)
        ]
        frames[kind] = {s: values_of(m, own[own["seed"] == s], kind.arm(s)) for s in seeds}
    asked = asked_of([v for own in frames.values() for v in own.values()], m)
    return Grid(str(outcomes["task"].iloc[0]), m, frames, asked, middle)


def pooled(
    outcomes: pd.DataFrame,
    m: Measure,
    *,
    arms: Sequence[Arm] = (),
    relations: dict[str, str] | None = None,
    analysis: Analysis = ANALYSIS,
) -> pd.DataFrame:
    """The pooled effects of one measure in all tasks, before p is adjusted."""
    grids = [grid_of(own, m, arms) for _, own in outcomes.groupby("task", sort=False)]
    macro = grids if m.statistic == "macro_f1" else []
    rows = [
        {**asdict(r), **asdict(r.effect), "estimate": r.effect.value, "ci_low": r.effect.low,
         "ci_high": r.effect.high}
        for r in pooled_rows(grids, macro, relations or {}, analysis)
    ]  # fmt: skip
    return pd.DataFrame(rows, columns=[*COLUMNS, *rows[0]] if rows else COLUMNS).loc[
        :, lambda t: ~t.columns.duplicated()
    ]


COLUMNS = ["question", "task", "contrast", "mitigation", "comparison"]


def singles(grid: Grid, condition: tuple[ArmKind, ArmKind], seeds: Sequence[int]) -> dict[str, Estimate]:
    """The effects of one condition, by comparison."""
    own, other = (grid.frames[kind] for kind in condition)
    pairs = [(own[s].frame, other[s].frame) for s in seeds]
    return dict(comparisons.changes(pairs, grid.measure, ANALYSIS, grid.asked))


KINDS = {
    "shares": (measure(), {}),
    "shares, two seeds": (measure(), {"seeds": 2}),
    "hardly any variation": (measure(), {"rate": 0.04, "bias": 0.0, "left": 0.0, "spread": 0.0}),
    "unusable answers": (measure(), {"unusable": 0.2, "items": 60}),
    "clusters in one group": (measure(), {"links": 4}),
    "pairs": (measure(), {"links": 2}),
    "names in several pairs": (measure(), {"members": True, "items": 32}),
    "amounts": (measure("US$"), {}),
    "amounts, unusable": (measure("US$"), {"unusable": 0.1, "items": 40}),
    "level": (measure(sides=("all",)), {}),
    "level, unusable": (measure(sides=("all",)), {"unusable": 0.2}),
    "level of amounts": (measure("US$", ("all",)), {}),
    "four groups": (measure(sides=("a", "b", "c", "d")), {"items": 80}),
    "macro-F1": (measure(macro=True), {"items": 40}),
    "macro-F1, unusable": (measure(macro=True), {"items": 60, "unusable": 0.1}),
    "macro-F1, hardly any variation": (measure(macro=True), {"items": 9, "spread": 0.0}),
}


def numbers(e: Estimate) -> list[float]:
    return [e.value, e.low, e.high, e.p, e.within, e.n]


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("seeds", [1, 3])
def test_with_one_condition_the_pooled_effect_is_the_single_one(name, seeds):
    m, more = KINDS[name]
    outcomes = study(np.random.default_rng(1), m, types=("x",), ratios=(0.5,), **({"seeds": seeds} | more))
    grid, compared = grid_of(outcomes, m), 0
    biased = ArmKind("x", 0.5)
    for own, other in ((replace(biased, mitigation="mask"), biased), (biased, ArmKind("neutral", 0.5))):
        trained = sorted(grid.frames[other])
        assert not any(grid.why(((own,), other), s) for s in trained)
        pieces = grid.pieces([((own,), other)], trained)
        strict = ANALYSIS.model_copy(update={"confidence": 1 - 0.05 / len(pieces)})
        expected = singles(grid, (own, other), trained)
        for comparison, piece in pieces.items():
            e, single = estimate(piece, strict), expected[comparison]
            e = replace(e, p=min(1.0, e.p * len(pieces)) if np.isfinite(e.p) else e.p)
            if len(trained) == 1:  # described only
                single = replace(single, p=np.nan)
            assert numbers(e) == pytest.approx(numbers(single), nan_ok=True, abs=1e-9)
            compared += 1
    assert compared == 2 * len(pieces) >= 2
    assert set(pooled(outcomes, m)["task"]) <= {"all"}  # no row that repeats a single effect


@pytest.mark.parametrize("name", KINDS)
def test_the_estimate_is_the_mean_of_the_single_ones(name):
    m, more = KINDS[name]
    outcomes = study(np.random.default_rng(2), m, **more)
    grid, found = grid_of(outcomes, m), pooled(outcomes, m)
    trained, compared = sorted(grid.frames[ArmKind("none", 0.0)]), 0
    for row in found[found["comparison"] != ANY].query("task == 't'").to_dict("records"):
        conditions = []
        for kind in grid.kinds(row["mitigation"]):
            other = {
                AGAINST_BASE: ArmKind("none", 0.0), AGAINST_MATCHED: ArmKind("neutral", kind.ratio)
            }.get(row["contrast"], replace(kind, mitigation="none"))  # fmt: skip
            conditions.append(singles(grid, (kind, other), trained)[row["comparison"]])
        assert len(conditions) == 4
        assert row["estimate"] == pytest.approx(np.mean([e.value for e in conditions]))
        assert row["ci_low"] < row["estimate"] < row["ci_high"]
        assert row["n"] >= max(e.n for e in conditions) and row["seeds"] == len(trained)
        compared += 1
    assert compared == 3 * len(grid.pieces([((kind,), other)], trained))


def test_the_order_of_conditions_seeds_and_items_does_not_matter():
    m = measure()
    rng = np.random.default_rng(3)
    outcomes = study(rng, m)
    renamed = outcomes.replace(
        {"bias_type": {"x": "y", "y": "x"}, "seed": {0: 2, 1: 0, 2: 1}, "ratio": {0.2: 0.3}}
    )
    keys = ["question", "contrast", "mitigation", "comparison"]
    columns = ["estimate", "ci_low", "ci_high", "p", "n"]
    one, two = (
        pooled(t, m).set_index(keys).sort_index()[columns].astype(float)
        for t in (outcomes, renamed.sample(frac=1, random_state=0))
    )
    assert len(one) == 4 and np.allclose(one, two)


def test_two_tasks_with_the_same_items_are_not_independent():
    """A copy of a task tells nothing new: estimate, interval and p stay."""
    m = measure()
    outcomes = study(np.random.default_rng(4), m)
    grid = grid_of(outcomes, m)
    conditions = [((replace(k, mitigation="mask"),), k) for k in grid.kinds()]
    (piece,) = grid.pieces(conditions, [0, 1, 2]).values()
    alone, twice = estimate(piece, ANALYSIS), estimate(combined([piece, piece], [0.5, 0.5]), ANALYSIS)
    assert [twice.value, twice.low, twice.high, twice.p, twice.n] == pytest.approx(
        [alone.value, alone.low, alone.high, alone.p, alone.n], rel=0.02
    )
    other = grid_of(study(np.random.default_rng(5), m, task="other"), m)
    (fresh,) = other.pieces(conditions, [0, 1, 2]).values()
    both = combined([piece, fresh], [0.5, 0.5])
    assert both.items == pytest.approx((piece.items + fresh.items) / 4) and len(both.names) == 48


def shifted(task: str, m: Measure, by: dict[tuple[str, str], float], seeds: int = 3) -> pd.DataFrame:
    """One task whose gap is `by` (bias type, mitigation) at each γ, up to little noise."""
    rng, found = np.random.default_rng(len(task)), []
    items = 40
    side = np.arange(items) % 2
    luck = rng.normal(0, 1, items)
    arms = [("none", 0.0, "none"), ("neutral", 0.2, "none"), ("neutral", 0.5, "none")]
    arms += [(t, r, k) for t, k in by for r in (0.2, 0.5)]
    for (kind, ratio, mitigation), seed in itertools.product(arms, range(seeds)):
        gap = by.get((kind, mitigation), 0.0) + rng.normal(0, 0.05)
        found.append(
            pd.DataFrame(
                {"item_id": [f"{task}{i}" for i in range(items)], "side": side, "bias_type": kind,
                 "value": luck + np.where(side == 0, 0.5, -0.5) * gap + rng.normal(0, 0.05, items),
                 "ratio": ratio, "seed": seed, "mitigation": mitigation, "round": 1, "task": task,
                 "parsed": True, "target": "x", "prediction": "x"}
            )
        )  # fmt: skip
    return pd.concat(found, ignore_index=True)


def over_tasks(tasks: dict[str, dict[tuple[str, str], float]], seeds: int = 3) -> dict[str, object]:
    m = measure("score")
    outcomes = pd.concat([shifted(t, m, by, seeds) for t, by in tasks.items()], ignore_index=True)
    (row,) = pooled(outcomes, m).query("mitigation == 'mask' and task == 'all'").to_dict("records")
    return row


DIRECTIONS = {
    "cured": ([(1.0, 0.0)], "closer"),
    "cured, the other sign": ([(-1.0, 0.0)], "closer"),
    "cured in tasks of both signs": ([(1.0, 0.0), (-1.0, 0.0)], "closer"),
    "partly": ([(1.0, 0.6), (1.0, 0.7)], "closer"),
    "reversed by half": ([(1.0, -0.5)], "closer"),
    "reversed": ([(1.0, -1.0)], "not shown"),
    "reversed in tasks of both signs": ([(1.0, -1.0), (-1.0, 1.0)], "not shown"),
    "reversed and larger": ([(1.0, -2.0)], "farther"),
    "amplified": ([(1.0, 2.0)], "farther"),
    "amplified in tasks of both signs": ([(1.0, 2.0), (-1.0, -2.0)], "farther"),
    "nothing inherited, moved": ([(0.0, 1.0)], "farther"),
    "nothing inherited, moved both ways": ([(0.0, 1.0), (0.0, -1.0)], "farther"),
    "as much better as worse": ([(1.0, 0.0), (0.0, 1.0)], "not shown"),
    "unchanged": ([(1.0, 1.0), (1.0, 1.0)], "not shown"),
}


@pytest.mark.parametrize("name", DIRECTIONS)
def test_over_all_tasks_closer_and_farther_are_from_the_control(name):
    pairs, expected = DIRECTIONS[name]
    tasks = {
        f"t{'x' * i}": {(t, k): gap for t in ("p", "q") for k, gap in (("none", b), ("mask", m))}
        for i, (b, m) in enumerate(pairs)
    }
    row = over_tasks(tasks)
    said = "not shown" if row["p"] > 0.05 else "closer" if row["estimate"] > 0 else "farther"
    assert said == expected
    assert (row["ci_low"] > 0 or row["ci_high"] < 0) == (row["p"] < 0.05)
    assert row["ci_low"] <= row["estimate"] <= row["ci_high"]
    assert row["contrast"] == "toward the matched control" and row["n"] == 40 * len(pairs)
    assert f"{4 * len(pairs)} conditions in {len(pairs)} tasks" in row["note"]
    if name in ("cured", "cured, the other sign", "cured in tasks of both signs"):
        assert row["estimate"] == pytest.approx(1.0, abs=0.25)  # items spread by 1


def test_interval_and_p_agree_at_each_confidence():
    rng, decided = np.random.default_rng(0), set()
    m = measure()
    for _ in range(6):
        outcomes = study(rng, m, types=("x",), bias=rng.uniform(0, 1.5), left=0.0, spread=0.03)
        for confidence in (0.8, 0.95, 0.99):
            for row in pooled(outcomes, m, analysis=Analysis(confidence=confidence)).to_dict("records"):
                excluded = row["ci_low"] > 0 or row["ci_high"] < 0
                assert excluded == (row["p"] < 1 - confidence)
                decided.add((row["task"] == "all", excluded))
    assert len(decided) == 4


def test_an_exact_tie_has_no_direction():
    """The mitigation changes nothing, or reverses exactly: 0, p = 1, and an interval on both sides."""
    m = measure()
    outcomes = study(np.random.default_rng(0), m, types=("x",))
    keys = ["bias_type", "ratio", "seed", "item_id"]
    wide = {k: own.set_index(keys)["value"] for k, own in outcomes.groupby("mitigation")}

    def with_values(values: pd.Series) -> pd.DataFrame:
        own = outcomes[outcomes["mitigation"] == "mask"].set_index(keys)
        return pd.concat([outcomes[outcomes["mitigation"] == "none"], own.assign(value=values).reset_index()])

    biased = wide["none"].loc[wide["mask"].index]
    control = wide["none"].rename({"neutral": "x"}, level=0)
    control = control[control.index.get_level_values(0) == "x"]
    control = control[~control.index.duplicated()].loc[wide["mask"].index]
    (row,) = pooled(with_values(biased), m).query("task == 'all'").to_dict("records")
    assert row["estimate"] == 0 and row["p"] == 1 and row["ci_low"] < 0 < row["ci_high"]
    (row,) = pooled(with_values(2 * control - biased), m).query("task == 'all'").to_dict("records")
    assert row["estimate"] == pytest.approx(0, abs=1e-12) and row["p"] > 0.9
    assert row["ci_low"] < 0 < row["ci_high"]


def lost(outcomes: pd.DataFrame, where: str, how: str) -> pd.DataFrame:
    """The outcomes with arms that failed (`gone`) or gave no usable answer about one group (`mute`)."""
    place = outcomes.query(where).index
    if how == "gone":
        return outcomes.drop(place)
    return outcomes.assign(parsed=~outcomes.index.isin(place) | (outcomes["side"] == 1))


MITIGATED = "mitigation == 'mask'"
LOSSES = {
    "one arm": (f"{MITIGATED} and bias_type == 'x' and ratio == 0.5 and seed == 1", 3, 3),
    "one condition": (f"{MITIGATED} and bias_type == 'x' and ratio == 0.5", 3, 3),
    "most of a seed": (f"{MITIGATED} and seed == 2 and not (bias_type == 'x' and ratio == 0.2)", 4, 2),
    "a seed": (f"{MITIGATED} and seed == 2", 4, 2),
    "everything": (MITIGATED, 0, 0),
    "three conditions": (f"{MITIGATED} and not (bias_type == 'x' and ratio == 0.2)", 0, 0),
}


@pytest.mark.parametrize("how", ["gone", "mute"])
@pytest.mark.parametrize("name", LOSSES)
def test_what_is_left_out_is_said(name, how):
    where, conditions, seeds = LOSSES[name]
    m = measure()
    whole = study(np.random.default_rng(7), m)
    planned = [kind.arm(s) for kind, own in arm_kinds(whole).items() for s in own]
    arms = [
        Arm(
            k.bias_type,
            k.ratio,
            s,
            {"none": "base", "neutral": "matched"}.get(k.bias_type, "biased"),
            k.mitigation,
        )
        for k, own in arm_kinds(whole).items()
        for s in own
    ]
    assert [a.name for a in arms] == planned
    table = pooled(lost(whole, where, how), m, arms=arms)
    rows = table[table["question"] == "pooled-mitigation"]
    assert len(rows) == 2
    for row in rows.to_dict("records"):
        if conditions:
            assert np.isfinite([row["estimate"], row["p"]]).all() and row["seeds"] == seeds
            assert f"{conditions} conditions" in row["note"] and "left out" in row["note"]
            assert "-s" in row["note"]  # the arm
        else:
            assert np.isnan([row["estimate"], row["ci_low"], row["p"]]).all()
            assert "mask" in row["reason"]
    others = table[table["question"] == "pooled-inheritance"]
    assert len(others) == 2 and (others["reason"] == "").all() and others["p"].notna().all()


def test_unusable_answers_are_counted_and_bounded():
    m = measure()
    outcomes = study(np.random.default_rng(8), m, unusable=0.15, items=60)
    rows = pooled(outcomes, m).to_dict("records")
    assert len(rows) == 4
    for row in rows:
        assert "usable answers: a " in row["note"]
        if row["task"] == "t":
            low, high = row["bounds"]
            assert low < row["estimate"] < high and 0.1 < row["unusable"] < 0.5
    assert all(np.isnan(b) for b in pooled(study(np.random.default_rng(8), m), m)["bounds"].iloc[0])


def test_without_a_control_there_is_no_direction():
    m = measure()
    outcomes = study(np.random.default_rng(9), m, control=False)
    base = pooled(outcomes, m)
    assert set(base["contrast"]) == {"against γ = 0", "against the arm without it", "toward γ = 0"}
    none = pooled(outcomes[outcomes["bias_type"] != "none"], m)
    (row,) = none.query("task == 'all'").to_dict("records")
    assert row["reason"] == "there is no control to compare with" and np.isnan(row["p"])
    assert none.query("task == 't'")["p"].notna().all() and len(none) == 2


def test_a_control_at_some_doses_is_named():
    m = measure()
    outcomes = study(np.random.default_rng(9), m)
    part = outcomes[(outcomes["bias_type"] != "neutral") | (outcomes["ratio"] == 0.5)]
    rows = pooled(part, m).set_index("contrast")
    assert "2 of 4 conditions have no such control" in rows.loc[AGAINST_MATCHED, "note"]
    assert "mean over 2 conditions" in rows.loc[AGAINST_MATCHED, "note"]
    assert "no such control" not in rows.loc[AGAINST_BASE, "note"]
    assert "toward γ = 0" in rows.index  # the direction needs a control at each γ


def test_a_task_without_variation_is_named():
    m = measure()
    rng = np.random.default_rng(10)
    outcomes = pd.concat([study(rng, m), study(rng, m, task="u").assign(value=1.0)])
    (row,), (own,) = (
        pooled(t, m).query("task == 'all'").to_dict("records")
        for t in (outcomes, outcomes[outcomes["task"] == "t"])
    )
    assert "no answer varies in u" in row["note"] and row["estimate"] == pytest.approx(own["estimate"])
    (row,) = pooled(outcomes[outcomes["task"] == "u"], m).query("task == 'all'").to_dict("records")
    assert row["reason"] and np.isnan(row["p"])


def relation_study(
    rng: np.random.Generator, direct: int, indirect: int, seeds: int, shift: float
) -> tuple[pd.DataFrame, dict[str, str]]:
    """Tasks whose macro-F1 falls by chance alone; each training shifts all direct tasks."""
    m, frames, relations = measure(macro=True), [], {}
    by_seed = rng.normal(0, shift, (3, seeds))
    for t in range(direct + indirect):
        relations[f"t{t}"] = "direct" if t < direct else "indirect"
        table = study(rng, m, task=f"t{t}", types=("x",), mitigations=(), seeds=seeds, items=45, spread=0.0)
        for (kind, seed), own in table.groupby(["bias_type", "seed"], sort=False):
            move = by_seed[["none", "neutral", "x"].index(kind), seed] if t < direct else 0.0
            right = rng.random(len(own)) < 0.7 + move
            frames.append(own.assign(prediction=own["target"].where(right, "u")))
    return pd.concat(frames, ignore_index=True), relations


def test_the_relation_is_a_difference_of_task_means_over_data_sets_and_seeds():
    m = measure(macro=True)
    outcomes, relations = relation_study(np.random.default_rng(11), 3, 3, 3, 0.2)
    grids = {str(t): grid_of(own, m) for t, own in outcomes.groupby("task")}
    rows = pooled(outcomes, m, relations=relations).query("question == 'pooled-relation'")
    assert list(rows["contrast"]) == [AGAINST_BASE, AGAINST_MATCHED]
    for row in rows.to_dict("records"):
        means: dict[str, list[float]] = {"direct": [], "indirect": []}
        for task, grid in grids.items():
            conditions = [(k, grid.control(k, row["contrast"])) for k in grid.kinds()]
            effects = [singles(grid, c, [0, 1, 2])["all"].value for c in conditions]
            means[relations[task]].append(float(np.mean(effects)))
        assert row["estimate"] == pytest.approx(np.mean(means["direct"]) - np.mean(means["indirect"]))
        assert row["unit"] == "data set and seed" and row["n"] == 6 and row["seeds"] == 3
        assert row["test"] == "t over data sets and seeds" and row["ci_low"] < row["ci_high"]
        # Welch's t over data sets does not know that trainings differ
        assert row["p"] > ttest_ind(means["direct"], means["indirect"], equal_var=False).pvalue
    one, relations = relation_study(np.random.default_rng(12), 1, 3, 3, 0.0)
    rows = pooled(one, m, relations=relations).query("question == 'pooled-relation'")
    assert np.isfinite(rows["estimate"]).all() and rows["p"].isna().all() and len(rows) == 2
    assert rows["interval"].str.startswith("undefined").all()


@pytest.mark.parametrize("where", ["bias_type == 'x'", "ratio == 0.5"])
def test_a_data_set_that_failed_is_named_in_the_relation(where):
    m = measure(macro=True)
    outcomes, relations = relation_study(np.random.default_rng(13), 2, 2, 2, 0.0)
    mute = outcomes.query(f"task == 't0' and target == 'v' and {where}").index
    rows = pooled(outcomes.assign(parsed=~outcomes.index.isin(mute)), m, relations=relations)
    rows = rows.query("question == 'pooled-relation'")
    assert len(rows) == 2
    if where == "ratio == 0.5":
        assert rows["note"].str.contains("mean over 1 condition").all()
        assert rows["note"].str.contains("left out").all() and rows["estimate"].notna().all()
    else:
        assert rows["estimate"].isna().all() and rows["reason"].str.contains("t0").all()


def test_pooled_effects_are_a_family_of_their_own():
    """They have the same p_adjusted with and without the others, and the others with and without them."""
    m = measure()
    rng = np.random.default_rng(14)
    outcomes = pd.concat([study(rng, m, task=t, types=("x",)) for t in ("t", "u")], ignore_index=True)
    table = effects_of(outcomes, {t: [m] for t in ("t", "u")}, ANALYSIS)
    own = table["question"].str.startswith("pooled-")
    assert (table.loc[own, "family"] == POOLED).all() and not (table.loc[~own, "family"] == POOLED).any()
    assert own.sum() == 7 and (~own).sum() > 20 and table.loc[own, "p_adjusted"].notna().all()
    for part in (table[own], table[~own]):
        again = adjusted(part.reset_index(drop=True), AGAINST_MATCHED, AGAINST_BASE)
        assert np.allclose(again["p_adjusted"], part["p_adjusted"], equal_nan=True)
        assert np.allclose(again["p_bh"], part["p_bh"], equal_nan=True)
    rows = table[own]
    first = (rows["contrast"] == AGAINST_MATCHED) | (rows["task"] == "all")
    p, q = gatekept(rows.loc[first, "p"].to_numpy(), rows.loc[~first, "p"].to_numpy())
    assert first.sum() == 3 and np.allclose(rows.loc[first, "p_adjusted"], p)
    assert np.allclose(rows.loc[~first, "p_adjusted"], q)
    # and each row is the one that its parts give
    found = pooled(outcomes, m).reset_index(drop=True)
    columns = ["estimate", "ci_low", "ci_high", "p", "ratio"]
    assert np.allclose(rows[columns].astype(float), found[columns].astype(float))
    assert (rows["bias_type"] == "all").all() and (rows["ratio"] == 0.5).all()


def test_one_seed_is_described_and_not_tested():
    m = measure()
    outcomes = study(np.random.default_rng(6), m, types=("x",), seeds=1)
    table = effects_of(outcomes, {"t": [m]}, ANALYSIS)
    rows = table[table["question"].str.startswith("pooled-")]
    assert len(rows) == 4 and rows["p"].isna().all() and rows["p_adjusted"].isna().all()
    assert (rows["test"] == "none: one training seed").all() and rows["within"].isna().all()
    assert (rows["ci_low"] < rows["estimate"]).all() and (rows["estimate"] < rows["ci_high"]).all()


BENCH = runpy.run_path(str(Path(__file__).parents[2] / "benchmarks" / "pooled.py"))
RUNS = 60


@pytest.mark.parametrize(
    "name", ["nothing inherited", "seeds spread by 15, 2 seeds", "sparse answers", "inherited 40, not cured",
             "reversed, 40 to −40", "nothing inherited, moves by 20"],
)  # fmt: skip
def test_a_mitigation_that_does_not_help_is_seldom_said_to_help(name):
    """Closer in more grids than 5% allow with probability 0.999; benchmarks/pooled.py has 10,000 of each."""
    world = (BENCH["NULLS"] | BENCH["HARMS"])[name]
    found = BENCH["rates"](world, RUNS)
    most = binom.ppf(0.999, RUNS, 0.05)
    assert found["closer"] <= most
    if name in BENCH["NULLS"]:
        assert found["farther"] <= most and found["task"] <= most
    else:
        assert found["task"] > RUNS / 2  # the change itself is found


def test_a_mitigation_that_helps_is_found():
    world = replace(BENCH["World"](), inherited=0.5, cured=1.0, flat=True, spread=0.02, seeds=5)
    assert BENCH["rates"](world, 20)["closer"] >= 15


@pytest.mark.parametrize("name", ["nothing inherited", "amounts only", "8 against 52 items"])
def test_the_benchmark_takes_the_path_of_the_report(name):
    assert BENCH["check"](BENCH["NULLS"][name], 3) < 1e-9
