"""Reading the texts of a file with any column names."""

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
    """The texts of one file.

    Attributes
    ----------
    texts : list of str
        The texts, in the order of the file.
    rows : list of dict
        The row of each text.
    shape : Shape
        The columns that were recognised.
    empty : int
        Number of rows without a text.
    """

    texts: list[str]
    rows: list[dict[str, Any]]
    shape: Shape
    empty: int

    @property
    def column(self) -> str:
        """The column of the texts."""
        return self.shape.text

    def ties(self, given: str | None = None) -> tuple[list[Ties], str]:
        """Return what each row states about its text's source, and a description of the columns used.

        `given` is a source column that the user named (see `probate.data.shape.sources`).
        """
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
    """Return the source of each text of two files, by what the rows state about it."""
    return sources_of(first, second)


def read_texts(
    source: str, column: str | None = None, option: str = "--text", limit: int | None = None
) -> Texts:
    """Read the texts of a file as `probate.data.shape` does.

    Parameters
    ----------
    source : str
        A file, a folder saved by `datasets`, or `hf:ID`.
    column : str, optional
        The column of the texts. Default: recognised.
    option : str, default "--text"
        The option that names the column, for messages.
    limit : int, optional
        Most rows to read.

    Returns
    -------
    Texts
        The texts with their rows.

    Raises
    ------
    InputError
        The file or the column does not exist, there is no text, or the column of the texts must be named.
    """
    table = read_table(source, Given(column), option, limit)
    pairs = [(text, row) for row in table.rows if (text := table.shape.text_of(row))]
    empty = len(table.rows) - len(pairs) + len(table.rejected)
    if not pairs:
        raise InputError(
            f"{source}: contains no text ({empty} rows without text); check the column ({option})"
        )
    return Texts([text for text, _ in pairs], [row for _, row in pairs], table.shape, empty)
