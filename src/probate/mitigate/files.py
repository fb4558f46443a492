"""Mitigations on a file: JSONL, CSV or Parquet, plain text or chat, in a stream where the strategies allow it."""

from __future__ import annotations

import csv
import json
import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Any, TextIO

from probate.errors import InputError, nearest
from probate.mitigate.base import Mitigation, MitigationContext, check_together, mitigate
from probate.readers import source_rows
from probate.records import Record, with_notice

BATCH = 2000
BREAK = "\n\u241e\n"
"""Between the turns of a chat while they are one text."""
TEXT_COLUMNS = ("messages", "text", "completion", "content", "bio", "prompt")
MOST_LABELS = 200
LABEL_WORDS = 4
"""An assistant turn of at most this many words is an answer, not a text: it is a label and stays."""


@dataclass(frozen=True)
class FileColumns:
    """Which column is what; `groups` maps a dimension to its column."""

    text: str
    label: str | None
    groups: dict[str, str]


@dataclass
class Summary:
    """What was done to a file."""

    read: int = 0
    written: int = 0
    changed: int = 0
    added: int = 0
    dropped: Counter[str] = field(default_factory=Counter)
    skipped: Counter[str] = field(default_factory=Counter)
    replaced: Counter[tuple[str, str]] = field(default_factory=Counter)
    samples: list[tuple[str, str]] = field(default_factory=list)


def find_columns(
    row: dict[str, Any], text: str | None, label: str | None, groups: dict[str, str], dimension: str
) -> FileColumns:
    """The columns of a file by its first row.

    Raises:
        InputError: a column that is not there, or none that could be the text.
    """
    have = [str(c) for c in row]
    for option, column in (("--text", text), ("--label", label), *(("--group", c) for c in groups.values())):
        if column is not None and column not in row:
            raise InputError(f"{option}: no column '{column}'{nearest(column, have)}; the file has: {', '.join(have)}")
    found = text or next((c for c in TEXT_COLUMNS if row.get(c)), None)
    if found is None:
        raise InputError(f"no column that looks like a text; name one with --text; the file has: {', '.join(have)}")
    own = {dimension: dimension} if dimension in row else {}
    return FileColumns(found, label or ("label" if "label" in row else None), own | groups)


def mitigate_file(
    source: Path,
    out: Path | None,
    strategies: Sequence[Mitigation],
    context: MitigationContext,
    *,
    text: str | None = None,
    label: str | None = None,
    groups: dict[str, str] | None = None,
    show: int = 0,
    tick: Callable[[int], None] | None = None,
) -> Summary:
    """Apply `strategies` to every row of `source` and write `out`, and beside it `out.changes.jsonl` with what was done to each row.

    All rows count as augmented. Columns that are not touched survive; `reweight` adds the column `weight`. With `out` None
    nothing is written. Files are moved into place when they are whole.

    Raises:
        InputError: a file or column that is missing, strategies that contradict or cannot work (why).
    """
    check_together(strategies)
    for strategy in strategies:
        strategy.check(context)
    context = replace(context, labels=context.labels or labels_of(source, text, label, context.dimension))
    rows = source_rows(str(source), "train", Path())
    whole = any(s.whole for s in strategies)
    weighted = any(s.name == "reweight" for s in strategies)
    summary = Summary()
    columns: FileColumns | None = None
    with _writer(source, out, weighted) as write:
        while batch := list(rows if whole else islice(rows, BATCH)):
            records: list[Record] = []
            held: dict[str, dict[str, Any]] = {}
            for where, row in batch:
                summary.read += 1
                if isinstance(row, str):
                    summary.dropped[row] += 1
                    write.note({"row": summary.read, "where": where, "dropped": row})
                    continue
                columns = columns or find_columns(row, text, label, groups or {}, context.dimension)
                record = _record(row, columns, summary.read)
                records.append(record)
                held[record.id] = row
            done = mitigate(records, strategies, context)
            before = {r.id: r.text for r in records}
            for r, why in done.dropped:
                summary.dropped[why.split(" (")[0]] += 1
                write.note({"row": int(r.id.split("~")[0]), "dropped": why})
            for r, weight in zip(done.records, done.weights, strict=True):
                assert columns is not None
                parent = r.id.split("~")[0]
                _count(summary, r, before.get(r.id), before[parent], show)
                row = _row(held[parent], r, columns)
                write.row(row | {"weight": weight} if weighted else row)
                if r.provenance.get("mitigations"):
                    write.note({"row": int(parent), "written": summary.written, "mitigations": r.provenance["mitigations"]})
            if tick:
                tick(len(batch))
    if not summary.read:
        raise InputError(f"{source}: no rows")
    return summary


def labels_of(source: Path, text: str | None, label: str | None, dimension: str) -> list[str]:
    """The labels of a file, whose words stay as they are; none where it has more than a classification would."""
    found: set[str] = set()
    columns: FileColumns | None = None
    for _, row in source_rows(str(source), "train", Path()):
        if isinstance(row, str):
            continue
        columns = columns or find_columns(row, text, label, {}, dimension)
        found.add(_label(row, columns))
        if len(found) > MOST_LABELS:
            return []
    return sorted(found - {""})


def _label(row: dict[str, Any], columns: FileColumns) -> str:
    return str(row.get(columns.label) or "") if columns.label else _answer(row[columns.text])


def _record(row: dict[str, Any], columns: FileColumns, number: int) -> Record:
    texts = _texts(row[columns.text])
    label = _label(row, columns)
    own = {dimension: str(row.get(column) or "") for dimension, column in columns.groups.items()}
    return Record(str(number), BREAK.join(texts), label, own, "augmented")


def _texts(value: Any) -> list[str]:
    """The texts of a cell: itself, or the turns of a chat but for the system's and a short answer."""
    if isinstance(value, list):
        return [str(t.get("content") or "") for t in value if _is_text(t)]
    return ["" if value is None else str(value)]


def _is_text(turn: Any) -> bool:
    if not isinstance(turn, dict):
        raise InputError(f"a chat must be a list of turns with role and content, got {type(turn).__name__} in it")
    short = len(str(turn.get("content") or "").split()) <= LABEL_WORDS
    return turn.get("role") != "system" and not (turn.get("role") == "assistant" and short)


def _answer(value: Any) -> str:
    """The short answer of a chat, which is its label."""
    if not isinstance(value, list):
        return ""
    return next((str(t.get("content") or "") for t in reversed(value) if t.get("role") == "assistant" and not _is_text(t)), "")


def _row(row: dict[str, Any], record: Record, columns: FileColumns) -> dict[str, Any]:
    """The row with the record's text and groups."""
    new = dict(row)
    texts = iter(record.text.split(BREAK))
    value = row[columns.text]
    notice = record.provenance.get("notice")
    if isinstance(value, list):
        turns = [{**t, "content": next(texts)} if _is_text(t) else dict(t) for t in value]
        new[columns.text] = with_notice(turns, notice)
    else:
        new[columns.text] = f"{notice['text']} {record.text}" if notice else record.text
    for dimension, column in columns.groups.items():
        if record.groups.get(dimension) and str(row.get(column)) != record.groups[dimension]:
            new[column] = record.groups[dimension]
    if "~" in record.id and row.get("id") is not None:
        new["id"] = f"{row['id']}~{record.id.split('~', 1)[1]}"
    return new


def _count(summary: Summary, record: Record, own: str | None, parent: str, show: int) -> None:
    summary.written += 1
    summary.added += own is None
    changed = record.text != (own if own is not None else parent)
    summary.changed += changed and own is not None
    for entry in record.provenance.get("mitigations", []):
        if "skipped" in entry:
            summary.skipped[f"{entry['name']}: {entry['skipped']}"] += 1
        for _, old, new in entry.get("changes", []):
            summary.replaced[old, new] += 1
    if len(summary.samples) < show and record.text != parent:
        summary.samples.append(differing(parent, record.text))


def differing(before: str, after: str) -> tuple[str, str]:
    """Two texts without the lines that they share."""
    old, new = (text.replace(BREAK, "\n").splitlines() for text in (before, after))
    if len(old) != len(new):
        return "\n".join(old), "\n".join(new)
    pairs = [(a, b) for a, b in zip(old, new, strict=True) if a != b]
    return " ⏎ ".join(a for a, _ in pairs), " ⏎ ".join(b for _, b in pairs)


@dataclass
class _Writer:
    row: Callable[[dict[str, Any]], None]
    note: Callable[[dict[str, Any]], None]


@contextmanager
def _writer(source: Path, out: Path | None, weighted: bool) -> Iterator[_Writer]:
    """Writers of rows and of notes; both files are moved into place at the end, or removed if something failed."""
    if out is None:
        yield _Writer(lambda row: None, lambda note: None)
        return
    kinds = {".jsonl": _jsonl, ".ndjson": _jsonl, ".csv": _csv, ".parquet": _parquet}
    if out.suffix.lower() not in kinds:
        raise InputError(f"--out {out}: '{out.suffix}' is not written; allowed: {', '.join(kinds)}")
    changes = out.with_name(out.name + ".changes.jsonl")
    parts = [p.with_name(p.name + ".part") for p in (out, changes)]
    try:
        with parts[1].open("w", encoding="utf-8") as notes, kinds[out.suffix.lower()](parts[0], source, weighted) as row:
            yield _Writer(row, lambda note: print(json.dumps(note, ensure_ascii=False), file=notes))
        for part, path in zip(parts, (out, changes), strict=True):
            os.replace(part, path)
    finally:
        for part in parts:
            part.unlink(missing_ok=True)


@contextmanager
def _jsonl(path: Path, source: Path, weighted: bool) -> Iterator[Callable[[dict[str, Any]], None]]:
    with path.open("w", encoding="utf-8") as lines:
        yield lambda row: print(json.dumps(row, ensure_ascii=False), file=lines)


@contextmanager
def _csv(path: Path, source: Path, weighted: bool) -> Iterator[Callable[[dict[str, Any]], None]]:
    with path.open("w", encoding="utf-8", newline="") as lines:
        state: dict[str, Any] = {}

        def write(row: dict[str, Any]) -> None:
            if "writer" not in state:
                state["writer"] = _csv_writer(lines, row)
            flat = {k: json.dumps(v, ensure_ascii=False) if isinstance(v, (list, dict)) else v for k, v in row.items()}
            state["writer"].writerow(flat)

        yield write


def _csv_writer(lines: TextIO, row: dict[str, Any]) -> csv.DictWriter:
    writer = csv.DictWriter(lines, list(row), extrasaction="ignore", restval="")
    writer.writeheader()
    return writer


@contextmanager
def _parquet(path: Path, source: Path, weighted: bool) -> Iterator[Callable[[dict[str, Any]], None]]:
    import pyarrow
    import pyarrow.parquet as parquet

    schema = parquet.read_schema(source) if source.suffix.lower() == ".parquet" else None
    if schema is not None and weighted and "weight" not in schema.names:
        schema = schema.append(pyarrow.field("weight", pyarrow.float64()))
    held: list[dict[str, Any]] = []
    state: dict[str, Any] = {}

    def flush() -> None:
        if not held:
            return
        table = pyarrow.Table.from_pylist(held, schema=state["writer"].schema if "writer" in state else schema)
        if "writer" not in state:
            state["writer"] = parquet.ParquetWriter(path, table.schema)
        state["writer"].write_table(table)
        held.clear()

    def write(row: dict[str, Any]) -> None:
        held.append(row)
        if len(held) >= 10 * BATCH:
            flush()

    try:
        yield write
        flush()
    finally:
        if "writer" in state:
            state["writer"].close()
