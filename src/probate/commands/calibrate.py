"""`probate calibrate`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from probate.commands.output import JsonFlag, give
from probate.commands.study_options import (
    BaseOption,
    CodeOption,
    ScaleOption,
    SetOption,
    StudyArgument,
    VariantOption,
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
        typer.Option("--from", help="Finished run folder with the items, rates and spread of each task."),
    ] = None,
    rate: Annotated[
        float, typer.Option("--rate", help="Assumed share in the control.", min=0.01, max=0.99)
    ] = 0.5,
    agreement: Annotated[
        float,
        typer.Option(
            "--agreement",
            help="Assumed share of answers that have the same cause in an arm and in the control.",
            min=0,
            max=1,
        ),
    ] = 0.7,
    seed_sd: Annotated[
        float,
        typer.Option("--seed-sd", help="Assumed standard deviation of the change between seeds.", min=0),
    ] = 0.05,
    items: Annotated[
        int | None, typer.Option("--items", help="Number of items; default: that of the study.", min=8)
    ] = None,
    goal: Annotated[
        float | None,
        typer.Option(
            "--gap",
            help="Change to detect (0.1: ten points): how many items or seeds does it take?",
            min=0.001,
            max=1,
        ),
    ] = None,
    runs: Annotated[
        int, typer.Option("--runs", help="Number of simulated studies for each figure.", min=100)
    ] = 2000,
    plot: Annotated[
        Path | None,
        typer.Option("--plot", help="Also draw the estimated against the planted effects to this SVG file."),
    ] = None,
    overrides: SetOption = None,
    scale: ScaleOption = None,
    variant: VariantOption = None,
    base: BaseOption = None,
    allow_code: CodeOption = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="Show no progress.")] = False,
    as_json: JsonFlag = False,
) -> None:
    """Simulate what a study can detect: error rate, coverage, power and the smallest detectable change."""
    if plot and plot.suffix != ".svg":
        raise InputError(f"--plot {plot}: must end in .svg")
    loaded, start = load_study(study, overrides, None, base, scale, variant)

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
