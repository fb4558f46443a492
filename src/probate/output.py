"""What a command prints: sentences, or with `--json` one JSON value."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Annotated, Any

import typer

JsonFlag = Annotated[bool, typer.Option("--json", help="Print JSON instead of sentences.")]


def give(said: Sequence[str], found: Any, as_json: bool) -> None:
    """Print `said`, or `found` as JSON (NaN and infinity as null)."""
    from probate.store import finite

    typer.echo(json.dumps(finite(found), indent=1, ensure_ascii=False, default=str) if as_json else "\n".join(said))
