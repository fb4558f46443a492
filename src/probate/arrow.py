"""Arrow files and batches, read into memory of our own: a file that shrinks under a memory map would end the process."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from probate.errors import InputError, first_line

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
        yield schema, _batches(path, reader)


def _batches(path: Path, reader: Any) -> Iterator[Any]:
    import pyarrow

    number = 0
    try:
        each = (
            (reader.get_batch(i) for i in range(reader.num_record_batches)) if hasattr(reader, "num_record_batches") else reader
        )
        for batch in each:
            yield batch
            number += batch.num_rows
    except (pyarrow.ArrowException, OSError, ValueError) as error:
        raise InputError(f"{path}: damaged after row {number} ({first_line(error)}); write it again") from None


def batch_rows(batch: Any) -> list[dict[str, Any] | str]:
    """The rows of a batch; of one with a value that Python has no counterpart of, such as a date in the year 20000, what is wrong with it."""
    batch.validate(full=True)  # offsets that point elsewhere would be followed
    twice = sorted({n for n in batch.schema.names if batch.schema.names.count(n) > 1})
    if twice:
        raise InputError(f"the column '{twice[0]}' stands there twice; rename one")
    try:
        return list(batch.to_pylist())
    except (ValueError, OverflowError) as error:
        if batch.num_rows == 1:
            return [f"a value that cannot be read ({first_line(error)})"]
        return [row for i in range(batch.num_rows) for row in batch_rows(batch.slice(i, 1))]
