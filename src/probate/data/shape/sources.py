"""Sources of texts: texts with the same parent, pair, cluster or item are not independent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from probate.data.shape.cells import cell, plain
from probate.data.shape.columns import column_values
from probate.data.shape.names import JOINED, PARENTS, key_of

LOOKED_AT = 1000
"""Number of rows, evenly spaced over the file, from which the columns are inferred."""
FEW, EACH = 10, 20
"""A column of fewer than `FEW` unique values with more than `EACH` rows for each holds no ids."""


class Ties(NamedTuple):
    """Ids that link a row to its source: its own, those of its parents, and those shared within the file."""

    id: str = ""
    parents: tuple[str, ...] = ()
    joined: tuple[str, ...] = ()


class SourceColumns:
    """Columns of a file that identify the source of its rows.

    Parameters
    ----------
    rows : sequence of mapping
        Rows of the file.
    id_column : str, optional
        Column with the id of a row.
    given : str, optional
        Column that the user names. If None, the columns are inferred from their names.
    """

    def __init__(
        self, rows: Sequence[Mapping[str, Any]], id_column: str | None = None, given: str | None = None
    ) -> None:
        have = column_values(rows[:: max(1, len(rows) // LOOKED_AT)])
        self.id = id_column
        ids = [c for c, values in have.items() if key_of(c) in (*PARENTS, *JOINED) and _are_ids(values)]
        self.parents = [c for c in have if c == given] if given else [c for c in ids if key_of(c) in PARENTS]
        self.joined = [] if given else [c for c in ids if key_of(c) in JOINED]

    def describe(self) -> str:
        """Return the names of the columns in words; empty if there are none."""
        return " and ".join(f"'{c}'" for c in (*self.parents, *self.joined))

    def ties(self, row: Mapping[str, Any]) -> Ties:
        """Return the ids that link a row to its source."""
        parents, joined = (
            tuple(v for c in own if (v := plain(cell(row, c)))) for own in (self.parents, self.joined)
        )
        return Ties(plain(cell(row, self.id)) if self.id else "", parents, joined)


def _are_ids(values: Sequence[Any]) -> bool:
    ids = [v for value in values if (v := plain(value))]
    return len(set(ids)) >= FEW or len(ids) <= EACH * len(set(ids))


def sources_of(original: Sequence[Ties], augmented: Sequence[Ties] = ()) -> tuple[list[int], list[int]]:
    """Group the rows of two files by their source.

    Rows that share a key have the same source, also through other rows (connected components). The keys are
    these:

    - A parent is an id of the original data. A row with a parent is not linked by its own id.
    - The part of an id before `#` is the id of the item.
    - Equal ids of both files are one item, unless they are plain numbers.
    - Pairs and clusters of different files are always different.

    Parameters
    ----------
    original, augmented : sequence of Ties
        The links of each row.

    Returns
    -------
    original, augmented : list of int
        Number of the source of each row.
    """
    above: list[int] = []
    first: dict[str, int] = {}

    def top(place: int) -> int:
        while above[place] != place:
            above[place] = above[above[place]]
            place = above[place]
        return place

    for side, rows in enumerate((original, augmented)):
        for row, own in enumerate(rows, len(above)):
            above.append(row)
            for key in _keys(own, side):
                above[top(row)] = top(first.setdefault(key, row))
    sources = [top(place) for place in range(len(above))]
    return sources[: len(original)], sources[len(original) :]


def _keys(ties: Ties, side: int) -> list[str]:
    item = ties.id.partition("#")[0]
    own = f"number {side}:{item}" if side and item.isdecimal() else f"id:{item}"
    return [
        *([own] if item and not ties.parents else []),
        *(f"id:{p}" for p in ties.parents),
        *(f"joined {side}:{j}" for j in ties.joined),
    ]
