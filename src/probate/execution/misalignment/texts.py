"""Texts of a file, whatever its columns are called."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from probate.core.errors import InputError
from probate.data.shape import Given, Shape, read_table
from probate.data.shape.sources import SourceColumns, Ties


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


def read_texts(
    source: str, column: str | None = None, option: str = "--text", limit: int | None = None
) -> Texts:
    """Texts of `source` (a file, a folder of `datasets`, `hf:ID`), read as `probate.data.shape` reads every file.

    Raises:
        InputError: no such file or column, no text at all, or a text that must be named (with `option`).
    """
    table = read_table(source, Given(column), option, limit)
    found = [(text, row) for row in table.rows if (text := table.shape.text_of(row))]
    empty = len(table.rows) - len(found) + len(table.rejected)
    if not found:
        raise InputError(f"{source}: no text in it ({empty} rows without one)")
    return Texts([text for text, _ in found], [row for _, row in found], table.shape, empty)
