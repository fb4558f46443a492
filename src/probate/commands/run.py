"""`probate run`."""

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
from probate.core.terminal import echo

with deferred():
    from probate.execution import tracking
    from probate.report import pipeline


def run(
    study: StudyArgument,
    out: Annotated[Path | None, typer.Option("--out", help="Run folder; default: runs/NAME.")] = None,
    overrides: SetOption = None,
    scale: ScaleOption = None,
    variant: VariantOption = None,
    model: ModelOption = None,
    base: BaseOption = None,
    allow_code: CodeOption = False,
    servers: ServerOption = None,
    tracker: Annotated[str | None, typer.Option("--track", help="Also log the finished run: mlflow.")] = None,
    executor: Annotated[
        str,
        typer.Option("--executor", help="Where arms are trained and measured: inline, local or a plug-in."),
    ] = "inline",
    jobs: Annotated[
        int | None,
        typer.Option("--jobs", help="Number of arms at the same time; more than 1 means --executor local."),
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="Show no progress.")] = False,
    as_json: JsonFlag = False,
) -> None:
    """Run a study, or continue it, and write its report."""
    loaded, start = load_study(study, overrides, model, base, scale, variant)
    if tracker:
        tracking.check_tracker(tracker)
    with allow(code=allow_code, servers=servers or []):
        result = pipeline.run_study(
            loaded, out or Path("runs") / loaded.name, base=start, quiet=quiet, executor=executor, jobs=jobs
        )
    page, tracked = result.report, []
    if tracker:
        runs = list(result.parts.values()) or [result]
        tracked = [tracking.track(one.folder) for one in runs]
    effects = (
        [] if result.parts else result.effects[result.effects["question"] == "inheritance"].to_dict("records")
    )
    record = {"report": page, "tracked": tracked, "failures": result.failures, "inheritance": effects}
    give([f"report: {page}", *(f"tracked: {x}" for x in tracked)], record, as_json)
    if result.failures:
        echo(
            f"{len(result.failures)} stages failed; the first error is: {result.failures[0]['error']}",
            err=True,
        )
    raise typer.Exit(result.exit_code)
