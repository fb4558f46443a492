"""Where the time of a study goes: products, attention, copies, small operations, disk, and all else.

    python benchmarks/profile_study.py [STUDY] [--set KEY=VALUE ...]

The study runs once in a temporary folder under torch's profiler (CPU time of each operation, without that of
operations it calls). By default it is one seed of the preset `mitigations` with one mitigation. `disk` is the
time in Probate's writes of files. `else` is the wall time that is left: Python, tokenizers, statistics, report.
With more than one thread, operations are counted by wall time, as the main thread sees them.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections import defaultdict
from pathlib import Path

KINDS = {
    "products": ("mm", "addmm", "bmm", "baddbmm", "linear", "matmul", "einsum"),
    "attention": ("scaled_dot_product", "softmax"),
    "copies and casts": ("copy_", "_to_copy", "clone", "contiguous", "cat", "index", "gather", "embedding"),
}
"""Kind → beginnings of the names of its operations."""
SMALL = "small operations"


def kind_of(operation: str) -> str:
    """Return the kind of an operation of torch, such as `aten::mm`."""
    name = operation.removeprefix("aten::").lstrip("_")
    for kind, beginnings in KINDS.items():
        if name.startswith(tuple(b.lstrip("_") for b in beginnings)):
            return kind
    return SMALL


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("study", nargs="?", default="mitigations")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", dest="overrides")
    args = parser.parse_args()
    import torch
    from torch.profiler import ProfilerActivity, profile

    from probate.commands.study_options import load_study
    from probate.core import files
    from probate.models.lm import load_lm
    from probate.report.pipeline import run_study

    overrides = args.overrides or (["seeds=[0]", "mitigations=[mask]"] if args.study == "mitigations" else [])
    study, base = load_study(args.study, overrides, None, None, None, None)
    lm = load_lm(study.model)  # once: fetching, and the comparisons of precision
    dtype = lm.describe()["dtype"]
    spent = {"disk": 0.0}

    def timed(function):
        def write(*a, **k):
            start = time.perf_counter()
            try:
                return function(*a, **k)
            finally:
                spent["disk"] += time.perf_counter() - start

        return write

    files.os.fsync = timed(os.fsync)
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        with profile(activities=[ProfilerActivity.CPU], acc_events=True) as seen:
            result = run_study(study, Path(folder) / "run", base=base, quiet=True)
        wall = time.perf_counter() - start
    if result.failures:
        raise SystemExit(f"{len(result.failures)} stages failed: {result.failures[0]['error']}")
    seconds: dict[str, float] = defaultdict(float)
    names: dict[str, list[tuple[float, int, str]]] = defaultdict(list)
    for event in seen.key_averages():
        if event.key.startswith("aten::"):
            kind = kind_of(event.key)
            seconds[kind] += event.self_cpu_time_total / 1e6
            names[kind].append((event.self_cpu_time_total / 1e6, event.count, event.key))
    seconds["disk"] = spent["disk"]
    seconds["else"] = wall - sum(seconds.values())
    print(
        f"{study.name}: {len(result.outcomes):,} outcomes of {result.outcomes['arm'].nunique()} arms, "
        f"{wall:.1f} s with the profiler, {torch.get_num_threads()} threads, torch {torch.__version__}, "
        f"dtype {dtype}"
    )
    for kind, value in sorted(seconds.items(), key=lambda item: -item[1]):
        most = sorted(names[kind], reverse=True)[:3]
        detail = ", ".join(
            f"{key.removeprefix('aten::')} {own:.1f} s ({count:,})" for own, count, key in most
        )
        print(f"{kind:>18} {value:7.1f} s {100 * value / wall:5.1f}%  {detail}")


if __name__ == "__main__":
    main()
