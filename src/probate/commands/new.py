"""`probate new`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from probate.commands.output import JsonFlag, give
from probate.core.deferred import deferred

with deferred():
    from probate.commands import scaffold


def new(
    kind: Annotated[
        str,
        typer.Argument(
            metavar="KIND", help="task, probe, mitigation, identity, backend, trainer or executor."
        ),
    ],
    name: Annotated[str, typer.Argument(metavar="NAME", help="Lower-case letters, digits and _.")],
    out: Annotated[Path, typer.Option("--out", help="Folder in which the package is created.")] = Path("."),
    as_json: JsonFlag = False,
) -> None:
    """Create a package with a working, tested plug-in."""
    written = scaffold.write_skeleton(kind, name, out)
    give([str(path) for path in written], {"written": written}, as_json)
