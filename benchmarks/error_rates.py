"""Error rate and coverage of the tests and intervals, over items, base rates and seeds. The table in docs/calibration.md.

python benchmarks/error_rates.py [--runs 2000]
"""

from __future__ import annotations

import argparse
import time

from probate.analyze.simulate import Design, simulate
from probate.study import Analysis

ANALYSIS = Analysis(resamples=400)
RATES = (0.05, 0.2, 0.5, 0.8, 0.95)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=2000)
    runs = parser.parse_args().runs
    start = time.perf_counter()
    print(
        "kind    seeds     n  "
        + "  ".join(f"rate {r:4}" for r in RATES)
        + "   (interval right without / with an effect; false positives, %)"
    )
    for kind in ("change", "gap"):
        for seeds, spread in ((1, 0.0), (3, 0.05), (10, 0.05)):
            if kind == "gap" and seeds > 1:
                continue
            for n in (20, 50, 200, 1000):
                cells = []
                for rate in RATES:
                    design = Design(n, rate, seeds, 0.7, spread, kind)
                    none = simulate(design, 0.0, ANALYSIS, runs)
                    some = simulate(design, min(0.2, rate, 1 - rate), ANALYSIS, runs)
                    cells.append(f"{100 * none.coverage:.1f}/{100 * some.coverage:.1f} {100 * none.rejected:.1f}")
                print(f"{kind:8}{seeds:5}{n:6}  " + "  ".join(cells), flush=True)
    print(f"{runs} runs a cell; {time.perf_counter() - start:.0f} s")


if __name__ == "__main__":
    main()
