"""Is the inheritance coefficient recovered?

Bias and coverage over simulated dose curves of four γ. The table in docs/calibration.md.

python benchmarks/coefficient.py [--runs 2000]
"""

from __future__ import annotations

import argparse
import time

import numpy as np
import pandas as pd

from probate.stats.dose import slope
from probate.study.schema import Analysis

ANALYSIS = Analysis(resamples=400)
BIAS = {0.1: 0.08, 0.2: 0.17, 0.35: 0.29, 0.5: 0.42}
"""γ → bias that the arm's training data have beyond the control's."""


def curves(truth: float, n: int, seeds: int, spread: float, rng: np.random.Generator) -> tuple[dict, dict]:
    """Yes-or-no outcomes of arms and of their matched controls.

    Items keep part of their luck, each seed has a slope of its own.
    """
    luck, side = rng.random(n), np.arange(n) % 2
    shifts = rng.normal(0, spread, seeds) if spread else np.zeros(seeds)
    ids = [f"i{i}" for i in range(n)]

    def outcomes(gap: float) -> pd.DataFrame:
        own = np.where(rng.random(n) < 0.7, luck, rng.random(n))
        return pd.DataFrame(
            {"item_id": ids, "side": side, "value": (own < 0.45 + (0.5 - side) * gap).astype(float)}
        )

    arms = {r: {s: outcomes((truth + shifts[s]) * b) for s in range(seeds)} for r, b in BIAS.items()}
    return arms, {r: {s: outcomes(0.0) for s in range(seeds)} for r in BIAS}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=2000)
    runs, start = parser.parse_args().runs, time.perf_counter()
    print("    κ  items  seeds    mean    interval right   found")
    for truth, n, seeds, spread in (
        (0, 200, 1, 0.0),
        (1, 60, 1, 0.0),
        (1, 200, 1, 0.0),
        (1.6, 200, 1, 0.0),
        (0, 200, 3, 0.1),
        (1, 200, 3, 0.1),
        (1, 200, 5, 0.1),
    ):
        rng = np.random.default_rng(11)
        found = [slope(*curves(truth, n, seeds, spread, rng), BIAS, ANALYSIS) for _ in range(runs)]
        held = np.mean([e.low <= truth <= e.high for e in found])
        print(
            (
                f"{truth:5} {n:6} {seeds:6} {np.mean([e.value for e in found]):+8.3f} "
                f"{100 * held:14.1f}% {100 * np.mean([e.p <= 0.05 for e in found]):10.1f}%"
            ),
            flush=True,
        )
    print(f"{runs} simulated dose curves a row; {time.perf_counter() - start:.0f} s")


if __name__ == "__main__":
    main()
