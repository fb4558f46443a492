"""Real nulls: controls that differ in seed and records only, so that every difference between two of them is chance. docs/calibration.md.

Each control is a LoRA adapter on the topmost layers of the model, above the shared trunk, trained on its own draw of original records, and asked about
the same held-out items. `--train` trains them and keeps their outcomes; without it, studies of `--seeds` against `--seeds` controls are made of those kept, many
times at random (disjoint within a study; studies share controls), and judged by `probate.analyze`.

python benchmarks/real_nulls.py OUTCOMES.parquet --data BIOS.jsonl --train 120
python benchmarks/real_nulls.py OUTCOMES.parquet --seeds 3 --studies 2000
"""

from __future__ import annotations

import argparse
import tempfile
import time
from dataclasses import asdict
from pathlib import Path

import pandas as pd

PER_CELL, HELD_OUT, LAYERS, EPOCHS = 8, 20, 4, 4


def train(out: Path, data: Path, count: int) -> None:
    """`count` controls more than `out` has."""
    from probate.arms import read_data
    from probate.evaluation import evaluate
    from probate.models.lm import load_lm
    from probate.records import stable_order, with_messages
    from probate.registry import load_task
    from probate.study import Study
    from probate.train.examples import encode
    from probate.train.sft import train as fit

    groups = {"gender": "gender"}
    study = Study.model_validate(
        {
            "name": "real-nulls", "model": "embedded", "ratios": [0], "matched_control": "none",
            "data": {"source": str(data.resolve()), "columns": {"text": "bio", "label": "occupation", "id": "id", "groups": groups},
                     "train_per_cell": 60, "test_per_cell": HELD_OUT},
            "training": {"epochs": EPOCHS, "learning_rate": 1e-3, "lora": {"r": 16, "alpha": 32, "layers": LAYERS}},
        }
    )  # fmt: skip
    read = read_data(study, Path("."))
    lm, task = load_lm("embedded"), load_task("occupation")
    done = pd.read_parquet(out) if out.exists() else pd.DataFrame()
    first = int(done["seed"].max()) + 1 if len(done) else 0
    for seed in range(first, first + count):
        begun = time.perf_counter()
        cells: dict[tuple[str, str], dict[str, object]] = {}
        for r in read.split.train:
            cells.setdefault((r.label, r.groups["gender"]), {})[r.id] = r
        records = [own[i] for own in cells.values() for i in stable_order(own, "null", seed)[:PER_CELL]]
        examples, _ = encode(lm, with_messages(records, study.data.user_turn, read.labels), study.training.max_length)
        with tempfile.TemporaryDirectory() as folder:
            fit(lm.model, examples, study.training, seed, Path(folder), pad_id=lm.pad_id)
            rows = pd.DataFrame([asdict(o) for o in evaluate(lm, Path(folder), task, read.context)]).assign(seed=seed)
        done = pd.concat([done, rows], ignore_index=True)
        done.to_parquet(out)
        print(
            f"control {seed}: {time.perf_counter() - begun:.1f} s, accuracy {(rows['prediction'] == rows['target']).mean():.3f}",
            flush=True,
        )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--train", type=int, default=0)
    args = parser.parse_args()
    if args.train:
        train(args.out, args.data, args.train)
