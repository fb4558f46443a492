"""Arrow files and batches, read into memory of our own: a file that shrinks under a memory map would end the process."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from probate.core.errors import InputError, first_line

MOST_COLUMNS = 10_000
ROWS_A_BYTE = 100
"""Rows that a byte of a Parquet file may stand for: constant columns take next to none, texts do."""
LARGEST_PART = 4 * 1024**3
"""Bytes of a row group, unpacked."""
DAMAGED = "not an Arrow file, or cut off or damaged"


@contextmanager
def arrow_file(path: Path) -> Iterator[tuple[Any, Iterator[Any]]]:
    """The schema of an Arrow file or stream, and its batches.

    Raises:
        InputError: it is no such file, or damaged; also while batches are read.
    """
    import pyarrow
    from pyarrow import ipc

    with pyarrow.OSFile(str(path)) as source:
        try:
            whole = source.read(6) == b"ARROW1"
            source.seek(0)
            reader = ipc.open_file(source) if whole else ipc.open_stream(source)
            schema = reader.schema
        except (pyarrow.ArrowException, OSError, ValueError) as error:
            raise InputError(f"{path}: {DAMAGED} ({first_line(error)}); write it again") from None
        check_columns(str(path), schema.names)
        yield schema, _batches(path, reader)


def _batches(path: Path, reader: Any) -> Iterator[Any]:
    import pyarrow

    number = 0
    try:
        each = (
            (reader.get_batch(i) for i in range(reader.num_record_batches))
            if hasattr(reader, "num_record_batches")
            else reader
        )
        for batch in each:
            yield batch
            number += batch.num_rows
    except (pyarrow.ArrowException, OSError, ValueError) as error:
        raise InputError(
            f"{path}: damaged after row {number} ({first_line(error)}); write it again"
        ) from None


def check_columns(where: str, names: Sequence[str]) -> None:
    """Raises InputError for more columns than a file of records has, or two of one name."""
    if len(names) > MOST_COLUMNS:
        raise InputError(
            f"{where}: {len(names):,} columns, where at most {MOST_COLUMNS:,} are read; is it a file of records?"
        )
    twice = sorted(name for name, count in Counter(names).items() if count > 1)
    if twice:
        raise InputError(f"{where}: the column '{twice[0]}' stands there twice; rename one")


def check_claims(path: Path, metadata: Any) -> None:
    """Raises InputError for a Parquet file that says that it unpacks to more than memory should be given for its size."""
    check_columns(str(path), metadata.schema.to_arrow_schema().names)
    size = path.stat().st_size
    if metadata.num_rows > ROWS_A_BYTE * size:
        raise InputError(
            f"{path}: it says that it has {metadata.num_rows:,} rows in {size:,} bytes; write it again"
        )
    for i in range(metadata.num_row_groups):
        largest = metadata.row_group(i).total_byte_size  # of its columns, a damaged one would end the process
        if largest > LARGEST_PART:
            raise InputError(
                f"{path}: a part of it unpacks to {largest:,} bytes; write it with smaller row groups"
            )


def batch_rows(batch: Any) -> list[dict[str, Any] | str]:
    """The rows of a batch; of one with a value that Python has no counterpart of, such as a date in the year 20000, what is wrong with it."""
    batch.validate(full=True)  # offsets that point elsewhere would be followed
    try:
        return list(batch.to_pylist())
    except (ValueError, OverflowError) as error:
        if batch.num_rows == 1:
            return [f"a value that cannot be read ({first_line(error)})"]
        return [row for i in range(batch.num_rows) for row in batch_rows(batch.slice(i, 1))]
