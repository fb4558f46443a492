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
from probate.core.errors import InputError, first_line

with deferred():
    from probate.execution import estimate
    from probate.study import loading


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
        said = estimate.sentences(record)
        record["scales"] = {}
        for name in [] if scale else loading.scales_of(study):
            try:
                reduced, _ = load_study(study, overrides, None, base, name, variant)
                record["scales"][name] = estimate.planned(reduced, start)
            except InputError as error:  # an option that fits the whole study only
                said.append(f"--scale {name}: cannot be planned with these options: {first_line(error)}")
                continue
            said.append(estimate.scale_sentence(name, record["scales"][name]))
    give(said, record, as_json)
