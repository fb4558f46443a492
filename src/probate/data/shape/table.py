"""A file as rows with their shape, and the rows that cannot be read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from probate.core.errors import InputError
from probate.data.rows import Row, source_rows
from probate.data.shape.infer import infer_shape
from probate.data.shape.language import LOOKED_AT
from probate.data.shape.shape import Given, Shape

ENOUGH = 20
"""Values of a column that are looked at, in later rows too where the first ones lack it."""


@dataclass
class Table:
    """Rows that can be read, in their order. `where`: the place of each; `rejected`: place and fault of the others."""

    source: str
    shape: Shape
    rows: list[dict[str, Any]] = field(default_factory=list)
    where: list[str] = field(default_factory=list)
    rejected: list[str] = field(default_factory=list)


def read_table(
    source: str, given: Given | None = None, option: str = "--text", limit: int | None = None
) -> Table:
    """Read a file, a folder saved by `datasets` or `hf:ID`; with `limit` its first rows only.

    Raises:
        InputError: no such file or column, no row that can be read, or a text that must be named (with `option`).
    """
    rows: list[Row] = []
    for row in source_rows(source, "train", Path()):
        rows.append(row)
        if limit and len(rows) == limit:
            break
    found = Table(source, shape_of_rows(source, rows, given, option))
    for where, columns in rows:
        fault = columns if isinstance(columns, str) else found.shape.fault(columns)
        if isinstance(columns, str) or fault:
            found.rejected.append(f"{where}: {fault}")
            continue
        found.rows.append(columns)
        found.where.append(where)
    if not found.rows:
        raise InputError(f"{source}: no row can be read; first: {found.rejected[0]}")
    return found


def shape_of_file(source: str, given: Given | None = None, option: str = "--text") -> Shape:
    """The shape of a file, which is read once through and not kept.

    Raises:
        InputError: as `read_table`.
    """
    return shape_of_rows(source, source_rows(source, "train", Path()), given, option)


def shape_of_rows(
    source: str, rows: Iterable[Row], given: Given | None = None, option: str = "--text"
) -> Shape:
    """The shape by the first rows, and later ones with values in columns that those lack.

    Raises:
        InputError: as `infer_shape`, or no row that can be read.
    """
    first, seen, sample = "", Counter[str](), list[dict[str, Any]]()
    for where, row in rows:
        if isinstance(row, str):
            first = first or f"{where}: {row}"
            continue
        filled = [c for c, value in row.items() if value is not None and value != ""]
        if len(sample) < LOOKED_AT or any(seen[c] < ENOUGH for c in filled):
            seen.update(filled)
            sample.append(row)
    if not sample:
        raise InputError(
            f"{source}: no row can be read; first: {first}" if first else f"{source}: the file has no rows"
        )
    return infer_shape(sample, given, option)
