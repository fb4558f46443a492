"""All that Probate says on a terminal passes here: what data, servers and models bring is shown, and never obeyed."""

from __future__ import annotations

import re

import typer

CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
"""All but the line feed and the tab: C0, C1, what turns the direction of writing, and halves of characters."""


def shown(text: str) -> str:
    """`text` with control characters written out, as in `\\x1b`."""
    return CONTROL.sub(lambda c: f"\\x{ord(c[0]):02x}" if ord(c[0]) < 256 else f"\\u{ord(c[0]):04x}", text)


def shown_json(text: str) -> str:
    """JSON with control characters written out as JSON does it: it reads as the same value."""
    return CONTROL.sub(lambda c: f"\\u{ord(c[0]):04x}", text)


def echo(text: str, *, err: bool = False, end: str = "\n") -> None:
    """Print to stdout, or stderr."""
    typer.echo(shown(text) + end, nl=False, err=err)
