"""`probate compare`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from probate.commands.output import JsonFlag, give
from probate.core.deferred import deferred

with deferred():
    from probate.report.comparison import compare as comparison


def compare(
    first: Annotated[
        str,
        typer.Argument(
            metavar="A", help="Before: a run folder, harness samples, an inspect_ai log or a table."
        ),
    ],
    second: Annotated[str, typer.Argument(metavar="B", help="After: as for A.")],
    pair: Annotated[
        list[str] | None,
        typer.Option(
            "--pair", metavar="A=B", help="Name in A and the corresponding name in B, if they differ."
        ),
    ] = None,
    group: Annotated[
        list[str] | None,
        typer.Option("--group", metavar="NAME=COLUMN", help="Column of a group in both tables."),
    ] = None,
    cluster: Annotated[
        str,
        typer.Option(
            "--cluster",
            metavar="COLUMN",
            help="Column of both tables with the cluster of each item; default: 'cluster', if it exists.",
        ),
    ] = "",
    show: Annotated[
        int, typer.Option("--show", help="Print this many items whose score changed.", min=0)
    ] = 10,
    confidence: Annotated[
        float, typer.Option("--confidence", help="Level of the intervals.", min=0.51, max=0.999)
    ] = 0.95,
    out: Annotated[
        Path | None, typer.Option("--out", help="Also write everything to this file, as JSON.")
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Compare two sets of results, paired by item.

    The output has changes with intervals, p adjusted over all, detectable changes, and items that flipped.
    """
    give(
        *comparison.run_compare(first, second, pair or [], group or [], show, confidence, cluster),
        as_json,
        out,
    )
