"""`probate plan`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from probate.commands.output import JsonFlag, give
from probate.commands.study_options import (
    BaseOption,
    CodeOption,
    ModelOption,
    ScaleOption,
    ServerOption,
    SetOption,
    StudyArgument,
    VariantOption,
    load_study,
)
from probate.core.consent import allow
from probate.core.deferred import deferred

with deferred():
    from probate.execution import estimate


def plan(
    study: StudyArgument,
    out: Annotated[
        Path | None,
        typer.Option("--out", help="Run folder with the ledger of server costs; default: runs/NAME."),
    ] = None,
    overrides: SetOption = None,
    scale: ScaleOption = None,
    variant: VariantOption = None,
    model: ModelOption = None,
    base: BaseOption = None,
    allow_code: CodeOption = False,
    servers: ServerOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Show arms, stages, records and tokens, and estimate time and disk. Nothing is run."""
    loaded, start = load_study(study, overrides, model, base, scale, variant)

    with allow(code=allow_code, servers=servers or []):
        record = estimate.planned(loaded, start, out or Path("runs") / loaded.name)
    give(estimate.sentences(record), record, as_json)
