"""Rows of JSON Lines, JSON lists, CSV, Parquet, Arrow and Hugging Face `datasets`, as they are.

A broken row is given with its place and its fault; it is never dropped silently.
"""

from __future__ import annotations

import csv
import io
import itertools
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

from probate.errors import InputError, nearest
from probate.parse import NotJson, json_value
from probate.registry import require

PACKED = {".gz": "gzip", ".zst": "zstd"}
LONGEST_LIST = 1024 * 1024 * 1024
"""Characters of a JSON list from which it is refused: it is read as a whole."""
LONGEST_LINE = 64 * 1024 * 1024
"""Characters of a line or a cell from which a file is refused: what unpacks to more is no record."""

MAGIC = {
    b"\x1f\x8b": "packed by gzip; end its name with .gz", b"\x28\xb5\x2f\xfd": "packed by Zstandard; end its name with .zst", b"PAR1": "a Parquet file; end its name with .parquet",
    b"PK": "a ZIP archive or a workbook; unpack it, or save it as CSV", b"\xff\xfe": "UTF-16; convert it, as with iconv -f utf-16 -t utf-8", b"\xfe\xff": "UTF-16; convert it, as with iconv -f utf-16 -t utf-8",
}  # fmt: skip
"""How other files begin than those that their names say."""

DELIMITERS = ",;\t|"
HEAD = 64 * 1024
"""Characters by which the delimiter of a CSV file is told."""

Row = tuple[str, dict[str, Any] | str]
"""Where the row stands, and its columns, or what is wrong with it."""


class Line(dict[str, Any]):
    """A row of a JSON Lines file, with the line that it stood in."""

    text = ""


class Fault(str):
    """What is wrong with a row, with the line that it stood in."""

    text = ""


def source_rows(name: str, split: str, base: Path, *, keep: bool = False) -> Iterator[Row]:
    """Rows of a file (or of several, with `*` in the name), a folder saved by `datasets` or `hf:ID`, as they are.

    With `keep` the rows of JSON Lines are `Line`, and those that are broken `Fault`.
    """
    if name.startswith("hf:"):
        return _hub_rows(name.removeprefix("hf:"), split)
    path = (base / name).expanduser()
    if "*" not in path.name:
        return _file_rows(path, split, keep)
    files = sorted(path.parent.glob(path.name))
    if not files:
        raise InputError(f"{path}: no file has such a name")
    return (row for file in files for row in _file_rows(file, split, keep))


def _file_rows(path: Path, split: str, keep: bool = False) -> Iterator[Row]:
    if not path.exists():
        raise InputError(f"{path}: no such file or folder")
    if path.is_dir():
        yield from _saved_dataset_rows(path, split)
        return
    if not path.is_file():
        raise InputError(f"{path}: neither a file nor a folder")
    packed = path.suffix.lower() in PACKED
    suffix = Path(path.stem).suffix.lower() if packed else path.suffix.lower()
    texts = {".jsonl": _jsonl_rows, ".ndjson": _jsonl_rows, ".json": _jsonl_rows, ".csv": _csv_rows, ".tsv": _csv_rows}
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
            packing = PACKED.get(path.suffix.lower())
            if suffix == ".json" and _is_list(path, packing):
                yield from _listed_rows(path, packing)
                return
            with _opened(path, packing) as lines:
                yield from _jsonl_rows(path, lines, keep) if texts[suffix] is _jsonl_rows else texts[suffix](path, lines)
    except UnicodeDecodeError as error:
        raise InputError(
            f"{path}: {_instead(path) or f'not UTF-8 at byte {error.start}; convert it, as with iconv -f latin1 -t utf-8'}"
        ) from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}") from None


def _instead(path: Path) -> str:
    """What a file is that is no UTF-8 text, by its first bytes, in words; else empty."""
    with path.open("rb") as file:
        head = file.read(4)
    for start, what in MAGIC.items():
        if head.startswith(start):
            return what
    return ""


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
    """Whether a JSON file is one list of records; else it is read as JSON Lines."""
    with _opened(path, packing) as lines:
        return next((c for c in iter(lambda: lines.read(1), "") if not c.isspace()), "") == "["


def _listed_rows(path: Path, packing: str | None) -> Iterator[Row]:
    with _opened(path, packing) as lines:
        text = lines.read(LONGEST_LIST + 1)
    if len(text) > LONGEST_LIST:
        raise InputError(
            f"{path}: a JSON list of more than {LONGEST_LIST:,} characters; write it as JSON Lines, one record a line"
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
    """The record, or what is wrong with it."""
    return row if isinstance(row, dict) else f"a {type(row).__name__}, not an object"


@contextmanager
def _long_fields() -> Iterator[None]:
    """Fields as long as a line may be, inside; outside the process's own limit stands."""
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


def delimiter_of(lines: Sequence[str]) -> str:
    """The delimiter by which the first lines of a CSV file have as many fields as their header: of `,` `;` tab and `|`, the most fields.

    Where none fits every line it is the one that fits most of them; of a header of one field, the comma.
    """
    best, most = ",", (0.0, 0)
    for delimiter in DELIMITERS:
        try:
            with _long_fields():
                rows = [r for r in csv.reader(lines, delimiter=delimiter) if r]
        except csv.Error:
            continue
        width = len(rows[0]) if rows else 0
        found = (sum(len(r) == width for r in rows) / max(1, len(rows)), width)
        if width > 1 and found > most:
            best, most = delimiter, found
    return best


def csv_style(path: Path) -> tuple[str, str]:
    """(delimiter, what ends a line) of a CSV file that is not packed."""
    with _opened(path, None) as lines:
        head = list(itertools.islice(_bounded(path, lines), 200))
    return delimiter_of(head), "\r\n" if head and head[0].endswith("\r\n") else "\n"


def _arrow_rows(path: Path) -> Iterator[Row]:
    import pyarrow

    with pyarrow.OSFile(str(path)) as source:  # no memory map: a file that shrinks while it is mapped ends the process
        try:
            batches = arrow_batches(source)
        except (pyarrow.ArrowException, OSError):
            raise InputError(f"{path}: not an Arrow file, or cut off; write it again") from None
        yield from _batch_rows(path, batches, "an Arrow file")


def arrow_batches(source: Any) -> Iterator[Any]:
    """Batches of an Arrow stream or file."""
    import pyarrow

    try:
        return iter(pyarrow.ipc.open_stream(source))
    except pyarrow.ArrowInvalid:
        file = pyarrow.ipc.open_file(source)
        return (file.get_batch(i) for i in range(file.num_record_batches))


def _batch_rows(path: Path, batches: Iterator[Any], kind: str) -> Iterator[Row]:
    """Rows of batches of which each is checked before it is read: offsets beyond a column's end would be read from elsewhere."""
    import pyarrow

    number = 0
    while True:
        try:
            batch = next(batches, None)
            if batch is None:
                return
            batch.validate(full=True)
            names = batch.schema.names
            if len(set(names)) < len(names):
                twice = next(n for n in names if names.count(n) > 1)
                raise InputError(f"{path}: the column '{twice}' stands there twice; rename one")
            rows = _python_rows(batch)
        except (pyarrow.ArrowException, OSError, UnicodeDecodeError) as error:
            said = " ".join(str(error).split())[:120]
            raise InputError(f"{path}:row {number + 1}: {kind} that is damaged or cut off ({said}); write it again") from None
        for row in rows:
            number += 1
            yield f"{path}:row {number}", row


def _python_rows(batch: Any) -> list[dict[str, Any] | str]:
    """Rows of a batch. Where one has a value that Python cannot hold, such as a date after the year 9999, it alone is a fault."""
    try:
        return list(batch.to_pylist())
    except (ValueError, OverflowError):
        pass
    rows: list[dict[str, Any] | str] = []
    for i in range(batch.num_rows):
        try:
            rows += batch.slice(i, 1).to_pylist()
        except (ValueError, OverflowError) as error:
            rows.append(f"a value that cannot be read ({' '.join(str(error).split())[:120]})")
    return rows


def _parquet_rows(path: Path) -> Iterator[Row]:
    import pyarrow
    import pyarrow.parquet as parquet

    try:
        file = parquet.ParquetFile(path, memory_map=False)
        batches = file.iter_batches()
    except (pyarrow.ArrowException, OSError):
        raise InputError(f"{path}: not a Parquet file, or cut off; write it again") from None
    yield from _batch_rows(path, batches, "a Parquet file")


def _saved_dataset_rows(path: Path, split: str) -> Iterator[Row]:
    datasets: Any = require("datasets", "datasets")
    try:
        data = datasets.load_from_disk(str(path), keep_in_memory=True)  # no memory map, as for Arrow files
    except Exception as error:  # whatever a damaged folder makes the library raise
        said = " ".join(str(error).split())[:200] or type(error).__name__
        raise InputError(f"{path}: not a folder saved by datasets ({said})") from None
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
