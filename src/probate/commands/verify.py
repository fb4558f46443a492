"""`probate verify`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from probate.commands.output import JsonFlag, give
from probate.core.deferred import deferred

with deferred():
    from probate.execution import checksums


def verify(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Run or audit folder.")],
    sign: Annotated[
        Path | None,
        typer.Option(
            "--sign", help="Sign the list of files with the key in this file, if no file has changed."
        ),
    ] = None,
    key: Annotated[
        Path | None,
        typer.Option(
            "--key",
            help="Check the signature of the list with the key in this file; also detects an altered list.",
        ),
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Find files that were changed, removed or added since a run or audit finished. Exit 1 if there are."""
    count, differences = checksums.verify(folder, key)
    said = [f"{d.what:8} {d.file}" for d in differences]
    said.append(f"{count} files checked; {len(differences) or 'none'} changed, missing or new")
    if sign and not differences:
        said.append(f"signed: {checksums.sign(folder, sign)}")
    elif not key:
        said.append(
            "the list itself was not checked: someone who can alter a file can also alter the list, unless "
            "it is signed (--sign, --key)"
        )
    elif not differences:
        said.append("the list is signed with this key")
    give(
        said,
        {"checked": count, "differences": [{"what": d.what, "file": d.file} for d in differences]},
        as_json,
    )
    raise typer.Exit(1 if differences else 0)
