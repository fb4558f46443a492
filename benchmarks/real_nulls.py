"""Real nulls: controls that differ in seed and records only.

Every difference between two of them is chance. docs/calibration.md.

Each control is a LoRA adapter on the topmost layers of the model, above the shared trunk, trained on its own
draw of original records, and asked about the same held-out items. `--train` trains them and keeps their
outcomes; without it they are judged by `probate.stats`: pairs of single controls, each control in one pair,
by intervals over items only (what a study with one seed would show); and studies of 2, 3 and 5 seeds against
as many, without a control in common in a round, over `--rounds` random partitions of the controls (which
share them, so that the figures are known less well than their number suggests).

python benchmarks/real_nulls.py OUTCOMES.parquet --data BIOS.jsonl --train 120
python benchmarks/real_nulls.py OUTCOMES.parquet --rounds 40
"""

from __future__ import annotations

import argparse
import tempfile
import time
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pandas as pd

PER_CELL, HELD_OUT, LAYERS, EPOCHS = 8, 20, 4, 4


def train(out: Path, data: Path, count: int) -> None:
    """`count` controls more than `out` has."""
    from probate.core.records import stable_order, with_messages
    from probate.data.user_turn import user_turn
    from probate.execution.evaluation import evaluate
    from probate.execution.prepare import read_data
    from probate.models.lm import load_lm
    from probate.study.schema import Study
    from probate.tasks.catalogue import load_task
    from probate.train.examples import encode_records
    from probate.train.sft import train as fit

    groups = {"gender": "gender"}
    study = Study.model_validate(
        {
            "name": "real-nulls", "model": "embedded", "ratios": [0], "matched_control": "none",
            "data": {"source": str(data.resolve()),
                     "columns": {"text": "bio", "label": "occupation", "id": "id", "groups": groups},
                     "train_per_cell": 60, "test_per_cell": HELD_OUT},
            "training": {
                "epochs": EPOCHS, "learning_rate": 1e-3, "lora": {"r": 16, "alpha": 32, "layers": LAYERS},
            },
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
        examples, _ = encode_records(
            lm, with_messages(records, user_turn(study.data), read.labels), study.training.max_length
        )
        with tempfile.TemporaryDirectory() as folder:
            fit(lm.model, examples, study.training, seed, Path(folder), pad_id=lm.pad_id)
            rows = pd.DataFrame([asdict(o) for o in evaluate(lm, Path(folder), task, read.context)]).assign(
                seed=seed
            )
        done = pd.concat([done, rows], ignore_index=True)
        done.to_parquet(out)
        print(
            (
                f"control {seed}: {time.perf_counter() - begun:.1f} s, "
                f"accuracy {(rows['prediction'] == rows['target']).mean():.3f}"
            ),
            flush=True,
        )


def judge(out: Path, rounds: int) -> None:
    """Print false positives and coverage by measure."""
    from probate.stats import comparisons
    from probate.study.schema import Analysis
    from probate.tasks.occupation import Occupation
    from probate.testing import sample_context

    table = pd.read_parquet(out)
    table["groups"] = [{k: v for k, v in g.items() if v} for g in table["groups"]]
    labels = sorted(table["target"].unique())
    context = replace(
        sample_context(),
        labels=labels,
        stereotypes={"nurse": ["female"], "physician": ["male"], "surgeon": ["male"]},
    )
    analysis, seeds = Analysis(resamples=200), sorted(table["seed"].unique())
    runs = {seed: own for seed, own in table.groupby("seed")}
    print(
        f"{len(seeds)} controls, {len(runs[seeds[0]])} held-out items; accuracy {table['score'].mean():.3f}"
    )
    for measure in Occupation().measures(context):
        values = {seed: measure.values(own) for seed, own in runs.items()}
        gaps = [
            next(comparisons.levels([v], measure, analysis))[3].value if len(measure.sides) == 1 else _gap(v)
            for v in values.values()
        ]
        print(
            f"{measure.name}: the level or gap of one training "
            f"spreads by {100 * np.std(gaps, ddof=1):.1f} points"
        )
        rng = np.random.default_rng(0)
        for count in (1, 2, 3, 5):
            found, held, number = 0, 0, 0
            for _ in range(1 if count == 1 else rounds):
                order = rng.permutation(seeds)
                for start in range(0, len(order) - 2 * count + 1, 2 * count):
                    first, second = order[start : start + count], order[start + count : start + 2 * count]
                    pairs = [(values[a], values[b]) for a, b in zip(first, second, strict=True)]
                    e = list(comparisons.changes(pairs, measure, analysis))[-1][1]
                    found, held, number = found + (e.p <= 0.05), held + (e.low <= 0 <= e.high), number + 1
            each = len(seeds) // (2 * count)
            print(
                f"  {count} against {count}: {number} studies ({each} without a control in common): "
                f"p <= .05 in {100 * found / number:.1f}%, interval holds 0 in {100 * held / number:.1f}%"
            )


def _gap(values: pd.DataFrame) -> float:
    means = values.groupby("side")["value"].mean()
    return float(means[0] - means[1])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("out", type=Path)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--train", type=int, default=0)
    parser.add_argument("--rounds", type=int, default=40)
    args = parser.parse_args()
    if args.train:
        train(args.out, args.data, args.train)
    else:
        judge(args.out, args.rounds)
