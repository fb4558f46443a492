"""The base model on the public test sets of the paper's culture study: macro-F1 under three ways of scoring options.

python benchmarks/sets.py FOLDER [--limit N] [--out results.jsonl]

FOLDER holds manifest.json and the sets. A finished set is not done again; the table is printed as Markdown.
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

from probate.analyze import macro_f1
from probate.models.lm import LM, load_lm
from probate.registry import load_task
from probate.study import Analysis, ModelSpec
from probate.tasks.base import Task
from probate.tasks.choice import score_items
from probate.testing import sample_context

TASKS = {
    "offensive language": ("offensive", {"OFF": "offensive", "NOT": "fine"}),
    "misogyny / offence": ("offensive", {"OFF": "offensive", "NOT": "fine"}),
    "vulgar speech": ("offensive", {"V": "offensive", "-": "fine"}),
    "improper language": ("offensive", {"1": "offensive", "0": "fine"}),
    "hate speech": ("hate", {"HS": "hate", "NOT_HS": "none"}),
    "misogyny": ("hate", {"1": "hate", "0": "none"}),
    "gender bias in dialogue": ("stereotype", {"1": "stereotype", "0": "none"}),
    "stereotype": ("stereotype", {"1": "stereotype", "0": "none"}),
    "insult": ("toxicity", {"1": "toxic", "0": "fine"}),
    "spam": ("spam", {"Spam": "spam", "Ham": "ham"}),
    "negative stance": ("stance", {"1": "against", "0": "other"}),
}
LANGUAGES = {"arabic": "ar", "chinese": "zh", "portuguese": "pt", "spanish": "es"}


def task_of(entry: dict[str, Any], folder: Path, **options: object) -> Task:
    """The task of one row of the manifest: a mapping of its labels, no code."""
    name, labels = TASKS[entry["task"]]
    alias = entry["file"].removesuffix(".jsonl").replace("/", "-")
    given = {
        "data": str(folder / entry["file"]),
        "columns": {"id": "id"},
        "labels": labels,
        "relation": entry["relation"],
        "language": LANGUAGES[entry["culture"]],
    }
    return load_task(name, {**given, **options}, alias)


def measure(lm: LM, entry: dict[str, Any], folder: Path, limit: int | None) -> dict[str, Any]:
    """One set: rows, rows a second, and for each scoring macro-F1 with interval and the commonest predicted label."""
    context = sample_context()
    items = task_of(entry, folder, **({"limit": limit} if limit else {})).items(context)
    start = time.perf_counter()
    plain = score_items(lm, items, context.max_length)
    seconds = time.perf_counter() - start
    prior = score_items(lm, [replace(items[0], prompt=items[0].blank)], context.max_length)[0]
    sizes = np.array([len(o.encode()) for o in items[0].options])
    found: dict[str, Any] = {
        "set": entry["file"],
        "relation": entry["relation"],
        "rows": len(items),
        "rate": len(items) / seconds,
    }
    for scoring, rows in (("sum", plain), ("bytes", [r / sizes for r in plain]), ("pmi", [r - prior for r in plain])):
        predicted = [items[0].names[int(np.argmax(r))] for r in rows]
        table = pd.DataFrame({"item_id": [i.id for i in items], "target": [i.target for i in items], "prediction": predicted})
        e = macro_f1.level([table], Analysis())
        found[scoring] = [e.value, e.low, e.high, float(table["prediction"].value_counts(normalize=True).iloc[0])]
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--limit", type=int, help="At most this many rows a set, evenly over the labels.")
    parser.add_argument("--model", default="embedded")
    parser.add_argument("--out", type=Path, default=Path("sets.jsonl"))
    args = parser.parse_args()
    done = [json.loads(x) for x in args.out.read_text().splitlines()] if args.out.exists() else []
    lm = load_lm(ModelSpec(name=args.model))
    for entry in json.loads((args.folder / "manifest.json").read_text()):
        if entry["file"] not in {d["set"] for d in done}:
            done.append(measure(lm, entry, args.folder, args.limit))
            args.out.write_text("".join(json.dumps(d) + "\n" for d in done))
    print("| set | relation | rows | rows/s | sum | bytes | pmi | largest share predicted (sum, bytes, pmi) |")
    print("|---|---|---|---|---|---|---|---|")
    for d in done:
        scores = [f"{d[s][0]:.3f} [{d[s][1]:.3f}, {d[s][2]:.3f}]" for s in ("sum", "bytes", "pmi")]
        shares = ", ".join(f"{100 * d[s][3]:.0f}%" for s in ("sum", "bytes", "pmi"))
        print(f"| {d['set']} | {d['relation']} | {d['rows']} | {d['rate']:.1f} | {' | '.join(scores)} | {shares} |")
    means = {s: np.mean([d[s][0] for d in done]) for s in ("sum", "bytes", "pmi")}
    print("\nmean macro-F1: " + ", ".join(f"{s} {m:.3f}" for s, m in means.items()))


if __name__ == "__main__":
    main()
