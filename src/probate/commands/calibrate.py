"""`probate calibrate`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from probate.commands.output import JsonFlag, give
from probate.commands.study_options import (
    BaseOption,
    CodeOption,
    SetOption,
    StudyArgument,
    load_study,
)
from probate.core.consent import allow
from probate.core.deferred import deferred
from probate.core.errors import InputError
from probate.core.progress import Reporter

with deferred():
    from probate.core import files
    from probate.execution import calibrate as simulation
    from probate.report import recovery


def calibrate(
    study: StudyArgument,
    source: Annotated[
        Path | None,
        typer.Option("--from", help="A finished run folder that gives each task's items, rates and spread."),
    ] = None,
    rate: Annotated[
        float, typer.Option("--rate", help="Assumed share in the control.", min=0.01, max=0.99)
    ] = 0.5,
    agreement: Annotated[
        float,
        typer.Option(
            "--agreement",
            help="Assumed share of answers that an arm owes to what the control owes them to.",
            min=0,
            max=1,
        ),
    ] = 0.7,
    seed_sd: Annotated[
        float,
        typer.Option("--seed-sd", help="Assumed standard deviation of the change between seeds.", min=0),
    ] = 0.05,
    items: Annotated[
        int | None, typer.Option("--items", help="Items, instead of the study's.", min=8)
    ] = None,
    goal: Annotated[
        float | None,
        typer.Option(
            "--gap",
            help="A change that must be found (0.1: ten points): how many items or seeds?",
            min=0.001,
            max=1,
        ),
    ] = None,
    runs: Annotated[int, typer.Option("--runs", help="Simulated studies for each figure.", min=100)] = 2000,
    plot: Annotated[
        Path | None, typer.Option("--plot", help="Also draw planted against found effects to this SVG file.")
    ] = None,
    overrides: SetOption = None,
    base: BaseOption = None,
    allow_code: CodeOption = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="Show no progress.")] = False,
    as_json: JsonFlag = False,
) -> None:
    """What can a study see? Error rate, coverage, power and the smallest visible change, simulated before anything is spent."""
    if plot and plot.suffix != ".svg":
        raise InputError(f"--plot {plot}: must end in .svg")
    loaded, start = load_study(study, overrides, None, base)

    with allow(code=allow_code), Reporter(quiet=quiet).stage("simulate", 0, "") as tick:
        record = simulation.calibrate(
            loaded,
            start,
            source=source,
            rate=rate,
            agreement=agreement,
            seed_sd=seed_sd,
            items=items,
            goal=goal,
            runs=runs,
            tick=tick,
        )
        if plot:
            files.write_atomic(plot, recovery.recovery_plot(record["designs"], loaded.analysis, runs, tick))
    give(
        [*simulation.sentences(record), *([f"plot: {plot}"] if plot else [])],
        {"runs": runs, "tasks": record["tasks"], "plot": plot},
        as_json,
    )
