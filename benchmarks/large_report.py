"""The report of a large study: effects and page from simulated outcomes, with time, memory and size.

    python benchmarks/large_report.py [--outcomes 2000000] [--seeds 10]

The study has six bias types, seven mitigations and ten doses, so that ten seeds are 5,010 arms. Its outcomes are
simulated, with the columns and texts of real ones: items have difficulties of their own, and one bias type moves
the answers about one group with the dose. `probate report` then runs in a process of its own.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd

from probate.core.records import write_records
from probate.execution.folder import RunFolder
from probate.execution.prepare import prepare
from probate.study.plan import arms_of
from probate.study.schema import Study
from probate.study.taxonomy import BIAS_TYPES, NEUTRAL

LABELS = ["nurse", "architect", "dentist"]
MITIGATIONS = ["token", "mask", "reweight", "rebalance", "counterfactual", "loss", "constrain"]


def study_of(seeds: int) -> Study:
    """Return the study."""
    return Study.model_validate({
        "name": "large", "model": "embedded", "seeds": list(range(seeds)),
        "data": {"source": "builtin:biographies", "train_per_cell": 4, "test_per_cell": 4, "labels": LABELS},
        "bias": {"types": list(BIAS_TYPES)[:6]}, "ratios": [0, *(round(0.05 * i, 2) for i in range(1, 11))],
        "mitigations": MITIGATIONS, "tasks": ["occupation"], "redraw": False,
    })  # fmt: skip


def outcomes_of(study: Study, rows: int, seed: int = 0) -> pd.DataFrame:
    """Return simulated outcomes."""
    draw = np.random.default_rng(seed)
    arms = arms_of(study)
    items = max(12, rows // len(arms) // 12 * 12)
    cells = [(label, group) for label in LABELS for group in ("female", "male")]
    target = [cells[i % 6][0] for i in range(items)]
    group = np.array([cells[i % 6][1] for i in range(items)])
    easy = draw.normal(1.0, 1.0, items)
    frames = []
    for arm in arms:
        bias = 2.0 * arm.ratio if arm.bias_type == study.bias.types[0] and arm.mitigation == "none" else 0.0
        right = 1 / (1 + np.exp(-(easy + draw.normal(0, 0.3) - bias * (group == "female"))))
        chosen = np.where(draw.random(items) < right, target, "nurse")
        response = [
            json.dumps({x: round(float(p) if x == t else (1 - float(p)) / 2, 4) for x in LABELS})
            for t, p in zip(target, right, strict=True)
        ]
        frames.append(pd.DataFrame({
            "study": study.name, "arm": arm.name, "bias_type": arm.bias_type, "ratio": arm.ratio,
            "mitigation": arm.mitigation, "method": study.method, "round": arm.round, "seed": arm.seed,
            "task": "occupation", "metric": "accuracy", "item_id": [f"item-{i}" for i in range(items)],
            "groups": [json.dumps({"gender": g}) for g in group], "target": target, "response": response,
            "prediction": chosen, "score": (chosen == np.array(target)).astype(float), "parsed": True,
        }))  # fmt: skip
    return pd.concat(frames, ignore_index=True)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--outcomes", type=int, default=2_000_000)
    parser.add_argument("--seeds", type=int, default=10)
    args = parser.parse_args()
    study = study_of(args.seeds)
    with tempfile.TemporaryDirectory() as path:
        folder = RunFolder(Path(path))
        data = prepare(study, Path()).data
        folder.begin(study, data)
        folder.lock_model({"name": "simulated"})
        for kind in (*study.bias.types, NEUTRAL):
            for seed in study.seeds:
                write_records(folder.path / "data" / f"{kind}-s{seed}.jsonl", data.split.train)
        outcomes = outcomes_of(study, args.outcomes)
        folder.write_outcomes(outcomes)
        folder.write_failures([])
        print(f"{len(arms_of(study))} arms, {len(outcomes)} outcomes", flush=True)
        del outcomes
        started = time.monotonic()
        done = subprocess.run(
            [sys.executable, "-m", "probate", "report", path], capture_output=True, text=True
        )
        seconds = time.monotonic() - started
        print(done.stdout + done.stderr)
        peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**20
        effects = len(pd.read_parquet(folder.path / "effects.parquet"))
        page = (folder.path / "report.html").stat().st_size / 1e6
        print(f"{effects} effects; {seconds:.0f} s, peak {peak:.1f} GiB, page {page:.1f} MB")


if __name__ == "__main__":
    main()
