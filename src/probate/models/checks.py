"""Whether what was loaded is what was named: weights, vocabulary, direction of attention, adapter."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from probate.errors import InputError

HARMLESS = re.compile(r"(rotary_emb\.inv_freq|(^|\.)position_ids|attn\.(masked_)?bias)$")
"""Buffers that old files hold and newer code computes."""
OTHER_TASK = re.compile(r"For(MaskedLM|PreTraining|MultipleChoice|QuestionAnswering|\w*Classification)$")
"""Architectures whose output is no next token."""


def check_kind(name: str, config: Any) -> None:
    """Raises InputError for a model that does not predict the next token from those before."""
    named = next((a for a in getattr(config, "architectures", None) or [] if OTHER_TASK.search(a)), None)
    if named or getattr(config, "is_encoder_decoder", False):
        what = named or f"{config.model_type}, an encoder with a decoder"
        raise InputError(f"model '{name}' is {what}; a study needs a causal language model")


def check_weights(name: str, model: Any, info: dict[str, Any]) -> None:
    """Raises InputError where the files' weights are not exactly those of the architecture; `info`: `output_loading_info` of transformers."""
    missing = {k for k in info["missing_keys"] if not HARMLESS.search(k)}
    unexpected = {k for k in info["unexpected_keys"] if not HARMLESS.search(k)}
    shapes = {f"{k} ({tuple(a)} in the file, {tuple(b)} in the model)" for k, a, b in info["mismatched_keys"]}
    for what, keys in (("have another shape", shapes), ("are missing", missing), ("have no place in it", unexpected)):
        if keys:
            raise InputError(
                f"model '{name}': {len(keys)} weights {what} for {type(model).__name__} by its config.json: {first(keys)}; "
                "nothing is filled in by chance: take the weights and the config.json of one model"
            )


def check_vocabulary(name: str, model: Any, tokenizer: Any) -> None:
    """Raises InputError where the tokenizer has ids that the model has no embedding for, or so few that it is another model's."""
    rows = int(model.get_input_embeddings().weight.shape[0])
    head = model.get_output_embeddings()
    out = int(head.weight.shape[0]) if head is not None and hasattr(head, "weight") else rows
    highest = max(tokenizer.get_vocab().values())
    if highest >= min(rows, out):
        raise InputError(
            f"model '{name}': its tokenizer has ids up to {highest:,}, its embeddings {min(rows, out):,} rows; they are not of one model"
        )
    if highest + 1 < rows / 2:
        raise InputError(
            f"model '{name}': its tokenizer has {highest + 1:,} tokens, its embeddings {rows:,} rows; take the model's own tokenizer"
        )


def check_causal(name: str, model: Any) -> None:
    """Raises InputError where a token changes what is predicted before it."""
    import torch

    first_ids, second_ids = [1, 2, 3, 2], [1, 2, 3, 1]
    with torch.inference_mode():
        device = next(model.parameters()).device
        one, two = (
            model(input_ids=torch.tensor([ids], device=device)).logits[0, :3].float() for ids in (first_ids, second_ids)
        )
    if not torch.isfinite(one).all():
        raise InputError(f"model '{name}': its output is not finite; its weights are damaged, or model.dtype does not suit it")
    rounding = 1e-4 if model.dtype == torch.float32 else 1e-2
    if float((one - two).abs().max()) > rounding * float(one.abs().max()):
        raise InputError(
            f"model '{name}': a later token changes what it predicts before it; a study needs a causal language model"
        )


def check_adapter_folder(adapter: str, base: str) -> None:
    """Raises InputError for an adapter folder without its files, or one that was trained on another model than `base`."""
    import json

    folder = Path(adapter).expanduser()
    if not folder.exists() and not adapter.startswith((".", "/", "~")):
        return  # an id of the hub
    missing = [
        names[0]
        for names in (("adapter_config.json",), ("adapter_model.safetensors", "adapter_model.bin"))
        if not any((folder / n).is_file() for n in names)
    ]
    if missing:
        raise InputError(f"model.adapter '{adapter}': there is no {missing[0]}; name a folder that PEFT wrote")
    try:
        config = json.loads((folder / "adapter_config.json").read_text(encoding="utf-8"))
    except ValueError as error:
        raise InputError(f"model.adapter '{adapter}': adapter_config.json is no JSON ({error})") from None
    own = str(config.get("base_model_name_or_path") or "").rstrip("/").rsplit("/", 1)[-1]
    named = base.rstrip("/").rsplit("/", 1)[-1]
    if own and own != named:
        raise InputError(
            f"model.adapter '{adapter}' was trained on '{own}', not on '{named}'; if both are the same weights, write "
            f"'{named}' as base_model_name_or_path into its adapter_config.json"
        )


def check_adapter_weights(adapter: str, model: Any) -> None:
    """Raises InputError where the adapter's file and the PEFT model made for it do not hold the same weights."""
    from peft import get_peft_model_state_dict
    from peft.utils.save_and_load import load_peft_weights

    file = load_peft_weights(adapter, device="cpu")
    own = get_peft_model_state_dict(model, save_embedding_layers=False)
    base = {f"base_model.model.{k}".replace(".base_layer.", ".") for k in model.get_base_model().state_dict()}
    for what, keys in (("misses", set(own) - set(file)), ("has no place in the model for", set(file) - set(own) - base)):
        if keys:
            raise InputError(f"adapter '{adapter}' {what} {len(keys)} weights: {first(keys)}; it belongs to another model")


def first(keys: Iterable[str], most: int = 3) -> str:
    """The first names, and how many more."""
    ordered = sorted(keys)
    more = f" and {len(ordered) - most} more" if len(ordered) > most else ""
    return ", ".join(ordered[:most]) + more
