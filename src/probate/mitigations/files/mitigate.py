"""Mitigation of data files of any known shape, in batches if the mitigations allow it."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from probate.core.errors import InputError
from probate.core.records import Record
from probate.data.rows import source_rows
from probate.data.shape import Given, Shape, Turn, shape_of_file
from probate.data.shape.cells import cell, place_of, put
from probate.data.spellings import GroupColumn, group_column
from probate.mitigations.base import Mitigation, MitigationContext, check_together, mitigate
from probate.mitigations.files.undo import places_of, restored
from probate.mitigations.files.write import Writer, json_line, writer

BATCH = 2000
SIGN = "\u241e"
"""Separator line between the joined texts of a record; repeated if a text contains it."""


@dataclass
class Summary:
    """Summary of the mitigation of a file: its shape, and how many rows were changed, added or dropped."""

    shape: Shape
    read: int = 0
    written: int = 0
    changed: int = 0
    added: int = 0
    dropped: Counter[str] = field(default_factory=Counter)
    skipped: Counter[str] = field(default_factory=Counter)
    replaced: Counter[tuple[str, str]] = field(default_factory=Counter)
    samples: list[tuple[str, str]] = field(default_factory=list)
    rows: list[int] = field(default_factory=list)
    """For each written row, the number of its source row."""


@dataclass(frozen=True)
class Layout:
    """Layout of a whole file, needed before its first row is changed. `groups` maps dimensions to columns."""

    shape: Shape
    columns: list[str]
    groups: dict[str, GroupColumn]
    next_id: int


@dataclass(frozen=True)
class _Opened:
    """A row with its texts, the indices of those that may change, and the separator of the joined texts."""

    row: dict[str, Any]
    turns: list[Turn]
    free: list[int]
    between: str

    def texts(self, text: str) -> list[str] | None:
        """Split the text of the record into its parts; return None if a mitigation changed the separators."""
        parts = text.split(self.between) if len(self.free) > 1 else [text][: len(self.free)]
        return parts if len(parts) == len(self.free) else None


def mitigate_file(
    source: Path,
    out: Path | None,
    strategies: Sequence[Mitigation],
    context: MitigationContext,
    *,
    given: Given | None = None,
    show: int = 0,
    tick: Callable[[int], None] | None = None,
) -> Summary:
    """Apply mitigations to every row of a file.

    All rows count as augmented. The texts of a record are those of all turns except system turns and short
    answers that are labels. Everything else keeps its format: JSON lines, columns, chats, spellings of
    groups, the delimiter. A mitigation that weights records adds the column `weight`. The files are moved
    into place when they are complete.

    Parameters
    ----------
    source : Path
        File to read.
    out : Path or None
        File to write, with `out.changes.jsonl`, which records the changes of each row. If None, nothing is
        written.
    strategies : sequence of Mitigation
        Mitigations, in order.
    context : MitigationContext
        Context of the mitigations.
    given : Given, optional
        Columns that the user names.
    show : int
        Number of samples of changed texts in the summary.
    tick : callable, optional
        Called with the number of rows after each batch.

    Returns
    -------
    Summary
        The shape of the file, and what was changed.

    Raises
    ------
    InputError
        If the file or a column is missing, or mitigations contradict each other or do not work. The message
        says why.
    """
    check_together(strategies)
    for strategy in strategies:
        strategy.check(context)
    layout = layout_of(source, given)
    rows = enumerate(source_rows(str(source), "train", Path(), keep=True), 1)
    whole = any(s.whole for s in strategies)
    weighted = any(s.weighs for s in strategies)
    summary = Summary(layout.shape)
    place = iter(range(len(next(iter(layout.groups.values())).values)) if layout.groups else ())
    free_ids = iter(range(layout.next_id, layout.next_id + 10**12))
    with writer(
        source, out, layout.columns + ["weight"] * (weighted and "weight" not in layout.columns)
    ) as write:
        while batch := list(rows if whole else islice(rows, BATCH)):
            records: list[Record] = []
            held: dict[str, _Opened] = {}
            for number, (where, row) in batch:
                summary.read += 1
                fault = row if isinstance(row, str) else layout.shape.fault(row)
                if isinstance(row, str) or fault:
                    summary.dropped[fault] += 1
                    write.note({"row": number, "where": where, "dropped": fault, **_kept_line(row)})
                    continue
                at = next(place, 0)
                groups = {name: own.values[at] for name, own in layout.groups.items()}
                held[str(number)] = opened = _opened(row, layout.shape)
                text = opened.between.join(opened.turns[i].text for i in opened.free)
                records.append(Record(str(number), text, layout.shape.label_of(row), groups, "augmented"))
            done = mitigate(records, strategies, context)
            before = {r.id: r for r in records}
            for r, why in done.dropped:
                summary.dropped[why.split(" (")[0]] += 1
                write.note({"row": int(r.id.split("~")[0]), "dropped": why})
            for r, weight in zip(done.records, done.weights, strict=True):
                parent = r.id.split("~")[0]
                _write(
                    write,
                    layout,
                    held[parent],
                    r,
                    before[parent],
                    weight if weighted else None,
                    summary,
                    free_ids,
                    show,
                )
            if tick:
                tick(len(batch))
    if not summary.read:
        raise InputError(f"{source}: the file has no rows")
    return summary


def layout_of(source: Path, given: Given | None) -> Layout:
    """Read the layout of a file in two passes, one of them for its shape. Errors are as in `read_table`."""
    shape = shape_of_file(str(source), given)
    columns: dict[str, None] = {}
    values: dict[str, list[Any]] = {name: [] for name in shape.groups}
    last = -1
    for _, row in source_rows(str(source), "train", Path()):
        if isinstance(row, str):
            continue
        columns.update(dict.fromkeys(row))
        if shape.fault(row):
            continue
        for name, own in values.items():
            own.append(shape.group_of(row, name))
        number = cell(row, shape.id) if shape.id else None
        if isinstance(number, int) and number > last:
            last = number
    groups = {name: group_column(name, own, shape.groups[name]) for name, own in values.items()}
    return Layout(shape, list(columns), groups, last + 1)


def code_of(column: GroupColumn, group: str, like: Any) -> Any:
    """Return the file's spelling of a group, preferably of the type of `like`, or else the group's name."""
    codes = [code for code, own in column.codes.items() if own == group]
    same = [code for code in codes if type(code) is type(like)]
    return (same or codes or [group])[0]


def _opened(row: dict[str, Any], shape: Shape) -> _Opened:
    turns = shape.turns_of(row)
    free = [i for i, t in enumerate(turns) if not t.kept]
    runs = re.findall(f"{SIGN}+", "\n".join(turns[i].text for i in free))
    return _Opened(row, turns, free, f"\n{SIGN * (1 + max(map(len, runs), default=0))}\n")


def _write(
    write: Writer,
    layout: Layout,
    held: _Opened,
    record: Record,
    parent: Record,
    weight: float | None,
    summary: Summary,
    free_ids: Iterator[int],
    show: int,
) -> None:
    """Write the row of a mitigated record, note the changes, and count them."""
    shape, texts = layout.shape, held.texts(record.text)
    made = record.provenance.get("mitigations", [])
    if texts is None:
        made = [
            {"name": m["name"], "skipped": "the texts of the record could not be separated afterwards"}
            for m in made
        ]
        texts = [held.turns[i].text for i in held.free]
    turns = list(held.turns)
    for i, text in zip(held.free, texts, strict=True):
        turns[i] = Turn(turns[i].role, text, turns[i].kept, turns[i].place, turns[i].message)
    row = shape.with_turns(held.row, turns)
    for name, column in layout.groups.items():
        group = record.groups.get(name, "")
        if group != parent.groups.get(name) and (where := place_of(row, shape.groups[name])):
            row = put(row, where, code_of(column, group, cell(row, shape.groups[name])))
    added = "~" in record.id
    if added and shape.id and (where := place_of(row, shape.id)) and (old := cell(row, shape.id)) is not None:
        row = put(
            row, where, f"{old}~{record.id.split('~', 1)[1]}" if isinstance(old, str) else next(free_ids)
        )
    if notice := record.provenance.get("notice"):
        row = shape.with_notice(row, notice["text"], notice["placement"])
    if weight is not None:
        row = {**row, "weight": weight}
    summary.written += 1
    summary.rows.append(int(parent.id))
    line, style_lost = json_line(held.row, row)
    write.row(row, line)
    changed = row is not held.row
    if made or changed:
        note = {"row": int(parent.id), "written": summary.written, "mitigations": made}
        note |= {} if weight is None else {"weight": weight}
        note |= (
            {"added": True}
            if added
            else {"places": places_of(held.turns, held.free), "between": held.between}
        )
        if changed and not added and (style_lost or not _reverts(row, note, held.row)):
            note |= _kept_line(held.row) or {
                "cells": {c: v for c, v in held.row.items() if row[c] != v},
                "new": [c for c in row if c not in held.row],
            }
        write.note(note)
    _count(summary, made, added, [held.turns[i].text for i in held.free], texts, show)


def _reverts(row: dict[str, Any], note: dict[str, Any], before: dict[str, Any]) -> bool:
    """Return True if the noted changes suffice to restore the row."""
    try:
        return restored(row, note) == before
    except ValueError:
        return False


def _kept_line(row: Any) -> dict[str, Any]:
    return {"line": row.text} if getattr(row, "text", "") else {}


def _count(
    summary: Summary, made: list[dict[str, Any]], added: bool, before: list[str], after: list[str], show: int
) -> None:
    summary.added += added
    summary.changed += before != after and not added
    for entry in made:
        if "skipped" in entry:
            summary.skipped[f"{entry['name']}: {entry['skipped']}"] += 1
        for _, old, new in entry.get("changes", []):
            summary.replaced[old, new] += 1
    if len(summary.samples) < show and before != after:
        summary.samples.append(differing(before, after))


def differing(before: Sequence[str], after: Sequence[str]) -> tuple[str, str]:
    """Return the lines that differ between two lists of texts, before and after."""
    old, new = ("\n".join(texts).split("\n") for texts in (before, after))
    if len(old) != len(new):
        return "\n".join(old), "\n".join(new)
    pairs = [(a, b) for a, b in zip(old, new, strict=True) if a != b]
    return " ⏎ ".join(a for a, _ in pairs), " ⏎ ".join(b for _, b in pairs)
