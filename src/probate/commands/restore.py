"""`probate restore`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from probate.commands.output import JsonFlag, give
from probate.core.deferred import deferred

with deferred():
    from probate.mitigations.files import undo


def restore(
    file: Annotated[Path, typer.Argument(help="A file that `probate mitigate` wrote.")],
    out: Annotated[Path, typer.Option("--out", help="File to write; it must not exist.")],
    changes: Annotated[
        Path | None,
        typer.Option("--changes", help="The recorded changes. Default: FILE.changes.jsonl."),
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Restore the file that `probate mitigate` changed, from the recorded changes."""
    count = undo.undo_file(file, out, changes)
    give([f"written: {out} ({count:,} rows restored)"], {"written": str(out), "restored": count}, as_json)
