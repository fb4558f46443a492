"""Artifacts of a run on disk: content-addressed stages, atomic writes."""

from __future__ import annotations

import hashlib
import json
import math
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any


def write_atomic(path: Path, text: str) -> None:
    """Write `text` to `path` so that a reader sees the old file or the whole new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    part.write_text(text, encoding="utf-8")
    os.replace(part, path)


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
    return hashlib.sha256(json.dumps(parts, sort_keys=True, ensure_ascii=False, default=str).encode()).hexdigest()


def file_digest(path: Path) -> str:
    """SHA-256 of a file's bytes."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


class Store:
    """Folders of stages under `root`, one a stage.

    `done.json` is written last and holds the stage's key (a hash of all its inputs); a stage whose key has changed is
    wiped and done again. An unfinished stage with the same key keeps what it saved, so that it can continue.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    def finished(self, stage: str, key: str) -> dict[str, Any] | None:
        """What the stage reported when it finished with this key, or None."""
        return self._read(self.root / stage / "done.json", key)

    @staticmethod
    def _read(path: Path, key: str) -> dict[str, Any] | None:
        try:
            done = json.loads(path.read_text(encoding="utf-8"))
        except (FileNotFoundError, json.JSONDecodeError):
            return None
        return done if done.get("key") == key else None

    def run(self, stage: str, key: str, work: Callable[[Path], dict[str, Any]]) -> tuple[Path, dict[str, Any]]:
        """Return the finished stage's folder and report, doing `work(folder)` first if need be."""
        folder = self.root / stage
        done = self.finished(stage, key)
        if done is None:
            if self._read(folder / "started.json", key) is None:
                shutil.rmtree(folder, ignore_errors=True)
                write_atomic(folder / "started.json", json.dumps({"key": key}))
            done = {**work(folder), "key": key, "stage": stage}
            write_atomic(folder / "done.json", json.dumps(done, indent=1, sort_keys=True))
            (folder / "started.json").unlink(missing_ok=True)
        return folder, done
