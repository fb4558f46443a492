"""Adapters that run code, allocate what they like, or are damaged.

One sentence each, before PEFT sees them.
"""

import json
import re
import struct

import pytest
import torch
from test_loading import adapter, change_adapter, change_config  # noqa: F401 (a fixture)

from probate.core.errors import InputError
from probate.models.lm import load_lm
from probate.study.schema import ModelSpec

WEIGHTS = "adapter_model.safetensors"


def header(folder, change):
    """The safetensors file with a changed header."""
    data = (folder / WEIGHTS).read_bytes()
    size = struct.unpack("<Q", data[:8])[0]
    own = json.loads(data[8 : 8 + size])
    change(own)
    text = json.dumps(own).encode()
    (folder / WEIGHTS).write_bytes(struct.pack("<Q", len(text)) + text + data[8 + size :])


def pickled(folder):
    torch.save({}, folder / "adapter_model.bin")
    (folder / WEIGHTS).unlink()


def bytes_(folder, make):
    (folder / WEIGHTS).write_bytes(make((folder / WEIGHTS).read_bytes()))


BAD = {
    "a pickle": (pickled, "adapter_model.bin is a pickle"),
    "a list": (lambda f: (f / "adapter_config.json").write_text("[]"), "should be a valid dictionary"),
    "deep": (lambda f: (f / "adapter_config.json").write_text("[" * 100_000), "is not valid JSON"),
    "empty configuration": (lambda f: (f / "adapter_config.json").write_text(""), "is not valid JSON"),
    "a module by name": (
        lambda f: change_config(f, megatron_config={"a": 1}, megatron_core="this"),
        "import a module, which is not allowed",
    ),
    "another kind": (
        lambda f: change_config(f, peft_type="PROMPT_TUNING", num_virtual_tokens=10**12),
        "must be one of LORA; got 'PROMPT_TUNING'",
    ),
    "no kind": (lambda f: change_config(f, peft_type=None), "peft_type: input should be"),
    "kind of another type": (lambda f: change_config(f, peft_type=["LORA"]), "peft_type: input should be"),
    "rank of a thousand millions": (lambda f: change_config(f, r=10**9), "got 1000000000"),
    "rank of a thousand millions for some": (
        lambda f: change_config(f, rank_pattern={"q_proj": 10**9}), "got 1000000000",
    ),
    "rank of another file": (lambda f: change_config(f, r=64), "adapter_config.json has rank 64"),
    "rank 0": (lambda f: change_config(f, r=0), "got 0"),
    "rank -1": (lambda f: change_config(f, r=-1), "got -1"),
    "rank in words": (lambda f: change_config(f, r="two"), "r: input should be"),
    "rank true": (lambda f: change_config(f, r=True), "r: input should be"),
    "pattern in words": (lambda f: change_config(f, rank_pattern="x"), "rank_pattern: input should be"),
    "endless pattern": (lambda f: change_config(f, target_modules="(.+)+!"), "repeats a group"),
    "endless pattern as a key": (
        lambda f: change_config(f, alpha_pattern={"(a|b|.)*!": 1}), "repeats a group",
    ),
    "alpha in words": (lambda f: change_config(f, lora_alpha="much"), "lora_alpha.int: input should be"),
    "targets a number": (
        lambda f: change_config(f, target_modules=7), "target_modules.list[str]: input should be",
    ),
    "unknown start": (
        lambda f: change_config(f, init_lora_weights="somewhere/else"), "does not fit the model",
    ),
    "empty file": (lambda f: bytes_(f, lambda b: b""), "cannot be read"),
    "cut off": (lambda f: bytes_(f, lambda b: b[:-7]), "cannot be read"),
    "header of all memory": (
        lambda f: bytes_(f, lambda b: struct.pack("<Q", 2**60) + b[8:]), "cannot be read",
    ),
    "no safetensors": (lambda f: bytes_(f, lambda b: b"PK\3\4" * 99), "cannot be read"),
    "offsets that lie": (
        lambda f: header(f, lambda h: h[sorted(h)[-1]].update(data_offsets=[0, 10**12])), "cannot be read",
    ),
    "shape that lies": (
        lambda f: header(f, lambda h: h[sorted(h)[-1]].update(shape=[10**9, 10**9])), "cannot be read",
    ),
    "not a number": (
        lambda f: change_adapter(f, lambda w: w[sorted(w)[0]].fill_(float("nan"))), "is not finite",
    ),
    "infinite": (lambda f: change_adapter(f, lambda w: w[sorted(w)[0]].fill_(float("inf"))), "is not finite"),
    "other shape": (
        lambda f: change_adapter(f, lambda w: w.update({sorted(w)[0]: torch.ones(2, 7)})),
        "does not fit the model",
    ),
    "no weight": (lambda f: change_adapter(f, lambda w: w.clear()), "ranks up to 0"),
}  # fmt: skip


@pytest.mark.parametrize("kind", BAD)
def test_a_bad_adapter_is_one_sentence(kind, adapter, model_dir, capfd):  # noqa: F811
    change, words = BAD[kind]
    change(adapter)
    with pytest.raises(InputError, match=re.escape(words)) as caught:
        load_lm(ModelSpec(name=str(model_dir), adapter=str(adapter)))
    said = str(caught.value)
    assert "adapter" in said and "\n" not in said and len(said) < 700
    assert "Traceback" not in capfd.readouterr().err


def test_a_folder_that_is_linked_is_read_like_any_other(adapter, model_dir, tmp_path):  # noqa: F811
    (tmp_path / "link").symlink_to(adapter)
    load_lm(ModelSpec(name=str(model_dir), adapter=str(tmp_path / "link")))
