"""Writing files. All files of Probate are written here.

A file is written completely or not at all. It is flushed to disk before the function returns, and symbolic
links are never followed.
"""

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
NOFOLLOW = getattr(os, "O_NOFOLLOW", 0)  # Windows does not have it


def write_atomic(path: Path, text: str) -> None:
    """Write `text` to `path` atomically: a reader sees either the old file or the complete new one."""
    with atomic(path) as part:
        part.write_text(text, encoding="utf-8")


@contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """Write a file atomically.

    Parameters
    ----------
    path : Path
        The file to write. A symbolic link at `path` is replaced, not followed.

    Yields
    ------
    Path
        A new, empty file beside `path`. At the end of the block it replaces `path`. After an error it is
        removed.
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
    """Write a folder atomically.

    Parameters
    ----------
    path : Path
        The folder to write. It must not exist.

    Yields
    ------
    Path
        A new, empty folder beside `path`. At the end of the block it is renamed to `path`. After an error it
        is removed.
    """
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
    """Write files whose names a library chooses, each of them atomically.

    Parameters
    ----------
    folder : Path
        The folder that the files belong in.

    Yields
    ------
    Path
        A new folder inside `folder`. At the end of the block its files are moved to `folder`.
    """
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
    """Open a text file to append to it.

    An incomplete last line is terminated first. Everything is flushed to disk at the end of the block.

    Raises
    ------
    InputError
        If `path` is a symbolic link.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        handle = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | NOFOLLOW, 0o666)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise InputError(
                f"{path}: is a symbolic link, which Probate does not write to; remove it"
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
    """Remove the incomplete files of an interrupted process from `folder`.

    No other process may be writing there.
    """
    for part in list(folder.rglob(f"{PREFIX}*{SUFFIX}")):
        if part.is_dir() and not part.is_symlink():
            shutil.rmtree(part, ignore_errors=True)
        else:
            part.unlink(missing_ok=True)


def _part(folder: Path) -> Path:
    """Return a random file name, which another user cannot predict."""
    return folder / f"{PREFIX}{secrets.token_hex(12)}{SUFFIX}"


def _files(folder: Path) -> list[Path]:
    return [p for p in sorted(folder.rglob("*")) if p.is_file() and not p.is_symlink()]


def _sync(path: Path) -> None:
    """Flush a file, or the entries of a folder, to disk."""
    if path.is_dir() and os.name == "nt":  # Windows cannot open a folder
        return
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno != errno.EINVAL:  # the file system does not support it
            raise
    finally:
        os.close(handle)
