"""Reading files of a run folder. Any file may have been changed, or the folder may come from a stranger."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import TYPE_CHECKING, Any, NotRequired

from pydantic import ConfigDict, TypeAdapter, ValidationError
from typing_extensions import TypedDict  # pydantic needs this one before Python 3.12

from probate.core.errors import InputError
from probate.core.parse import NotJson, json_value

if TYPE_CHECKING:
    import pandas as pd

AGAIN = (
    "the file was changed or truncated; write it again with probate run, or copy the folder again from its "
    "source"
)
OTHERS = ConfigDict(extra="allow", strict=True)


class Lock(TypedDict):
    """`study.lock.yaml`: the resolved study, which the caller checks, and the shard if it is one."""

    __pydantic_config__ = OTHERS  # type: ignore[misc]
    study: dict[str, Any]
    shard: NotRequired[str]


class RunInfo(TypedDict):
    """`run.json`: what the analysis needs to know about the data."""

    __pydantic_config__ = OTHERS  # type: ignore[misc]
    schema: NotRequired[int]
    labels: list[str]
    stereotypes: dict[str, list[str]]
    originals: int
    pack: NotRequired[dict[str, Any]]


class StageReport(TypedDict):
    """`done.json`: the report of a finished stage, with the fields that are read back."""

    __pydantic_config__ = OTHERS  # type: ignore[misc]
    stage: str
    key: str
    trained_on: NotRequired[dict[str, dict[str, int]]]
    truncated: NotRequired[int]
    shortcuts: NotRequired[list[dict[str, Any]]]
    notes: NotRequired[list[str]]
    served: NotRequired[dict[str, float]]


class Reviewed(TypedDict):
    """`review.json`: the judgements of the people who read the texts."""

    __pydantic_config__ = OTHERS  # type: ignore[misc]
    what: str
    question: str
    reviewers: dict[str, int]
    agreement: dict[str, Any]
    items: int
    undecided: int


class ReviewItem(TypedDict):
    """One item to be marked."""

    __pydantic_config__ = OTHERS  # type: ignore[misc]
    id: str
    texts: list[str]


class ReviewItems(TypedDict):
    """`items.json`: what is shown to reviewers."""

    __pydantic_config__ = OTHERS  # type: ignore[misc]
    what: str
    question: str
    answers: list[str]
    items: list[ReviewItem]


TEXT, NUMBER, FLAG = "text", "numbers", "true or false"
OUTCOMES = {
    **dict.fromkeys(("study", "arm", "bias_type", "mitigation", "method", "task", "metric", "item_id"), TEXT),
    **dict.fromkeys(("groups", "target", "response", "prediction"), TEXT),
    **dict.fromkeys(("ratio", "round", "seed", "score"), NUMBER),
    "parsed": FLAG,
}
"""Required columns of `outcomes.parquet`, and what they hold."""
EFFECTS = {
    **dict.fromkeys(
        ("question", "task", "metric", "contrast", "bias_type", "mitigation", "unit", "comparison"), TEXT
    ),
    **dict.fromkeys(
        ("ratio", "round", "estimate", "ci_low", "ci_high", "p", "p_adjusted", "n", "seeds"), NUMBER
    ),
}
"""Required columns of `effects.parquet`."""


def kept_file(folder: Path, path: Path) -> Path:
    """Return `path` if it is a regular file inside the folder.

    Raises
    ------
    InputError
        The path is missing, is a device or a FIFO, or is a link that leads out of the folder.
    """
    try:
        whole, mode = path.resolve(strict=True), path.stat().st_mode
    except (OSError, RuntimeError) as error:
        said = getattr(error, "strerror", None) or "its links form a loop"
        raise InputError(f"{path}: cannot be read: {said}; write it again with probate run") from None
    if not whole.is_relative_to(folder.resolve()):
        raise InputError(f"{path}: a link that leads out of the folder; replace it with the file itself")
    if not stat.S_ISREG(mode):
        raise InputError(f"{path}: not a regular file; replace it with the file itself")
    return path


def kept_text(folder: Path, path: Path) -> str:
    """Return the text of a file of the folder.

    Raises
    ------
    InputError
        The file cannot be read or is not UTF-8.
    """
    try:
        return kept_file(folder, path).read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not UTF-8 at byte {error.start}; {AGAIN}") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}; {AGAIN}") from None


def kept_json(folder: Path, path: Path, shape: Any) -> Any:
    """Return the value of a JSON file of the folder, of the type `shape`.

    Raises
    ------
    InputError
        The file is not JSON or not of that type. The message names the wrong field.
    """
    try:
        value = json_value(kept_text(folder, path))
    except NotJson as error:
        raise InputError(f"{path}: {error}; {AGAIN}") from None
    return kept_value(path, value, shape)


def kept_value(path: Path, value: Any, shape: Any) -> Any:
    """Return `value`, which was read from `path`, if it has the type `shape`.

    Raises
    ------
    InputError
        It has another type. The message names the wrong field.
    """
    try:
        return TypeAdapter(shape).validate_python(value)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part)[:60] for part in first["loc"])
        said = first["msg"][0].lower() + first["msg"][1:200]
        raise InputError(f"{path}: {f'{where}: ' if where else ''}{said}; {AGAIN}") from None


def kept_table(folder: Path, path: Path, columns: dict[str, str]) -> pd.DataFrame:
    """Return the table of a Parquet file of the folder, with at least `columns`.

    Raises
    ------
    InputError
        The file is not a readable Parquet file, or a column is missing, duplicated or of another type.
    """
    import pyarrow
    import pyarrow.parquet as parquet

    kept_file(folder, path)
    try:
        file = parquet.ParquetFile(path, memory_map=False)
        _check_columns(path, file.schema_arrow, columns)
        table = file.read()
        table.validate(full=True)
        # Ignore the file's metadata for pandas: it may name an index or types that do not exist.
        return table.replace_schema_metadata(None).to_pandas()
    except (pyarrow.ArrowException, OSError, ValueError, OverflowError) as error:
        said = " ".join(str(error).split())[:120]
        raise InputError(f"{path}: not a readable Parquet file ({said}); {AGAIN}") from None


def _check_columns(path: Path, schema: Any, columns: dict[str, str]) -> None:
    names = schema.names
    for name in names:
        if names.count(name) > 1:
            raise InputError(f"{path}: the column '{name}' is duplicated; {AGAIN}")
    for name, kind in columns.items():
        if name not in names:
            raise InputError(f"{path}: the column '{name}' is missing; {AGAIN}")
        if not _holds(schema.field(name).type, kind):
            raise InputError(
                f"{path}: the column '{name}' holds {str(schema.field(name).type)[:60]}, not {kind}; {AGAIN}"
            )


def _holds(own: Any, kind: str) -> bool:
    from pyarrow import types

    if types.is_dictionary(own):
        own = own.value_type
    if types.is_null(own):
        return True
    if kind == TEXT:
        return bool(types.is_string(own) or types.is_large_string(own) or types.is_string_view(own))
    return bool(types.is_boolean(own) if kind == FLAG else types.is_integer(own) or types.is_floating(own))


def kept_groups(path: Path, column: pd.Series) -> pd.Series:
    """Return a column of JSON objects, dimension → group, as dictionaries.

    Raises
    ------
    InputError
        A value is not such an object.
    """
    known: dict[Any, dict[str, str]] = {}
    shape = TypeAdapter(dict[str, str])
    for text in column.unique():
        try:
            known[text] = shape.validate_python(
                json_value(text if isinstance(text, str) else "null"), strict=True
            )
        except (NotJson, ValidationError):
            raise InputError(
                f"{path}: column 'groups': {str(text)[:60]!r} is not an object of dimensions and groups; "
                f"{AGAIN}"
            ) from None
    return column.map(lambda text: dict(known[text]))
