"""A study on a Ray cluster of two nodes, of which nodes or the program itself are killed at random moments.

    python benchmarks/ray_faults.py studies/planted.yaml [--nodes 10] [--programs 10] [--set KEY=VALUE …]

The cluster is on this machine; each node has one core. The study first runs in one process, and then on the
cluster without faults. Then a node is killed (and another one is added) at a random moment of each of `--nodes`
runs, and the program of each of `--programs` runs is killed and started again. Each run's outcomes are compared
with those of one process, row for row; probabilities may differ by rounding, and the largest difference is
printed.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pandas as pd


def command(args: argparse.Namespace, out: Path, *more: str) -> list[str]:
    """Return the command of a run."""
    settings = [part for own in args.set for part in ("--set", own)]
    return [
        sys.executable,
        "-m",
        "probate",
        "run",
        args.study,
        "--out",
        str(out),
        "--quiet",
        *settings,
        *more,
    ]


def finish(process: subprocess.Popen[str]) -> float:
    """Wait for a run, show what it printed if it failed, and return how long it took."""
    started = time.monotonic()
    said = process.communicate()[0]
    if process.returncode:
        print(f"exit {process.returncode}: {said[-600:]}", flush=True)
    return time.monotonic() - started


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("study")
    parser.add_argument("--nodes", type=int, default=10)
    parser.add_argument("--programs", type=int, default=10)
    parser.add_argument("--set", action="append", default=[])
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"
    from ray.cluster_utils import Cluster

    draw = random.Random(args.seed)
    node = {"num_cpus": 1, "object_store_memory": 80_000_000}
    cluster = Cluster(initialize_head=True, head_node_args=node)
    cluster.add_node(**node)
    ray = ("--executor", "ray", "--address", cluster.address)

    def begin(out: Path, *more: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            command(args, out, *more), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )

    with tempfile.TemporaryDirectory() as path:
        folder = Path(path)
        one = finish(begin(folder / "one"))
        expected = pd.read_parquet(folder / "one" / "outcomes.parquet")

        def equal(name: str) -> bool:
            file = folder / name / "outcomes.parquet"
            if not file.exists():
                return False
            table = pd.read_parquet(file)
            rows = table.drop(columns="response").equals(expected.drop(columns="response"))
            if rows:
                pairs = zip(
                    table["response"].map(json.loads), expected["response"].map(json.loads), strict=True
                )
                most = max(abs(a[key] - b[key]) for a, b in pairs for key in b)
                print(f"largest difference of a probability: {most:.4f}")
            else:
                other = [c for c in expected if c != "response" and not table[c].equals(expected[c])]
                count = (
                    int((table["prediction"] != expected["prediction"]).sum())
                    if len(table) == len(expected)
                    else -1
                )
                print(f"differ: {', '.join(other)}; {count} of {len(expected)} predictions")
            return rows

        whole = finish(begin(folder / "ray", *ray))
        arms = expected["arm"].nunique()
        print(
            f"{arms} arms, {len(expected)} outcomes: {one:.0f} s in one process with one thread, {whole:.0f} s on "
            f"two nodes with one core each; equal: {equal('ray')}",
            flush=True,
        )
        good = 0
        for turn in range(args.nodes):
            process = begin(folder / f"node{turn}", *ray)
            moment = draw.uniform(0.1, 0.95) * whole
            time.sleep(moment)
            cluster.remove_node(cluster.list_all_nodes()[-1], allow_graceful=False)
            cluster.add_node(**node)
            finish(process)
            good += equal(f"node{turn}")
            print(f"node killed after {moment:.0f} s; equal: {equal(f'node{turn}')}", flush=True)
        print(f"{good} of {args.nodes} runs of which a node was killed have the outcomes of one process")
        good = 0
        for turn in range(args.programs):
            process = begin(folder / f"program{turn}", *ray)
            moment = draw.uniform(0.1, 0.95) * whole
            try:
                process.communicate(timeout=moment)
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGKILL)
                process.communicate()
            finish(begin(folder / f"program{turn}", *ray))
            good += equal(f"program{turn}")
            print(f"program killed after {moment:.0f} s; equal: {equal(f'program{turn}')}", flush=True)
        print(f"{good} of {args.programs} runs whose program was killed have the outcomes of one process")
    cluster.shutdown()


if __name__ == "__main__":
    main()
