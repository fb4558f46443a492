"""Groups read from texts against those that the files give: precision and recall by group.

The table in docs/audit.md.

python benchmarks/detectors.py FILE [FILE ...]      # columns are recognised, as `probate audit` does
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from probate.audits.groups import dimensions_of
from probate.audits.read import read_set


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("files", nargs="+")
    start = time.perf_counter()
    print(
        "| file | dimension | texts | not clear | group: precision, recall (texts) |\n|---|---|---|---|---|"
    )
    for file in parser.parse_args().files:
        for dimension in dimensions_of(read_set(file)):
            d = dimension.detector
            if dimension.known and d is not None:
                groups = "; ".join(
                    f"{g}: {100 * d.precision[g]:.0f}%, {100 * d.recall[g]:.0f}% ({sum(d.table[i])})"
                    for i, g in enumerate(d.groups)
                )
                print(
                    (
                        f"| {Path(file).name} | {dimension.name} | {d.n} "
                        f"| {100 * d.undetermined:.0f}% | {groups} |"
                    ),
                    flush=True,
                )
    print(f"{time.perf_counter() - start:.0f} s")


if __name__ == "__main__":
    main()
