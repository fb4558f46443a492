"""`probate export`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from probate.commands.output import JsonFlag, give
from probate.commands.study_options import (
    SetOption,
    load_study,
)
from probate.core.deferred import deferred
from probate.core.errors import InputError

with deferred():
    from probate.execution import prepare
    from probate.tasks import catalogue, choice, harness


def export(
    task: Annotated[str, typer.Argument(metavar="TASK", help="Task or probe whose answers are choices.")],
    out: Annotated[Path, typer.Option("--out", help="Folder for the YAML file and its items.")],
    study: Annotated[str, typer.Option("--study", help="Study with the data and groups.")] = "self-written",
    overrides: SetOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Export a task to lm-evaluation-harness, which runs it unchanged."""
    loaded, base = load_study(study, overrides, None)

    options = {t.key: t for t in (*loaded.tasks, *loaded.probes)}
    chosen = (
        catalogue.load_any(options[task].name, options[task].options, options[task].alias)
        if task in options
        else catalogue.load_any(task)
    )
    if not isinstance(chosen, choice.ChoiceTask):
        raise InputError(
            f"export: '{task}' does not choose among options, so that the harness has no counterpart"
        )
    path = harness.export(chosen, prepare.read_data(loaded, base).context, out)
    command = f"lm_eval --model hf --tasks {path.stem} --include_path {out} --apply_chat_template"
    give([str(path), command], {"task": path, "command": command}, as_json)
