"""A file as an audit sees it: texts, labels, groups, and the rows that could not be read."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from probate.bias.spellings import GroupColumn, group_column, pack_of
from probate.errors import InputError
from probate.shape import Given, Shape, read_table
from probate.shape.cells import cell, plain
from probate.shape.names import GENERATORS, IDS, key_of


MOST_GROUPS = 60


@dataclass
class AuditSet:
    """Rows of a file that have a text, in their order. `where`: the place of each; `groups`: dimension → the group of each, empty where unknown."""

    source: str
    shape: Shape
    texts: list[str] = field(default_factory=list)
    labels: list[str] = field(default_factory=list)
    prompts: list[str] = field(default_factory=list)
    where: list[str] = field(default_factory=list)
    groups: dict[str, list[str]] = field(default_factory=dict)
    generators: Counter[str] = field(default_factory=Counter)
    rejected: list[str] = field(default_factory=list)
    empty: int = 0
    columns: dict[str, GroupColumn] = field(default_factory=dict)
    """Name → the column as groups: those that a user named or that are called like a dimension, and every other with few values."""
    left: list[str] = field(default_factory=list)
    """Columns that are not looked at as groups, and why."""

    @property
    def rows(self) -> int:
        """All rows of the file."""
        return len(self.texts) + len(self.rejected) + self.empty

    @property
    def labelled(self) -> bool:
        """Whether there are labels, at least two different ones."""
        return len(set(self.labels) - {""}) >= 2


def read_set(source: str, given: Given | None = None, option: str = "--text") -> AuditSet:
    """Read a file, a folder saved by `datasets` or `hf:ID`. `option` is how a user names the column of the text.

    Raises:
        InputError: no such file or column, not one text.
    """
    table = read_table(source, given, option)
    shape = table.shape
    found = AuditSet(source, shape, rejected=table.rejected)
    raw: dict[str, list[Any]] = {name: [] for name in shape.groups}
    others: list[dict[str, Any]] = []
    for where, row in zip(table.where, table.rows, strict=True):
        text = shape.text_of(row)
        if not text:
            found.empty += 1
            continue
        found.texts.append(text)
        found.where.append(where)
        found.labels.append(shape.label_of(row))
        found.prompts.append(shape.prompt_of(row))
        for name in shape.groups:
            raw[name].append(shape.group_of(row, name))
        others.append(shape.others(row))
        if shape.generator and (generator := plain(cell(row, shape.generator))):
            found.generators[generator] += 1
    if not found.texts:
        raise InputError(
            f"{source}: no text in column '{shape.text}' ({found.empty} rows without one); name another with {option}"
        )
    for name, values in raw.items():
        found.columns[name] = group_column(name, values, shape.groups[name])
    for column in dict.fromkeys(c for row in others for c in row):
        _candidate(found, column, [row.get(column) for row in others])
    found.groups = {name: own.values for name, own in found.columns.items()}
    return found


def _candidate(found: AuditSet, column: str, values: list[Any]) -> None:
    """A column that nobody named: a possible group, unless it cannot be one."""
    if any(isinstance(v, (list, dict, tuple)) for v in values):
        found.left.append(f"column '{column}': it holds lists or objects")
        return
    own = group_column(column, values, column)
    there, different = len(values) - own.missing, len(own.groups)
    pairs = {(x, g) for x, g in zip(found.labels, own.values, strict=True) if x and g}
    one_to_one = len(pairs) == len({x for x, _ in pairs}) == len({g for _, g in pairs}) >= 2
    if key_of(column) in (*IDS, *GENERATORS):
        found.left.append(f"column '{column}': an id or a generator by its name")
    elif different < 2:
        found.left.append(f"column '{column}': {'one value only' if different else 'no values'}")
    elif different > MOST_GROUPS or (different > 2 and different * 2 > there):
        found.left.append(f"column '{column}': {different:,} different values in {there:,} rows")
    elif one_to_one and pack_of(column) is None and (key_of(column).startswith("label") or key_of(column).endswith("_label")):
        found.left.append(f"column '{column}': the label under another name, one to one; if it is a group, give --group {column}={column}")
    else:
        found.columns[column] = own
