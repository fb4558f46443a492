"""One hash of all that a task, a probe or a mitigation reads: options, context, files by their content, and the code of a plug-in."""

from __future__ import annotations

import hashlib
import inspect
import sys
from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from importlib.resources.abc import Traversable
from itertools import chain
from pathlib import Path
from types import CodeType
from typing import Any

from pydantic import BaseModel

from probate.core.cache import digest
from probate.core.errors import InputError
from probate.core.records import Record

OWN = {"probate", "builtins", "abc", "typing"}
"""Packages whose code is no input: Probate raises `STAGE_VERSIONS` where its own changes what is written."""


def content(path: Path | Traversable) -> str:
    """SHA-256 of a file's bytes, or of the names and bytes of all files in a folder; `missing` where there is neither.

    Hidden files and `__pycache__` are left out. Neither size nor time of a file is looked at, only what it holds.
    """
    if path.is_file():
        with path.open("rb") as handle:
            return hashlib.file_digest(handle, "sha256").hexdigest()  # type: ignore[arg-type]
    if not path.is_dir():
        return "missing"
    return digest(*(_inside(path)))


def _inside(folder: Path | Traversable) -> Iterator[tuple[str, str]]:
    for path in sorted(folder.iterdir(), key=lambda p: p.name):
        if path.name != "__pycache__" and not path.name.startswith("."):
            yield path.name, content(path)


def named_files(options: BaseModel, base: Path) -> list[Path]:
    """Files and folders that a string in `options` names: from `base`, as an absolute path, or with `*` several."""
    return [path for text in _strings(options.model_dump()) for path in _files(text, base)]


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, (str, Path)):
        yield str(value)
    elif isinstance(value, Mapping):
        yield from chain.from_iterable(map(_strings, value.values()))
    elif isinstance(value, (list, tuple, set, frozenset)):
        yield from chain.from_iterable(map(_strings, value))


def _files(text: str, base: Path) -> list[Path]:
    try:
        path = (base / text).expanduser()
        if "*" in path.name:
            return sorted(path.parent.glob(path.name))
        above = {base.resolve(), *base.resolve().parents}
        return [path] if path.exists() and path.resolve() not in above else []
    except (OSError, ValueError, RuntimeError, NotImplementedError):  # a text that is no path on this system
        return []


def code(kind: type) -> list[tuple[str, str]]:
    """Name and source of each class that `kind` is made from, but for Probate's own: a package's whole folder, so with its data."""
    return [
        (f"{one.__module__}.{one.__qualname__}", _source(one))
        for one in kind.__mro__
        if one.__module__.partition(".")[0] not in OWN
    ]


def _source(kind: type) -> str:
    module = sys.modules.get(kind.__module__)
    file = getattr(module, "__file__", None)
    if file and Path(file).is_file():
        return content(Path(file).parent if getattr(module, "__package__", "") else Path(file))
    try:
        return inspect.getsource(kind)
    except (OSError, TypeError):  # typed at a prompt: what the interpreter holds
        return digest(
            [(name, _compiled(f.__code__)) for name, f in sorted(vars(kind).items()) if inspect.isfunction(f)]
        )


def _compiled(body: CodeType) -> list[Any]:
    constants = [_compiled(c) if isinstance(c, CodeType) else repr(c) for c in body.co_consts]
    return [body.co_code.hex(), constants, body.co_names]


def plain(value: Any) -> Any:
    """`value` as JSON: a path by its content, a record without the place that it was read from, data classes and models by their fields.

    Raises:
        InputError: something without content to compare, such as an object of a class of one's own.
    """
    if value is None or isinstance(value, (str, int, float, bool)):
        return value
    if isinstance(value, (Path, Traversable)):
        return content(value)
    if isinstance(value, BaseModel):
        return plain(value.model_dump(mode="json"))
    if isinstance(value, Record):
        kept = {k: v for k, v in value.provenance.items() if k != "source"}
        return [
            value.id,
            value.text,
            value.label,
            value.origin,
            plain(value.groups),
            plain(value.messages),
            plain(kept),
        ]
    if is_dataclass(value) and not isinstance(value, type):
        return [plain(getattr(value, f.name)) for f in fields(value)]
    if isinstance(value, Mapping):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(v) for v in value]
    if isinstance(value, (set, frozenset)):
        return sorted((plain(v) for v in value), key=str)
    raise InputError(
        f"a {type(value).__name__} has no content to compare; give text, numbers, lists, records or paths"
    )


def fingerprint(owner: Any, where: str, context: Any, without: set[str], reads: Any) -> str:
    """Hash of `owner` (with `options`): code, options, `context` but for the fields `without`, and what it says that it reads.

    Raises:
        InputError: what it reads cannot be compared; `where` is what the error begins with.
    """
    given = {f.name: getattr(context, f.name) for f in fields(context) if f.name not in without}
    try:
        return digest(owner.name, code(type(owner)), plain(owner.options), plain(given), plain(reads))
    except InputError as error:
        raise InputError(f"{where}: {error}") from None
