"""Checksums of a folder, what has changed since, and a signature of the list."""

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
"""Of a key."""


@dataclass(frozen=True)
class Difference:
    """A file that is not as it was written. `what` is changed, missing, new, no file (a link, a device), or of the list itself, unsigned or forged."""

    file: str
    what: str


def _files(folder: Path) -> list[str]:
    """Whatever lies in a folder but folders."""
    names = (p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_symlink() or not p.is_dir())
    return sorted(name for name in names if name not in BESIDE)


def write_checksums(folder: Path, only: Iterable[str] | None = None) -> None:
    """Write `checksums.json`: SHA-256 and size of each file. `only`: these are written anew, the others stay as they were. A signature of the old list goes."""
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
            f"{path}: not readable as JSON; it was changed or cut off, so that nothing can be verified"
        ) from None
    if not isinstance(known, dict) or not all(
        isinstance(e, dict) and {"sha256", "bytes"} <= set(e) for e in known.values()
    ):
        raise InputError(
            f"{path}: no list of files with their sha256 and bytes; it was changed, so that nothing can be "
            "verified"
        )
    return known


def verify(folder: Path, key: Path | None = None) -> tuple[int, list[Difference]]:
    """How many files were checked, and each that is not as it was written.

    Parameters
    ----------
    folder
        A run or audit folder.
    key
        File of the key with which the list was signed; without it a list that was altered together with the files is not found.

    Raises
    ------
    InputError
        No folder, or one without (readable) checksums; a key that cannot be read.
    """
    if not (folder / NAME).is_file():
        raise InputError(f"{folder}: no {NAME} there; it is written at the end of a run or an audit")
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
    """Write `checksums.sig`, HMAC-SHA256 of the list by the key; returns its path. `verify` first: what is signed is the list, not the files."""
    write_atomic(folder / SIGNATURE, _signature(folder, key) + "\n")
    return folder / SIGNATURE


def _signature(folder: Path, key: Path) -> str:
    try:
        secret = key.read_bytes().strip() if key.is_file() else None
    except OSError:
        secret = None
    if secret is None:
        raise InputError(
            f"{key}: no key can be read there; it is a file that only its owner can read, made by: openssl "
            f"rand -hex 32 > {key}"
        )
    if len(secret) < FEWEST_BYTES:
        raise InputError(
            f"{key}: a key of {len(secret)} bytes; make one of at least {FEWEST_BYTES}: openssl rand -hex "
            f"32 > {key}"
        )
    return hmac.new(secret, (folder / NAME).read_bytes(), "sha256").hexdigest()
