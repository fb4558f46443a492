"""One adapter, one task: outcomes, and the rows that they become."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from probate.core.parse import json_lines
from probate.models.adapter import wearing
from probate.study.plan import Arm
from probate.study.schema import Study
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

    with wearing(base.model, adapter) if adapter else nullcontext(base.model) as model:
        dressed = replace(base, model=model, notice=notice)
        outcomes = task.evaluate(dressed, context, tick)
        base.truncated = dressed.truncated
        return outcomes


def outcome_rows(study: Study, arm: Arm, task: Task, path: Path) -> pd.DataFrame:
    """The stage's outcomes in the columns of `outcomes.parquet`."""
    rows = [row for _, row in json_lines(path)]
    fixed = {
        "study": study.name,
        "arm": arm.name,
        "bias_type": arm.bias_type,
        "ratio": arm.ratio,
        "mitigation": arm.mitigation,
        "method": study.method,
        "round": arm.round,
        "seed": arm.seed,
        "task": task.key,
        "metric": task.metric,
    }
    for row in rows:
        row["groups"] = json.dumps(row["groups"], sort_keys=True)
    return pd.DataFrame([{**fixed, **row} for row in rows])
