"""Reading records from JSONL, CSV, Parquet, Hugging Face `datasets` or the builtin corpus.

A broken row is kept out, with its place and its fault; it is never dropped silently.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO

from probate.errors import InputError, nearest
from probate.records import Origin, Record
from probate.registry import require
from probate.study import Source

PACKED = {".gz": "gzip", ".zst": "zstd"}
LONGEST_LINE = 64 * 1024 * 1024
"""Characters of a line or a cell from which a file is refused: what unpacks to more is no record."""

Row = tuple[str, dict[str, Any] | str]
"""Where the row stands, and its columns, or what is wrong with it."""


@dataclass
class Reading:
    """Records of a source, and one line for each row that was kept out."""

    records: list[Record]
    rejected: list[str] = field(default_factory=list)
    rows: int = 0


def read_source(source: Source, base: Path, origin: Origin, labels: list[str] | None = None, language: str = "en") -> Reading:
    """Read `source`; relative paths start at `base`.

    `labels` restricts the records to these labels (others are no fault and are not counted as broken); `language` is
    that of a builtin corpus.

    Raises:
        InputError: no such file, a column that is missing, not UTF-8, or not one usable record.
    """
    name = source.source
    columns = source.columns
    if name == "builtin:biographies":
        from probate.corpus import biographies

        rows: Iterable[Row] = ((f"{name}:{i}", row) for i, row in enumerate(biographies(), 1))
        columns = columns.model_copy(update={"id": "id", "pair": "pair"})
    elif name == "builtin:opinions":
        from probate.corpus import opinions

        rows = ((f"{name}:{i}", row) for i, row in enumerate(opinions(language), 1))
        columns = columns.model_copy(update={"id": "id", "pair": "pair", "statement": "statement"})
    elif name.startswith("builtin:"):
        raise InputError(f"data: '{name}' does not ship with Probate; builtin:biographies and builtin:opinions do")
    else:
        rows = source_rows(name, source.split, base)
    if source.format == "survey":
        from probate.surveys import survey_rows

        rows = survey_rows(rows)

    reading = Reading([])
    wanted = {normal_label(label) for label in labels} if labels else None
    seen: set[str] = set()
    checked = False
    for where, row in rows:
        reading.rows += 1
        if isinstance(row, str):
            reading.rejected.append(f"{where}: {row}")
            continue
        if not checked:
            _check_columns(row, source, where)
            checked = True
        record = _record(row, columns, where, origin, reading.rows)
        if isinstance(record, str):
            reading.rejected.append(f"{where}: {record}")
        elif wanted is not None and record.label not in wanted:
            continue
        elif record.id in seen:
            reading.rejected.append(f"{where}: id '{record.id[2:]}' stands there twice")
        else:
            seen.add(record.id)
            reading.records.append(record)
    if not reading.rows:
        raise InputError(f"{name}: the file has no rows")
    if not reading.records:
        first = f"; first: {reading.rejected[0]}" if reading.rejected else ""
        raise InputError(f"{name}: none of its {reading.rows} rows can be used{first}")
    return reading


def source_rows(name: str, split: str, base: Path) -> Iterator[Row]:
    """Rows of a file (or of several, with `*` in the name), a folder saved by `datasets` or `hf:ID`, as they are."""
    if name.startswith("hf:"):
        return _hub_rows(name.removeprefix("hf:"), split)
    path = (base / name).expanduser()
    if "*" not in path.name:
        return _file_rows(path, split)
    files = sorted(path.parent.glob(path.name))
    if not files:
        raise InputError(f"{path}: no file has such a name")
    return (row for file in files for row in _file_rows(file, split))


def group_columns(pairs: Sequence[str]) -> dict[str, str]:
    """`DIMENSION=COLUMN` options as a mapping.

    Raises:
        InputError: one that is not of that form.
    """
    found = {}
    for pair in pairs:
        dimension, equals, column = pair.partition("=")
        if not (equals and dimension and column):
            raise InputError(f"--group {pair}: must be DIMENSION=COLUMN, as in --group gender=sex")
        found[dimension] = column
    return found


def normal_label(value: str) -> str:
    """Labels are compared and shown with single spaces: `software_engineer` is `software engineer`."""
    return " ".join(value.replace("_", " ").split())


def _check_columns(row: dict[str, Any], source: Source, where: str) -> None:
    c = source.columns
    needed = {"text": c.text, "label": c.label, **{f"groups.{k}": v for k, v in c.groups.items()}}
    needed |= {k: v for k, v in (("id", c.id), ("parent", c.parent), ("pair", c.pair), ("statement", c.statement)) if v}
    for key, column in needed.items():
        if column not in row:
            have = sorted(map(str, row))
            raise InputError(
                f"{where}: no column '{column}'{nearest(column, have)}; the file has: {', '.join(have)}. "
                f"Name the right one in the study as columns.{key}"
            )


def _record(row: dict[str, Any], columns: Any, where: str, origin: Origin, number: int) -> Record | str:
    values: dict[str, str] = {}
    for name, column in (("text", columns.text), ("label", columns.label), *columns.groups.items()):
        value = row.get(column)
        if value is None or (isinstance(value, float) and value != value):
            return f"column '{column}' is empty"
        if not isinstance(value, (str, int, float, bool)):
            return f"column '{column}' holds a {type(value).__name__}, not text"
        values[name] = str(value).strip()
        if not values[name]:
            return f"column '{column}' is empty"
    provenance: dict[str, Any] = {"source": where}
    for name in ("parent", "pair", "statement"):
        column = getattr(columns, name)
        if column and row.get(column) is not None:
            provenance[name] = str(row[column])
    identity = str(row[columns.id]) if columns.id and row.get(columns.id) is not None else f"row-{number}"
    return Record(
        id=f"{'a' if origin == 'augmented' else 'o'}:{identity}",
        text=values["text"],
        label=normal_label(values["label"]),
        groups={dimension: values[dimension] for dimension in columns.groups},
        origin=origin,
        provenance=provenance,
    )


def _file_rows(path: Path, split: str) -> Iterator[Row]:
    if not path.exists():
        raise InputError(f"{path}: no such file or folder")
    if path.is_dir():
        yield from _saved_dataset_rows(path, split)
        return
    if not path.is_file():
        raise InputError(f"{path}: neither a file nor a folder")
    packed = path.suffix.lower() in PACKED
    suffix = Path(path.stem).suffix.lower() if packed else path.suffix.lower()
    texts = {".jsonl": _jsonl_rows, ".ndjson": _jsonl_rows, ".csv": _csv_rows}
    tables = {".parquet": _parquet_rows, ".arrow": _arrow_rows}
    if suffix not in texts and (packed or suffix not in tables):
        allowed = ", ".join([*texts, *tables])
        raise InputError(
            f"{path}: '{suffix}' is not read; allowed: {allowed} (text also with {' or '.join(PACKED)}), or a folder saved by datasets"
        )
    if path.stat().st_size == 0:
        raise InputError(f"{path}: the file is empty")
    try:
        if suffix in tables:
            yield from tables[suffix](path)
        else:
            with _opened(path, PACKED.get(path.suffix.lower())) as lines:
                yield from texts[suffix](path, lines)
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not UTF-8 at byte {error.start}; convert it, as with iconv -t utf-8") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}") from None


def _opened(path: Path, packing: str | None) -> TextIO:
    """A text file, unpacked as it is read."""
    import pyarrow

    if packing is None:
        return path.open(encoding="utf-8-sig", newline="")
    return io.TextIOWrapper(pyarrow.input_stream(str(path), compression=packing), encoding="utf-8-sig", newline="")


def _bounded(path: Path, lines: TextIO) -> Iterator[str]:
    number = 0
    while line := lines.readline(LONGEST_LINE):
        number += 1
        if len(line) >= LONGEST_LINE:
            raise InputError(f"{path}:{number}: a line of more than {LONGEST_LINE:,} characters; is it one record a line?")
        yield line


def _jsonl_rows(path: Path, lines: TextIO) -> Iterator[Row]:
    for number, line in enumerate(_bounded(path, lines), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (json.JSONDecodeError, RecursionError) as error:
            said = (
                f"at column {error.colno} ({error.msg}; cut off?)"
                if isinstance(error, json.JSONDecodeError)
                else "(nested too deeply)"
            )
            yield f"{path}:{number}", f"not JSON {said}"
            continue
        yield f"{path}:{number}", row if isinstance(row, dict) else f"a {type(row).__name__}, not an object"


@contextmanager
def _long_fields() -> Iterator[None]:
    """Fields as long as a line may be, inside; outside the process's own limit stands."""
    before = csv.field_size_limit(LONGEST_LINE)
    try:
        yield
    finally:
        csv.field_size_limit(before)


def _csv_rows(path: Path, lines: TextIO) -> Iterator[Row]:
    reader = csv.DictReader(_bounded(path, lines), strict=True)
    try:
        with _long_fields():
            names = list(reader.fieldnames or [])
    except csv.Error as error:
        raise InputError(f"{path}:1: not CSV ({error})") from None
    twice = sorted({n for n in names if names.count(n) > 1})
    if twice:
        raise InputError(f"{path}:1: the column '{twice[0]}' stands there twice; rename one")
    while True:
        try:
            with _long_fields():
                row = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield f"{path}:{reader.line_num}", f"not CSV ({error})"
            return
        where = f"{path}:{reader.line_num}"
        if None in row:
            yield where, "more fields than the header"
        else:
            yield where, dict(row)


def _arrow_rows(path: Path) -> Iterator[Row]:
    import pyarrow

    number = 0
    with pyarrow.memory_map(str(path)) as source:
        try:
            batches = pyarrow.ipc.open_stream(source)
        except pyarrow.ArrowInvalid:
            try:
                file = pyarrow.ipc.open_file(source)
            except pyarrow.ArrowInvalid:
                raise InputError(f"{path}: not an Arrow file, or cut off") from None
            batches = (file.get_batch(i) for i in range(file.num_record_batches))
        for batch in batches:
            for row in batch.to_pylist():
                number += 1
                yield f"{path}:row {number}", row


def _parquet_rows(path: Path) -> Iterator[Row]:
    import pyarrow
    import pyarrow.parquet as parquet

    try:
        file = parquet.ParquetFile(path)
    except pyarrow.ArrowInvalid:
        raise InputError(f"{path}: not a Parquet file, or cut off") from None
    number = 0
    for batch in file.iter_batches():
        for row in batch.to_pylist():
            number += 1
            yield f"{path}:row {number}", row


def _saved_dataset_rows(path: Path, split: str) -> Iterator[Row]:
    datasets: Any = require("datasets", "datasets")
    try:
        data = datasets.load_from_disk(str(path))
    except (FileNotFoundError, ValueError) as error:
        raise InputError(f"{path}: not a folder saved by datasets ({str(error).splitlines()[0]})") from None
    if isinstance(data, datasets.DatasetDict):
        if split not in data:
            raise InputError(f"{path}: no split '{split}'{nearest(split, list(data))}; it has: {', '.join(data)}")
        data = data[split]
    for number, row in enumerate(data, 1):
        yield f"{path}:row {number}", dict(row)


def _hub_rows(name: str, split: str) -> Iterator[Row]:
    datasets: Any = require("datasets", "datasets")
    try:
        data = datasets.load_dataset(name, split=split)
    except Exception as error:
        first = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(f"hf:{name}: cannot be loaded ({first})") from None
    for number, row in enumerate(data, 1):
        yield f"hf:{name}:row {number}", dict(row)
