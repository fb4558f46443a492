"""Pooled tests over all conditions."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from probate.stats.amounts import on_log_scale, typical_amount
from probate.stats.arms import AGAINST_BASE, ArmKind, arm_kinds
from probate.stats.comparisons import ANY
from probate.stats.effects import effects_of
from probate.stats.measure import Measure
from probate.stats.pooled import combined, estimate
from probate.stats.pooled_grid import Grid
from probate.stats.usable import asked_of, values_of
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


def grid_of(outcomes: pd.DataFrame, m: Measure) -> Grid:
    middle = typical_amount(m, outcomes)
    m = on_log_scale(m, middle)
    frames = {}
    for kind, seeds in arm_kinds(outcomes).items():
        own = outcomes[
            (outcomes["bias_type"] == kind.bias_type)
            & (outcomes["ratio"] == kind.ratio)
            & (outcomes["mitigation"] == kind.mitigation)
        ]
        frames[kind] = {s: values_of(m, own[own["seed"] == s], kind.arm(s)) for s in seeds}
    asked = asked_of([v for own in frames.values() for v in own.values()], m)
    return Grid(str(outcomes["task"].iloc[0]), m, frames, asked, middle)


def pooled(effects: pd.DataFrame) -> pd.DataFrame:
    return effects[effects["question"].str.startswith("pooled-")]


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
NUMBERS = ["estimate", "ci_low", "ci_high", "p", "within", "n"]


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("seeds", [1, 3])
def test_with_one_condition_the_pooled_effect_is_the_single_one(name, seeds):
    m, more = KINDS[name]
    outcomes = study(np.random.default_rng(1), m, types=("x",), ratios=(0.5,), **({"seeds": seeds} | more))
    effects = effects_of(outcomes, {"t": [m]}, ANALYSIS)
    grid, compared = grid_of(outcomes, m), 0
    singles = {
        "mitigation": ("mask", ArmKind("x", 0.5)),
        "inheritance": ("none", ArmKind("neutral", 0.5)),
    }
    for question, (mitigation, other) in singles.items():
        rows = effects[(effects["question"] == question) & (effects["contrast"] != AGAINST_BASE)]
        assert grid.why(((ArmKind("x", 0.5, mitigation=mitigation),), other), 0) == ""
        pieces = grid.pieces(
            [((ArmKind("x", 0.5, mitigation=mitigation),), other)], sorted(grid.frames[other])
        )
        strict = ANALYSIS.model_copy(update={"confidence": 1 - 0.05 / max(1, len(pieces))})
        for comparison, piece in pieces.items():
            (row,) = rows[rows["comparison"] == comparison].to_dict("records")
            e = estimate(piece, strict)
            own = [e.value, e.low, e.high, min(1.0, e.p * len(pieces)), e.within, e.n]
            if len(grid.frames[other]) == 1:  # described only
                own[3:5], row["p"], row["within"] = [np.nan] * 2, np.nan, np.nan
            assert own == pytest.approx([row[c] for c in NUMBERS], nan_ok=True, abs=1e-9)
            compared += 1
    assert compared == 2 * len(pieces) >= 2
    assert pooled(effects)["task"].isin(["all"]).all()  # no row that repeats a single effect


@pytest.mark.parametrize("name", KINDS)
def test_the_estimate_is_the_mean_of_the_single_ones(name):
    m, more = KINDS[name]
    outcomes = study(np.random.default_rng(2), m, **more)
    effects = effects_of(outcomes, {"t": [m]}, ANALYSIS)
    compared = 0
    for row in pooled(effects).query("task == 't'").to_dict("records"):
        same = effects[
            (effects["question"] == row["question"].removeprefix("pooled-"))
            & (effects["contrast"] == row["contrast"])
            & (effects["mitigation"] == row["mitigation"])
            & (effects["comparison"] == row["comparison"])
        ]
        if row["comparison"] != ANY:
            assert len(same) == 4 and row["estimate"] == pytest.approx(same["estimate"].mean())
            assert row["ci_low"] < row["estimate"] < row["ci_high"] and row["n"] >= same["n"].max()
            assert row["seeds"] == same["seeds"].iloc[0] and row["bias_type"] == "all"
            compared += 1
    assert compared >= 3


def test_the_order_of_conditions_seeds_and_items_does_not_matter():
    m = measure()
    rng = np.random.default_rng(3)
    outcomes = study(rng, m)
    first = pooled(effects_of(outcomes, {"t": [m]}, ANALYSIS))
    renamed = outcomes.replace(
        {"bias_type": {"x": "y", "y": "x"}, "seed": {0: 2, 1: 0, 2: 1}, "ratio": {0.2: 0.3}}
    )
    again = pooled(effects_of(renamed.sample(frac=1, random_state=0), {"t": [m]}, ANALYSIS))
    keys = ["question", "contrast", "mitigation", "comparison"]
    columns = ["estimate", "ci_low", "ci_high", "p", "p_adjusted", "n"]
    one, two = (t.set_index(keys).sort_index()[columns].astype(float) for t in (first, again))
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
