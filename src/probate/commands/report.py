"""`probate report`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from probate.commands.output import JsonFlag, give
from probate.core.deferred import deferred

with deferred():
    from probate.execution import folder as run_folder
    from probate.report import page


def report(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A run folder.")], as_json: JsonFlag = False
) -> None:
    """Rebuild effects.parquet and report.html from the outcomes of a run folder, without a model."""
    run = run_folder.RunFolder(folder)
    run.study()
    path = page.rebuild(run)
    give([f"report: {path}"], {"report": path}, as_json)
