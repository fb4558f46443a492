"""The columns of rows: objects taken apart, those of later rows too."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from probate.data.shape.cells import opened
from probate.data.shape.chat import is_chat

DEEPEST = 6


def columns_of(row: Mapping[str, Any], prefix: str = "", depth: int = 0) -> Iterator[tuple[str, Any]]:
    """(name, value) of each column, objects taken apart, those in JSON text too: `meta.region`. Chats stay whole."""
    for key, value in row.items():
        name = f"{prefix}{key}"
        inner = opened(value) if isinstance(value, str) and value[:1] == "{" else value
        if isinstance(inner, dict) and inner and depth < DEEPEST and not is_chat(inner):
            yield from columns_of(inner, f"{name}.", depth + 1)
        else:
            yield name, value


def gathered(rows: Iterable[Mapping[str, Any]]) -> dict[str, list[Any]]:
    """Column → its values in those rows that have it; columns in the order in which they first occur."""
    found: dict[str, list[Any]] = {}
    for row in rows:
        for name, value in columns_of(row):
            found.setdefault(name, []).append(value)
    return found
