"""Reading Arrow files and batches.

Files are read into memory and never memory-mapped, because a file that shrinks under a memory map would end
the process.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from probate.core.errors import InputError, first_line

MOST_COLUMNS = 10_000
ROWS_A_BYTE = 100
"""Maximum number of rows per byte of a Parquet file. A constant column takes almost no space; texts do."""
LARGEST_PART = 4 * 1024**3
"""Maximum size of an unpacked row group, in bytes."""
DAMAGED = "not an Arrow file, or truncated or damaged"


@contextmanager
def arrow_file(path: Path) -> Iterator[tuple[Any, Iterator[Any]]]:
    """Open an Arrow file or stream.

    Parameters
    ----------
    path : Path
        An Arrow IPC file (Feather V2) or an Arrow stream.

    Yields
    ------
    schema : pyarrow.Schema
        The schema of the file.
    batches : iterator of pyarrow.RecordBatch
        The record batches, read one at a time.

    Raises
    ------
    InputError
        If the file is not an Arrow file or is damaged. Damage may also be detected while batches are read.
    """
    import pyarrow
    from pyarrow import ipc

    with pyarrow.OSFile(str(path)) as source:
        try:
            is_file = source.read(6) == b"ARROW1"
            source.seek(0)
            reader = ipc.open_file(source) if is_file else ipc.open_stream(source)
            schema = reader.schema
        except (pyarrow.ArrowException, OSError, ValueError) as error:
            raise InputError(f"{path}: {DAMAGED} ({first_line(error)}); write it again") from None
        check_columns(str(path), schema.names)
        yield schema, _batches(path, reader)


def _batches(path: Path, reader: Any) -> Iterator[Any]:
    import pyarrow

    rows_read = 0
    try:
        batches = (
            (reader.get_batch(i) for i in range(reader.num_record_batches))
            if hasattr(reader, "num_record_batches")
            else reader
        )
        for batch in batches:
            yield batch
            rows_read += batch.num_rows
    except (pyarrow.ArrowException, OSError, ValueError) as error:
        raise InputError(
            f"{path}: damaged after row {rows_read} ({first_line(error)}); write it again"
        ) from None


def check_columns(where: str, names: Sequence[str]) -> None:
    """Raise `InputError` if there are more than `MOST_COLUMNS` columns, or if a name is duplicated."""
    if len(names) > MOST_COLUMNS:
        raise InputError(
            f"{where}: {len(names):,} columns, the maximum is {MOST_COLUMNS:,}; "
            "check that it is a file of records"
        )
    duplicates = sorted(name for name, count in Counter(names).items() if count > 1)
    if duplicates:
        raise InputError(f"{where}: the column '{duplicates[0]}' is duplicated; rename one of them")


def check_claims(path: Path, metadata: Any) -> None:
    """Raise `InputError` if a Parquet file declares more rows or larger row groups than its size allows."""
    check_columns(str(path), metadata.schema.to_arrow_schema().names)
    size = path.stat().st_size
    if metadata.num_rows > ROWS_A_BYTE * size:
        raise InputError(
            f"{path}: damaged: it declares {metadata.num_rows:,} rows in {size:,} bytes; write it again"
        )
    for i in range(metadata.num_row_groups):
        # The size of the row group, because reading the metadata of a damaged column would end the process.
        unpacked = metadata.row_group(i).total_byte_size
        if unpacked > LARGEST_PART:
            raise InputError(
                f"{path}: row group {i} unpacks to {unpacked:,} bytes; write the file with smaller row groups"
            )


def batch_rows(batch: Any) -> list[dict[str, Any] | str]:
    """Return the rows of a batch as dictionaries.

    A row with a value that Python cannot represent, such as a date in the year 20000, is replaced by a
    sentence that describes the problem.
    """
    batch.validate(full=True)  # to_pylist does not check offsets that point outside the buffer
    try:
        return list(batch.to_pylist())
    except (ValueError, OverflowError) as error:
        if batch.num_rows == 1:
            return [f"a value that cannot be read ({first_line(error)})"]
        return [row for i in range(batch.num_rows) for row in batch_rows(batch.slice(i, 1))]
