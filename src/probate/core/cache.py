"""Artifacts of a run on disk: content-addressed stages. How a file gets there is in `files`."""

from __future__ import annotations

import hashlib
import json
import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from probate.core.files import write_atomic


def finite(value: Any) -> Any:
    """`value` with NaN and infinity, which JSON does not have, as None; mappings and lists are gone through."""
    if isinstance(value, dict):
        return {str(k): finite(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite(v) for v in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def json_text(value: Any) -> str:
    """`value` as the JSON that results are printed and written in: `finite`, indented, anything else as a string."""
    return json.dumps(finite(value), indent=1, ensure_ascii=False, default=str)


def digest(*parts: Any) -> str:
    """SHA-256 of JSON-able values."""
    return hashlib.sha256(
        json.dumps(parts, sort_keys=True, ensure_ascii=False, default=str).encode()
    ).hexdigest()


def file_digest(path: Path) -> str:
    """SHA-256 of a file's bytes."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


RECORD, BEGUN = "done.json", "started.json"


def sealed(report: dict[str, Any]) -> str:
    """A stage's report as it is written: with the hash of the rest of it."""
    return json.dumps({**report, "seal": digest(report)}, indent=1, sort_keys=True)


def read_report(path: Path) -> dict[str, Any] | None:
    """A stage's report; None where it is missing, or not as it was written. One of an earlier version has no hashes: it can be read, and its stage is done again."""
    try:
        text = path.read_text(encoding="utf-8")
        report = json.loads(text)
        own = {k: v for k, v in report.items() if k != "seal"}
        earlier = not {"seal", "wrote"} & set(report)
        return own if earlier or sealed(own) == text else None
    except (OSError, ValueError, AttributeError, RecursionError):
        return None


class Store:
    """Folders of stages under `root`, one a stage.

    `done.json` is written last and holds the stage's key (a hash of all its inputs) and the hash of each file that the stage wrote; a stage whose key
    has changed is wiped and done again, and so is one of which a file is not as it was written: `say` is told. An unfinished stage with the same key
    keeps what it saved, so that it can continue.
    """

    def __init__(self, root: Path, say: Callable[[str], None] = lambda line: None) -> None:
        self.root = root
        self.say = say

    def run(
        self, stage: str, key: str, work: Callable[[Path], dict[str, Any]]
    ) -> tuple[Path, dict[str, Any]]:
        """Return the finished stage's folder and report, doing `work(folder)` first if need be."""
        folder = self.root / stage
        done = self._finished(folder, stage, key)
        if done is None:
            begun = read_report(folder / BEGUN)
            if begun is None or begun["key"] != key:
                shutil.rmtree(folder, ignore_errors=True)
                write_atomic(folder / BEGUN, sealed({"key": key}))
            done = json.loads(
                json.dumps({**work(folder), "key": key, "stage": stage, "wrote": _contents(folder)})
            )
            write_atomic(folder / RECORD, sealed(done))
            (folder / BEGUN).unlink(missing_ok=True)
        return folder, done

    def _finished(self, folder: Path, stage: str, key: str) -> dict[str, Any] | None:
        """What the stage reported when it finished with this key, or None."""
        done = read_report(folder / RECORD)
        if done is None:
            if (folder / RECORD).exists() or (folder.exists() and not (folder / BEGUN).exists()):
                self.say(f"{stage}: its record ({RECORD}) is not as it was written; the stage is done again")
            return None
        if done["key"] != key:
            return None
        now = _contents(folder)
        changed = [name for name, own in done.get("wrote", {"": ""}).items() if now.get(name) != own]
        if changed:
            self.say(f"{stage}: {changed[0] or RECORD} is not as the stage wrote it; the stage is done again")
            return None
        return done


def _contents(folder: Path) -> dict[str, str]:
    """SHA-256 of each file of a stage but its records."""
    files = (p for p in sorted(folder.rglob("*")) if p.is_file() and p.name not in (RECORD, BEGUN))
    return {p.relative_to(folder).as_posix(): file_digest(p) for p in files}
