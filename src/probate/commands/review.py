"""`probate review`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from probate.commands.output import JsonFlag, give
from probate.core.deferred import deferred
from probate.core.terminal import echo

with deferred():
    from probate.report import review_words as summary
    from probate.report.review import session


def review(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A finished run folder.")],
    what: Annotated[
        str,
        typer.Option(
            "--what", help="groups (which group a text shows) or pairs (which text is more stereotyped)."
        ),
    ] = "groups",
    task: Annotated[
        str, typer.Option("--task", help="With pairs: a task whose answers are texts.")
    ] = "story",
    reviewer: Annotated[
        str, typer.Option("--reviewer", help="Your name; each reviewer has separate marks.")
    ] = "me",
    most: Annotated[
        int, typer.Option("--items", help="Largest number of items; the most informative come first.", min=1)
    ] = 100,
    merge: Annotated[
        bool,
        typer.Option(
            "--merge", help="Merge the marks of all reviewers into the report, without opening a page."
        ),
    ] = False,
    port: Annotated[int, typer.Option("--port", help="Port; default: any free port.", min=0, max=65535)] = 0,
    browser: Annotated[bool, typer.Option("--browser/--no-browser", help="Open the page.")] = True,
    as_json: JsonFlag = False,
) -> None:
    """Review texts of a run blind in a local page; agreement and detector error go into the report."""
    if merge:
        record = session.merge_marks(folder, what)
        give([*summary.sentences(record), f"report: {record['report']}"], record, as_json)
        return
    session.serve(folder, what, task, reviewer, most, port, browser, echo)
