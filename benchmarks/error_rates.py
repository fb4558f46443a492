"""Error rate and coverage of the tests and intervals.

Over items, base rates, seeds and how much they differ; the family-wise error of ten tests.
docs/calibration.md.

python benchmarks/error_rates.py [--runs 10000]
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
    runs = parser.parse_args().runs
    start = time.perf_counter()
    print(
        "kind    seeds differ     n  "
        + "  ".join(f"rate {r:4}" for r in RATES)
        + "   (interval right without / with an effect; false positives, %)"
    )
    for kind in ("change", "gap"):
        for seeds, spread in WORLDS if kind == "change" else WORLDS[:1]:
            for n in (20, 50, 200, 1000):
                cells = []
                for rate in RATES:
                    design = Design(n, rate, seeds, 0.7, spread, kind)
                    none = simulate(design, 0.0, ANALYSIS, runs)
                    some = simulate(design, min(0.2, rate, 1 - rate), ANALYSIS, runs)
                    cells.append(
                        f"{100 * none.coverage:.1f}/{100 * some.coverage:.1f} {100 * none.rejected:.1f}"
                    )
                print(f"{kind:8}{seeds:5}{100 * spread:5.0f} pt{n:6}  " + "  ".join(cells), flush=True)
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
