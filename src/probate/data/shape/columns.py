"""Columns of rows, with nested objects flattened."""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Mapping
from typing import Any

from probate.data.shape.cells import opened
from probate.data.shape.chat import is_chat

DEEPEST = 6
"""Levels of nested objects that are flattened."""


def columns_of(row: Mapping[str, Any], prefix: str = "", depth: int = 0) -> Iterator[tuple[str, Any]]:
    """Yield the name and value of each column. Nested objects except chats are flattened (`meta.region`)."""
    for key, value in row.items():
        name = f"{prefix}{key}"
        inner = opened(value) if isinstance(value, str) and value[:1] == "{" else value
        if isinstance(inner, dict) and inner and depth < DEEPEST and not is_chat(inner):
            yield from columns_of(inner, f"{name}.", depth + 1)
        else:
            yield name, value


def column_values(rows: Iterable[Mapping[str, Any]]) -> dict[str, list[Any]]:
    """Collect the values of each column.

    Parameters
    ----------
    rows : iterable of mapping
        Rows; later ones may have columns that the first ones lack.

    Returns
    -------
    dict
        Column → its values in the rows that have it. Columns are in the order of their first occurrence.
    """
    values: dict[str, list[Any]] = {}
    for row in rows:
        for name, value in columns_of(row):
            values.setdefault(name, []).append(value)
    return values


def first_named(names: Iterable[str], columns: Container[str]) -> str | None:
    """Return the first of the known `names` that is one of the `columns`, or None."""
    return next((name for name in names if name in columns), None)
