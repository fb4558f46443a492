"""Stages of a run on disk, each stored under the hash of its inputs.

`probate.core.files` writes the files.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import platform
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from probate.core.files import write_atomic


def finite(value: Any) -> Any:
    """Return `value` with NaN and infinity, which JSON does not have, replaced by None at every level."""
    if isinstance(value, dict):
        return {str(k): finite(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite(v) for v in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def json_text(value: Any) -> str:
    """Return `value` as indented JSON.

    NaN and infinity become null (see `finite`). Objects that JSON does not support become strings.
    """
    return json.dumps(finite(value), indent=1, ensure_ascii=False, default=str)


def digest(*parts: Any) -> str:
    """Return the SHA-256 of `parts` in JSON, with sorted keys, as a hexadecimal string."""
    return hashlib.sha256(
        json.dumps(parts, sort_keys=True, ensure_ascii=False, default=str).encode()
    ).hexdigest()


def file_digest(path: Path) -> str:
    """Return the SHA-256 of a file's bytes, as a hexadecimal string."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


RECORD, STARTED = "done.json", "started.json"


def sealed(report: dict[str, Any]) -> str:
    """Return the text of a stage's report file: the report and, as `seal`, its hash."""
    return json.dumps({**report, "seal": digest(report)}, indent=1, sort_keys=True)


def read_report(path: Path) -> dict[str, Any] | None:
    """Return a stage's report, or None if it is missing or has been changed.

    Reports of earlier versions have no hashes. They can be read, but their stages are run again.
    """
    try:
        text = path.read_text(encoding="utf-8")
        report = json.loads(text)
        unsealed = {k: v for k, v in report.items() if k != "seal"}
        earlier_version = not {"seal", "wrote"} & set(report)
        return unsealed if earlier_version or sealed(unsealed) == text else None
    except (OSError, ValueError, AttributeError, RecursionError):
        return None


class Store:
    """The stages of a run: one folder per stage under `root`.

    `done.json` is written last. It contains the stage's key (a hash of all its inputs) and the hash of each
    file that the stage wrote. If the key has changed, or if a file differs from its hash, the folder is
    deleted and the stage is run again. An unfinished stage with the same key keeps its files and continues
    from them.

    Parameters
    ----------
    root : Path
        Folder of all stages.
    say : callable, optional
        Called with one sentence if a finished stage is run again because its files were changed.
    """

    def __init__(self, root: Path, say: Callable[[str], None] = lambda line: None) -> None:
        self.root = root
        self.say = say

    def run(
        self, stage: str, key: str, work: Callable[[Path], dict[str, Any]]
    ) -> tuple[Path, dict[str, Any]]:
        """Return the folder and the report of a stage. The stage is run first unless it is finished.

        Parameters
        ----------
        stage : str
            Name of the stage; also the path of its folder under `root`.
        key : str
            Hash of all inputs of the stage.
        work : callable
            Called with the stage's folder. It writes files there and returns the report.

        Returns
        -------
        folder : Path
            The stage's folder.
        report : dict
            The stage's report, with `key`, `stage` and `wrote` (file name → SHA-256).
        """
        folder = self.root / stage
        report = self._finished(folder, stage, key)
        if report is None:
            started = read_report(folder / STARTED)
            if started is None or started["key"] != key:
                shutil.rmtree(folder, ignore_errors=True)
                started = None
            if started is None or started.get("where") != _where():
                write_atomic(folder / STARTED, sealed({"key": key, "where": _where()}))
            report = json.loads(
                json.dumps({**work(folder), "key": key, "stage": stage, "wrote": _contents(folder)})
            )
            write_atomic(folder / RECORD, sealed(report))
            (folder / STARTED).unlink(missing_ok=True)
        return folder, report

    def finished(self, stage: str, key: str) -> dict[str, Any] | None:
        """Return the report of a stage that finished with this key and was not changed since, else None."""
        return self._finished(self.root / stage, stage, key)

    def _finished(self, folder: Path, stage: str, key: str) -> dict[str, Any] | None:
        """Return the report of a stage that finished with this key and was not changed since, else None."""
        report = read_report(folder / RECORD)
        if report is None:
            if (folder / RECORD).exists() or (folder.exists() and not (folder / STARTED).exists()):
                self.say(f"{stage}: its record ({RECORD}) was changed or removed; the stage is run again")
            return None
        if report["key"] != key:
            return None
        hashes = _contents(folder)
        changed = [
            name for name, expected in report.get("wrote", {"": ""}).items() if hashes.get(name) != expected
        ]
        if changed:
            self.say(
                f"{stage}: {changed[0] or RECORD} was changed after the stage finished; the stage "
                "is run again"
            )
            return None
        return report


def _where() -> str:
    """Return the machine and the process."""
    return f"{platform.node()}, process {os.getpid()}"


def _contents(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of each file of a stage, by relative path, without the two record files."""
    files = (p for p in sorted(folder.rglob("*")) if p.is_file() and p.name not in (RECORD, STARTED))
    return {p.relative_to(folder).as_posix(): file_digest(p) for p in files}
