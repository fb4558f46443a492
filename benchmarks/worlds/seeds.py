"""Two arms, some seeds of each: which test, and what it finds.

False positives and power of pairs of seeds, arms as they are (Welch, ours) and arms pooled, on the same
simulated studies. docs/calibration.md.

python benchmarks/worlds/seeds.py [--runs 4000] [--items 200]
"""

from __future__ import annotations

import argparse
import time
from dataclasses import replace

import numpy as np

from probate.stats import seeds
from probate.stats.simulate import Design, _moments, draw

WORLDS = {
    "alike": {}, "one arm twice": {"uneven": 2.0}, "one arm three times": {"uneven": 3.0},
    "one arm alone": {"uneven": 1000.0}, "seeds shared, r = .5": {"shared": 0.5},
    "one run in four collapsed": {"collapsed": 0.25},
}  # fmt: skip
EFFECTS = (0.1, 0.2, 0.3, 0.4, 0.5)
SEEDS = (2, 3, 4, 5, 7, 10)


def p_values(values: np.ndarray) -> dict[str, np.ndarray]:
    """Name of a test → p of every run.

    They differ in the variance that seeds make, and in what it is known from; items count alike.
    """
    whole, half, count = values[0] - values[1], values.shape[2] // 2, values.shape[1]
    estimate = whole.mean(0, dtype=np.float64)[:half].mean(0) - whole.mean(0, dtype=np.float64)[half:].mean(0)
    (_, s0, v0, f0), (_, s1, v1, f1) = (_moments(own, (-1, 1)) for own in (whole[:, :half], whole[:, half:]))
    items, freedom = np.maximum(s0 + s1, 0), (v0 + v1) ** 2 / np.maximum(v0**2 / f0 + v1**2 / f1, 1e-48)
    parts = values[:, :, :half].mean(2, dtype=np.float64) - values[:, :, half:].mean(2, dtype=np.float64)
    spread, known = seeds.seed_variance(parts * np.array([1, -1])[:, None, None])
    paired = (parts[0] - parts[1]).var(0, ddof=1) / count
    return {
        "pairs": seeds.p_value(estimate, items, paired, freedom, count - 1),
        "arms": seeds.p_value(estimate, items, spread, freedom, known),
        "pooled": seeds.p_value(estimate, items, spread, freedom, 2 * count - 2),
    }


def found(design: Design, effect: float, runs: int) -> dict[str, float]:
    """Name of a test → share of runs with p ≤ .05, in %."""
    rng, step, total = np.random.default_rng([design.seeds, int(100 * effect)]), 1000, {}
    for _ in range(0, runs, step):
        for name, p in p_values(draw(design, effect, step, rng)[0]).items():
            total[name] = total.get(name, 0.0) + float((p <= 0.05).mean()) * step / runs
    return {name: 100 * value for name, value in total.items()}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=4000)
    parser.add_argument("--items", type=int, default=200)
    args = parser.parse_args()
    start = time.perf_counter()
    print("runs of one arm spread by 5 or 15 points; found with p <= .05, %: pairs / arms / pooled")
    for points in (5, 15):
        plain = Design(args.items, 0.5, 3, 0.7, 2**0.5 * points / 100)
        print(f"-- no effect, {points} points; seeds " + ", ".join(map(str, SEEDS)))
        for world, changes in WORLDS.items():
            cells = [found(replace(plain, seeds=s, **changes), 0.0, args.runs) for s in SEEDS]
            print(
                f"{world:28}"
                + "  ".join(f"{c['pairs']:4.1f}/{c['arms']:4.1f}/{c['pooled']:4.1f}" for c in cells),
                flush=True,
            )
        print(f"-- power, {points} points, arms alike")
        for effect in EFFECTS:
            cells = [found(replace(plain, seeds=s), effect, args.runs) for s in SEEDS]
            print(
                f"{100 * effect:3.0f} points{'':18}"
                + "  ".join(f"{c['pairs']:4.0f}/{c['arms']:4.0f}/{c['pooled']:4.0f}" for c in cells),
                flush=True,
            )
    print(f"{args.runs} runs a cell, {args.items} items; {time.perf_counter() - start:.0f} s")


if __name__ == "__main__":
    main()
