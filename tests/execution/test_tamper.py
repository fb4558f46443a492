"""What is on disk is believed only as it was written: by a run that is continued, and by `verify`."""

from __future__ import annotations

import json
import os
import random
import shutil
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from probate import run
from probate.commands.app import app
from probate.core.cache import Store
from probate.core.errors import InputError
from probate.data.generation.augment import _raw_line, _read_raw
from probate.execution.checksums import Difference, sign, verify, write_checksums
from probate.execution.folder import RunFolder
from probate.train.checkpoint import checkpoint, restore

TASKS = ["occupation"]
PARTS = int(os.environ.get("PARTS", "5"))
"""Twenty changes each."""


def stage_files(folder: Path) -> list[Path]:
    return sorted(p for kind in ("stages", "adapters") for p in (folder / kind).rglob("*") if p.is_file())


def damage(path: Path, chance: random.Random) -> str:
    """One change of a file, of a kind drawn at random; says which."""
    before = path.read_bytes()
    kind = chance.choice(["a bit", "cut", "longer", "emptied", "removed", "a line less"])
    if kind == "removed":
        path.unlink()
        return kind
    at = chance.randrange(len(before))
    lines = before.splitlines(keepends=True)
    line = chance.randrange(len(lines))
    after = {
        "a bit": before[:at] + bytes([before[at] ^ 1 << chance.randrange(8)]) + before[at + 1 :],
        "cut": before[:at],
        "longer": before + b" ",
        "emptied": b"",
        "a line less": b"".join(lines[:line] + lines[line + 1 :]),
    }[kind]
    path.write_bytes(after)
    return kind


def reread(folder: Path) -> tuple[set[str], list[str]]:
    """Which finished stages are done again, and what is said."""
    again, said = set(), []
    store = Store(folder, said.append)
    for record in sorted([*folder.glob("stages/*"), *folder.glob("adapters/*")]):
        stage = record.relative_to(folder).as_posix()
        store.run(stage, KEYS[stage], lambda own, stage=stage: again.add(stage) or {})
    return again, said


KEYS: dict[str, str] = {}


@pytest.fixture(scope="module")
def finished(tiny_study, tmp_path_factory):
    folder = tmp_path_factory.mktemp("tamper") / "run"
    run(tiny_study(tasks=TASKS), folder, quiet=True)
    KEYS.update(
        {
            p.parent.relative_to(folder).as_posix(): json.loads(p.read_text())["key"]
            for p in folder.glob("*/*/done.json")
        }
    )
    return folder


@pytest.mark.parametrize("part", range(PARTS))
def test_any_change_of_a_stage_file_is_found(finished, tmp_path, part):
    chance = random.Random(part)
    assert reread(finished) == (set(), [])
    for number in range(20):
        folder = tmp_path / str(number)
        shutil.copytree(finished, folder)
        path = chance.choice(stage_files(folder))
        name, kind = path.relative_to(folder).as_posix(), damage(path, chance)
        assert Difference(name, "missing" if kind == "removed" else "changed") in verify(folder)[1], (
            name,
            kind,
        )
        again, said = reread(folder)
        stage = "/".join(name.split("/")[:2])
        assert (
            again == {stage}
            and len(said) == 1
            and said[0].startswith(stage)
            and said[0].endswith("run again")
        ), (
            name,
            kind,
            said,
        )
        shutil.rmtree(folder)


def test_what_was_changed_is_done_again_and_the_rest_is_not(tiny_study, finished, tmp_path, capsys):
    shutil.copytree(finished, tmp_path / "run")
    path = tmp_path / "run/stages/evaluate-control-0-s0-occupation/outcomes.jsonl"
    whole = path.read_text(encoding="utf-8")
    path.write_text("".join(whole.splitlines(keepends=True)[:-5]), encoding="utf-8")
    adapter = tmp_path / "run/adapters/given-0.5-s0/adapter_model.safetensors"
    before = adapter.read_bytes()
    adapter.write_bytes(before[:-1] + bytes([before[-1] ^ 1]))
    stamps = {p: p.stat().st_mtime_ns for p in tmp_path.glob("**/done.json")}
    result = run(tiny_study(tasks=TASKS), tmp_path / "run", quiet=True)
    said = capsys.readouterr().err
    assert (
        "outcomes.jsonl was changed after the stage finished" in said
        and "adapter_model.safetensors was changed after the stage finished" in said
    )
    assert path.read_text(encoding="utf-8") == whole and adapter.read_bytes() == before
    changed = {p.parent.name for p in stamps if p.stat().st_mtime_ns != stamps[p]}
    assert changed == {"evaluate-control-0-s0-occupation", "given-0.5-s0"}
    kept = run(tiny_study(tasks=TASKS), finished, quiet=True).outcomes
    assert result.outcomes.equals(kept)


def test_a_record_of_an_earlier_version_is_read_and_its_stage_done_again(finished, tmp_path):
    shutil.copytree(finished, tmp_path / "run")
    path = tmp_path / "run/adapters/given-0.5-s0/done.json"
    plain = {k: v for k, v in json.loads(path.read_text()).items() if k not in ("seal", "wrote")}
    path.write_text(json.dumps(plain, indent=1, sort_keys=True))
    assert RunFolder(tmp_path / "run").trained_on() == RunFolder(finished).trained_on()
    again, said = reread(tmp_path / "run")
    assert again == {"adapters/given-0.5-s0"} and len(said) == 1


def test_an_altered_checkpoint_is_no_checkpoint(tmp_path):
    weight = torch.nn.Parameter(torch.ones(3))
    optimizer = torch.optim.AdamW([weight])
    weight.sum().backward()
    optimizer.step()
    checkpoint(tmp_path, {"w": weight}, optimizer, [1.0], 2, [], None)
    fresh = torch.nn.Parameter(torch.zeros(3))
    assert restore(tmp_path, {"w": fresh}, torch.optim.AdamW([fresh]), [], [], None) == 2 and torch.equal(
        fresh, weight
    )
    path = tmp_path / "state.safetensors"
    whole = path.read_bytes()
    for at in (3, 20, len(whole) - 1):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        losses: list[float] = []
        fresh = torch.nn.Parameter(torch.zeros(3))
        assert restore(tmp_path, {"w": fresh}, torch.optim.AdamW([fresh]), losses, [], None) == 0
        assert not losses and torch.equal(fresh, torch.zeros(3))


def test_an_altered_answer_is_asked_again(tmp_path):
    lines = [_raw_line(f"n{k}", f"text {k}") for k in range(3)]
    raw = tmp_path / "raw.jsonl"
    raw.write_text(lines[0] + lines[1].replace("text 1", "text 9") + lines[2], encoding="utf-8")
    assert _read_raw(raw) == {"n0": "text 0", "n2": "text 2"}
    assert raw.read_text(encoding="utf-8") == lines[0] + lines[2]


def probate(*args):
    return CliRunner().invoke(app, [str(a) for a in args])


def test_with_a_key_an_altered_list_is_found(tmp_path):
    folder, key, other = tmp_path / "f", tmp_path / "key", tmp_path / "other"
    folder.mkdir()
    key.write_text("a key of more than sixteen bytes")
    other.write_text("another key, as long as that one")
    (folder / "a.txt").write_text("1")
    write_checksums(folder)
    assert verify(folder, key)[1] == [Difference("checksums.json", "unsigned")]
    result = probate("verify", folder, "--sign", key)
    assert result.exit_code == 0 and "signed:" in result.output
    assert verify(folder, key)[1] == [] and verify(folder, other)[1] == [
        Difference("checksums.json", "forged")
    ]
    (folder / "a.txt").write_text("2")
    assert probate("verify", folder, "--sign", key).exit_code == 1
    lines = (folder / "checksums.json").read_text()
    signature = (folder / "checksums.sig").read_text()
    write_checksums(folder)  # as one would who hides it
    assert verify(folder)[1] == [] and verify(folder, key)[1] == [Difference("checksums.json", "unsigned")]
    (folder / "checksums.sig").write_text(signature)
    assert (
        verify(folder, key)[1] == [Difference("checksums.json", "forged")]
        and lines != (folder / "checksums.json").read_text()
    )
    assert (
        "not checked" in probate("verify", folder).output
        and "not checked" not in probate("verify", folder, "--key", key).output
    )


@pytest.mark.parametrize(
    ("content", "said"), [(None, "the key cannot be read"), ("short", "the key has 5 bytes")]
)
def test_a_key_that_is_none_is_said(tmp_path, content, said):
    (tmp_path / "f").mkdir()
    write_checksums(tmp_path / "f")
    if content:
        (tmp_path / "key").write_text(content)
    with pytest.raises(InputError, match=said):
        sign(tmp_path / "f", tmp_path / "key")


@pytest.mark.parametrize(
    "name", ["errors.log", "sub/.lock", "sub/errors.log", "x.part", "sub/checksums.json", ".hidden"]
)
def test_every_file_of_a_folder_is_verified(tmp_path, name):
    (tmp_path / "sub").mkdir()
    (tmp_path / "a").write_text("1")
    write_checksums(tmp_path)
    (tmp_path / name).write_text("x")
    assert verify(tmp_path)[1] == [Difference(name, "new")]
    write_checksums(tmp_path)
    assert verify(tmp_path)[1] == []
    (tmp_path / name).write_text("y")
    assert verify(tmp_path)[1] == [Difference(name, "changed")]


def test_a_link_in_place_of_a_file_is_found(tmp_path):
    (tmp_path / "f").mkdir()
    (tmp_path / "f/a").write_text("1")
    write_checksums(tmp_path / "f")
    (tmp_path / "f/a").rename(tmp_path / "a")
    (tmp_path / "f/a").symlink_to(tmp_path / "a")
    assert verify(tmp_path / "f")[1] == [Difference("a", "no file")]


@pytest.mark.parametrize("text", ["[]", "{", '{"a": 1}', '{"a": {}}', "\x00", "1" * 5000, "[" * 100000])
def test_a_hostile_list_is_one_sentence(tmp_path, text):
    (tmp_path / "checksums.json").write_text(text)
    result = probate("verify", tmp_path)
    assert result.exit_code != 0
    with pytest.raises(InputError, match="nothing can be verified"):
        verify(tmp_path)
