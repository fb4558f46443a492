"""Opening files that the user names.

They must be regular files: pipes, devices and names in /proc are rejected.
"""

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
"""Maximum size of a file that is read as a whole, in bytes."""
COPY = "save its content to a regular file and use that"


def check_regular(path: Path, where: str = "") -> None:
    """Raise `InputError` unless `path` is a regular file with the same name in every process.

    It is not opened.
    """
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
    """Reject names in /proc or /dev/fd.

    They name another file in each process, so no run could be repeated.
    """
    for name in (os.path.abspath(path), os.path.realpath(path)):
        if any(name == s or name.startswith(s + "/") for s in SYSTEM) and not name.startswith(MEMORY + "/"):
            raise InputError(f"{where}: is in a system folder ({', '.join(SYSTEM)}), not a file; {COPY}")


def _check_mode(mode: int, where: str) -> None:
    if not stat.S_ISREG(mode):
        raise InputError(f"{where}: is {KINDS.get(stat.S_IFMT(mode), 'a special file')}, not a file; {COPY}")


def open_regular(path: Path, where: str = "") -> BinaryIO:
    """Open `path` for reading bytes.

    Opening never blocks, even if the file was replaced by a pipe in the meantime.

    Parameters
    ----------
    path : Path
        The file.
    where : str, optional
        Beginning of an error's message. Default: the path.

    Raises
    ------
    InputError
        If the file does not exist, is not a regular file, or cannot be read.
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
    """Return the text of a UTF-8 file, with or without a byte order mark.

    Parameters
    ----------
    path : Path
        The file.
    most : int
        Maximum size, in bytes.
    where : str, optional
        Beginning of an error's message. Default: the path.

    Raises
    ------
    InputError
        If the file is larger or not UTF-8, or for the reasons of `open_regular`.
    """
    where = where or str(path)
    with open_regular(path, where) as file:
        try:
            data = file.read(most + 1)
        except OSError as error:
            raise InputError(f"{where}: cannot be read: {error.strerror or error}") from None
    if len(data) > most:
        raise InputError(
            f"{where}: larger than the maximum of {most:,} bytes; check that it is the right file"
        )
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{where}: not UTF-8 at byte {error.start}; save the file as UTF-8") from None
