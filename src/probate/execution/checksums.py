"""Checksums of a folder: writing them, checking files against them, and signing the list."""

from __future__ import annotations

import hmac
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from probate.core.cache import file_digest
from probate.core.errors import InputError
from probate.core.files import write_atomic
from probate.core.inputs import LARGEST, read_bounded
from probate.core.parse import NotJson, json_value

NAME, SIGNATURE = "checksums.json", "checksums.sig"
BESIDE = {NAME, SIGNATURE, ".lock"}
"""Files at the top of a folder that the list does not name."""
FEWEST_BYTES = 16
"""Least length of a key."""


@dataclass(frozen=True)
class Difference:
    """A file that is not as it was written.

    Attributes
    ----------
    file : str
        Path in the folder.
    what : str
        "changed", "missing", "new" or "no file" (a link or a device). For the list itself, "unsigned" or
        "forged".
    """

    file: str
    what: str


def _files(folder: Path) -> list[str]:
    """Return the paths of everything in a folder that is not a folder."""
    names = (p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_symlink() or not p.is_dir())
    return sorted(name for name in names if name not in BESIDE)


def write_checksums(folder: Path, only: Iterable[str] | None = None) -> None:
    """Write `checksums.json` with the SHA-256 and the size of each file, and delete the old list's signature.

    Parameters
    ----------
    folder : Path
        A run or audit folder.
    only : iterable of str, optional
        Files whose entries are updated; all other entries are kept. Default: all files.

    Raises
    ------
    InputError
        With `only`, the existing list cannot be read.
    """
    known = _read(folder) if only is not None else {}
    for name in _files(folder) if only is None else only:
        if _regular(folder / name):
            known[name] = {"sha256": file_digest(folder / name), "bytes": (folder / name).stat().st_size}
    (folder / SIGNATURE).unlink(missing_ok=True)
    write_atomic(folder / NAME, json.dumps(dict(sorted(known.items())), indent=1))


def _regular(path: Path) -> bool:
    return path.is_file() and not path.is_symlink()


def _read(folder: Path) -> dict[str, dict[str, object]]:
    path = folder / NAME
    try:
        known = json_value(read_bounded(path, LARGEST)) if path.exists() else {}
    except NotJson:
        raise InputError(
            f"{path}: not valid JSON; it was changed or truncated, so nothing can be verified"
        ) from None
    if not isinstance(known, dict) or not all(
        isinstance(e, dict) and {"sha256", "bytes"} <= set(e) for e in known.values()
    ):
        raise InputError(
            f"{path}: not a list of files with their sha256 and bytes; it was changed, so nothing can be "
            "verified"
        )
    return known


def verify(folder: Path, key: Path | None = None) -> tuple[int, list[Difference]]:
    """Compare the files of a folder with its checksums.

    Parameters
    ----------
    folder : Path
        A run or audit folder.
    key : Path, optional
        File with the key that the list was signed with. Without it, a list that was altered together with the
        files is not detected.

    Returns
    -------
    checked : int
        The number of files in the list.
    differences : list of Difference
        Every file that is not as it was written, the list itself first.

    Raises
    ------
    InputError
        The folder or its checksums are missing or cannot be read, or the key cannot be read.
    """
    if not (folder / NAME).is_file():
        raise InputError(f"{folder}: {NAME} is missing; it is written at the end of a run or an audit")
    known, there = _read(folder), set(_files(folder))
    differences = [
        Difference(name, what)
        for name, entry in known.items()
        if (what := _changed(folder, name, entry, there))
    ]
    differences += [Difference(name, "new") for name in sorted(there - set(known))]
    return len(known), [*_list_itself(folder, key), *differences]


def _changed(folder: Path, name: str, entry: dict[str, object], there: set[str]) -> str:
    if name not in there:
        return "missing"
    if not _regular(folder / name):
        return "no file"
    same = (folder / name).stat().st_size == entry["bytes"] and file_digest(folder / name) == entry["sha256"]
    return "" if same else "changed"


def _list_itself(folder: Path, key: Path | None) -> list[Difference]:
    if key is None:
        return []
    try:
        own = (folder / SIGNATURE).read_text(encoding="ascii").strip()
    except (OSError, ValueError):
        return [Difference(NAME, "unsigned")]
    return [] if hmac.compare_digest(own, _signature(folder, key)) else [Difference(NAME, "forged")]


def sign(folder: Path, key: Path) -> Path:
    """Write `checksums.sig`, the HMAC-SHA256 of the list.

    The list is signed, not the files: call `verify` first.

    Parameters
    ----------
    folder : Path
        A run or audit folder with `checksums.json`.
    key : Path
        File with the key, of at least 16 bytes.

    Returns
    -------
    Path
        The path of the signature.

    Raises
    ------
    InputError
        The key cannot be read or is too short.
    """
    write_atomic(folder / SIGNATURE, _signature(folder, key) + "\n")
    return folder / SIGNATURE


def _signature(folder: Path, key: Path) -> str:
    try:
        secret = key.read_bytes().strip() if key.is_file() else None
    except OSError:
        secret = None
    if secret is None:
        raise InputError(
            f"{key}: the key cannot be read; create a file that only its owner can read, with: "
            f"openssl rand -hex 32 > {key}"
        )
    if len(secret) < FEWEST_BYTES:
        raise InputError(
            f"{key}: the key has {len(secret)} bytes; create one of at least {FEWEST_BYTES} bytes, with: "
            f"openssl rand -hex 32 > {key}"
        )
    return hmac.new(secret, (folder / NAME).read_bytes(), "sha256").hexdigest()
