"""States on disk: the same states in a later process, and never wrong ones."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from architectures import lively_model

from probate.models.inference import proof, trunk, trunk_store
from probate.models.inference.scoring import score_choices
from probate.models.inference.trunk import make_trunk, trunk_of
from probate.models.inference.trunk_store import KEYS, STATES, TrunkStore, key_of

ROWS = [[5, 6, 7, 8], [5, 6, 9], [11, 12, 13, 14, 15]]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("PROBATE_TRUNKS", str(tmp_path / "trunks"))
    return tmp_path / "trunks"


@pytest.fixture
def filled(monkeypatch):
    """Rows that were computed."""
    counts: list[int] = []
    fill = trunk.Trunk._fill

    def watched(self, model, rows, *rest):
        counts.append(len(rows))
        return fill(self, model, rows, *rest)

    monkeypatch.setattr(trunk.Trunk, "_fill", watched)
    return counts


def states(model, rows=ROWS):
    make_trunk(model, 1)
    own = trunk_of(model)
    nodes, _ = own.enter(model, rows)
    return torch.cat([own._states[n] for n in nodes])


def test_another_process_computes_nothing_again(folder, filled):
    first = states(lively_model("Llama"))
    second = states(lively_model("Llama"))
    assert filled == [3] and torch.equal(first, second)
    more = states(lively_model("Llama"), [*ROWS, [5, 6, 7, 8, 30]])
    assert filled == [3, 1] and torch.equal(more[: len(first)], first)
    assert states(lively_model("Llama"), [*ROWS, [5, 6, 7, 8, 30]]).equal(more) and filled == [3, 1]
    assert oct(next(folder.glob("*")).stat().st_mode)[-3:] == "700"
    assert {oct(f.stat().st_mode)[-3:] for f in folder.glob("*/*")} == {"600"}


@pytest.mark.parametrize("kept", [True, False])
def test_states_of_one_pass_are_used_by_the_other_kind_of_pass(folder, monkeypatch, kept):
    """Scoring runs in inference mode, training does not, and the memory for states grows in both."""
    if not kept:
        monkeypatch.setenv("PROBATE_TRUNKS", "")
    for modes in ((True, False, True), (False, True, False)):
        model = lively_model("Llama")
        for mode, count in zip(modes, (1, 2, 3), strict=True):
            with torch.inference_mode(mode):
                states(model, [*ROWS[:count], [20 + (i * count) % 9 for i in range(10 * count)]])
        assert not trunk_of(model)._states.is_inference()
    scores = score_choices(model, [[5, 6, 7]], [[[8], [9]]], pad_id=0)
    assert np.isfinite(scores[0]).all()
    assert [f.holds for f in proof.findings(model) if "trunk" in f.shortcut] == [True]


def test_a_process_sees_what_another_adds_later(folder, filled):
    one, other = lively_model("Llama"), lively_model("Llama")
    states(one, ROWS[:1])
    states(other, ROWS[:1])
    states(one)
    assert filled == [1, 2]
    states(other)
    assert filled == [1, 2]


@pytest.mark.parametrize("change", ["weight", "config", "layers", "kind"])
def test_another_model_has_states_of_its_own(folder, filled, change):
    states(lively_model("Llama"))
    model = lively_model(
        "Mistral" if change == "kind" else "Llama", **({"num_hidden_layers": 3} if change == "layers" else {})
    )
    if change == "weight":
        with torch.no_grad():
            model.model.layers[0].mlp.down_proj.weight[3, 5] += 1e-3
    if change == "config":
        model.config.rms_norm_eps = 1e-3
    states(model)
    assert filled == [3, 3]


def test_a_change_above_the_trunk_uses_the_same_states(folder, filled):
    states(lively_model("Llama"))
    model = lively_model("Llama")
    with torch.no_grad():
        model.model.layers[-1].mlp.down_proj.weight[3, 5] += 1
    states(model)
    assert filled == [3]


def broken(folder, how):
    (keys,), (values,) = (list(folder.glob(f"*/*{end}")) for end in (KEYS, STATES))
    if how == "a bit":
        data = bytearray(values.read_bytes())
        data[7] ^= 1
        values.write_bytes(data)
    elif how == "cut states":
        values.write_bytes(values.read_bytes()[:-5])
    elif how == "cut keys":
        keys.write_bytes(keys.read_bytes()[:-5])
    elif how == "no states":
        values.unlink()
    elif how == "no keys":
        keys.unlink()
    elif how == "keys of noise":
        keys.write_bytes(np.random.default_rng(0).bytes(keys.stat().st_size))
    elif how == "empty":
        keys.write_bytes(b"")


@pytest.mark.parametrize(
    "how", ["a bit", "cut states", "cut keys", "no states", "no keys", "keys of noise", "empty"]
)
def test_a_broken_file_is_computed_again(folder, filled, how):
    first = states(lively_model("Llama"))
    broken(folder, how)
    second = states(lively_model("Llama"))
    assert len(filled) == 2 and filled[1] >= 1
    torch.testing.assert_close(first, second, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("where", ["file", "", "read only"])
def test_without_a_place_nothing_is_kept(tmp_path, monkeypatch, filled, where):
    place = tmp_path / "x"
    if where == "file":
        place.write_text("")
    if where == "read only":
        monkeypatch.setattr(trunk_store.os, "chmod", lambda *_: (_ for _ in ()).throw(PermissionError()))
    monkeypatch.setenv("PROBATE_TRUNKS", str(place) if where else "")
    assert states(lively_model("Llama")).shape == (12, 32)
    assert states(lively_model("Llama")).isfinite().all() and filled == [3, 3]


def test_the_folder_is_bounded_and_the_oldest_go_first(tmp_path):
    keys = [[key_of(b"", bytes([p, i])) for i in range(100)] for p in range(5)]
    values = torch.randn(5, 100, 16)
    size = 100 * 16 * 4
    for part in range(5):
        store = TrunkStore(tmp_path, bytes([part % 2]), 16, torch.float32, most=4 * size)
        store.add(keys[part], values[part])
        assert sum(f.stat().st_size for f in tmp_path.glob(f"*/*{STATES}")) <= 4 * size
        for files in tmp_path.glob("*/*"):  # the clock is too coarse for the order
            import os

            stat = files.stat()
            os.utime(files, (stat.st_atime, stat.st_mtime - 10))
    last = TrunkStore(tmp_path, bytes([0]), 16, torch.float32, most=10 * size)
    assert not last.read(keys[0]) and len(last.read(keys[4])) == 100
    assert torch.equal(torch.stack([*last.read(keys[4]).values()]), values[4])


def test_bfloat16_states_and_more_than_there_is_room_for(tmp_path):
    store = TrunkStore(tmp_path, b"a", 8, torch.bfloat16, most=100)
    store.add([key_of(b"x")], torch.arange(8).bfloat16()[None])
    store.add([key_of(bytes([i])) for i in range(9)], torch.zeros(9, 8, dtype=torch.bfloat16))
    found = store.read([key_of(b"y"), key_of(b"x"), key_of(bytes([0]))])
    assert [*found] == [1] and torch.equal(found[1], torch.arange(8).bfloat16())
