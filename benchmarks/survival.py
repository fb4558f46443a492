"""Kill a run with SIGKILL at random moments, continue it, and compare its outcomes with an uninterrupted run's.

probate run quickstart --out runs/quickstart
python benchmarks/survival.py quickstart runs/quickstart --kills 10 --within 45
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("study")
    parser.add_argument("whole", type=Path, help="run folder of the uninterrupted run")
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--within", type=float, default=45, help="a kill comes at a random moment of this many seconds")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--set", dest="overrides", action="append", default=[])
    args = parser.parse_args()
    chance = random.Random(args.seed)
    out = args.whole.with_name(args.whole.name + "-killed")
    shutil.rmtree(out, ignore_errors=True)
    flags = [x for o in args.overrides for x in ("--set", o)]
    command = [sys.executable, "-m", "probate", "run", args.study, "--out", str(out), "--quiet", *flags]
    start = time.monotonic()
    for number in range(args.kills):
        process = subprocess.Popen(command)
        wait = chance.uniform(2, args.within)
        time.sleep(wait)
        if process.poll() is not None:
            print(f"kill {number + 1}: the run had ended")
            break
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        done = sorted(p.parent.name for p in out.glob("**/done.json"))
        print(f"kill {number + 1} after {wait:.1f} s; {len(done)} stages finished", flush=True)
    subprocess.run(command, check=True)
    a, b = (pd.read_parquet(folder / "outcomes.parquet") for folder in (args.whole, out))
    print(f"{len(a)} outcomes; equal row for row: {a.equals(b)}; {time.monotonic() - start:.0f} s in all")
    sys.exit(0 if a.equals(b) else 1)


if __name__ == "__main__":
    main()
