"""Writing: whole or not at all, never through a symbolic link, whatever writes."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

import probate
from probate.core import files
from probate.core.errors import InputError
from probate.core.files import appending, atomic, atomic_files, atomic_folder, clear_leftovers, write_atomic
from probate.execution.folder import RunFolder
from probate.mitigations.files.write import writer
from probate.report.review.marks import read_marks, save_mark

SOURCES = sorted(Path(probate.__file__).parent.rglob("*.py"))
WRITES = re.compile(
    r"\.write_text\(|\.write_bytes\(|open\([^)]*[\"'][wax]b?\+?[\"']"
    r"|\.to_parquet\(|\.to_csv\(|save_file\(|np\.savez?\(|os\.replace\(|\.rename\(Path"
)


def _folder_write(path: Path) -> None:
    with atomic_files(path.parent) as part:
        (part / path.name).write_text("own", encoding="utf-8")


def _row_write(path: Path) -> None:
    with writer(path.parent / "no.jsonl", path.with_suffix(".jsonl"), ["a"]) as rows:
        rows.row({"a": "own"}, "")
    path.with_suffix(".jsonl").replace(path)


REPLACING: dict[str, Callable[[Path], object]] = {
    "text": lambda path: write_atomic(path, "own"),
    "files of a library": _folder_write,
    "rows": _row_write,
}
APPENDING: dict[str, Callable[[Path], object]] = {
    "marks": lambda path: save_mark(path, "i", "yes"),
    "log": lambda path: (
        RunFolder(path.parent).write_traceback("stage", "text")
        if path.name == "errors.log"
        else save_mark(path, "", "")
    ),
}


@pytest.mark.parametrize("name", REPLACING)
@pytest.mark.parametrize("planted", ["{}", "{}.part"])
def test_a_planted_link_is_not_followed(tmp_path: Path, name: str, planted: str) -> None:
    outside, home = tmp_path / "outside", tmp_path / "home"
    outside.write_text("theirs", encoding="utf-8")
    home.mkdir()
    (home / planted.format("x")).symlink_to(outside)
    REPLACING[name](home / "x")
    assert outside.read_text(encoding="utf-8") == "theirs"
    assert "own" in (home / "x").read_text(encoding="utf-8") and not (home / "x").is_symlink()


@pytest.mark.parametrize(("write", "name"), [("marks", "marks-me.jsonl"), ("log", "errors.log")])
def test_nothing_is_appended_through_a_link(tmp_path: Path, write: str, name: str) -> None:
    outside, home = tmp_path / "outside", tmp_path / "home"
    outside.write_text("theirs", encoding="utf-8")
    home.mkdir()
    (home / name).symlink_to(outside)
    with pytest.raises(InputError, match=f"{name}: is a symbolic link"):
        APPENDING[write](home / name)
    assert outside.read_text(encoding="utf-8") == "theirs"


@pytest.mark.parametrize("make", [atomic, atomic_folder, atomic_files])
def test_what_fails_leaves_what_was_there(tmp_path: Path, make: Callable[..., object]) -> None:
    target = tmp_path / "home" if make is atomic_files else tmp_path / "home" / "x"
    with pytest.raises(IsADirectoryError), make(target) as part:  # type: ignore[attr-defined]  # noqa: PT012
        (part / "a" if part.is_dir() else part).write_text("half", encoding="utf-8")
        tmp_path.write_text("fails", encoding="utf-8")
    assert list((tmp_path / "home").rglob("*")) == []


def test_a_file_is_on_disk_before_it_has_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[str] = []
    sync, replace = os.fsync, os.replace

    def fsync(handle: int) -> None:
        done.append("folder" if os.path.isdir(f"/proc/self/fd/{handle}") else "file")
        sync(handle)

    def move(a: Path, b: Path) -> None:
        done.append("name")
        replace(a, b)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(os, "replace", move)
    write_atomic(tmp_path / "x", "text")
    assert done == ["file", "name", "folder"]


def test_leftovers_of_a_kill_go_and_nothing_else(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    (outside / "deep").mkdir(parents=True)
    (outside / "deep" / "kept").touch()
    home = tmp_path / "home" / "stages"
    home.mkdir(parents=True)
    for name in ("mine.part", ".probate-notes"):
        (home / name).touch()
    (home / f"{files.PREFIX}00{files.SUFFIX}").touch()
    (home / f"{files.PREFIX}01{files.SUFFIX}").mkdir()
    (home / f"{files.PREFIX}01{files.SUFFIX}" / "half").touch()
    (home / f"{files.PREFIX}02{files.SUFFIX}").symlink_to(outside)
    clear_leftovers(tmp_path / "home")
    assert sorted(p.name for p in home.iterdir()) == [".probate-notes", "mine.part"]
    assert (outside / "deep" / "kept").exists()


def test_a_cut_off_line_is_ended_before_the_next(tmp_path: Path) -> None:
    path = tmp_path / "marks-me.jsonl"
    path.write_text('{"id": "a", "answer": "yes"}\n{"id": "b", "ans', encoding="utf-8")
    save_mark(path, "c", "no")
    with appending(path) as file:
        file.write('{"id": "d", "answer": "no"}\n')
    assert read_marks(path) == {"a": "yes", "c": "no", "d": "no"}


def test_tables_are_written_whole(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.write_text("theirs", encoding="utf-8")
    (tmp_path / "outcomes.parquet").symlink_to(outside)
    RunFolder(tmp_path).write_outcomes(pd.DataFrame({"a": [1]}))
    assert outside.read_text(encoding="utf-8") == "theirs"
    assert list(pd.read_parquet(tmp_path / "outcomes.parquet")["a"]) == [1]


def test_no_module_writes_past_files() -> None:
    found = []
    for path in SOURCES:
        if path.name == "files.py":
            continue
        lines = path.read_text(encoding="utf-8").splitlines()
        found += [
            path.name for line in lines if WRITES.search(line) and not re.search(r"\b(part|beside)\b", line)
        ]
    assert Counter(found) == ALLOWED


ALLOWED = {"app.py": 1, "trunk_store.py": 1, "write.py": 2}
"""`sys.stdout` that goes nowhere; \
segments of a cache, to which is only appended, and whose states have checksums; \
the writers of rows, which are given the part of `mitigate.write.writer`."""
