"""One adapter, one task: outcomes, and the rows that they become."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

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
    """Outcomes of `task` for `base` with the PEFT adapter in `adapter` (None: the base model itself), `notice` before each chat prompt."""

    with attached(base.model, adapter) if adapter else nullcontext(base.model) as model:
        model_with_adapter = replace(base, model=model, notice=notice)
        outcomes = task.evaluate(model_with_adapter, context, tick)
        base.truncated = model_with_adapter.truncated
        return outcomes


def outcome_rows(columns: Mapping[str, Any], path: Path) -> pd.DataFrame:
    """The outcomes in the file `path` as rows of `outcomes.parquet`; `columns` are the same for all of them."""
    rows = [row for _, row in json_lines(path)]
    for row in rows:
        row["groups"] = json.dumps(row["groups"], sort_keys=True)
    return pd.DataFrame([{**columns, **row} for row in rows])
