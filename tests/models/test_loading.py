"""Loaded is what was named: weights, vocabularies and adapters that do not belong together are refused."""

from __future__ import annotations

import json
import os
import shutil

import pytest
import torch
from conftest import tiny_config, tiny_model
from safetensors.torch import load_file, save_file

from probate.core.errors import InputError
from probate.models.lm import load_lm
from probate.study.schema import ModelSpec


def copy(model_dir, tmp_path):
    return shutil.copytree(model_dir, tmp_path / "model")


def rewrite(folder, change):
    weights = load_file(folder / "model.safetensors")
    change(weights)
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


NORM = "model.layers.1.input_layernorm.weight"
BROKEN = {
    "missing": (lambda w: w.pop(NORM), rf"1 weights are missing .*{NORM}"),
    "extra": (
        lambda w: w.update({"model.layers.7.x.weight": torch.zeros(3)}),
        r"are unexpected .*layers\.7\.x",
    ),
    "shape": (
        lambda w: w.update({NORM: torch.ones(16)}),
        rf"have the wrong shape .*{NORM} \(\(16,\) in the file, \(32,\)",
    ),
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
    ("rows", "words"),
    [(650, "ids up to 699, but its embeddings have 650 rows"), (1500, "use the model's own tokenizer")],
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

    small = {
        "hidden_size": 32,
        "num_hidden_layers": 1,
        "num_attention_heads": 4,
        "intermediate_size": 32,
        "vocab_size": 700,
    }
    models = {
        "masked": BertForMaskedLM(BertConfig(**small)),
        "both ways": BertLMHeadModel(BertConfig(**small)),
        "classifier": LlamaForSequenceClassification(tiny_config("Llama", 700)),
        "encoder": T5ForConditionalGeneration(
            T5Config(d_model=32, d_ff=32, num_layers=1, num_heads=2, d_kv=8, vocab_size=700)
        ),
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
    get_peft_model(
        base, LoraConfig(r=2, target_modules="all-linear", init_lora_weights=False)
    ).save_pretrained(folder)
    return folder


def change_adapter(folder, change):
    weights = load_file(folder / "adapter_model.safetensors")
    change(weights)
    save_file(weights, folder / "adapter_model.safetensors")


def change_config(folder, **values):
    file = folder / "adapter_config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **values}))


ADAPTERS = {
    "no folder": (lambda f: shutil.rmtree(f), "adapter_config.json is missing"),
    "no weights": (
        lambda f: (f / "adapter_model.safetensors").unlink(),
        "adapter_model.safetensors is missing",
    ),
    "no JSON": (lambda f: (f / "adapter_config.json").write_text("{"), "is not valid JSON"),
    "other base": (
        lambda f: change_config(f, base_model_name_or_path="some/other"),
        "was trained on 'other'",
    ),
    "other rank": (lambda f: change_config(f, r=4), "does not fit the model"),
    "other targets": (lambda f: change_config(f, target_modules=["nowhere"]), "does not fit the model"),
    "lost weight": (
        lambda f: change_adapter(f, lambda w: w.pop(sorted(w)[0])),
        "lacks 1 weights: base_model",
    ),
    "more weights": (
        lambda f: change_adapter(
            f,
            lambda w: w.update(
                {"base_model.model.model.layers.9.mlp.up_proj.lora_A.weight": torch.ones(2, 32)}
            ),
        ),
        r"has 1 weights that do not fit the model: .*layers\.9",
    ),
}


@pytest.mark.parametrize("kind", ADAPTERS)
def test_adapters_that_do_not_fit(kind, adapter, model_dir):
    load_lm(ModelSpec(name=str(model_dir), adapter=str(adapter)))
    change, words = ADAPTERS[kind]
    change(adapter)
    with pytest.raises(InputError, match=words):
        load_lm(ModelSpec(name=str(model_dir), adapter=str(adapter)))


def shell(tmp_path, tokenizer):
    """A model with an eye: a text decoder inside a shell, saved as its owner has it."""
    import transformers
    from architectures import CONFIGS

    settings = CONFIGS["Gemma3-shell"][1]
    settings = {**settings, "text_config": {**settings["text_config"], "vocab_size": len(tokenizer)}}
    torch.manual_seed(0)
    model = transformers.Gemma3ForConditionalGeneration(transformers.Gemma3Config(**settings))
    model.save_pretrained(tmp_path / "shell")
    tokenizer.save_pretrained(tmp_path / "shell")
    return tmp_path / "shell", model.eval()


def test_a_shell_around_a_text_decoder_is_read_as_a_whole(tokenizer, tmp_path):
    folder, model = shell(tmp_path, tokenizer)
    lm = load_lm(str(folder))
    ids = lm.prompt_ids([{"role": "user", "content": "Who is it?"}])
    with torch.no_grad():
        torch.testing.assert_close(
            lm.model(torch.tensor([ids])).logits, model(input_ids=torch.tensor([ids])).logits
        )
    weights = load_file(folder / "model.safetensors")
    lost = next(k for k in sorted(weights) if "layers.1.mlp.up_proj" in k and "vision" not in k)
    rewrite(folder, lambda w: w.pop(lost))
    with pytest.raises(InputError, match="1 weights are missing"):
        load_lm(str(folder))


def test_weights_of_images_are_no_obstacle_where_only_the_text_decoder_is_loaded(model_dir, tmp_path):
    folder = copy(model_dir, tmp_path)
    rewrite(folder, lambda w: w.update({"vision_tower.layers.0.weight": torch.ones(3)}))
    load_lm(str(folder))
    rewrite(folder, lambda w: w.update({"televisions.weight": torch.ones(3)}))
    with pytest.raises(InputError, match="1 weights are unexpected .*televisions"):
        load_lm(str(folder))


KINDS = {
    "quantised": (
        {"quantization_config": {"quant_method": "gptq", "bits": 4}},
        r"quantised \(gptq\); a study needs the unquantised weights",
    ),
    "no text model": (
        {"model_type": "clip", "architectures": ["CLIPModel"]},
        "clip, for which transformers has no causal language model",
    ),
    "unknown": ({"model_type": "nobody_knows"}, "its config.json cannot be loaded"),
}


@pytest.mark.parametrize("kind", KINDS)
def test_kinds_of_model_that_cannot_be_studied_are_named(kind, model_dir, tmp_path):
    folder = copy(model_dir, tmp_path)
    change, words = KINDS[kind]
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, **change}))
    with pytest.raises(InputError, match=words):
        load_lm(str(folder))


def warned(model_dir, monkeypatch, *said):
    """Load while the libraries say something."""
    import logging
    import warnings

    from transformers import AutoModelForCausalLM

    plain = AutoModelForCausalLM.from_pretrained

    def speaking(*args, **settings):
        for text in said:
            logging.getLogger("transformers.modeling_utils").warning(text)
        warnings.warn("the config is old", UserWarning, stacklevel=1)
        return plain(*args, **settings)

    monkeypatch.setattr(AutoModelForCausalLM, "from_pretrained", speaking)
    return load_lm(str(model_dir))


def test_what_the_libraries_warn_of_is_kept_and_said_once(model_dir, monkeypatch, caplog):
    first = warned(model_dir, monkeypatch, "something is slow", "something is slow")
    monkeypatch.undo()
    warned(model_dir, monkeypatch, "something is slow")
    assert first.warnings == ["something is slow", "the config is old"] == first.describe()["warnings"]
    said = [r.getMessage() for r in caplog.records if r.name == "probate"]
    assert len(said) == 2 and said[0].endswith("something is slow")


def test_a_warning_of_weights_is_an_error(model_dir, monkeypatch):
    with pytest.raises(
        InputError, match="not loaded as they are in its files .Some weights .* newly initialized"
    ):
        warned(model_dir, monkeypatch, "Some weights of X were not initialized and are newly initialized")


def test_an_ordinary_model_loads_without_a_word(model_dir):
    assert load_lm(str(model_dir)).warnings == []


def test_an_adapter_that_was_trained_again_is_another_model(adapter, model_dir):
    spec = ModelSpec(name=str(model_dir), adapter=str(adapter))
    before = load_lm(spec).fingerprint
    assert load_lm(spec).fingerprint == before
    change_adapter(adapter, lambda w: w.update({k: v * 2 for k, v in w.items()}))
    assert load_lm(spec).fingerprint != before


@pytest.mark.parametrize(
    "name", ["model.safetensors", "config.json", "tokenizer.json", "chat_template.jinja"]
)
def test_a_model_is_another_once_a_file_of_its_folder_is(name, model_dir, tmp_path):
    shutil.copytree(model_dir, tmp_path / "own")
    lm = load_lm(str(tmp_path / "own"))
    before, file = lm.fingerprint, tmp_path / "own" / name
    times = file.stat().st_atime_ns, file.stat().st_mtime_ns
    content = file.read_bytes()
    file.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))  # of the same size and the same time
    os.utime(file, ns=times)
    del lm.fingerprint
    assert lm.fingerprint != before
    (tmp_path / "own" / "README.md").write_text("another card")
    file.write_bytes(content)
    del lm.fingerprint
    assert lm.fingerprint == before


def test_a_decoded_text_keeps_its_spaces(model_dir):
    lm = load_lm(str(model_dir))
    text = " She works . Isn 't it ?"
    assert lm.decode(lm.text_ids(text)) == lm.decode(lm.text_ids(text), after=lm.text_ids("Anna")) == text
