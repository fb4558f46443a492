"""What a command prints: sentences, or with `--json` one JSON value; with `--out` that goes to a file, too."""

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
    """Print `said`, or `found` as JSON, which is also written to `out`, if given."""

    if out:
        write_atomic(out, json_text(record))
        said = [*said, f"written: {out}"]
    echo(shown_json(json_text(record)) if as_json else "\n".join(said))
