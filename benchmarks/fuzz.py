"""Many edited inputs for each reader of what others wrote: a value or one sentence, never another error.

python benchmarks/fuzz.py [--cases 10000] [--only NAME] [--seed 0]
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from fuzzing import KINDS, edited, fault, is_json, readers, replaced


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=10_000)
    parser.add_argument("--only", default="")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    wrong = 0
    for name, (read, good) in readers().items():
        if given.only not in ("", name):
            continue
        chance, faults, slowest, begun = (
            random.Random(f"{given.seed}{name}"),
            Counter[str](),
            0.0,
            time.monotonic(),
        )
        for _ in range(given.cases):
            number = chance.randint(1, 5)
            edits = [
                (chance.choice(KINDS), chance.randrange(1 << 20), chance.randrange(64), chance.randrange(256))
                for _ in range(number)
            ]
            bad = edited(good, edits)
            if (
                is_json(good) and chance.random() < 0.5
            ):  # whole values, of which edits of bytes seldom make others
                bad = replaced(good, [(place, which) for _, place, _, which in edits])
            before = time.monotonic()
            if said := fault(read, bad):
                faults[said[:110]] += 1
            slowest = max(slowest, time.monotonic() - before)
        wrong += faults.total()
        seconds = time.monotonic() - begun
        print(
            (
                f"{name}: {given.cases:,} cases, {faults.total()} faults, "
                f"{seconds:.0f} s, slowest {1000 * slowest:.0f} ms"
            ),
            flush=True,
        )
        for said, count in faults.most_common(5):
            print(f"    {count} x {said}", flush=True)
    sys.exit(wrong > 0)


if __name__ == "__main__":
    main()
