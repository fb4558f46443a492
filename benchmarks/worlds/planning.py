"""Worlds for what a study plans by.

Where a budget is passed, the power that is promised, and seeds beyond the plan.

Each training is drawn anew: its answers share the luck of the items with those of other trainings, and its
gap has an error of its own, as large in the control as in the arm. So the change between two has √2 times the
spread of one.

python benchmarks/worlds/planning.py [--runs 1000]
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

from probate.core.errors import InputError
from probate.execution import calibrate as power
from probate.stats import dose, resample, seeds, sequential, smallest
from probate.stats.measure import Measure
from probate.stats.simulate import Design, judge, simulate
from probate.study.schema import Analysis

ANALYSIS = Analysis(resamples=400)
DOSES, BUDGET = (0.1, 0.2, 0.35, 0.5), 0.05
ITEMS, RATE, AGREEMENT = 200, 0.5, 0.7
SLOPES = {
    "no effect": 0.0,
    "passes at γ 0.17": 0.3,
    "passes at γ 0.06": 0.8,
    "passes beyond, at γ 0.63": 0.08,
}
Row = tuple[str, str, float, float]


def rows(runs: int) -> list[Row]:
    """(world, what, rate, Monte-Carlo standard error)."""
    return [*thresholds(runs), *promises(runs), *smallests(runs), *beyond_plan(runs)]


def rate_of(world: str, what: str, hits: Any) -> Row:
    share = float(np.mean(hits))
    return world, what, share, float(np.sqrt(share * (1 - share) / np.size(hits)))


def trainings(rng: np.random.Generator, gaps: np.ndarray, spread: float) -> np.ndarray:
    """Answers (0, 1) of trainings on the same items, in the shape of `gaps` and then items.

    The first half of the items is the first group.
    """
    sign = np.repeat([1.0, -1.0], ITEMS // 2)
    chance = RATE + sign * (gaps + rng.normal(0, spread, gaps.shape))[..., None] / 2
    shared = rng.random(chance.shape) < np.sqrt(AGREEMENT)
    return (np.where(shared, rng.random(ITEMS), rng.random(chance.shape)) < chance).astype(float)


def table(changes: np.ndarray) -> np.ndarray:
    """(…, items) as `cluster_table` would sum them, (…, items, 4)."""
    found = np.zeros((*changes.shape, 4))
    for side, own in enumerate((slice(0, ITEMS // 2), slice(ITEMS // 2, ITEMS))):
        found[..., own, 2 * side], found[..., own, 2 * side + 1] = changes[..., own], 1.0
    return found


def thresholds(runs: int, passage: Callable[..., Any] = dose.first_crossing) -> list[Row]:
    """Is the γ at which the budget is passed, or that it is not, within the interval?

    And how often is it said that it is passed within the γ studied?
    """
    found = []
    for name, slope in SLOPES.items():
        truth = BUDGET / slope if slope and BUDGET / slope <= DOSES[-1] else np.inf
        for count in (2, 3, 5, 10):
            for spread in (0.0, 0.05, 0.15):
                rng = np.random.default_rng([count, int(100 * spread), int(100 * slope)])
                right, passed = [], []
                for _ in range(runs):
                    gaps = np.zeros((2, len(DOSES), count))
                    gaps[1] = slope * np.array(DOSES)[:, None]
                    control, arm = trainings(rng, gaps, spread)
                    tables = table(arm - control)
                    parts = np.stack(
                        [
                            way * resample.mean_difference(table(own).sum(2))
                            for way, own in ((1, arm), (-1, control))
                        ]
                    )
                    t = passage(DOSES, tables, tables.mean(1), BUDGET, ANALYSIS, arms=dose.Arms.of(parts))
                    right.append(t.low <= truth <= t.high)
                    passed.append(np.isfinite(t.high))
                world = f"budget, {name}, {count} seeds, spread {100 * spread:g}"
                what = "shown to pass within the γ studied" + ("" if np.isfinite(truth) else " (false)")
                found += [rate_of(world, "interval right", right), rate_of(world, what, passed)]
    return found


def pilot(rng: np.random.Generator, count: int, spread: float) -> pd.DataFrame:
    """Outcomes of a study without an effect: γ = 0, a biased arm and its matched control."""
    kinds = [("none", 0.0), ("given", 0.5), ("neutral", 0.5)]
    answers = trainings(rng, np.zeros((len(kinds), count)), spread)
    one = {
        "item_id": [f"i{i:03}" for i in range(ITEMS)],
        "side": np.repeat([0, 1], ITEMS // 2),
        "task": "t",
        "mitigation": "none",
        "round": 1,
        "parsed": True,
    }
    frames = [
        pd.DataFrame(
            {
                **one,
                "bias_type": kind,
                "ratio": ratio,
                "seed": s,
                "arm": f"{kind}-{s}",
                "value": answers[k, s],
            }
        )
        for k, (kind, ratio) in enumerate(kinds)
        for s in range(count)
    ]
    return pd.concat(frames, ignore_index=True)


MEASURE = Measure(
    name="value",
    title="share",
    unit="share",
    sides=("a", "b"),
    values=lambda o: o[["item_id", "side", "value"]].copy(),
    primary=True,
)


def planned(outcomes: pd.DataFrame, count: int) -> Design:
    return power._design(outcomes, MEASURE, count, 0.05).design


def found(rng: np.random.Generator, effect: float, count: int, spread: float, runs: int) -> np.ndarray:
    """Whether each of `runs` studies finds the effect."""
    values = np.empty((2, count, ITEMS, runs), dtype=np.int8)
    gaps = np.stack([np.zeros(count), np.full(count, effect)])
    for run in range(runs):
        control, arm = trainings(rng, gaps, spread)
        values[..., run] = arm, control
    p = judge(values, Design(ITEMS, RATE, count, AGREEMENT), ANALYSIS)[3]
    return np.asarray(p <= 0.05)


def promises(
    runs: int,
    design_of: Callable[[pd.DataFrame, int], Design] = planned,
    simulated: Callable[..., Any] = simulate,
    pilots: int = 20,
) -> list[Row]:
    """The power that `calibrate --from` promises after a study of 60 seeds.

    Mean over such studies, and that of the studies which follow.
    """
    lines = []
    for count, spread, effect in (
        (3, 0.05, 0.25),
        (5, 0.05, 0.12),
        (5, 0.15, 0.35),
        (10, 0.05, 0.08),
        (10, 0.15, 0.2),
    ):
        rng = np.random.default_rng([count, int(100 * spread), 7])
        world = f"power, {100 * effect:g} points, {count} seeds, spread {100 * spread:g}"
        promised = [
            simulated(design_of(pilot(rng, 60, spread), count), effect, ANALYSIS, 1000, seed=k).rejected
            for k in range(pilots)
        ]
        error = float(np.std(promised, ddof=1) / np.sqrt(pilots))
        lines += [
            (world, "promised", float(np.mean(promised)), error),
            rate_of(world, "real", found(rng, effect, count, spread, 4 * runs)),
        ]
    return lines


def smallests(runs: int) -> list[Row]:
    """Does the interval of the smallest change found hold the true one?

    Three arms; items and seeds vary alike, or seeds alone.
    """
    lines = []
    for count in (2, 3, 5, 10):
        for items in (0.0, 1.0):
            rng = np.random.default_rng([count, int(items)])
            truth = smallest.minimum_detectable(items, 198, 1.0, seeds=count).value
            right = []
            for _ in range(runs):
                noise = smallest.pooled(rng.normal(0, np.sqrt(count / 2), (3, count)))
                own = smallest.minimum_detectable(
                    items, 198, noise.variance / count, seeds=count, known=noise.freedom
                )
                right.append(own.low <= truth <= own.high)
            lines.append(
                rate_of(
                    f"smallest change found, {count} seeds, {'items and seeds' if items else 'seeds alone'}",
                    "interval right",
                    right,
                )
            )
    return lines


def beyond_plan(runs: int, level: Callable[[int, int, float], float] = sequential.stage_level) -> list[Row]:
    """False positives of looks after each seed (items are many, and only seeds vary).

    Up to four times as many as planned wherever they are not refused.
    """
    lines = []
    for plan in (3, 5, 8):
        rng = np.random.default_rng(plan)
        gaps = rng.normal(0, 1, (4 * plan, 20 * runs))
        wrong = np.zeros(20 * runs, dtype=bool)
        for s in range(2, 4 * plan + 1):
            try:
                own = level(s, plan, 0.05)
            except InputError:
                break
            first = gaps[:s]
            p = seeds.p_value(first.mean(0), 0.0, first.var(0, ddof=1) / s, 199, s - 1)
            wrong |= p <= own
        lines.append(rate_of(f"{plan} seeds planned, up to {4 * plan} looked at", "false positives", wrong))
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=1000)
    runs, start = parser.parse_args().runs, time.perf_counter()
    for world, what, rate, error in rows(runs):
        print(f"{world:55} {what:45} {100 * rate:6.1f}% ± {100 * error:.1f}", flush=True)
    print(f"{runs} runs a world; {time.perf_counter() - start:.0f} s")


if __name__ == "__main__":
    main()
