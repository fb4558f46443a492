"""The one place where a file that a user names is opened: a regular file, not a pipe, a device or a name in /proc."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import BinaryIO

from probate.core.errors import InputError

SYSTEM = ("/proc", "/sys", "/dev")
MEMORY = "/dev/shm"  # noqa: S108 (a file system, not a file)
KINDS = {
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFDIR: "a folder",
}
LARGEST = 16 * 1024 * 1024
"""Bytes of a file that is read as a whole."""
COPY = "name a regular file; save what it gives to one first"


def check_regular(path: Path, where: str = "") -> None:
    """Raise InputError unless `path` is a regular file that another process finds under the same name; it is not opened."""
    _check(path, where or str(path))


def _check(path: Path, where: str) -> None:
    _check_name(path, where)
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        raise InputError(f"{where}: no such file") from None
    except (OSError, ValueError) as error:
        raise InputError(f"{where}: cannot be read: {getattr(error, 'strerror', None) or error}") from None
    _check_mode(mode, where)


def _check_name(path: Path, where: str) -> None:
    """A name in /proc or /dev/fd is another file in each process: no run could be repeated with it."""
    for name in (os.path.abspath(path), os.path.realpath(path)):
        if any(name == s or name.startswith(s + "/") for s in SYSTEM) and not name.startswith(MEMORY + "/"):
            raise InputError(f"{where}: a name of the system, not a file; {COPY}")


def _check_mode(mode: int, where: str) -> None:
    if not stat.S_ISREG(mode):
        raise InputError(f"{where}: {KINDS.get(stat.S_IFMT(mode), 'no regular file')}, not a file; {COPY}")


def open_regular(path: Path, where: str = "") -> BinaryIO:
    """`path`, opened to read bytes; never waits, also where it became a pipe after it was looked at.

    Raises:
        InputError: no such file, no regular file, or not to be read.
    """
    where = where or str(path)
    _check(path, where)
    try:
        handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    except OSError as error:
        raise InputError(f"{where}: cannot be read: {error.strerror or error}") from None
    try:
        _check_mode(os.fstat(handle).st_mode, where)
        return os.fdopen(handle, "rb")
    except BaseException:
        os.close(handle)
        raise


def read_bounded(path: Path, most: int, where: str = "") -> str:
    """The text of a file of at most `most` bytes, UTF-8 with or without a byte order mark.

    Raises:
        InputError: see `open_regular`; larger, or not UTF-8.
    """
    where = where or str(path)
    with open_regular(path, where) as file:
        try:
            data = file.read(most + 1)
        except OSError as error:
            raise InputError(f"{where}: cannot be read: {error.strerror or error}") from None
    if len(data) > most:
        raise InputError(f"{where}: more than {most:,} bytes, which no such file needs; is it another file?")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{where}: not UTF-8 at byte {error.start}; save the file as UTF-8") from None
