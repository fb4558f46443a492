"""Loaded is what was named: weights, vocabularies and adapters that do not belong together are refused."""

from __future__ import annotations

import json
import shutil

import pytest
import torch
from conftest import tiny_config, tiny_model
from safetensors.torch import load_file, save_file

from probate.errors import InputError
from probate.models.lm import load_lm
from probate.study import ModelSpec


def copy(model_dir, tmp_path):
    return shutil.copytree(model_dir, tmp_path / "model")


def rewrite(folder, change):
    weights = load_file(folder / "model.safetensors")
    change(weights)
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


NORM = "model.layers.1.input_layernorm.weight"
BROKEN = {
    "missing": (lambda w: w.pop(NORM), rf"1 weights are missing .*{NORM}"),
    "extra": (lambda w: w.update({"model.layers.7.x.weight": torch.zeros(3)}), r"have no place .*layers\.7\.x"),
    "shape": (lambda w: w.update({NORM: torch.ones(16)}), rf"another shape .*{NORM} \(\(16,\) in the file, \(32,\)"),
    "not finite": (lambda w: w.update({NORM: torch.full((32,), float("nan"))}), "its output is not finite"),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_weights_that_do_not_fit(kind, model_dir, tmp_path):
    folder = copy(model_dir, tmp_path)
    change, words = BROKEN[kind]
    rewrite(folder, change)
    with pytest.raises(InputError, match=words):
        load_lm(str(folder))


def test_old_rotary_buffers_are_harmless(model_dir, tmp_path):
    folder = copy(model_dir, tmp_path)
    rewrite(folder, lambda w: w.update({"model.layers.0.self_attn.rotary_emb.inv_freq": torch.ones(4)}))
    load_lm(str(folder))


def test_truncated_weights(model_dir, tmp_path):
    folder = copy(model_dir, tmp_path)
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-1000])
    with pytest.raises(InputError, match="cannot be loaded"):
        load_lm(str(folder))


@pytest.mark.parametrize(
    ("rows", "words"), [(650, "ids up to 699, its embeddings 650 rows"), (1500, "take the model's own tokenizer")]
)
def test_vocabulary_and_embeddings(rows, words, tokenizer, tmp_path):
    tiny_model("Llama", rows).save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    with pytest.raises(InputError, match=words):
        load_lm(str(tmp_path))


def test_models_that_are_not_causal(tokenizer, tmp_path):
    from transformers import (
        BertConfig,
        BertForMaskedLM,
        BertLMHeadModel,
        LlamaForSequenceClassification,
        T5Config,
        T5ForConditionalGeneration,
    )

    small = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 4, "intermediate_size": 32, "vocab_size": 700}
    models = {
        "masked": BertForMaskedLM(BertConfig(**small)),
        "both ways": BertLMHeadModel(BertConfig(**small)),
        "classifier": LlamaForSequenceClassification(tiny_config("Llama", 700)),
        "encoder": T5ForConditionalGeneration(T5Config(d_model=32, d_ff=32, num_layers=1, num_heads=2, d_kv=8, vocab_size=700)),
    }
    for name, model in models.items():
        model.save_pretrained(tmp_path / name)
        tokenizer.save_pretrained(tmp_path / name)
        with pytest.raises(InputError, match="a study needs a causal language model"):
            load_lm(str(tmp_path / name))


@pytest.fixture
def adapter(model_dir, tmp_path):
    from peft import LoraConfig, get_peft_model

    base = load_lm(str(model_dir)).model
    folder = tmp_path / "adapter"
    get_peft_model(base, LoraConfig(r=2, target_modules="all-linear", init_lora_weights=False)).save_pretrained(folder)
    return folder


def change_adapter(folder, change):
    weights = load_file(folder / "adapter_model.safetensors")
    change(weights)
    save_file(weights, folder / "adapter_model.safetensors")


def change_config(folder, **values):
    file = folder / "adapter_config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **values}))


ADAPTERS = {
    "no folder": (lambda f: shutil.rmtree(f), "there is no adapter_config.json"),
    "no weights": (lambda f: (f / "adapter_model.safetensors").unlink(), "there is no adapter_model.safetensors"),
    "no JSON": (lambda f: (f / "adapter_config.json").write_text("{"), "is no JSON"),
    "other base": (lambda f: change_config(f, base_model_name_or_path="some/other"), "was trained on 'other'"),
    "other rank": (lambda f: change_config(f, r=4), "does not fit the model"),
    "other targets": (lambda f: change_config(f, target_modules=["nowhere"]), "does not fit the model"),
    "lost weight": (lambda f: change_adapter(f, lambda w: w.pop(sorted(w)[0])), "misses 1 weights: base_model"),
    "more weights": (
        lambda f: change_adapter(
            f, lambda w: w.update({"base_model.model.model.layers.9.mlp.up_proj.lora_A.weight": torch.ones(2, 32)})
        ),
        r"no place in the model for 1 weights: .*layers\.9",
    ),
}


@pytest.mark.parametrize("kind", ADAPTERS)
def test_adapters_that_do_not_fit(kind, adapter, model_dir):
    load_lm(ModelSpec(name=str(model_dir), adapter=str(adapter)))
    change, words = ADAPTERS[kind]
    change(adapter)
    with pytest.raises(InputError, match=words):
        load_lm(ModelSpec(name=str(model_dir), adapter=str(adapter)))
