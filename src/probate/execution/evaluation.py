"""One adapter, one task: outcomes, and the rows that they become."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from probate.core.files import write_atomic
from probate.core.parse import json_lines
from probate.models.adapter import attached
from probate.tasks.base import Outcome, Task, TaskContext

if TYPE_CHECKING:
    from probate.models.lm import LM


def evaluate(
    base: LM,
    adapter: Path | None,
    task: Task,
    context: TaskContext,
    tick: Callable[[int], None] | None = None,
    notice: dict[str, str] | None = None,
) -> list[Outcome]:
    """Measure one task on one model.

    Parameters
    ----------
    base : LM
        The base model. Its count `truncated` is updated.
    adapter : Path or None
        Folder of a PEFT adapter that is attached during the task. With None, the base model itself is
        measured.
    task : Task
        The task.
    context : TaskContext
        Held-out records, labels and groups of the study.
    tick : callable, optional
        Called with the number of prompts that were answered since the last call.
    notice : dict of str to str, optional
        Text that is placed before each chat prompt (mitigation `token`).

    Returns
    -------
    list of Outcome
        One outcome for each item.
    """
    with attached(base.model, adapter) if adapter else nullcontext(base.model) as model:
        model_with_adapter = replace(base, model=model, notice=notice)
        outcomes = task.evaluate(model_with_adapter, context, tick)
        base.truncated = model_with_adapter.truncated
        return outcomes


def write_outcomes(folder: Path, outcomes: Sequence[Outcome]) -> None:
    """Write the outcomes of an evaluation to its folder, as `outcomes.jsonl`."""
    lines = "".join(json.dumps(asdict(o), ensure_ascii=False) + "\n" for o in outcomes)
    write_atomic(folder / "outcomes.jsonl", lines)


def outcome_rows(columns: Mapping[str, Any], path: Path) -> pd.DataFrame:
    """Read outcomes from a JSON Lines file as rows of `outcomes.parquet`.

    Parameters
    ----------
    columns : mapping
        Columns that have the same value in all rows, such as arm and task.
    path : Path
        `outcomes.jsonl` of an evaluation.

    Returns
    -------
    pandas.DataFrame
        One row for each outcome. `groups` is a JSON object with sorted keys.
    """
    rows = [row for _, row in json_lines(path)]
    for row in rows:
        row["groups"] = json.dumps(row["groups"], sort_keys=True)
    return pd.DataFrame([{**columns, **row} for row in rows])
