"""Printing on a terminal.

All output of Probate passes here. Control characters in data, server responses or model outputs are escaped,
so that the terminal does not execute them.
"""

from __future__ import annotations

import re

import typer

from probate.core.log_lines import JSON_LINES, emit

CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
"""C0 and C1 control characters except line feed and tab, bidirectional controls, and lone surrogates."""


def shown(text: str) -> str:
    """Escape control characters in a text, as in `\\x1b`."""
    return CONTROL.sub(lambda c: f"\\x{ord(c[0]):02x}" if ord(c[0]) < 256 else f"\\u{ord(c[0]):04x}", text)


def shown_json(text: str) -> str:
    """Escape control characters in a JSON text. It still represents the same value."""
    return CONTROL.sub(lambda c: f"\\u{ord(c[0]):04x}", text)


def echo(text: str, *, err: bool = False, end: str = "\n") -> None:
    """Print to stdout, or to stderr if `err`, with control characters escaped.

    With `--log-json`, what goes to stderr is a JSON line.
    """
    if err and JSON_LINES.get():
        emit("message", text=text)
        return
    typer.echo(shown(text) + end, nl=False, err=err)
