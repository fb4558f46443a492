"""`probate check`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from probate.commands.output import JsonFlag, give
from probate.core.deferred import deferred
from probate.core.errors import InputError
from probate.core.terminal import echo

with deferred():
    from probate import interface
    from probate.report.gate import decide, outputs
    from probate.study import loading


def check(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder of a finished run or audit.")],
    max_gap: Annotated[
        float | None,
        typer.Option("--max-gap", help="Largest change of a gap that may pass (0.05: five points).", min=0),
    ] = None,
    task: Annotated[
        list[str] | None,
        typer.Option(
            "--task", help="Task to judge; may be repeated. Default: all tasks that measure shares."
        ),
    ] = None,
    mitigation: Annotated[
        str | None, typer.Option("--mitigation", help="Judge the arms with this mitigation.")
    ] = None,
    unsure: Annotated[
        str | None,
        typer.Option("--unsure", help="Treatment of cannot tell: stop (exit 4), fail (1) or pass (0)."),
    ] = None,
    config: Annotated[
        Path | None, typer.Option("--config", help="Gate file with max_gap, tasks, mitigation and unsure.")
    ] = None,
    junit: Annotated[Path | None, typer.Option("--junit", help="Also write JUnit XML to this file.")] = None,
    github: Annotated[bool, typer.Option("--github", help="Also print GitHub annotations.")] = False,
    as_json: JsonFlag = False,
) -> None:
    """Gate: decide by intervals whether the inherited change is within a limit.

    The exit code is 0 for pass, 1 for fail, and 4 for cannot tell at this n.
    """
    overrides = [
        f"{k}={v}"
        for k, v in (("max_gap", max_gap), ("mitigation", mitigation), ("unsure", unsure))
        if v is not None
    ]
    if config is not None and not config.is_file():
        raise InputError(f"--config {config}: no such file")
    gate = loading.load_study(
        decide.Gate, config, overrides, {"tasks": {t: {} for t in task}} if task else {}
    )
    decision = interface.decision_on(folder, gate)
    give([*decision.sentences, decision.conclusion], decision.record, as_json)
    if github:
        echo("\n".join(outputs.github_lines(decision.judgements)))
    if junit:
        outputs.write_junit(junit, decision.judgements, str(folder))
    raise typer.Exit(decision.exit_code)
