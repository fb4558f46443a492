"""Training and scoring above a shared trunk equal the whole model's."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from conftest import tiny_model
from safetensors.torch import load_file
from test_sft import SETTINGS, examples

from probate.core.errors import StageError
from probate.models.adapter import attached
from probate.models.inference import trunk as trunk_module
from probate.models.inference.scoring import score_choices
from probate.models.inference.trunk import make_trunk, trunk_of
from probate.train.distance import mean_states
from probate.train.losses import Example
from probate.train.settings import AlignSettings
from probate.train.sft import train

TOP = SETTINGS.model_copy(update={"lora": SETTINGS.lora.model_copy(update={"layers": 1})})
PARTED = ["Llama", "Qwen2", "Qwen3", "Mistral", "Gemma3Text"]
PROMPTS = [[2, 3, 4, 5, 6, 7, 8, 9, 10 + i % 4, *range(20, 20 + i)] for i in range(7)]
OPTIONS = [[[30, 31], [30, 32, 33], [34]] if i % 2 else [[35, 36, 37], [38]] for i in range(7)]


def mixed() -> list[Example]:
    return [
        Example(e.prompt, e.completion, 1 + i % 2, augmented=i % 2 == 0, label=str(i % 3))
        for i, e in enumerate(examples())
    ]


def without_trunk(monkeypatch):
    monkeypatch.setattr("probate.train.sft.make_trunk", lambda model, top: None)


@pytest.mark.parametrize("family", PARTED)
def test_adapters_scores_and_states_are_those_of_the_whole_model(family, tmp_path, monkeypatch):
    model = tiny_model(family, 90)
    train(model, mixed(), TOP, 0, tmp_path / "a", pad_id=0, align=AlignSettings(decay=0.5))
    assert trunk_of(model) is not None
    with attached(model, tmp_path / "a") as adapted:
        scores = score_choices(adapted, PROMPTS, OPTIONS, pad_id=0)
        again = score_choices(adapted, PROMPTS[:3], OPTIONS[:3], pad_id=0)
        states = mean_states(adapted, mixed(), 0)
    without_trunk(monkeypatch)
    plain = tiny_model(family, 90)
    train(plain, mixed(), TOP, 0, tmp_path / "b", pad_id=0, align=AlignSettings(decay=0.5))
    assert trunk_of(plain) is None
    with attached(plain, tmp_path / "b") as adapted:
        expected = score_choices(adapted, PROMPTS, OPTIONS, pad_id=0)
        torch.testing.assert_close(states, mean_states(adapted, mixed(), 0), atol=2e-4, rtol=1e-3)
    for own, other in zip([*scores, *again], [*expected, *expected[:3]], strict=True):
        np.testing.assert_allclose(own, other, atol=5e-4)
    losses = [json.loads((tmp_path / x / "losses.json").read_text()) for x in "ab"]
    np.testing.assert_allclose(*losses, atol=1e-4)
    one, two = (load_file(str(tmp_path / x / "adapter_model.safetensors")) for x in "ab")
    assert one.keys() == two.keys()
    assert all(".layers.1." in name for name in one)
    assert all(torch.allclose(one[k], two[k], atol=1e-3) for k in one)


def test_the_model_comes_back_as_it_was(tmp_path):
    model = tiny_model("Llama", 90)
    before = {k: v.clone() for k, v in model.state_dict().items()}
    train(model, examples(), TOP, 0, tmp_path, pad_id=0)
    assert model.config.num_hidden_layers == len(model.model.layers) == 2
    assert [layer.self_attn.layer_idx for layer in model.model.layers] == [0, 1]
    after = model.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[k], after[k]) for k in before)


@pytest.mark.parametrize("family", ["Gemma", "Gemma2"])  # they scale what comes out of the embedding
def test_a_model_that_cannot_be_parted_runs_whole(family, tmp_path):
    model = tiny_model(family, 90)
    log = train(model, examples(), TOP, 0, tmp_path, pad_id=0)
    assert np.isfinite(log.losses).all()
    with attached(model, tmp_path) as adapted:
        assert np.isfinite(score_choices(adapted, PROMPTS, OPTIONS, pad_id=0)[0]).all()


def test_an_adapter_that_reaches_into_the_trunk_does_without(tmp_path):
    model = tiny_model("Llama", 90)
    train(model, examples(), SETTINGS, 0, tmp_path / "whole", pad_id=0)
    with attached(model, tmp_path / "whole") as adapted:
        expected = score_choices(adapted, PROMPTS, OPTIONS, pad_id=0)
    make_trunk(model, 1)
    assert trunk_of(model) is not None
    with attached(model, tmp_path / "whole") as adapted:
        assert trunk_of(adapted) is None
        for own, other in zip(score_choices(adapted, PROMPTS, OPTIONS, pad_id=0), expected, strict=True):
            np.testing.assert_array_equal(own, other)


@pytest.mark.parametrize(
    "most", [100, 2500, 6000]
)  # no room at all; room for the rows alone; for two sets of rows
def test_a_full_trunk_starts_again_or_steps_aside(most, tmp_path, monkeypatch):
    plain = score_choices(tiny_model("Llama", 90), PROMPTS, OPTIONS, pad_id=0)
    monkeypatch.setattr(trunk_module, "MOST_BYTES", 32 * 4 * 30 + most)
    model = tiny_model("Llama", 90)
    make_trunk(model, 1)
    shifted = [[t + 1 for t in p] for p in PROMPTS]
    score_choices(model, shifted, OPTIONS, pad_id=0)
    for own, other in zip(score_choices(model, PROMPTS, OPTIONS, pad_id=0), plain, strict=True):
        np.testing.assert_allclose(own, other, atol=5e-4)


def test_more_layers_than_there_are(tmp_path):
    wrong = TOP.model_copy(update={"lora": TOP.lora.model_copy(update={"layers": 3})})
    with pytest.raises(StageError, match="layers is 3, but the model has 2"):
        train(tiny_model("Llama", 90), examples(), wrong, 0, tmp_path, pad_id=0)
