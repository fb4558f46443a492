"""Which texts come from one source, so that they do not count as independent: one parent, pair, cluster or item, by the columns that say so."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from probate.data.shape.cells import cell, plain
from probate.data.shape.columns import column_values
from probate.data.shape.names import JOINED, PARENTS, key_of

LOOKED_AT = 1000
"""Rows, evenly over the file, by which the columns are found."""
FEW, EACH = 10, 20
"""A column of fewer different values than `FEW`, with more than `EACH` rows for each, holds no ids (`parent`: yes, no)."""


class Ties(NamedTuple):
    """What a row says of its source: its own id, the ids of its parents, and what it shares with other rows of its file."""

    id: str = ""
    parents: tuple[str, ...] = ()
    joined: tuple[str, ...] = ()


class SourceColumns:
    """The columns of a file that say what its rows come from. `given`: the one that a user named; else they are found by their names."""

    def __init__(
        self, rows: Sequence[Mapping[str, Any]], id_column: str | None = None, given: str | None = None
    ) -> None:
        have = column_values(rows[:: max(1, len(rows) // LOOKED_AT)])
        self.id = id_column
        ids = [c for c, values in have.items() if key_of(c) in (*PARENTS, *JOINED) and _are_ids(values)]
        self.parents = [c for c in have if c == given] if given else [c for c in ids if key_of(c) in PARENTS]
        self.joined = [] if given else [c for c in ids if key_of(c) in JOINED]

    def said(self) -> str:
        """The columns in words; empty where there are none."""
        return " and ".join(f"'{c}'" for c in (*self.parents, *self.joined))

    def ties(self, row: Mapping[str, Any]) -> Ties:
        """What a row says of its source."""
        parents, joined = (
            tuple(v for c in own if (v := plain(cell(row, c)))) for own in (self.parents, self.joined)
        )
        return Ties(plain(cell(row, self.id)) if self.id else "", parents, joined)


def _are_ids(values: Sequence[Any]) -> bool:
    found = [v for value in values if (v := plain(value))]
    return len(set(found)) >= FEW or len(found) <= EACH * len(set(found))


def sources_of(original: Sequence[Ties], augmented: Sequence[Ties] = ()) -> tuple[list[int], list[int]]:
    """The source of each row of both files, as a number: rows that share a key are of one, and so on from row to row.

    A parent is an id of the original; where there is one, a row's own id says nothing. An id up to `#` names the item. Ids that both files have are one item if they are more than numbers;
    pairs and clusters of two files are different ones.
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
    found = [top(place) for place in range(len(above))]
    return found[: len(original)], found[len(original) :]


def _keys(ties: Ties, side: int) -> list[str]:
    item = ties.id.partition("#")[0]
    own = f"number {side}:{item}" if side and item.isdecimal() else f"id:{item}"
    return [
        *([own] if item and not ties.parents else []),
        *(f"id:{p}" for p in ties.parents),
        *(f"joined {side}:{j}" for j in ties.joined),
    ]
