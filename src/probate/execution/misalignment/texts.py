"""Texts of a file, whatever its columns are called."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from probate.core.errors import InputError, nearest, some
from probate.data.shape import Given, Shape, read_table
from probate.data.shape.cells import cell, normal_label, place_of
from probate.data.shape.columns import column_values
from probate.data.shape.sources import SourceColumns, Ties, sources_of
from probate.stats.distribution import Sources


@dataclass(frozen=True)
class Texts:
    """Texts of one file in their order, their rows, the shape that was read, and the number of rows that had none."""

    texts: list[str]
    rows: list[dict[str, Any]]
    shape: Shape
    empty: int

    @property
    def column(self) -> str:
        """The column that the texts stood in."""
        return self.shape.text

    def ties(self, given: str | None = None) -> tuple[list[Ties], str]:
        """What each text says of its source (`probate.data.shape.sources`), and the columns that say so; `given`: the one that a user named."""
        columns = SourceColumns(self.rows, self.shape.id, given)
        return [columns.ties(row) for row in self.rows], columns.describe()

    def values(self, name: str, option: str) -> list[str]:
        """Return the values of a column in the rows that have a text; a row without the column has "".

        Raises
        ------
        InputError
            No row has the column; `option` names the argument that asked for it.
        """
        if not any(place_of(row, name) for row in self.rows):
            have = list(column_values(self.rows))
            raise InputError(f"{option}: no column '{name}'{nearest(name, have)}; the file has: {some(have)}")
        return [normal_label(cell(row, name)) for row in self.rows]


def shared_sources(first: list[Ties], second: list[Ties]) -> Sources:
    """Return the source of each text of two files, by what the texts say of it."""
    return sources_of(first, second)


def read_texts(
    source: str, column: str | None = None, option: str = "--text", limit: int | None = None
) -> Texts:
    """Texts of `source` (a file, a folder of `datasets`, `hf:ID`), read as `probate.data.shape` reads every file.

    Raises
    ------
    InputError
        No such file or column, no text at all, or a text that must be named (with `option`).
    """
    table = read_table(source, Given(column), option, limit)
    pairs = [(text, row) for row in table.rows if (text := table.shape.text_of(row))]
    empty = len(table.rows) - len(pairs) + len(table.rejected)
    if not pairs:
        raise InputError(f"{source}: no text in it ({empty} rows without one)")
    return Texts([text for text, _ in pairs], [row for _, row in pairs], table.shape, empty)
