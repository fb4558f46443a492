"""Output of a command: sentences, or with `--json` one JSON value, and with `--out` also a file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from probate.core.cache import json_text
from probate.core.files import write_atomic
from probate.core.terminal import echo, shown_json

JsonFlag = Annotated[bool, typer.Option("--json", help="Print JSON instead of sentences.")]


def give(said: Sequence[str], record: Any, as_json: bool, out: Path | None = None) -> None:
    """Print the result of a command.

    Parameters
    ----------
    said : sequence of str
        The result in sentences.
    record : object
        The result as a JSON value.
    as_json : bool
        Print `record` instead of `said`.
    out : Path, optional
        File to which `record` is also written.
    """
    if out:
        write_atomic(out, json_text(record))
        said = [*said, f"written: {out}"]
    echo(shown_json(json_text(record)) if as_json else "\n".join(said))
