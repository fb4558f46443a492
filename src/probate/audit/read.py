"""A file as an audit sees it: texts, labels, groups, and the rows that could not be read."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from probate.errors import InputError
from probate.shape import Given, Shape, read_table
from probate.shape.cells import cell, plain
from probate.shape.names import normal_group


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
    found = AuditSet(source, shape, rejected=table.rejected, groups={name: [] for name in shape.groups})
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
            found.groups[name].append(normal_group(shape.group_of(row, name)))
        if shape.generator and (generator := plain(cell(row, shape.generator))):
            found.generators[generator] += 1
    if not found.texts:
        raise InputError(
            f"{source}: no text in column '{shape.text}' ({found.empty} rows without one); name another with {option}"
        )
    return found
