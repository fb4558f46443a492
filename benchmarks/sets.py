"""The base model on the public test sets of the paper's culture study.

Macro-F1 under three ways of scoring options.

python benchmarks/sets.py FOLDER [--limit N] [--out results.jsonl]

FOLDER holds the sets of studies/culture-sets.yaml. A finished set is not done again; the table is printed as
Markdown.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from probate.models.lm import LM, load_lm
from probate.stats import macro_f1
from probate.stats.relation import direct_against_indirect
from probate.study.schema import Analysis, ModelSpec, Study
from probate.tasks.base import Task
from probate.tasks.catalogue import load_task
from probate.tasks.choice import score_items
from probate.testing import sample_context

STUDY = Path(__file__).parents[1] / "studies" / "culture-sets.yaml"


def tasks_of(folder: Path, **options: object) -> list[Task]:
    """The tasks of the study, which maps each set's labels; `folder` holds the sets."""
    return [
        load_task(
            spec.name, {**spec.options, "data": str(folder / spec.options["data"]), **options}, spec.alias
        )
        for variant in Study.load(STUDY).variants().values()
        for spec in variant.tasks
    ]


def measure(lm: LM, task: Task) -> dict[str, Any]:
    """One set: rows, rows a second, and macro-F1 for each scoring.

    With its interval and the commonest predicted label.
    """
    context = sample_context()
    items = task.items(context)
    start = time.perf_counter()
    plain = score_items(lm, items, context.max_length)
    seconds = time.perf_counter() - start
    prior = score_items(lm, [replace(items[0], prompt=items[0].blank)], context.max_length)[0]
    sizes = np.array([len(o.encode()) for o in items[0].options])
    found: dict[str, Any] = {
        "set": task.key,
        "relation": task.related,
        "rows": len(items),
        "rate": len(items) / seconds,
    }
    for scoring, rows in (
        ("sum", plain),
        ("bytes", [r / sizes for r in plain]),
        ("pmi", [r - prior for r in plain]),
    ):
        predicted = [items[0].names[int(np.argmax(r))] for r in rows]
        table = pd.DataFrame(
            {"item_id": [i.id for i in items], "target": [i.target for i in items], "prediction": predicted}
        )
        e = macro_f1.level([table], Analysis())
        found[scoring] = [
            e.value,
            e.low,
            e.high,
            float(table["prediction"].value_counts(normalize=True).iloc[0]),
        ]
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--limit", type=int, help="At most this many rows a set, evenly over the labels.")
    parser.add_argument("--model", default="embedded")
    parser.add_argument("--out", type=Path, default=Path("sets.jsonl"))
    args = parser.parse_args()
    done = [json.loads(x) for x in args.out.read_text().splitlines()] if args.out.exists() else []
    lm = load_lm(ModelSpec(name=args.model))
    for task in tasks_of(args.folder, **({"limit": args.limit} if args.limit else {})):
        if task.key not in {d["set"] for d in done}:
            done.append(measure(lm, task))
            args.out.write_text("".join(json.dumps(d) + "\n" for d in done))
    print(
        "| set | relation | rows | rows/s | sum | bytes | pmi | largest share predicted (sum, bytes, pmi) |"
    )
    print("|---|---|---|---|---|---|---|---|")
    for d in done:
        scores = [f"{d[s][0]:.3f} [{d[s][1]:.3f}, {d[s][2]:.3f}]" for s in ("sum", "bytes", "pmi")]
        shares = ", ".join(f"{100 * d[s][3]:.0f}%" for s in ("sum", "bytes", "pmi"))
        print(
            f"| {d['set']} | {d['relation']} | {d['rows']} | "
            f"{d['rate']:.1f} | {' | '.join(scores)} | {shares} |"
        )
    groups = {"all": done} | {
        c: [d for d in done if d["set"].startswith(c)] for c in ("arabic", "chinese", "portuguese", "spanish")
    }
    for name, own in groups.items():
        means = ", ".join(f"{s} {np.mean([d[s][0] for d in own]):.3f}" for s in ("sum", "bytes", "pmi"))
        print(f"\n{name}: {len(own)} sets, {sum(d['rows'] for d in own)} rows, mean macro-F1 {means}")
    direct, indirect = (
        [d["sum"][0] for d in done if d["relation"] == side] for side in ("direct", "indirect")
    )
    e = direct_against_indirect(direct, indirect, Analysis())
    print(f"\ndirect − indirect (sum): {e.value:+.3f} [{e.low:+.3f}, {e.high:+.3f}], p {e.p:.2f}, {e.test}")


if __name__ == "__main__":
    main()
