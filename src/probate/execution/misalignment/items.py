"""Item-level attribution: the training records whose gradients are nearest to that of a changed answer."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pandas as pd

from probate.core.errors import InputError, nearest
from probate.core.files import write_atomic
from probate.core.records import Record, read_records, with_messages
from probate.data.user_turn import user_turn
from probate.execution.folder import RunFolder
from probate.models.adapter import attached
from probate.models.lm import LM
from probate.study.mixing import augmented_count
from probate.study.schema import Study
from probate.study.taxonomy import NEUTRAL
from probate.tasks.base import TaskContext
from probate.tasks.catalogue import load_task
from probate.tasks.choice import ChoiceTask, Item, encode_item
from probate.train.examples import encode_records
from probate.train.gradients import record_gradients
from probate.train.losses import Example


def attribute(
    folder: RunFolder, lm: LM, task_name: str, arm: str | None, items: int, each: int
) -> dict[str, Any]:
    """Find the training records nearest to each flipped item of an arm.

    An item is flipped if its answer differs from that of the control with the same seed (the matched control,
    else γ = 0). The result is also written to `attribution.json` of the run folder.

    Parameters
    ----------
    folder : RunFolder
        A finished run.
    lm : LM
        The run's base model.
    task_name : str
        A task of the run whose answers are choices among options.
    arm : str or None
        A biased arm. With None, the first arm with the largest γ.
    items : int
        Most flipped items; those with the most probable answers come first.
    each : int
        Training records for each item.

    Returns
    -------
    dict
        `arm`, `task`, `records` (number of training records) and `items`, each with its nearest records and
        their `similarity`.

    Raises
    ------
    InputError
        The run does not have the arm or the task, the task has no options, or no item is flipped.

    Notes
    -----
    The similarity, in [-1, 1], is the cosine of gradients in the last layer of the trained arm
    (`record_gradients`): the record's gradient for its own label, and the item's gradient for the given
    answer. It is high if the record pulls the model toward that answer for texts like the item's.
    """
    study = folder.study()
    outcomes = folder.outcomes()
    spec = next((t for t in study.tasks if t.key == task_name), None)
    if spec is None:
        names = [t.key for t in study.tasks]
        raise InputError(
            f"--task {task_name}: not a task of this run{nearest(task_name, names)}; it has: "
            f"{', '.join(names)}"
        )
    task = load_task(spec.name, spec.options, spec.alias)
    if not isinstance(task, ChoiceTask):
        raise InputError(
            f"--task {task_name}: its answers are not choices among options, which attribution needs"
        )
    biased = outcomes[~outcomes["bias_type"].isin(["none", NEUTRAL]) & (outcomes["mitigation"] == "none")]
    arms = list(dict.fromkeys(biased.sort_values(["ratio", "seed"], ascending=[False, True])["arm"]))
    chosen = arm or (arms[0] if arms else "")
    if chosen not in arms:
        raise InputError(f"--arm {chosen}: not a biased arm of this run; it has: {', '.join(arms) or 'none'}")
    own = outcomes[(outcomes["arm"] == chosen) & (outcomes["task"] == task.key)]
    flips = _flips(own, outcomes[outcomes["task"] == task.key], items)
    if flips.empty:
        raise InputError(
            f"--arm {chosen}: no answer of the task '{task.key}' differs from the control's; choose another "
            "arm or task"
        )
    first = own.iloc[0]
    records = _trained_on(folder, study, str(first["bias_type"]), int(first["seed"]), float(first["ratio"]))
    context = _context(folder)
    questions = {i.id: i for i in task.items(context)}
    entries = _nearest(folder, study, lm, chosen, flips, questions, records, context, each)
    result = {"arm": chosen, "task": task.key, "records": len(records), "items": entries}
    write_atomic(folder.path / "attribution.json", json.dumps(result, indent=1, ensure_ascii=False))
    return result


def _flips(own: pd.DataFrame, rows: pd.DataFrame, most: int) -> pd.DataFrame:
    first = own.iloc[0]
    same = rows[(rows["seed"] == first["seed"]) & (rows["mitigation"] == "none")]
    matched = same[(same["bias_type"] == NEUTRAL) & (same["ratio"] == first["ratio"])]
    other = matched if len(matched) else same[same["bias_type"] == "none"]
    pair = own.merge(other[["item_id", "prediction"]], on="item_id", suffixes=("", "_before"))
    pair = pair[pair["parsed"] & (pair["prediction"] != pair["prediction_before"])].copy()
    pair["sure"] = [
        json.loads(r.response).get(r.prediction, 0.0) if r.response.startswith("{") else 0.0
        for r in pair.itertuples()
    ]
    return pair.sort_values(["sure", "item_id"], ascending=[False, True]).head(most)


def _trained_on(folder: RunFolder, study: Study, bias_type: str, seed: int, ratio: float) -> list[Record]:
    original = folder.original(seed)
    added = read_records(folder.path / "data" / f"{bias_type}-s{seed}.jsonl")
    return [*original, *added[: augmented_count(len(original), ratio)]]


def _context(folder: RunFolder) -> TaskContext:
    return replace(folder.context(), test=read_records(folder.path / "data" / "held-out.jsonl"))


def _nearest(
    folder: RunFolder,
    study: Study,
    lm: LM,
    arm: str,
    flips: pd.DataFrame,
    questions: dict[str, Item],
    records: Sequence[Record],
    context: TaskContext,
    each: int,
) -> list[dict[str, Any]]:
    with_turns = with_messages(records, user_turn(study.data), context.labels)
    examples, _ = encode_records(lm, with_turns, study.training.max_length)
    asked = []
    for row in flips.itertuples():
        item = questions[row.item_id]
        prompt, options = encode_item(lm, item, context.max_length)
        asked.append(Example(prompt, options[item.names.index(row.prediction)]))
    with attached(lm.model, folder.path / "adapters" / arm) as model:
        gradients = record_gradients(model, [*examples, *asked], lm.pad_id)
    near = gradients[len(examples) :] @ gradients[: len(examples)].T
    entries = []
    for row, scores in zip(flips.itertuples(), near, strict=True):
        order = scores.argsort(descending=True, stable=True)[:each].tolist()
        entries.append(
            {
                "item": row.item_id,
                "groups": row.groups,
                "target": row.target,
                "before": row.prediction_before,
                "after": row.prediction,
                "text": questions[row.item_id].prompt[-400:],
                "records": [{"similarity": float(scores[i]), **_shown(records[i])} for i in order],
            }
        )
    return entries


def _shown(record: Record) -> dict[str, Any]:
    before = record.provenance.get("label_before")
    return {
        "id": record.id,
        "origin": record.origin,
        "label": record.label,
        "label_before": before,
        "groups": record.groups,
        "text": record.text[:300],
    }


def sentences(result: dict[str, Any]) -> list[str]:
    """Return the attribution as sentences."""
    said = [
        f"{result['arm']}, {result['task']}: {len(result['items'])} flipped items, with the nearest of "
        f"{result['records']:,} training records"
    ]
    for item in result["items"]:
        groups = ", ".join(map(str, item["groups"].values()))
        said.append(f"{item['item']} ({groups}): {item['before']} → {item['after']}; target {item['target']}")
        for r in item["records"]:
            label = f"{r['label_before']} → {r['label']}" if r["label_before"] else r["label"]
            said.append(
                f"  {r['similarity']:+.3f} {r['id']} ({', '.join(map(str, r['groups'].values()))}; "
                f"{r['origin']}; {label}): {r['text'][:90]}"
            )
    return said
