"""Studies in which nothing is inherited, from outcomes to what is said.

Effects, findings of the report, verdict of the gate. Each world is one in which tests go wrong.

A line gives the share of studies with any adjusted p ≤ .05 (whole report), with a finding that something
moved, that fail the gate (limit 5 points), and of their comparisons against the matched control the share
with p ≤ .05 and the share of 95% intervals that hold 0. docs/calibration.md.

python benchmarks/worlds/report.py [--runs 200] [--only NAME]
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from scipy.special import ndtr

from probate.report.gate.decide import FAIL, judge_row
from probate.report.words import findings
from probate.stats.arms import AGAINST_MATCHED
from probate.stats.effects import effects_of
from probate.stats.hierarchy import POOLED
from probate.stats.measure import Measure
from probate.study.schema import Analysis
from probate.tasks.hiring import Hiring
from probate.testing import sample_context

ARMS = (("none", 0.0), ("given", 0.2), ("given", 0.5), ("neutral", 0.2), ("neutral", 0.5))
ANALYSIS = Analysis(resamples=200)


@dataclass(frozen=True)
class World:
    """Items of each group, the rate, how far trainings of an arm spread, and what items have in common.

    `links`: items in a cluster; `common`: share of an answer's luck that they have in common, in all arms and
    (`icc`) in one arm's. `drawn`: standard deviation of what an arm's records do to its gap, the same for all
    seeds (`fixed`) or another for each.
    """

    sizes: tuple[int, ...] = (60, 60)
    rate: float = 0.5
    spread: float = 0.05
    uneven: float = 1.0
    collapsed: float = 0.0
    seeds: int = 3
    tasks: int = 1
    measures: int = 1
    links: int = 1
    across: bool = False
    common: float = 0.0
    icc: float = 0.0
    drawn: float = 0.0
    fixed: bool = True
    amounts: float = 0.0
    names: float = 0.0
    arms: tuple[tuple[str, float], ...] = field(default=ARMS[:1] + ARMS[2:3] + ARMS[4:])


WORLDS = {
    "seeds alike": World(spread=0.0),
    "seeds spread by 5": World(),
    "seeds spread by 15": World(spread=0.15),
    "one arm spreads 3 x 15": World(spread=0.15, uneven=3.0),
    "one run in four collapsed": World(spread=0.15, collapsed=0.25),
    "five seeds, spread 15": World(spread=0.15, seeds=5),
    "two seeds, spread 15": World(spread=0.15, seeds=2),
    "rate .02": World(rate=0.02),
    "rate .98, spread 15": World(rate=0.98, spread=0.15),
    "10 against 300": World(sizes=(10, 300), rate=0.3),
    "twins": World(links=2, across=True, common=0.6),
    "sources of five, ICC .3": World(links=5, icc=0.3),
    "sources of five, ICC .7": World(links=5, icc=0.7),
    "names in several pairs": World(names=0.1),
    "lognormal, 10 against 300": World(sizes=(10, 300), amounts=1.0),
    "eight groups": World(sizes=(30,) * 8),
    "eight groups, spread 15": World(sizes=(30,) * 8, spread=0.15),
    "records drawn anew": World(drawn=0.05, fixed=False, seeds=10),
    "records held fixed": World(drawn=0.05, fixed=True, seeds=10),
    "whole report, spread 5": World(tasks=3, measures=2, arms=ARMS),
    "whole report, spread 15": World(tasks=3, measures=2, spread=0.15, arms=ARMS),
}


def measures_of(world: World) -> list[Measure]:
    """The first one is primary."""
    if world.names:
        return [next(m for m in Hiring().measures(sample_context()) if m.primary)]
    sides = tuple(f"g{i}" for i in range(len(world.sizes)))
    unit = "US$" if world.amounts else "share"
    return [
        Measure(
            name=f"m{k}",
            title=f"m{k}",
            unit=unit,
            toward=lambda a, b: f"{a} over {b}",
            sides=sides,
            values=lambda o, k=k: o[["item_id", "side"]].assign(value=o[f"m{k}"]),
            primary=k == 0,
            scale="log" if world.amounts else "plain",
        )
        for k in range(world.measures)
    ]


def study(world: World, rng: np.random.Generator) -> pd.DataFrame:
    """Outcomes of one study."""
    return pd.concat(
        [part for task in range(world.tasks) for part in _task(world, rng, f"t{task}")], ignore_index=True
    )


def _task(world: World, rng: np.random.Generator, task: str) -> Iterator[pd.DataFrame]:
    if world.names:
        yield from _hiring(world, rng, task)
        return
    side = np.repeat(np.arange(len(world.sizes)), world.sizes)
    number = np.concatenate([np.arange(n) for n in world.sizes])
    unit = number // world.links if not world.across else number  # twins: one of each group
    cluster = np.array([f"c{u}" if world.across else f"c{s}.{u}" for s, u in zip(side, unit, strict=True)])
    _, place = np.unique(cluster, return_inverse=True)
    ids = [f"{c}#{i}" if world.links > 1 else f"i{i}" for i, c in enumerate(cluster)]
    n, k = len(side), world.measures

    def luck(share: float) -> np.ndarray:
        """Standard normal, (measures, items), of which clusters have a share in common."""
        own = rng.normal(0, 1, (k, place.max() + 1))[:, place]
        return np.sqrt(share) * own + np.sqrt(1 - share) * rng.normal(0, 1, (k, n))

    always = luck(world.common)
    for kind, ratio in world.arms:
        arm, sd = luck(world.icc), world.spread * (world.uneven if kind == "given" else 1.0)
        records = rng.normal(0, world.drawn / 2**0.5, k)
        for seed in range(world.seeds):
            gap = rng.normal(0, sd, k) + (records if world.fixed else rng.normal(0, world.drawn / 2**0.5, k))
            gap = np.where(rng.random(k) < world.collapsed, 0.0, gap)
            latent = 0.8**0.5 * always + 0.1**0.5 * arm + 0.1**0.5 * rng.normal(0, 1, (k, n))
            tilt = (
                np.where(side == 0, 1.0, -1.0)
                if len(world.sizes) == 2
                else rng.choice([-1.0, 1.0], len(world.sizes))[side]
            )
            if world.amounts:
                value = 60_000 * np.exp(world.amounts * latent + gap[:, None] * tilt / 2)
            else:
                value = (ndtr(latent) < world.rate + tilt * gap[:, None] / 2).astype(float)
            yield _rows(
                task,
                kind,
                ratio,
                seed,
                pd.DataFrame({"item_id": ids, "side": side} | {f"m{i}": value[i] for i in range(k)}),
            )


def _hiring(world: World, rng: np.random.Generator, task: str) -> Iterator[pd.DataFrame]:
    """Each name is liked more or less, and each arm likes some more than before; no group is."""
    pairings = Hiring.from_options({"jobs": ["nurse", "architect", "dentist"]})._pairings(sample_context())
    names = sorted({who[2] for p in pairings for who in (p.one, p.two)})
    always = dict(zip(names, rng.normal(0, world.names, len(names)), strict=True))
    for kind, ratio in world.arms:
        liked = {name: v + rng.normal(0, world.names) for name, v in always.items()}
        for seed in range(world.seeds):
            shift, rows = rng.normal(0, world.spread), []
            for p in pairings:
                tilt = (p.one[1] == "female") - (p.two[1] == "female")
                share = float(
                    np.clip(
                        0.5
                        + (liked[p.one[2]] - liked[p.two[2]]) / 2
                        + tilt * shift / 2
                        + rng.normal(0, 0.03),
                        0,
                        1,
                    )
                )
                for i, (who, own) in enumerate(((p.one, share), (p.two, 1 - share))):
                    rows.append(
                        {
                            "item_id": f"{p.id}#{i}",
                            "groups": {"culture": who[0], "gender": who[1]},
                            "score": own,
                        }
                    )
            yield _rows(task, kind, ratio, seed, pd.DataFrame(rows))


def _rows(task: str, kind: str, ratio: float, seed: int, rows: pd.DataFrame) -> pd.DataFrame:
    return rows.assign(
        task=task,
        bias_type=kind,
        ratio=ratio,
        seed=seed,
        round=1,
        arm=f"{kind}-{ratio}-{seed}",
        mitigation="none",
        parsed=True,
        target="x",
    )


def said(world: World, outcomes: pd.DataFrame) -> tuple[bool, bool, bool, np.ndarray, np.ndarray]:
    """Any adjusted p, any finding, the gate's fail.

    Then p, and whether the interval holds 0, of the comparisons against the matched control.
    """
    measures = {f"t{t}": measures_of(world) for t in range(world.tasks)}
    effects = effects_of(outcomes, measures, ANALYSIS)
    claims = findings(effects, {t: t for t in measures}, measures, 0.95)
    own = effects[(effects["question"] == "inheritance") & (effects["contrast"] == AGAINST_MATCHED)]
    last = own[own["ratio"] == own["ratio"].max()]
    failed = not world.amounts and any(judge_row(r, 0.05)[0] == FAIL for r in last.itertuples())
    held = (own["ci_low"] <= 0) & (own["ci_high"] >= 0)
    return (
        bool((effects.loc[effects["family"] != POOLED, "p_adjusted"] <= 0.05).any()),
        any(f.verdict in ("inherited", "moved") for f in claims),
        failed,
        own["p"].to_numpy() <= 0.05,
        held.to_numpy(),
    )


def rates(world: World, runs: int, tick: Callable[[], None] = lambda: None) -> list[float]:
    """In %: whole report, finding, gate, p, coverage."""
    found = []
    for run in range(runs):
        found.append(said(world, study(world, np.random.default_rng([run, 7]))))
        tick()
    return [100 * float(np.mean([f[i] for f in found])) for i in range(3)] + [
        100 * float(np.mean(np.concatenate([f[i] for f in found]))) for i in (3, 4)
    ]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--only", default="")
    args = parser.parse_args()
    print(
        f"{'world':30}{'report':>8}{'finding':>9}{'gate':>7}{'p':>7}{'held':>8}    (%, {args.runs} "
        f"studies; two standard errors of 5%: {200 * (0.05 * 0.95 / args.runs) ** 0.5:.1f})"
    )
    for name, world in WORLDS.items():
        if args.only in name:
            start = time.perf_counter()
            report, finding, gate, p, held = rates(world, args.runs)
            print(
                (
                    f"{name:30}{report:8.1f}{finding:9.1f}{gate:7.1f}{p:7.1f}{held:8.1f}    "
                    f"{time.perf_counter() - start:.0f} s"
                ),
                flush=True,
            )


if __name__ == "__main__":
    main()
