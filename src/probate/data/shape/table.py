"""Table: the rows of a file with their shape, and the rejected rows."""

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
"""Number of values of each column from which the shape is inferred."""


@dataclass
class Table:
    """Rows of a file.

    Attributes
    ----------
    source : str
        Name of the file.
    shape : Shape
        Columns and their roles.
    rows : list of dict
        Readable rows, in order.
    where : list of str
        Place of each readable row.
    rejected : list of str
        Place and reason of each other row.
    """

    source: str
    shape: Shape
    rows: list[dict[str, Any]] = field(default_factory=list)
    where: list[str] = field(default_factory=list)
    rejected: list[str] = field(default_factory=list)


def read_table(
    source: str, given: Given | None = None, option: str = "--text", limit: int | None = None
) -> Table:
    """Read a table and infer its shape.

    Parameters
    ----------
    source : str
        A file, a folder saved by `datasets`, or `hf:ID`.
    given : Given, optional
        Columns that the user names.
    option : str
        Name of the option or field that sets the text column, for error messages.
    limit : int, optional
        Number of rows to read. Default: all.

    Returns
    -------
    Table
        The rows with their shape.

    Raises
    ------
    InputError
        If the file or a column is missing, no row can be read, or the user has to name the text column.
    """
    rows: list[Row] = []
    for row in source_rows(source, "train", Path()):
        rows.append(row)
        if limit and len(rows) == limit:
            break
    table = Table(source, shape_of_rows(source, rows, given, option))
    for where, columns in rows:
        fault = columns if isinstance(columns, str) else table.shape.fault(columns)
        if isinstance(columns, str) or fault:
            table.rejected.append(f"{where}: {fault}")
            continue
        table.rows.append(columns)
        table.where.append(where)
    if not table.rows:
        raise InputError(f"{source}: no row can be read; first: {table.rejected[0]}")
    return table


def shape_of_file(source: str, given: Given | None = None, option: str = "--text") -> Shape:
    """Infer the shape of a file in one pass without keeping its rows. Parameters are as in `read_table`."""
    return shape_of_rows(source, source_rows(source, "train", Path()), given, option)


def shape_of_rows(
    source: str, rows: Iterable[Row], given: Given | None = None, option: str = "--text"
) -> Shape:
    """Infer the shape from the first rows, and from later ones with values in columns that the first ones
    lack.

    Parameters
    ----------
    source : str
        Name of the file, for error messages.
    rows : iterable of (str, dict or str)
        Rows as `probate.data.rows.source_rows` yields them.
    given, option
        As in `infer_shape`.

    Returns
    -------
    Shape
        The columns and their roles.

    Raises
    ------
    InputError
        As `infer_shape`, or if no row can be read.
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
