"""A file as an audit sees it: texts, labels, groups, and the rows that could not be read."""

from __future__ import annotations

import itertools
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from probate.audit.shape import LOOKED_AT, Shape, chat_label, infer_shape, normal_group
from probate.errors import InputError
from probate.readers import normal_label, source_rows
from probate.why.texts import plain_text


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


def read_set(source: str, given: Shape | None = None) -> AuditSet:
    """Read a file, a folder saved by `datasets` or `hf:ID`.

    Raises:
        InputError: no such file or column, not one text.
    """
    rows = source_rows(source, "train", Path())
    head: list[tuple[str, Any]] = list(itertools.islice(rows, LOOKED_AT))
    first = [row for _, row in head if isinstance(row, dict)]
    if not first:
        said = f"; first: {head[0][0]}: {head[0][1]}" if head else ""
        raise InputError(f"{source}: no row can be read{said}" if head else f"{source}: the file has no rows")
    found = AuditSet(source, infer_shape(first, given))
    shape = found.shape
    found.groups = {dimension: [] for dimension in shape.groups}
    for where, row in itertools.chain(head, rows):
        if isinstance(row, str):
            found.rejected.append(f"{where}: {row}")
            continue
        text = plain_text(row.get(shape.text))
        if not text:
            found.empty += 1
            continue
        found.texts.append(text)
        found.where.append(where)
        label = row.get(shape.label) if shape.label else chat_label(row.get(shape.text))
        found.labels.append(normal_label(str(label)) if label is not None else "")
        found.prompts.append(plain_text(row.get(shape.prompt)) if shape.prompt else "")
        for dimension, column in shape.groups.items():
            found.groups[dimension].append(normal_group(row.get(column)))
        if shape.generator and row.get(shape.generator):
            found.generators[str(row[shape.generator])] += 1
    if not found.texts:
        raise InputError(
            f"{source}: no text in column '{shape.text}' ({found.empty} rows without one); name another with --text"
        )
    return found
