"""A file as an audit reads it: texts, labels, groups, and the rows that could not be read."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from probate.core.errors import InputError
from probate.data.shape import Given, Shape, read_table
from probate.data.shape.cells import cell, is_flat, plain
from probate.data.shape.language import language_of_text
from probate.data.shape.names import IDS, LABELS, key_of
from probate.data.shape.sources import SourceColumns, Ties
from probate.data.spellings import GroupColumn, group_column, is_identity, pack_of
from probate.stats.wording import evenly

MOST_GROUPS = 60
"""Largest number of different values of a column that defines groups without being named."""
SAMPLE = 3000


@dataclass
class AuditSet:
    """Rows of a file that have a text, in their order.

    Attributes
    ----------
    source : str
        The file.
    shape : Shape
        Its columns.
    texts, labels, prompts, where : list of str
        Text, label, prompt and place in the file of each row. A missing label or prompt is empty.
    groups : dict of str to list of str
        Dimension → group of each row, empty if unknown.
    generators : Counter of str
        Model that the file names as the generator → number of texts.
    rejected : list of str
        Rows that could not be read.
    empty : int
        Number of rows without a text.
    columns : dict of str to GroupColumn
        Name → column as groups: the columns that a user named, those with the name of a dimension, and every
        other column with few values.
    languages : Counter of str
        Language → number of texts, of a sample of the texts from which a language can be recognised.
    left : list of str
        Columns that are not examined as groups, with the reason.
    unread : list of str
        Those of `left` that have several values.
    label_rule : str
        How labels that are amounts were grouped; empty if they are not.
    amounts : list of str
        The labels as the file gives them, if they were grouped.
    ties : list of Ties
        Source of each text, by the columns `tied_by`.
    tied_by : str
        Columns that name the source, in words.
    """

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
    languages: Counter[str] = field(default_factory=Counter)
    left: list[str] = field(default_factory=list)
    unread: list[str] = field(default_factory=list)
    label_rule: str = ""
    amounts: list[str] = field(default_factory=list)
    ties: list[Ties] = field(default_factory=list)
    tied_by: str = ""

    def leave(self, column: str, why: str, several: bool = False) -> None:
        """Record that a column is not examined as a group.

        Parameters
        ----------
        column : str
            The column.
        why : str
            The reason.
        several : bool, default False
            Whether the column has several values.
        """
        self.left.append(f"column '{column}': {why}")
        if several:
            self.unread.append(column)

    @property
    def rows(self) -> int:
        """int: Number of all rows of the file."""
        return len(self.texts) + len(self.rejected) + self.empty

    @property
    def labelled(self) -> bool:
        """bool: Whether there are at least two different labels."""
        return len(set(self.labels) - {""}) >= 2


def read_set(source: str, given: Given | None = None, option: str = "--text") -> AuditSet:
    """Read a file for an audit.

    Parameters
    ----------
    source : str
        A file, a folder saved by `datasets`, or `hf:ID`.
    given : Given, optional
        Columns that a user named.
    option : str, default "--text"
        Option that names the column of the text, for errors.

    Returns
    -------
    AuditSet

    Raises
    ------
    InputError
        The file or a column does not exist, or there is no text.
    """
    table = read_table(source, given, option)
    shape = table.shape
    audit_set = AuditSet(source, shape, rejected=table.rejected)
    columns = SourceColumns(table.rows, shape.id)
    audit_set.tied_by = columns.describe()
    raw: dict[str, list[Any]] = {name: [] for name in shape.groups}
    others: list[dict[str, Any]] = []
    for where, row in zip(table.where, table.rows, strict=True):
        text = shape.text_of(row)
        if not text:
            audit_set.empty += 1
            continue
        audit_set.texts.append(text)
        audit_set.where.append(where)
        audit_set.ties.append(columns.ties(row))
        audit_set.labels.append(shape.label_of(row))
        audit_set.prompts.append(shape.prompt_of(row))
        for name in shape.groups:
            raw[name].append(shape.group_of(row, name))
        others.append(shape.others(row))
        if shape.generator and (generator := plain(cell(row, shape.generator))):
            audit_set.generators[generator] += 1
    if not audit_set.texts:
        raise InputError(
            f"{source}: no text in column '{shape.text}' ({audit_set.empty} rows without one); name another "
            f"with {option}"
        )
    audit_set.languages = Counter(
        x for i in evenly(len(audit_set.texts), SAMPLE) if (x := language_of_text(audit_set.texts[i]))
    )
    own = group_column("label", audit_set.labels)
    if own.rule and not own.dates and _are_amounts(own, audit_set.labels):
        audit_set.label_rule, audit_set.amounts, audit_set.labels = own.rule, audit_set.labels, own.values
    for name, values in raw.items():
        audit_set.columns[name] = group_column(name, values, shape.groups[name])
    for column in dict.fromkeys(c for row in others for c in row):
        _candidate(audit_set, column, [row.get(column) for row in others])
    audit_set.groups = {name: own.values for name, own in audit_set.columns.items()}
    return audit_set


def _candidate(audit_set: AuditSet, column: str, values: list[Any]) -> None:
    """Add a column that nobody named as a possible group, or record why it is not one."""
    if any(isinstance(v, dict) or (isinstance(v, (list, tuple)) and not is_flat(v)) for v in values):
        audit_set.leave(column, "it contains lists or objects")
        return
    own = group_column(column, values, column)
    there, different = (
        len(values) - own.missing,
        len({str(v) for v, g in zip(values, own.values, strict=True) if g}),
    )
    if key_of(column) in IDS or (own.rule and _counts_up(own.numbers)):
        audit_set.leave(
            column,
            "an id by its "
            f"{'name' if key_of(column) in IDS else 'values, which differ in each row and only rise'}",
        )
    elif len(own.groups) < 2:
        audit_set.leave(column, "one value only" if own.groups else "no values")
    elif not own.rule and (len(own.groups) > MOST_GROUPS or (different > 2 and different * 2 > there)):
        audit_set.leave(
            column,
            f"{different:,} different values in {there:,} rows; name it with --group, if it is a group",
            several=True,
        )
    elif _is_label(audit_set.labels, own):
        audit_set.leave(
            column, "the label under another name, one to one; if it is a group, name it with --group"
        )
    else:
        audit_set.columns[column] = own


def _are_amounts(own: GroupColumn, labels: list[str]) -> bool:
    """Return whether numeric labels are amounts: fractions, with a unit, or many values for few texts."""
    known = [x for x in own.numbers or [] if x == x]
    return (
        4 * len(set(labels)) > len(known)
        or any(x != int(x) for x in known)
        or any(not x.lstrip("+-").isdigit() for x in labels if x)
    )


def _counts_up(numbers: list[float] | None) -> bool:
    known = [x for x in numbers or [] if x == x]
    return all(a < b for a, b in pairwise(known))


def _is_label(labels: list[str], own: GroupColumn) -> bool:
    """Return whether a column has the name of a label, is no identity, and maps one to one to the label."""
    key = key_of(own.column)
    pairs = {(x, g) for x, g in zip(labels, own.values, strict=True) if x and g}
    one_to_one = len(pairs) == len({x for x, _ in pairs}) == len({g for _, g in pairs}) >= 2
    called = (
        key in LABELS
        or "label" in key.split("_")
        or any(key in (f"{name}_id", f"{name}_name", f"{name}_code") for name in LABELS)
    )
    return one_to_one and called and pack_of(own.column) is None and not is_identity(own.groups)
