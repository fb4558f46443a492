"""`probate merge`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from probate.commands.output import JsonFlag
from probate.commands.run import give_results
from probate.core.deferred import deferred

with deferred():
    from probate.report import merging


def merge(
    folders: Annotated[list[Path], typer.Argument(metavar="DIR...", help="The folder of each shard.")],
    out: Annotated[Path, typer.Option("--out", help="New run folder.")],
    as_json: JsonFlag = False,
) -> None:
    """Put the shards of a study together (`probate run --shard`), and write effects and report."""
    give_results(merging.merge_runs(folders, out), [], as_json)
