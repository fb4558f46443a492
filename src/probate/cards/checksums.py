"""Checksums of a folder, and what has changed since."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from probate.errors import InputError
from probate.store import file_digest, write_atomic

NAME = "checksums.json"
IGNORED = {NAME, ".lock", "errors.log"}


@dataclass(frozen=True)
class Difference:
    """A file that is not as it was written. `what` is changed, missing or new."""

    file: str
    what: str


def _files(folder: Path) -> list[str]:
    found = (p for p in folder.rglob("*") if p.is_file() and p.name not in IGNORED and p.suffix != ".part")
    return sorted(p.relative_to(folder).as_posix() for p in found)


def write_checksums(folder: Path, only: Iterable[str] | None = None) -> None:
    """Write `checksums.json`: SHA-256 and size of each file. `only`: these are written anew, the others stay as they were."""
    known = _read(folder) if only is not None else {}
    for name in _files(folder) if only is None else [n for n in only if (folder / n).is_file()]:
        known[name] = {"sha256": file_digest(folder / name), "bytes": (folder / name).stat().st_size}
    write_atomic(folder / NAME, json.dumps(dict(sorted(known.items())), indent=1))


def _read(folder: Path) -> dict[str, dict[str, object]]:
    try:
        return dict(json.loads((folder / NAME).read_text(encoding="utf-8")))
    except FileNotFoundError:
        return {}
    except (ValueError, UnicodeDecodeError):
        raise InputError(
            f"{folder / NAME}: not readable as JSON; it was changed or cut off, so that nothing can be verified"
        ) from None


def verify(folder: Path) -> tuple[int, list[Difference]]:
    """How many files were checked, and each that is not as it was written.

    Raises:
        InputError: no folder, or one without (readable) checksums.
    """
    if not (folder / NAME).is_file():
        raise InputError(f"{folder}: no {NAME} there; it is written at the end of a run or an audit")
    known, there = _read(folder), set(_files(folder))
    found = []
    for name, entry in known.items():
        if name not in there:
            found.append(Difference(name, "missing"))
        elif (folder / name).stat().st_size != entry["bytes"] or file_digest(folder / name) != entry["sha256"]:
            found.append(Difference(name, "changed"))
    return len(known), [*found, *(Difference(name, "new") for name in sorted(there - set(known)))]
