"""Tables in memory (pandas frames, data sets, lists of dictionaries) as files that every reader of Probate takes.

A table is written once as JSON Lines, under a name that is the SHA-256 of its content: the same table is the same file, so that a run with
it can be continued, and the study that a run folder locks names the hash. The files lie in the folder that the environment variable
PROBATE_FRAMES names, else in `frames` of the cache (PROBATE_CACHE, else the user's); only the user can read them, and they may be deleted
at any time.
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
    """Where tables in memory are written."""
    if override := os.environ.get("PROBATE_FRAMES"):
        return Path(override).expanduser()
    cache = os.environ.get("PROBATE_CACHE")
    return (Path(cache).expanduser() if cache else user_cache_path("probate")) / "frames"


def is_table(value: Any) -> bool:
    """Whether `value` is a table in memory."""
    return isinstance(value, pd.DataFrame) or _is_list(value) or _is_dataset(value)


def table_source(value: Any, where: str, split: str = "train") -> str:
    """The source that a reader takes: a path or name as it is, or the file of a table in memory.

    `where` names the argument in errors; `split` is taken of a `DatasetDict`.

    Raises:
        InputError: neither a path nor a table, or a table that cannot be written.
    """
    if isinstance(value, (str, os.PathLike)):
        return os.fspath(value)
    return str(table_file(value, where, split))


def table_file(value: Any, where: str, split: str = "train") -> Path:
    """The file of a table in memory, written unless it is there already.

    Raises:
        InputError: no table, no row, a column whose name is no text or that is duplicated, a value that JSON cannot hold.
    """
    lines = "".join(
        json.dumps(row, ensure_ascii=False, separators=(",", ":")) + "\n"
        for row in _json_rows(value, where, split)
    )
    if not lines:
        raise InputError(f"{where}: the table has no rows; give at least one")
    try:
        data = lines.encode("utf-8")
    except UnicodeEncodeError:
        raise InputError(f"{where}: a text holds half a character (a lone surrogate); remove it") from None
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
                f"{where}: {path}: cannot be written ({error.strerror or error}); name another folder in PROBATE_FRAMES"
            ) from None
    return path


def as_frame(value: Any, where: str, split: str = "train") -> pd.DataFrame:
    """A table in memory as a frame; a frame is given back itself."""
    if isinstance(value, pd.DataFrame):
        return value
    if _is_dataset(value):
        data = _split_of(value, where, split)
        return pd.DataFrame([dict(row) for row in data])
    return pd.DataFrame(list(value))


def _is_list(value: Any) -> bool:
    return isinstance(value, (list, tuple))


def _is_dataset(value: Any) -> bool:
    """Whether `value` is of the library `datasets`, which is not imported for that."""
    return any(kind.__module__.partition(".")[0] == "datasets" for kind in type(value).__mro__)


def _split_of(value: Any, where: str, split: str) -> Iterable[Any]:
    if not isinstance(value, dict):  # DatasetDict and IterableDatasetDict are dictionaries
        found: Iterable[Any] = value
        return found
    if split not in value:
        names = list(map(str, value))
        raise InputError(f"{where}: no split '{split}'{nearest(split, names)}; it has: {', '.join(names)}")
    found = value[split]
    return found


def _json_rows(value: Any, where: str, split: str) -> Iterator[dict[str, Any]]:
    if isinstance(value, pd.DataFrame):
        names = list(value.columns)
        if bad := [name for name in names if not isinstance(name, str)]:
            raise InputError(f"{where}: the name of column {bad[0]!r} is no text; rename the column")
        if twice := [name for name in names if names.count(name) > 1]:
            raise InputError(f"{where}: column '{twice[0]}' is duplicated; rename one of them")
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
            raise InputError(f"{where}: row {number}: key {bad[0]!r} is no text; rename it")
        yield {name: _plain(v, where, number, name) for name, v in row.items()}


def _plain(value: Any, where: str, number: int, column: str) -> Any:
    """A cell as JSON holds it; what is missing as null, dates as ISO 8601, bytes decoded."""
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
                f"{where}: row {number}, column '{column}': bytes that are not UTF-8; decode or drop the column"
            ) from None
    if hasattr(value, "isoformat"):
        return value.isoformat()
    if isinstance(value, (Decimal, os.PathLike, pd.Interval, pd.Period, pd.Timedelta)):
        return str(value)
    raise InputError(
        f"{where}: row {number}, column '{column}': a {type(value).__name__} cannot be written as JSON; convert it to text or drop the column"
    )
