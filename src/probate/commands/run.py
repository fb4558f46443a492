"""`probate run`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

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
from probate.core.errors import InputError
from probate.core.terminal import echo

with deferred():
    from probate.execution import tracking
    from probate.execution.executors import base as executors
    from probate.report import pipeline
    from probate.study import plan as plans

if TYPE_CHECKING:
    from probate.report.results import Run


def run(
    study: StudyArgument,
    out: Annotated[
        Path | None,
        typer.Option("--out", help="Run folder; default: runs/NAME, of a shard runs/NAME-2-of-8."),
    ] = None,
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
        typer.Option(
            "--executor", help="Where arms are trained and measured: inline, local, ray or a plug-in."
        ),
    ] = "inline",
    jobs: Annotated[
        int | None,
        typer.Option("--jobs", help="Number of arms at the same time; more than 1 means --executor local."),
    ] = None,
    address: Annotated[
        str | None,
        typer.Option(
            "--address",
            help="With --executor ray: address of the cluster, such as auto; default: RAY_ADDRESS.",
        ),
    ] = None,
    shard: Annotated[
        str | None,
        typer.Option(
            "--shard",
            metavar="NUMBER/COUNT",
            help="Run only this part of the arms, such as 2/8; `probate merge` puts all parts together.",
        ),
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="Show no progress.")] = False,
    as_json: JsonFlag = False,
) -> None:
    """Run a study, or continue it, and write its report."""
    loaded, start = load_study(study, overrides, model, base, scale, variant)
    part = plans.Shard.read(shard) if shard else None
    if part and tracker:
        raise InputError("--track: a shard has no results to log; log the merged run")
    if tracker:
        tracking.check_tracker(tracker)
    folder = out or Path("runs") / (f"{loaded.name}-{part.number}-of-{part.of}" if part else loaded.name)
    place = executors.Place(executor, jobs, address)
    with allow(code=allow_code, servers=servers or []):
        result = pipeline.run_study(loaded, folder, base=start, quiet=quiet, place=place, shard=part)
    if part:
        _shard_done(result, part, as_json)
    tracked = []
    if tracker:
        tracked = [tracking.track(one.folder) for one in list(result.parts.values()) or [result]]
    give_results(result, tracked, as_json)


def give_results(result: Run, tracked: Sequence[str], as_json: bool) -> None:
    """Print where the report is and what failed, and end with the exit code of the run."""
    page = result.report
    effects = (
        [] if result.parts else result.effects[result.effects["question"] == "inheritance"].to_dict("records")
    )
    record = {"report": page, "tracked": tracked, "failures": result.failures, "inheritance": effects}
    give([f"report: {page}", *(f"tracked: {x}" for x in tracked)], record, as_json)
    _end(result)


def _shard_done(result: Run, shard: plans.Shard, as_json: bool) -> None:
    said = f"shard {shard}: {result.folder}; when all shards are finished: probate merge DIR DIR … --out DIR"
    record = {"shard": str(shard), "folder": result.folder, "failures": result.failures}
    give([said], record, as_json)
    _end(result)


def _end(result: Run) -> NoReturn:
    if result.failures:
        echo(
            f"{len(result.failures)} stages failed; the first error is: {result.failures[0]['error']}",
            err=True,
        )
    raise typer.Exit(result.exit_code)
