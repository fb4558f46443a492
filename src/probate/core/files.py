"""Every file that Probate writes goes through here: whole or not at all, on disk when it is said to be, never through a symbolic link."""

from __future__ import annotations

import errno
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from probate.core.errors import InputError

PREFIX, SUFFIX = ".probate-", ".part"
NOFOLLOW = getattr(os, "O_NOFOLLOW", 0)  # Windows has none


def write_atomic(path: Path, text: str) -> None:
    """Write `text` to `path` so that a reader sees the old file or the whole new one."""
    with atomic(path) as part:
        part.write_text(text, encoding="utf-8")


@contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """A new, empty file beside `path` to be written; it takes the place of `path` at the end, and is removed if something failed.

    A symbolic link at `path` is replaced, not followed.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    part = _part(path.parent)
    os.close(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | NOFOLLOW, 0o666))
    try:
        yield part
        _sync(part)
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)
    _sync(path.parent)


@contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """A new folder beside `path` to be filled; it becomes `path`, which must not be there, at the end."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = _part(path.parent)
    part.mkdir()
    try:
        yield part
        for file in _files(part):
            _sync(file)
        os.replace(part, path)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    _sync(path.parent)


@contextmanager
def atomic_files(folder: Path) -> Iterator[Path]:
    """A new folder inside `folder` for files that a library names itself; each takes its place in `folder` at the end."""
    folder.mkdir(parents=True, exist_ok=True)
    part = _part(folder)
    part.mkdir()
    try:
        yield part
        for file in _files(part):
            _sync(file)
            target = folder / file.relative_to(part)
            target.parent.mkdir(parents=True, exist_ok=True)
            os.replace(file, target)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    _sync(folder)


@contextmanager
def appending(path: Path) -> Iterator[TextIO]:
    """`path` to be appended to, a cut-off last line ended first; what was written is on disk at the end.

    Raises:
        InputError: `path` is a symbolic link.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        handle = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | NOFOLLOW, 0o666)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise InputError(
                f"{path}: a symbolic link, through which nothing is written; remove it"
            ) from None
        raise
    with os.fdopen(handle, "a", encoding="utf-8", newline="\n") as file:
        if os.fstat(handle).st_size:
            os.lseek(handle, -1, os.SEEK_END)
            if os.read(handle, 1) != b"\n":
                file.write("\n")
        yield file
        file.flush()
        os.fsync(handle)


def clear_leftovers(folder: Path) -> None:
    """Remove what a kill left half written anywhere in `folder`, which nobody else may be writing to."""
    for part in list(folder.rglob(f"{PREFIX}*{SUFFIX}")):
        if part.is_dir() and not part.is_symlink():
            shutil.rmtree(part, ignore_errors=True)
        else:
            part.unlink(missing_ok=True)


def _part(folder: Path) -> Path:
    """A name that nobody can have taken beforehand."""
    return folder / f"{PREFIX}{secrets.token_hex(12)}{SUFFIX}"


def _files(folder: Path) -> list[Path]:
    return [p for p in sorted(folder.rglob("*")) if p.is_file() and not p.is_symlink()]


def _sync(path: Path) -> None:
    """What stands in a file, or which names a folder holds, is on disk when this returns."""
    if path.is_dir() and os.name == "nt":  # Windows opens no folder
        return
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno != errno.EINVAL:  # a file system that cannot
            raise
    finally:
        os.close(handle)
