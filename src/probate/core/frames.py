"""Files of tables in memory (pandas frames, data sets, lists of dictionaries), for Probate's readers.

A table is written once, as JSON Lines. The file's name is the SHA-256 of its content. So the same table
always gives the same file: a run with it can be continued, and the locked study in the run folder contains
the hash. The files are in the folder of the environment variable PROBATE_FRAMES. By default this is `frames`
in the cache folder (PROBATE_CACHE, or the user's cache). Only the user can read them, and they may be
deleted at any time.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from platformdirs import user_cache_path

from probate.core.errors import InputError, nearest
from probate.core.files import atomic

TAKEN = "a path, a pandas.DataFrame, a datasets.Dataset or DatasetDict, or a list of dictionaries"


def frames_folder() -> Path:
    """Return the folder that tables in memory are written to."""
    if override := os.environ.get("PROBATE_FRAMES"):
        return Path(override).expanduser()
    cache = os.environ.get("PROBATE_CACHE")
    return (Path(cache).expanduser() if cache else user_cache_path("probate")) / "frames"


def is_table(value: Any) -> bool:
    """Check whether `value` is a table in memory."""
    return isinstance(value, pd.DataFrame) or _is_list(value) or _is_dataset(value)


def table_source(value: Any, where: str, split: str = "train") -> str:
    """Return a source that a reader accepts. A table in memory is written to a file first.

    Parameters
    ----------
    value : path, frame, data set or list of dict
        A path or name, which is returned unchanged, or a table in memory.
    where : str
        Name of the argument, for errors.
    split : str, default "train"
        Split of a `DatasetDict` to use.

    Returns
    -------
    str
        A path or name.

    Raises
    ------
    InputError
        If `value` is neither a path nor a table, or a table that cannot be written.
    """
    if isinstance(value, (str, os.PathLike)):
        return os.fspath(value)
    return str(table_file(value, where, split))


def table_file(value: Any, where: str, split: str = "train") -> Path:
    """Write a table in memory to its file, unless the file exists, and return its path.

    Raises
    ------
    InputError
        If `value` is not a table or has no rows, if the name of a column is duplicated or not a string, or
        if a value cannot be represented in JSON.
    """
    lines = "".join(
        json.dumps(row, ensure_ascii=False, separators=(",", ":")) + "\n"
        for row in _json_rows(value, where, split)
    )
    if not lines:
        raise InputError(f"{where}: the table has no rows; pass at least one")
    try:
        data = lines.encode("utf-8")
    except UnicodeEncodeError:
        raise InputError(f"{where}: a text contains a lone surrogate (half a character); remove it") from None
    folder = frames_folder()
    path = folder / f"{hashlib.sha256(data).hexdigest()}.jsonl"
    if not path.is_file() or path.read_bytes() != data:
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            with atomic(path) as part:
                part.chmod(0o600)
                part.write_bytes(data)
        except OSError as error:
            raise InputError(
                f"{where}: {path}: cannot be written ({error.strerror or error}); "
                "set PROBATE_FRAMES to another folder"
            ) from None
    return path


def as_frame(value: Any, where: str, split: str = "train") -> pd.DataFrame:
    """Return a table in memory as a frame. A frame is returned as it is, without a copy."""
    if isinstance(value, pd.DataFrame):
        return value
    if _is_dataset(value):
        data = _split_of(value, where, split)
        return pd.DataFrame([dict(row) for row in data])
    return pd.DataFrame(list(value))


def _is_list(value: Any) -> bool:
    return isinstance(value, (list, tuple))


def _is_dataset(value: Any) -> bool:
    """Check whether `value` belongs to the library `datasets`, without importing it."""
    return any(kind.__module__.partition(".")[0] == "datasets" for kind in type(value).__mro__)


def _split_of(value: Any, where: str, split: str) -> Iterable[Any]:
    if not isinstance(value, dict):  # DatasetDict and IterableDatasetDict are dictionaries
        rows: Iterable[Any] = value
        return rows
    if split not in value:
        names = list(map(str, value))
        raise InputError(f"{where}: no split '{split}'{nearest(split, names)}; it has: {', '.join(names)}")
    rows = value[split]
    return rows


def _json_rows(value: Any, where: str, split: str) -> Iterator[dict[str, Any]]:
    if isinstance(value, pd.DataFrame):
        names = list(value.columns)
        if bad := [name for name in names if not isinstance(name, str)]:
            raise InputError(f"{where}: the name of column {bad[0]!r} is not a string; rename the column")
        if duplicates := [name for name in names if names.count(name) > 1]:
            raise InputError(f"{where}: the column '{duplicates[0]}' is duplicated; rename one of them")
        columns = [value[name].tolist() for name in names]
        for number, cells in enumerate(zip(*columns, strict=True), 1):
            yield {name: _plain(v, where, number, name) for name, v in zip(names, cells, strict=True)}
        return
    if not is_table(value):
        raise InputError(f"{where}: must be {TAKEN}; got {type(value).__name__}")
    for number, row in enumerate(_split_of(value, where, split) if _is_dataset(value) else value, 1):
        if not isinstance(row, Mapping):
            raise InputError(f"{where}: row {number} is a {type(row).__name__}, not a dictionary")
        if bad := [name for name in row if not isinstance(name, str)]:
            raise InputError(f"{where}: row {number}: key {bad[0]!r} is not a string; rename it")
        yield {name: _plain(v, where, number, name) for name, v in row.items()}


def _plain(value: Any, where: str, number: int, column: str) -> Any:
    """Return a cell as a JSON value: missing values as null, dates in ISO 8601, bytes decoded from UTF-8."""
    if value is None or isinstance(value, (str, bool, int)):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, np.generic):
        return _plain(value.item(), where, number, column)
    if value is pd.NA or value is pd.NaT:
        return None
    if isinstance(value, Mapping):
        return {str(k): _plain(v, where, number, column) for k, v in value.items()}
    if isinstance(value, np.ndarray):
        return _plain(value.tolist(), where, number, column)
    if isinstance(value, (list, tuple)):
        return [_plain(v, where, number, column) for v in value]
    if isinstance(value, (set, frozenset)):
        return sorted((_plain(v, where, number, column) for v in value), key=str)
    if isinstance(value, bytes):
        try:
            return value.decode()
        except UnicodeDecodeError:
            raise InputError(
                f"{where}: row {number}, column '{column}': not UTF-8; decode the bytes or drop the column"
            ) from None
    if hasattr(value, "isoformat"):
        return value.isoformat()
    if isinstance(value, (Decimal, os.PathLike, pd.Interval, pd.Period, pd.Timedelta)):
        return str(value)
    raise InputError(
        f"{where}: row {number}, column '{column}': a {type(value).__name__} cannot be written as JSON; "
        "convert it to text or drop the column"
    )
