"""Error rate and coverage of the tests and intervals.

Over items, base rates, seeds and how much they differ; the family-wise error of ten tests.
docs/calibration.md.

python benchmarks/error_rates.py [--runs 10000] [--shares]

With `--shares`, of changes of the expected share: probabilities in place of answers.
"""

from __future__ import annotations

import argparse
import time

import numpy as np

from probate.stats.simulate import Design, draw, judge, simulate
from probate.study.schema import Analysis

ANALYSIS = Analysis(resamples=400)
TESTS = 10
RATES = (0.02, 0.05, 0.2, 0.5, 0.8, 0.95, 0.98)
WORLDS = ((1, 0.0), (3, 0.0), (3, 0.05), (3, 0.15), (5, 0.15), (10, 0.05), (10, 0.15))
"""Seeds, and the standard deviation of what they differ in. \
One: of two models that are given; nothing is said of training."""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=10000)
    parser.add_argument("--shares", action="store_true")
    args = parser.parse_args()
    runs = args.runs
    start = time.perf_counter()
    print(
        "kind    seeds differ     n  "
        + "  ".join(f"rate {r:4}" for r in RATES)
        + "   (interval right without / with an effect; false positives, %)"
    )
    for kind in ("change",) if args.shares else ("change", "gap"):
        for seeds, spread in WORLDS if kind == "change" else WORLDS[:1]:
            for n in (20, 50, 200, 1000):
                cells = []
                for rate in RATES:
                    design = Design(n, rate, seeds, 0.7, spread, kind)
                    held, rejected = rates(design, 0.0, runs, args.shares)
                    other, _ = rates(design, min(0.2, rate, 1 - rate), runs, args.shares)
                    cells.append(f"{100 * held:.1f}/{100 * other:.1f} {100 * rejected:.1f}")
                print(f"{kind:8}{seeds:5}{100 * spread:5.0f} pt{n:6}  " + "  ".join(cells), flush=True)
    if args.shares:
        print(f"{runs} runs a cell; {time.perf_counter() - start:.0f} s")
        return
    for kind, seeds, spread in (
        ("change", 1, 0.0),
        ("change", 3, 0.0),
        ("change", 3, 0.05),
        ("change", 3, 0.15),
        ("gap", 1, 0.0),
    ):
        print(
            f"{kind}, {seeds} seeds that differ by {100 * spread:.0f} points: at least one of {TESTS} "
            f"true nulls rejected after Holm: {100 * familywise(kind, seeds, spread, runs):.1f}%"
        )
    print(f"{runs} runs a cell; {time.perf_counter() - start:.0f} s")


def rates(design: Design, effect: float, runs: int, shares: bool) -> tuple[float, float]:
    """Coverage and share of p <= .05, over parts of the runs that fit into memory."""
    parts = max(1, design.n * design.seeds * runs // 20_000_000) if shares else 1
    found = [
        simulate(design, effect, ANALYSIS, runs // parts, seed=part, shares=shares) for part in range(parts)
    ]
    return float(np.mean([f.coverage for f in found])), float(np.mean([f.rejected for f in found]))


def familywise(kind: str, seeds: int, spread: float, runs: int) -> float:
    """Share of studies of ten independent null tests in which Holm's p of any is at most .05.

    None has an effect; Holm's smallest p is ten times the smallest p.
    """
    rng = np.random.default_rng(7)
    rates = np.linspace(0.1, 0.9, TESTS)
    columns = []
    for rate in rates:
        design = Design(100, float(rate), seeds, 0.7, spread, kind)
        columns.append(judge(draw(design, 0.0, runs, rng)[0], design, ANALYSIS)[3])
    return float(np.mean(TESTS * np.nanmin(columns, axis=0) <= 0.05))


if __name__ == "__main__":
    main()
