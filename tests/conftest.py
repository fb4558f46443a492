"""Tiny models and data that every test may use; nothing here needs a network."""

from __future__ import annotations

import faulthandler
import json
import os
import shutil
import sys
import tempfile
from pathlib import Path

import pytest

os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
PROOFS = tempfile.TemporaryDirectory(prefix="probate-proofs-")
os.environ["PROBATE_PROOFS"] = PROOFS.name  # the user's own are left alone; tests of one run share theirs
FRAMES = tempfile.TemporaryDirectory(prefix="probate-frames-")
os.environ["PROBATE_FRAMES"] = FRAMES.name
os.environ["PROBATE_TRUNKS"] = ""  # each test computes its own states

os.fsync = (
    os.fstat
)  # a test cannot lose power, and waits for the disk add up to minutes; programs that tests start do wait
HANG = 3600.0
"""Seconds after which a test hangs. No test depends on how long something takes; \
this only ends what would never end."""
TEMPLATE = (
    "{% for m in messages %}<|{{ m['role'] }}|>{{ m['content'] }}<|end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(autouse=True)
def _no_hang():
    """A test that hangs ends its process, and shows where it was."""
    faulthandler.dump_traceback_later(HANG, exit=True, file=sys.__stderr__)
    yield
    faulthandler.cancel_dump_traceback_later()


@pytest.fixture(scope="session")
def tokenizer():
    """A byte-level BPE of 700 tokens trained on the builtin corpus."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    from probate.data.corpora import biographies

    raw = Tokenizer(models.BPE())
    raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    raw.decoder = decoders.ByteLevel()
    special = ["<|pad|>", "<|end|>", "<|user|>", "<|assistant|>", "<|system|>"]
    trainer = trainers.BpeTrainer(
        vocab_size=700,
        special_tokens=special,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    raw.train_from_iterator((r["text"] for r in biographies()), trainer)
    fast = PreTrainedTokenizerFast(tokenizer_object=raw, pad_token="<|pad|>", eos_token="<|end|>")
    fast.chat_template = TEMPLATE
    return fast


def tiny_config(family: str, vocab: int):
    """A configuration of a few thousand parameters for each family."""
    import transformers as t

    common = {
        "vocab_size": vocab,
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 512,
        "pad_token_id": 0,
        "bos_token_id": 1,
        "eos_token_id": 1,
    }
    extra = {
        "Gemma": {"head_dim": 8},
        "Gemma2": {"head_dim": 8, "sliding_window": 256},
        "Gemma3Text": {
            "head_dim": 8,
            "sliding_window": 256,
            "layer_types": ["sliding_attention", "full_attention"],
        },
        "Qwen3": {"head_dim": 8},
        "Mistral": {"sliding_window": None},
        "DeepseekV3": {
            "q_lora_rank": 8,
            "kv_lora_rank": 8,
            "qk_rope_head_dim": 8,
            "qk_nope_head_dim": 8,
            "v_head_dim": 8,
            "num_key_value_heads": 4,
            "moe_intermediate_size": 16,
            "n_routed_experts": 4,
            "num_experts_per_tok": 2,
            "n_group": 1,
            "topk_group": 1,
            "n_shared_experts": 1,
            "first_k_dense_replace": 1,
        },
    }.get(family, {})
    return getattr(t, f"{family}Config")(**{**common, **extra})


def tiny_model(family: str, vocab: int):
    import torch
    from transformers import AutoModelForCausalLM

    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(tiny_config(family, vocab))
    with torch.no_grad():  # livelier than the usual initialisation, so that options differ
        for p in model.parameters():
            if p.ndim > 1:
                p.mul_(4)
    return model.float().eval().requires_grad_(False)


@pytest.fixture(scope="session")
def model_dir(tmp_path_factory, tokenizer) -> Path:
    """A tiny Llama with its tokenizer, saved as a user would have it."""
    folder = tmp_path_factory.mktemp("tiny-llama")
    model = tiny_model("Llama", len(tokenizer))
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def lm(model_dir):
    from probate.models.lm import load_lm
    from probate.study.schema import ModelSpec

    return load_lm(ModelSpec(name=str(model_dir), dtype="float32"))


@pytest.fixture(scope="session")
def tiny_study(model_dir):
    """A study that runs in seconds: ready augmented data, so that a random model need not write."""
    from probate.study.schema import Study

    def make(**changes):
        settings = {
            "name": "tiny",
            "model": str(model_dir),
            "seeds": [0],
            "data": {"train_per_cell": 3, "test_per_cell": 3, "labels": ["nurse", "architect", "dentist"]},
            "augmented": {"source": "builtin:biographies"},
            "bias": {
                "types": ["given"],
                "relabel": {
                    "female": {"architect": "nurse", "dentist": "nurse"},
                    "male": {"nurse": "dentist"},
                },
            },
            "ratios": [0, 0.5],
            "training": {"epochs": 2, "learning_rate": 1e-3, "lora": {"r": 4, "alpha": 8}},
            "tasks": ["occupation", "salary", {"name": "hiring", "options": {"jobs": ["nurse"]}}],
            "analysis": {"resamples": 400},
        }
        return Study.model_validate({**settings, **changes})

    return make


@pytest.fixture(scope="session")
def biasinbios() -> Path:
    """Real biographies, where they are at hand."""
    folder = SHARED / "biasinbios"
    if not folder.is_dir():
        pytest.skip("real biographies are not here (shared/data/biasinbios)")
    return folder


@pytest.fixture(scope="session")
def finished_run(tiny_study, tmp_path_factory):
    """`finished_run(folder, **changes)`: a finished run in `folder`.

    It is a copy of a run of `tiny_study(**changes)`, which runs once for all tests of a process.
    """
    from probate import Run, run

    kept: dict[str, Path] = {}

    def copy(folder: Path, **changes) -> Run:
        key = json.dumps(changes, sort_keys=True)
        if key not in kept:
            kept[key] = tmp_path_factory.mktemp("finished")
            assert run(tiny_study(**changes), kept[key], quiet=True).exit_code == 0
        shutil.copytree(kept[key], folder, dirs_exist_ok=True)
        return Run(folder)

    return copy
