"""Error rate and power of the pooled tests over a whole grid.

Each simulated grid has three tasks, six bias types, four γ and one mitigation. All arms of a task answer the
same items. The arms of a seed have the same D_o, those of one bias type nested records, and all bias types
one control for each γ. docs/calibration.md.

The arrays go through the code of the report (`piece_of`, `estimate`, `toward_control`,
`direct_minus_indirect`); --check shows on samples that the report's own path, from outcomes to effects, gives
the same numbers.

python benchmarks/pooled.py [--runs 10000] [--power 400] [--only NAME] [--check 20] [--jobs 2]
"""

from __future__ import annotations

import argparse
import itertools
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.stats import binomtest

from probate.stats import seeds
from probate.stats.arms import AGAINST_MATCHED
from probate.stats.contrast import Estimate
from probate.stats.effects import effects_of
from probate.stats.families import holm
from probate.stats.measure import Measure
from probate.stats.pooled import Layout, Piece, estimate, piece_of, toward_control
from probate.stats.pooled_effects import direct_minus_indirect
from probate.study.schema import Analysis

ANALYSIS = Analysis(resamples=200)
TYPES, RATIOS = 6, (0.05, 0.1, 0.2, 0.5)
CONDITIONS = TYPES * len(RATIOS)
Array = np.ndarray


@dataclass(frozen=True)
class World:
    """What the trainings do to the gap.

    Shares: in probability. Amounts: in log units.

    Attributes
    ----------
    amounts : tuple of bool
        For each task, whether it measures amounts.
    seeds : int
        Training seeds.
    items : int
        Items of each task, half of them in each group (`first`: share of the first group).
    rate : float
        Base rate of shares.
    spread : float
        Standard deviation of what a training does to the gap of its arm.
    common : float
        Share of its variance that all arms of a seed have in common.
    nested : float
        Share that the arms of one seed, bias type and mitigation have in common.
    steadier : float
        Spread of the mitigated arms, as a multiple.
    tails : float
        Degrees of freedom of t distributed spreads; 0: normal.
    own : float
        Share of an answer's variance that the item has with one arm, in all seeds.
    inherited : float
        Change of the gap by the biased data at the largest γ, in proportion to γ.
    mixed : bool
        Whether it has another sign in each second task.
    cured : float
        Share of the inherited change that the mitigation removes; 2 is an equal gap in the other direction.
    flat : bool
        Whether the biased data change the gap equally at all γ.
    harm : float
        Change of the gap by the mitigation itself, away from the control if nothing is inherited.
    """

    amounts: tuple[bool, ...] = (False, False, True)
    seeds: int = 3
    items: int = 60
    first: float = 0.5
    rate: float = 0.5
    spread: float = 0.05
    common: float = 0.3
    nested: float = 0.3
    steadier: float = 1.0
    tails: float = 0.0
    own: float = 0.1
    inherited: float = 0.0
    mixed: bool = False
    cured: float = 0.0
    flat: bool = False
    harm: float = 0.0


NULLS = {
    "nothing inherited": World(),
    "nothing inherited, 2 seeds": World(seeds=2),
    "nothing inherited, 5 seeds": World(seeds=5),
    "seeds alike": World(spread=0.0),
    "seeds spread by 15": World(spread=0.15),
    "seeds spread by 15, 2 seeds": World(spread=0.15, seeds=2),
    "seeds spread by 15, 5 seeds": World(spread=0.15, seeds=5),
    "spread by 15, t with 2 df": World(spread=0.15, tails=2.0),
    "spread by 15, all of it by seed": World(spread=0.15, common=1.0, nested=0.0),
    "spread by 15, all of it nested": World(spread=0.15, common=0.0, nested=1.0),
    "spread by 15, none in common": World(spread=0.15, common=0.0, nested=0.0),
    "mitigated arms steadier": World(spread=0.15, common=0.0, nested=1.0, steadier=0.1),
    "mitigated arms 3 x as spread": World(spread=0.1, common=0.0, nested=1.0, steadier=3.0),
    "items move with arms": World(own=0.5),
    "sparse answers": World(amounts=(False,) * 3, rate=0.03),
    "amounts only": World(amounts=(True,) * 3),
    "8 against 52 items": World(first=0.133),
    "one task": World(amounts=(False,)),
    "ten tasks": World(amounts=(False,) * 10),
    "inherited 5, not cured": World(inherited=0.05),
    "inherited 10, not cured": World(inherited=0.1),
    "inherited 10, not cured, spread 15": World(inherited=0.1, spread=0.15),
    "inherited 10, spread 15, steadier": World(
        inherited=0.1, spread=0.15, common=0.0, nested=1.0, steadier=0.1
    ),
    "inherited 20, steadier, ten tasks": World(
        amounts=(False,) * 10, inherited=0.2, spread=0.15, common=0.0, nested=1.0, steadier=0.1
    ),
    "inherited 40, not cured": World(inherited=0.4),
    "inherited 40, not cured, 2 seeds": World(inherited=0.4, seeds=2),
    "inherited 40, not cured, 5 seeds": World(inherited=0.4, seeds=5),
    "inherited 40, signs mixed": World(inherited=0.4, mixed=True),
    "inherited 40, spread 15, 5 seeds": World(inherited=0.4, spread=0.15, seeds=5),
}
"""The mitigation changes nothing: neither closer nor farther may be found."""
HARMS = {
    "reversed, 20 to −20": World(inherited=0.2, cured=2.0),
    "reversed, 40 to −40": World(inherited=0.4, cured=2.0),
    "reversed, 40 to −60": World(inherited=0.4, cured=2.5),
    "nothing inherited, moves by 10": World(harm=0.1),
    "nothing inherited, moves by 20": World(harm=0.2),
    "nothing inherited, moves by 20, 5 seeds": World(harm=0.2, seeds=5),
}
"""The mitigation moves the arms, but not closer: closer may not be found."""
MAIN = (
    "nothing inherited",
    "nothing inherited, 2 seeds",
    "spread by 15, all of it nested",
    "mitigated arms steadier",
    "inherited 40, not cured",
    "inherited 40, not cured, 2 seeds",
)
"""Worlds that are simulated most often."""
POWERS = [
    (flat, size, trained, spread)
    for flat in (False, True)
    for spread in (0.05, 0.15)
    for trained in (3, 5)
    for size in (0.1, 0.2, 0.4)
]
"""Whether each γ has the same effect, its size at the largest γ, seeds and spread."""


def drawn(world: World, rng: np.random.Generator) -> list[tuple[Array, Array, Array, Array]]:
    """Values of each task: unmitigated, mitigated, control (conditions, seeds, items), and sides."""
    count, ratios = world.seeds, len(RATIOS)

    def noise(*shape: int) -> Array:
        if world.tails:
            return rng.standard_t(world.tails, shape) / np.sqrt(3)
        return rng.normal(0, 1, shape)

    tasks = []
    for task, amounts in enumerate(world.amounts):
        n = world.items
        first = max(2, round(n * world.first))
        side = np.r_[np.zeros(first, dtype=int), np.ones(n - first, dtype=int)]
        tilt = np.where(side == 0, 1.0, -1.0)
        luck, seed_shift = rng.normal(0, 1, n), noise(1, 1, count)
        sign = -1.0 if world.mixed and task % 2 else 1.0
        rest = np.sqrt(max(0.0, 1 - world.common - world.nested))
        doses = np.ones(ratios) if world.flat else np.array(RATIOS) / max(RATIOS)
        dose = doses[None, :, None]
        arms = []
        for role in ("unmitigated", "mitigated", "control"):
            types = 1 if role == "control" else TYPES
            shift = (
                np.sqrt(world.common) * seed_shift
                + np.sqrt(world.nested) * noise(types, 1, count)
                + rest * noise(types, ratios, count)
            ) * world.spread
            if role == "mitigated":
                shift = shift * world.steadier + world.harm
            moved = {"control": 0.0, "mitigated": 1 - world.cured}.get(role, 1.0) * world.inherited
            gap = (shift + sign * moved * dose)[..., None]
            arm = rng.normal(0, 1, (types, ratios, 1, n))
            latent = (
                np.sqrt(0.9 - world.own) * luck
                + np.sqrt(world.own) * arm
                + np.sqrt(0.1) * rng.normal(0, 1, (types, ratios, count, n))
            )
            if amounts:
                values = latent + tilt * gap / 2
            else:  # the logistic curve is close to the normal one, and faster
                values = (1 / (1 + np.exp(-1.702 * latent)) < world.rate + tilt * gap / 2).astype(float)
            arms.append(np.broadcast_to(values, (TYPES, ratios, count, n)).reshape(-1, count, n))
        tasks.append((*arms, side))
    return tasks


def layout_of(task: int, side: Array) -> Layout:
    names = [f"t{task}i{i}" for i in range(len(side))]
    return Layout(names, side, names, np.arange(len(side)))


@dataclass(frozen=True)
class Judged:
    """Effects of one grid: the mitigation over all tasks and in each, and inheritance in the first task."""

    over_all: Estimate
    tasks: list[Piece]
    inherited: Estimate


def judged(world: World, tasks: list[tuple[Array, Array, Array, Array]]) -> Judged:
    """Return the pooled effects, by the code of the report."""
    changes, deviations, scales = [], [], []
    for number, ((b, m, c, side), amounts) in enumerate(zip(tasks, world.amounts, strict=True)):
        layout, share = layout_of(number, side), not amounts
        changes.append(piece_of(b, m, layout, side=0, share=share))
        deviations.append(piece_of((b + m) / 2, c, layout, side=0, share=share))
        variances = [
            np.concatenate([v[..., side == g].var(-1).ravel() for v in (b, m, c[: len(RATIOS)])])
            for g in (0, 1)
        ]
        scales.append(1 / np.sqrt(np.mean(variances)))
    over = toward_control(changes, deviations, np.array(scales) / np.sqrt(len(tasks)), ANALYSIS)
    b, _, c, side = tasks[0]
    inherited = piece_of(b, c, layout_of(0, side), side=0, share=not world.amounts[0])
    return Judged(over, changes, estimate(inherited, ANALYSIS))


def smallest_single(world: World, tasks: list[tuple[Array, Array, Array, Array]]) -> float:
    """Return the smallest p of the single effects of the mitigation, by Holm over all conditions."""
    p = []
    for number, ((b, m, _, side), amounts) in enumerate(zip(tasks, world.amounts, strict=True)):
        layout = layout_of(number, side)
        for c in range(CONDITIONS):
            piece = piece_of(b[[c]], m[[c]], layout, side=0, share=not amounts)
            p.append(estimate(piece, ANALYSIS).p)
    return float(np.nanmin(holm(p)))


def rate(hits: int, runs: int) -> str:
    low, high = binomtest(hits, runs).proportion_ci(0.95)
    return f"{100 * hits / runs:5.2f} [{100 * low:.2f}, {100 * high:.2f}]"


def rates(world: World, runs: int, seed: int = 0) -> dict[str, int]:
    """Count grids in which the mitigation is found to bring the gaps closer to the control, or farther, and
    those with an effect of the mitigation and of the biased data in the first task.

    Decided by the interval, which excludes 0 exactly if p < 0.05 (tests/stats/test_pooled.py). So p is
    computed in one step only, which saves half of the time.
    """
    rng = np.random.default_rng([seed, world.seeds, world.items, len(world.amounts)])
    count = dict.fromkeys(("closer", "farther", "task", "inherited"), 0)
    steps, seeds.HALVINGS = seeds.HALVINGS, 1
    try:
        for _ in range(runs):
            j = judged(world, drawn(world, rng))
            count["closer"] += j.over_all.low > 0
            count["farther"] += j.over_all.high < 0
            count["task"] += _excludes_zero(estimate(j.tasks[0], ANALYSIS))
            count["inherited"] += _excludes_zero(j.inherited)
    finally:
        seeds.HALVINGS = steps
    return count


def _excludes_zero(e: Estimate) -> bool:
    return e.low > 0 or e.high < 0


def relation_rate(runs: int, trained: int, direct: int, indirect: int, shift: float, spread: float) -> int:
    """Count grids in which direct and indirect data sets differ, though they do not on average.

    Each data set changes by its own amount (sd 0.05), each training shifts all data sets of a kind (`shift`)
    and each single one (`spread`), and each number has noise from items.
    """
    rng, hits, n = np.random.default_rng([trained, direct, indirect]), 0, direct + indirect
    kind = np.arange(n) < direct
    for _ in range(runs):
        own = rng.normal(0, 0.05, (n, 1, 1)) * np.array([1, 0])[:, None]
        by_kind = rng.normal(0, shift, (2, 2, trained))[kind.astype(int)]
        parts = own + by_kind + rng.normal(0, spread, (n, 2, trained)) + rng.normal(0, 0.02, (n, 2, 1))
        parts[:, 1] *= -1
        hits += direct_minus_indirect(parts, kind, [f"t{i}" for i in range(n)], ANALYSIS).p <= 0.05
    return hits


def outcomes_of(tasks: list[tuple[Array, Array, Array, Array]]) -> pd.DataFrame:
    """Outcomes of a grid, as a run writes them."""
    frames = []
    for number, (b, m, c, side) in enumerate(tasks):
        layout = layout_of(number, side)
        arms = [
            (f"x{k}", r, mitigation, values[k * len(RATIOS) + i])
            for k in range(TYPES)
            for i, r in enumerate(RATIOS)
            for mitigation, values in (("none", b), ("cure", m))
        ] + [("neutral", r, "none", c[i]) for i, r in enumerate(RATIOS)]
        for (kind, ratio, mitigation, values), s in itertools.product(arms, range(b.shape[1])):
            frames.append(
                pd.DataFrame({"item_id": layout.items, "side": side, "value": values[s]}).assign(
                    task=f"t{number}", bias_type=kind, ratio=ratio, mitigation=mitigation, seed=s, round=1,
                    parsed=True, target="x",
                )
            )  # fmt: skip
    return pd.concat(frames, ignore_index=True)


def check(world: World, seed: int) -> float:
    """Return the largest difference between this path and the report's, over all pooled effects."""
    tasks = drawn(world, np.random.default_rng(seed))
    own = judged(world, tasks)
    measures = {
        f"t{i}": [
            Measure(
                name="m",
                title="m",
                unit="score" if amounts else "share",
                toward=lambda a, b: f"{a} over {b}",
                sides=("a", "b"),
                values=lambda o: o[["item_id", "side", "value"]],
                primary=True,
            )
        ]
        for i, amounts in enumerate(world.amounts)
    }
    table = effects_of(outcomes_of(tasks), measures, ANALYSIS)
    rows = table[table["question"] == "pooled-mitigation"]
    pairs = [(rows[rows["task"] == "all"], own.over_all, 1)]
    pairs += [
        (rows[rows["task"] == f"t{i}"], e, -1) for i, e in enumerate(estimate(t, ANALYSIS) for t in own.tasks)
    ]
    inherited = table[table["question"] == "pooled-inheritance"]
    inherited = inherited[inherited["contrast"] == AGAINST_MATCHED]
    pairs += [(inherited[inherited["task"] == "t0"], own.inherited, 1)]
    worst = 0.0
    for found, e, sign in pairs:
        (row,) = found.to_dict("records")
        ends = sorted([sign * e.low, sign * e.high])
        theirs = [row["estimate"], row["ci_low"], row["ci_high"], row["p"]]
        worst = max(worst, float(np.abs(np.array(theirs) - [sign * e.value, *ends, e.p]).max()))
    return worst


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=10000)
    parser.add_argument("--power", type=int, default=400)
    parser.add_argument("--check", type=int, default=20)
    parser.add_argument("--only", default="")
    parser.add_argument("--jobs", type=int, default=1)
    args = parser.parse_args()
    samples = list(NULLS.values())
    if args.check:
        worst = max(check(samples[i % len(samples)], i) for i in range(args.check))
        print(f"largest difference from the report's path in {args.check} grids: {worst:.1e}", flush=True)
    named = [name for name in NULLS | HARMS if args.only in name] if args.runs else []
    sizes = [args.runs if name in MAIN else max(1, args.runs // 10) for name in named]
    print(
        f"{args.runs} grids in the main worlds, {args.runs // 10} in others; shares in % with 95% intervals"
    )
    print(f"{'world':40}{'grids':>6}{'closer':>22}{'farther':>22}{'one task':>22}{'inheritance':>22}")
    with ProcessPoolExecutor(args.jobs) as pool:
        for line in pool.map(null_line, named, sizes):
            print(line, flush=True)
        if args.runs and args.only in "relation":
            for line in pool.map(relation_line, RELATIONS, itertools.repeat(max(1, args.runs // 10))):
                print(line, flush=True)
        if args.power and args.only in "power":
            print(f"power in %, {args.power} grids each, all of the inherited change is removed")
            print(f"{'world':52}{'closer':>22}{'any task':>22}{'any single':>22}")
            for line in pool.map(power_line, POWERS, itertools.repeat(args.power)):
                print(line, flush=True)


RELATIONS = [
    (2, 3, 3, 0.02, 0.02), (3, 3, 3, 0.02, 0.02), (3, 3, 3, 0.1, 0.02), (5, 3, 3, 0.1, 0.02),
    (3, 15, 6, 0.02, 0.02), (3, 15, 6, 0.1, 0.02), (3, 2, 8, 0.0, 0.1), (5, 15, 6, 0.1, 0.1),
]  # fmt: skip
"""Seeds, direct and indirect data sets, what seeds do to all sets of a kind, and to single sets."""


def null_line(name: str, runs: int) -> str:
    start = time.perf_counter()
    found = rates((NULLS | HARMS)[name], runs)
    cells = "".join(f"{rate(v, runs):>22}" for v in found.values())
    return f"{name:40}{runs:6}{cells}  {time.perf_counter() - start:.0f} s"


def relation_line(case: tuple[int, int, int, float, float], runs: int) -> str:
    start = time.perf_counter()
    trained, direct, indirect, shift, spread = case
    return (
        f"relation: {trained} seeds, {direct} direct, {indirect} indirect; seeds shift kinds by {shift}, sets "
        f"by {spread}: {rate(relation_rate(runs, *case), runs)}  {time.perf_counter() - start:.0f} s"
    )


def power_line(case: tuple[bool, float, int, float], runs: int) -> str:
    start = time.perf_counter()
    flat, size, trained, spread = case
    world = World(spread=spread, seeds=trained, inherited=size, cured=1.0, flat=flat)
    rng, count = np.random.default_rng(1), np.zeros(3, dtype=int)
    for _ in range(runs):
        tasks = drawn(world, rng)
        j = judged(world, tasks)
        count += [
            j.over_all.p <= 0.05 and j.over_all.value > 0,
            bool((holm([estimate(t, ANALYSIS).p for t in j.tasks]) <= 0.05).any()),
            smallest_single(world, tasks) <= 0.05,
        ]
    cells = "".join(f"{rate(int(v), runs):>22}" for v in count)
    name = f"{size}{' at each γ' if flat else ' at the largest γ'}, {trained} seeds, spread {spread}"
    return f"{name:52}{cells}  {time.perf_counter() - start:.0f} s"


if __name__ == "__main__":
    main()
