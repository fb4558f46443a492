"""`probate tables`."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from probate.commands.output import JsonFlag, give
from probate.core.deferred import deferred
from probate.core.files import write_atomic

with deferred():
    from probate.report import results
    from probate.report import tables as layout


def tables(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A finished run folder.")],
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", help="Folder of tables.md, tables.tex and tables.csv. Default: print Markdown."
        ),
    ] = None,
    metric: Annotated[
        list[str] | None,
        typer.Option(
            "--metric",
            help="Measure to show; may be repeated. Default: the primary measure, and accuracy (first in "
            "studies of the paper).",
        ),
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Lay out the results of a run as tables of group x γ x bias type: Markdown, LaTeX and CSV."""
    made = results.Run(folder).result_tables(metric or ())
    if out is None:
        give([layout.markdown(made)], [asdict(table) for table in made], as_json)
        return
    out.mkdir(parents=True, exist_ok=True)
    paths = {suffix: out / f"tables.{suffix}" for suffix in layout.FORMATS}
    for suffix, path in paths.items():
        write_atomic(path, layout.FORMATS[suffix](made))
    give([f"written: {path}" for path in paths.values()], {s: str(p) for s, p in paths.items()}, as_json)
