"""Rows of JSON Lines, JSON lists, CSV, Parquet, Arrow and Hugging Face `datasets`, unchanged.

A broken row is yielded with its place and the reason, and never dropped silently.
"""

from __future__ import annotations

import csv
import io
import itertools
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

from probate.core.arrow import arrow_file, batch_rows, check_claims, check_columns
from probate.core.errors import InputError, first_line, nearest
from probate.core.inputs import check_regular
from probate.core.parse import NotJson, json_value
from probate.core.plugins import require

PACKED = {".gz": "gzip", ".zst": "zstd"}
LONGEST_LIST = 1024 * 1024 * 1024
"""Maximum number of characters of a JSON list, which is read into memory as a whole."""
LONGEST_LINE = 64 * 1024 * 1024
"""Maximum number of characters of a line or cell; a longer one, as in an archive bomb, is not a record."""

UTF_16 = "UTF-16; convert it, for example with iconv -f utf-16 -t utf-8"
MAGIC = {
    b"\x1f\x8b": "compressed by gzip; add .gz to its name",
    b"\x28\xb5\x2f\xfd": "compressed by Zstandard; add .zst to its name",
    b"PAR1": "a Parquet file; add .parquet to its name",
    b"PK": "a ZIP archive or a workbook; unpack it, or save it as CSV",
    b"\xff\xfe": UTF_16,
    b"\xfe\xff": UTF_16,
}
"""First bytes of files whose format differs from their suffix → the format, and what to do."""

DELIMITERS = ",;\t|"
HEAD = 64 * 1024
"""Number of characters from which the delimiter of a CSV file is inferred."""

Row = tuple[str, dict[str, Any] | str]
"""Place of a row, and its columns, or the reason why it cannot be read."""


class Line(dict[str, Any]):
    """A row of a JSON Lines file, with its line as `text`."""

    text = ""


class Fault(str):
    """The reason why a row of a JSON Lines file cannot be read, with its line as `text`."""

    text = ""


def source_rows(name: str, split: str, base: Path, *, keep: bool = False) -> Iterator[Row]:
    """Iterate over the rows of a data source, unchanged.

    Parameters
    ----------
    name : str
        A file, several files with `*` in the name, a folder saved by `datasets`, or `hf:ID` of the Hugging
        Face Hub.
    split : str
        Split of a `datasets` source.
    base : Path
        Folder from which relative paths start.
    keep : bool
        If True, the rows of JSON Lines files keep their line: they are `Line`, and broken ones are `Fault`.

    Returns
    -------
    iterator of (str, dict or str)
        The place of each row (`FILE:LINE` or `FILE:row N`), and its columns, or the reason why it cannot be
        read.

    Raises
    ------
    InputError
        If the source is missing, empty, damaged, or of a format that is not supported.
    """
    if name.startswith("hf:"):
        return _hub_rows(name.removeprefix("hf:"), split)
    path = (base / name).expanduser()
    if "*" not in path.name:
        return _file_rows(path, split, keep)
    files = sorted(path.parent.glob(path.name))
    if not files:
        raise InputError(f"{path}: no file matches this name")
    return (row for file in files for row in _file_rows(file, split, keep))


def _file_rows(path: Path, split: str, keep: bool = False) -> Iterator[Row]:
    if not path.exists():
        raise InputError(f"{path}: no such file or folder")
    if path.is_dir():
        yield from _saved_dataset_rows(path, split)
        return
    check_regular(path)
    packed = path.suffix.lower() in PACKED
    suffix = Path(path.stem).suffix.lower() if packed else path.suffix.lower()
    texts = {
        ".jsonl": _jsonl_rows,
        ".ndjson": _jsonl_rows,
        ".json": _jsonl_rows,
        ".csv": _csv_rows,
        ".tsv": _csv_rows,
    }
    tables = {".parquet": _parquet_rows, ".arrow": _arrow_rows}
    if suffix not in texts and (packed or suffix not in tables):
        allowed = ", ".join([*texts, *tables])
        raise InputError(
            f"{path}: the format '{suffix}' is not supported; use one of {allowed} "
            f"(text files also with {' or '.join(PACKED)}), or a folder saved by datasets"
        )
    if path.stat().st_size == 0:
        raise InputError(f"{path}: the file is empty")
    try:
        if suffix in tables:
            yield from tables[suffix](path)
        else:
            packing = PACKED.get(path.suffix.lower())
            if suffix == ".json" and _is_list(path, packing):
                yield from _listed_rows(path, packing)
                return
            with _opened(path, packing) as lines:
                yield from (
                    _jsonl_rows(path, lines, keep)
                    if texts[suffix] is _jsonl_rows
                    else texts[suffix](path, lines)
                )
    except UnicodeDecodeError as error:
        fault = f"not UTF-8 at byte {error.start}; convert it, for example with iconv -f latin1 -t utf-8"
        raise InputError(f"{path}: {_true_format(path) or fault}") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}") from None


def _true_format(path: Path) -> str:
    """Return the entry of `MAGIC` that fits the first bytes of a file, or an empty string."""
    with path.open("rb") as file:
        head = file.read(4)
    for start, description in MAGIC.items():
        if head.startswith(start):
            return description
    return ""


def _opened(path: Path, packing: str | None) -> TextIO:
    """Open a text file and decompress it while it is read."""
    import pyarrow

    if packing is None:
        return path.open(encoding="utf-8-sig", newline="")
    return io.TextIOWrapper(
        pyarrow.input_stream(str(path), compression=packing), encoding="utf-8-sig", newline=""
    )


def _bounded(path: Path, lines: TextIO) -> Iterator[str]:
    number = 0
    while line := lines.readline(LONGEST_LINE):
        number += 1
        if len(line) >= LONGEST_LINE:
            raise InputError(
                f"{path}:{number}: the line has more than {LONGEST_LINE:,} characters; "
                "write one record on each line"
            )
        yield line


def _jsonl_rows(path: Path, lines: TextIO, keep: bool = False) -> Iterator[Row]:
    for number, line in enumerate(_bounded(path, lines), 1):
        if not line.strip():
            continue
        row: dict[str, Any] | str = _json_row(line)
        if keep:
            row = Line(row) if isinstance(row, dict) else Fault(row)
            row.text = line
        yield f"{path}:{number}", row


def _is_list(path: Path, packing: str | None) -> bool:
    """Check whether a JSON file is one list of records; otherwise it is read as JSON Lines."""
    with _opened(path, packing) as lines:
        return next((c for c in iter(lambda: lines.read(1), "") if not c.isspace()), "") == "["


def _listed_rows(path: Path, packing: str | None) -> Iterator[Row]:
    with _opened(path, packing) as lines:
        text = lines.read(LONGEST_LIST + 1)
    if len(text) > LONGEST_LIST:
        raise InputError(
            f"{path}: the JSON list has more than {LONGEST_LIST:,} characters; "
            "write it as JSON Lines, with one record on each line"
        )
    try:
        rows = json_value(text)
    except NotJson as error:
        raise InputError(f"{path}:1: {error}") from None
    for number, row in enumerate(rows, 1):
        yield f"{path}:row {number}", _object(row)


def _json_row(line: str) -> dict[str, Any] | str:
    try:
        return _object(json_value(line))
    except NotJson as error:
        return str(error)


def _object(row: Any) -> dict[str, Any] | str:
    """Return the row if it is an object, else the reason why it is not a record."""
    return row if isinstance(row, dict) else f"the JSON value is of type {type(row).__name__}, not an object"


@contextmanager
def _long_fields() -> Iterator[None]:
    """Raise the limit of the `csv` module to `LONGEST_LINE` inside the context."""
    before = csv.field_size_limit(LONGEST_LINE)
    try:
        yield
    finally:
        csv.field_size_limit(before)


def _csv_rows(path: Path, lines: TextIO) -> Iterator[Row]:
    whole, head = _bounded(path, lines), list[str]()
    while sum(map(len, head)) < HEAD and (line := next(whole, "")):
        head.append(line)
    delimiter = delimiter_of(head)
    reader = csv.DictReader(itertools.chain(head, whole), delimiter=delimiter, strict=True)
    try:
        with _long_fields():
            names = list(reader.fieldnames or [])
    except csv.Error as error:
        raise InputError(f"{path}:1: not CSV ({error})") from None
    check_columns(f"{path}:1", names)
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
            yield where, "the row has more fields than the header"
        else:
            yield where, dict(row)


def delimiter_of(lines: Sequence[str]) -> str:
    """Infer the delimiter of a CSV file from its first lines.

    A delimiter fits a line if it gives as many fields as in the header. The result is the delimiter that fits
    most lines, and of several the one that gives most fields.

    Parameters
    ----------
    lines : sequence of str
        First lines of the file, with the header.

    Returns
    -------
    str
        `,`, `;`, tab or `|`; the comma if the header has one field.
    """
    best, most = ",", (0.0, 0)
    for delimiter in DELIMITERS:
        try:
            with _long_fields():
                rows = [r for r in csv.reader(lines, delimiter=delimiter) if r]
        except csv.Error:
            continue
        width = len(rows[0]) if rows else 0
        fit = (sum(len(r) == width for r in rows) / max(1, len(rows)), width)
        if width > 1 and fit > most:
            best, most = delimiter, fit
    return best


def csv_style(path: Path) -> tuple[str, str]:
    """Return the delimiter and the line ending of a CSV file that is not compressed."""
    with _opened(path, None) as lines:
        head = list(itertools.islice(_bounded(path, lines), 200))
    return delimiter_of(head), "\r\n" if head and head[0].endswith("\r\n") else "\n"


def _arrow_rows(path: Path) -> Iterator[Row]:
    with arrow_file(path) as (_, batches):
        yield from _numbered(path, batches)


def _parquet_rows(path: Path) -> Iterator[Row]:
    import pyarrow
    import pyarrow.parquet as parquet

    try:
        with parquet.ParquetFile(path) as file:
            check_claims(path, file.metadata)
            yield from _numbered(path, file.iter_batches())
    except (pyarrow.ArrowException, OSError) as error:
        raise InputError(
            f"{path}: not a Parquet file, or a truncated or damaged one ({first_line(error)}); write it again"
        ) from None


def _numbered(path: Path, batches: Iterable[Any]) -> Iterator[Row]:
    import pyarrow

    number = 0
    for batch in batches:
        try:
            rows = batch_rows(batch)
        except (pyarrow.ArrowException, OSError) as error:
            raise InputError(
                f"{path}: damaged after row {number} ({first_line(error)}); write it again"
            ) from None
        for row in rows:
            number += 1
            yield f"{path}:row {number}", row


def _saved_dataset_rows(path: Path, split: str) -> Iterator[Row]:
    datasets: Any = require("datasets", "datasets")
    try:
        # no memory map: see probate.core.arrow
        data = datasets.load_from_disk(str(path), keep_in_memory=True)
    except Exception as error:  # damaged files make the library raise various errors
        raise InputError(f"{path}: not a folder saved by datasets ({first_line(error)})") from None
    if isinstance(data, datasets.DatasetDict):
        if split not in data:
            raise InputError(
                f"{path}: no split '{split}'{nearest(split, list(data))}; it has: {', '.join(data)}"
            )
        data = data[split]
    yield from _dataset_rows(str(path), data)


def _dataset_rows(name: str, data: Any) -> Iterator[Row]:
    number = 0
    try:
        for number, row in enumerate(data, 1):
            yield f"{name}:row {number}", dict(row)
    except Exception as error:  # as above
        raise InputError(f"{name}: cannot be read after row {number} ({first_line(error)})") from None


def _hub_rows(name: str, split: str) -> Iterator[Row]:
    datasets: Any = require("datasets", "datasets")
    try:
        data = datasets.load_dataset(name, split=split)
    except Exception as error:
        raise InputError(
            f"hf:{name}: cannot be loaded ({first_line(error)}); without access, use a copy in a file"
        ) from None
    yield from _dataset_rows(f"hf:{name}", data)
