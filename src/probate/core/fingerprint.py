"""Fingerprints: one hash of everything that a task, a probe or a mitigation reads.

This includes its options, its context, the contents of files, and the code of a plug-in.
"""

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
"""Packages whose code is not hashed.

A change of Probate's code that changes results raises `STAGE_VERSIONS`.
"""


def content(path: Path | Traversable) -> str:
    """Return the SHA-256 of a file's bytes, or of the names and bytes of all files in a folder.

    Returns `missing` if `path` does not exist. Hidden files and `__pycache__` are left out. The size and the
    time of a file are not used.
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
    """Return the files and folders that the strings in `options` name.

    A string may be a path relative to `base`, an absolute path, or a pattern with `*` in the file name.
    """
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
    except (OSError, ValueError, RuntimeError, NotImplementedError):  # not a valid path on this system
        return []


def code(kind: type) -> list[tuple[str, str]]:
    """Return the name and the source of `kind` and its base classes, except Probate's own.

    If a class belongs to a package, its source is the package's whole folder, including data files.
    """
    return [
        (f"{cls.__module__}.{cls.__qualname__}", _source(cls))
        for cls in kind.__mro__
        if cls.__module__.partition(".")[0] not in OWN
    ]


def _source(kind: type) -> str:
    module = sys.modules.get(kind.__module__)
    file = getattr(module, "__file__", None)
    if file and Path(file).is_file():
        return content(Path(file).parent if getattr(module, "__package__", "") else Path(file))
    try:
        return inspect.getsource(kind)
    except (OSError, TypeError):  # defined at an interactive prompt: hash the byte code
        return digest(
            [(name, _compiled(f.__code__)) for name, f in sorted(vars(kind).items()) if inspect.isfunction(f)]
        )


def _compiled(body: CodeType) -> list[Any]:
    constants = [_compiled(c) if isinstance(c, CodeType) else repr(c) for c in body.co_consts]
    return [body.co_code.hex(), constants, body.co_names]


def plain(value: Any) -> Any:
    """Return `value` as JSON that can be hashed.

    A path is replaced by the hash of its content. A record is included without the file and line that it was
    read from. Data classes and pydantic models are included by their fields.

    Raises
    ------
    InputError
        If a value has no content to compare, such as an object of a custom class.
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
        f"a {type(value).__name__} cannot be compared by content; use text, numbers, lists, records or paths"
    )


def fingerprint(owner: Any, where: str, context: Any, without: set[str], reads: Any) -> str:
    """Return the hash of everything that a task, a probe or a mitigation reads.

    Parameters
    ----------
    owner : Task, Probe or Mitigation
        Its name, its options and the code of its class are hashed.
    where : str
        Beginning of an error's message, as in `tasks: story`.
    context : dataclass instance
        The context that `owner` is given.
    without : set of str
        Fields of `context` that `owner` does not read.
    reads : object
        Further inputs, as declared by `owner`.

    Raises
    ------
    InputError
        If an input cannot be compared by content.
    """
    context_fields = {f.name: getattr(context, f.name) for f in fields(context) if f.name not in without}
    try:
        return digest(
            owner.name, code(type(owner)), plain(owner.options), plain(context_fields), plain(reads)
        )
    except InputError as error:
        raise InputError(f"{where}: {error}") from None
