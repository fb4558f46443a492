"""Writers of rows to JSON Lines, CSV or Parquet in the style of the source file."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from probate.core.arrow import arrow_file
from probate.core.errors import InputError, first_line
from probate.core.files import atomic
from probate.data.rows import Line, csv_style
from probate.data.shape.cells import style_of, to_json

CHUNK = 20_000
BOM = b"\xef\xbb\xbf"
RowWriter = Callable[[dict[str, Any], str], None]


@dataclass(frozen=True)
class Writer:
    """Functions of an open output: `row` writes a row (and its JSON line, if known), `note` its changes."""

    row: RowWriter
    note: Callable[[dict[str, Any]], None]


@contextmanager
def writer(source: Path, out: Path | None, columns: Sequence[str], *, notes: bool = True) -> Iterator[Writer]:
    """Open writers of rows and of notes.

    The files are moved into place at the end, or removed after an error.

    Parameters
    ----------
    source : Path
        File whose style (types, delimiter, byte order mark) the output keeps.
    out : Path or None
        File to write. If None, nothing is written.
    columns : sequence of str
        Columns of the output.
    notes : bool
        If True, also write `out.changes.jsonl`.

    Yields
    ------
    Writer
        Functions that write a row and a note.

    Raises
    ------
    InputError
        If the format is not supported, or cannot store a value.
    """
    if out is None:
        yield Writer(lambda row, line: None, lambda note: None)
        return
    kinds = {".jsonl": _jsonl, ".ndjson": _jsonl, ".csv": _csv, ".tsv": _csv, ".parquet": _parquet}
    if out.suffix.lower() not in kinds:
        raise InputError(
            f"--out {out}: the format '{out.suffix}' is not supported; use one of {', '.join(kinds)}"
        )
    kind = kinds[out.suffix.lower()]
    if not notes:
        with atomic(out) as part, kind(part, source, out, columns) as row:
            yield Writer(row, lambda note: None)
        return
    changes = out.with_name(out.name + ".changes.jsonl")
    with (
        atomic(out) as part,
        atomic(changes) as beside,
        beside.open("w", encoding="utf-8") as lines,
        kind(part, source, out, columns) as row,
    ):
        yield Writer(row, lambda note: print(to_json(note), file=lines))


def json_line(before: dict[str, Any], row: dict[str, Any]) -> tuple[str, bool]:
    """Return the line of JSON for a row.

    Parameters
    ----------
    before : dict
        The row before the changes.
    row : dict
        The row after the changes.

    Returns
    -------
    line : str
        The original line if the row is unchanged, else a line in the same style; empty if the style is
        unknown.
    lost : bool
        True if the style could not be kept.
    """
    if not isinstance(before, Line) or not before.text:
        return "", False
    if row is before:
        return before.text, False
    style = style_of(before.text, before)
    line = to_json(row, style) if style else to_json(row)
    end = before.text[len(before.text.rstrip("\r\n")) :]
    return line + end, style is None or style_of(line, row) != style


@contextmanager
def _jsonl(path: Path, source: Path, out: Path, columns: Sequence[str]) -> Iterator[RowWriter]:
    ended = True
    with path.open("w", encoding="utf-8", newline="") as lines:
        if _has_bom(source) and source.suffix.lower() == out.suffix.lower():
            lines.write("\ufeff")

        def write(row: dict[str, Any], line: str) -> None:
            nonlocal ended
            line = line or to_json(row) + "\n"
            lines.write(line if ended else "\n" + line)
            ended = line.endswith(("\n", "\r"))

        yield write


def _has_bom(source: Path) -> bool:
    if not source.is_file():
        return False
    with source.open("rb") as file:
        return file.read(3) == BOM


@contextmanager
def _csv(path: Path, source: Path, out: Path, columns: Sequence[str]) -> Iterator[RowWriter]:
    same = source.is_file() and source.suffix.lower() in (".csv", ".tsv")
    delimiter, end = csv_style(source) if same else (",", "\r\n")
    if source.suffix.lower() != out.suffix.lower():
        delimiter = "\t" if out.suffix.lower() == ".tsv" else ","
    with path.open("w", encoding="utf-8-sig" if same and _has_bom(source) else "utf-8", newline="") as lines:
        rows = csv.writer(lines, delimiter=delimiter, lineterminator=end)
        rows.writerow(columns)
        yield lambda row, line: rows.writerow([_csv_cell(row.get(c)) for c in columns])


def _csv_cell(value: Any) -> Any:
    if isinstance(value, (list, dict)):
        return to_json(value)
    return json.loads(to_json(value)) if isinstance(value, bytes) else "" if value is None else value


@contextmanager
def _parquet(path: Path, source: Path, out: Path, columns: Sequence[str]) -> Iterator[RowWriter]:
    import pyarrow
    import pyarrow.parquet as parquet

    schema = _schema(source, columns)
    held: list[dict[str, Any]] = []
    tables: list[pyarrow.Table] = []
    file = parquet.ParquetWriter(path, schema) if schema is not None else None

    def flush() -> None:
        arrays = {}
        for c in columns:
            try:
                arrays[c] = pyarrow.array(
                    [row.get(c) for row in held], schema.field(c).type if schema is not None else None
                )
            except (pyarrow.ArrowException, TypeError, ValueError, OverflowError):
                raise InputError(
                    f"{out}: column '{c}' has several types, which Parquet cannot store; write .jsonl"
                ) from None
        table = pyarrow.table(arrays, schema=schema)
        held.clear()
        if file:
            file.write_table(table)
        else:
            tables.append(table)

    def write(row: dict[str, Any], line: str) -> None:
        held.append(row)
        if len(held) >= CHUNK:
            flush()

    try:
        yield write
        flush()
        if not file:
            try:
                parquet.write_table(pyarrow.concat_tables(tables, promote_options="permissive"), path)
            except pyarrow.ArrowException as error:
                raise InputError(
                    f"{out}: Parquet cannot store the rows ({first_line(error)}); write .jsonl"
                ) from None
    finally:
        if file:
            file.close()


def _schema(source: Path, columns: Sequence[str]) -> Any:
    """Return the schema of a Parquet or Arrow file with exactly `columns`, or None for other formats."""
    import pyarrow
    import pyarrow.parquet as parquet

    if source.suffix.lower() == ".parquet":
        schema = parquet.read_schema(source)
    elif source.suffix.lower() == ".arrow":
        with arrow_file(source) as (schema, _):
            pass
    else:
        return None
    for column in columns:
        if column not in schema.names:
            schema = schema.append(pyarrow.field(column, pyarrow.float64()))
    return pyarrow.schema([field for field in schema if field.name in columns], schema.metadata)
