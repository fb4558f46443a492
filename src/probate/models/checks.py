"""Whether what was loaded is what was named: weights, vocabulary, direction of attention, adapter."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from probate.core.errors import InputError
from probate.core.terminal import shown
from probate.models.adapter_files import check_finite, read_config

HARMLESS = re.compile(r"(rotary_emb\.inv_freq|(^|\.)position_ids|attn\.(masked_)?bias)$")
"""Buffers that old files hold and newer code computes."""
ANSWERED = re.compile(r"LOAD REPORT|Found missing adapter keys|Already found a `peft_config`", re.IGNORECASE)
"""Warnings of what `check_weights` and `check_adapter_weights` look at themselves."""
NOT_AS_NAMED = re.compile(
    r"newly initialized|not initialized|randomly initialized|not used when|(missing|unexpected|mismatched) (adapter )?keys|size mismatch",
    re.IGNORECASE,
)
OTHER_PART = re.compile(r"(^|\.)(vision|visual|image|audio|speech|multi_?modal|mm)\w*\.")
FEWEST = 0.8
"""Smallest share of a model's embeddings that its own tokenizer has ids for; real ones leave up to 5% free."""
SAID: set[tuple[str, str]] = set()
"""Warnings that were logged already."""
OTHER_TASK = re.compile(r"For(MaskedLM|PreTraining|MultipleChoice|QuestionAnswering|\w*Classification)$")
"""Architectures whose output is no next token."""


def check_kind(name: str, config: Any) -> None:
    """Raises InputError for a model that does not predict the next token from those before, or whose weights are quantised."""
    from transformers import MODEL_FOR_CAUSAL_LM_MAPPING

    named = next((a for a in getattr(config, "architectures", None) or [] if OTHER_TASK.search(a)), None)
    what = named
    if getattr(config, "is_encoder_decoder", False):
        what = f"{config.model_type}, an encoder with a decoder"
    elif not named and type(config) not in MODEL_FOR_CAUSAL_LM_MAPPING:
        what = f"{config.model_type}, which transformers has no causal language model for"
    if what:
        raise InputError(f"model '{name}' is {what}; a study needs a causal language model")
    if getattr(config, "quantization_config", None):
        how = config.quantization_config
        how = how.get("quant_method", "") if isinstance(how, dict) else getattr(how, "quant_method", "")
        raise InputError(
            f"model '{name}': its weights are quantised ({how}); a study needs those it was quantised from"
        )


def check_warnings(name: str, warned: Sequence[str]) -> list[str]:
    """The libraries' warnings, each once. Those that the other checks answer are left out; the rest is logged.

    Raises:
        InputError: a warning says that weights or an adapter are not as the files have them.
    """
    left = [" ".join(w.split()) for w in dict.fromkeys(warned) if not ANSWERED.search(w)]
    for text in left:
        if NOT_AS_NAMED.search(text):
            raise InputError(
                f"model '{name}': its weights are not loaded as its files have them ({text[:300]})"
            )
        if (name, text) not in SAID:
            SAID.add((name, text))
            logging.getLogger("probate").warning("%s", shown(f"model '{name}': {text[:300]}"))
    return left


def check_labels(where: str, texts: Sequence[str], ids: Sequence[Sequence[int]]) -> None:
    """Raises InputError for a text without a token, or two that are the same tokens: the model cannot tell them apart."""
    seen: dict[tuple[int, ...], str] = {}
    for text, own in zip(texts, ids, strict=True):
        if not text or not len(own):
            raise InputError(f"{where}: the option '{text}' has no token; give it a text")
        if tuple(own) in seen:
            raise InputError(
                f"{where}: the options '{seen[tuple(own)]}' and '{text}' are the same tokens for this model; word one differently"
            )
        seen[tuple(own)] = text


def check_weights(name: str, model: Any, info: dict[str, Any]) -> None:
    """Raises InputError where the files' weights are not exactly those of the architecture; `info`: `output_loading_info` of transformers."""
    missing = {k for k in info["missing_keys"] if not HARMLESS.search(k)}
    unexpected = {k for k in info["unexpected_keys"] if not HARMLESS.search(k) and not _other_part(k, model)}
    shapes = {f"{k} ({tuple(a)} in the file, {tuple(b)} in the model)" for k, a, b in info["mismatched_keys"]}
    for what, keys in (
        ("have another shape", shapes),
        ("are missing", missing),
        ("have no place in it", unexpected),
    ):
        if keys:
            raise InputError(
                f"model '{name}': {len(keys)} weights {what} for {type(model).__name__} by its config.json: {first(keys)}; "
                "nothing is filled in by chance: take the weights and the config.json of one model"
            )


def _other_part(key: str, model: Any) -> bool:
    """Whether a weight belongs to the images or sounds of a model of which only the text decoder is loaded."""
    return bool(OTHER_PART.search(key)) and not any(OTHER_PART.search(k) for k in model.state_dict())


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
    if highest + 1 < FEWEST * rows:
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
            model(input_ids=torch.tensor([ids], device=device)).logits[0, :3].float()
            for ids in (first_ids, second_ids)
        )
    if not torch.isfinite(one).all():
        raise InputError(
            f"model '{name}': its output is not finite; its weights are damaged, or model.dtype does not suit it"
        )
    rounding = 1e-4 if model.dtype == torch.float32 else 1e-2
    if float((one - two).abs().max()) > rounding * float(one.abs().max()):
        raise InputError(
            f"model '{name}': a later token changes what it predicts before it; a study needs a causal language model"
        )


def check_adapter_folder(adapter: str, folder: Path, base: str) -> None:
    """Raises InputError for an adapter without its files, that would run code, or that was trained on another model than `base`."""
    config = read_config(adapter, folder)
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
    check_finite(adapter, file)
    own = get_peft_model_state_dict(model, save_embedding_layers=False)
    base = {f"base_model.model.{k}".replace(".base_layer.", ".") for k in model.get_base_model().state_dict()}
    for what, keys in (
        ("misses", set(own) - set(file)),
        ("has no place in the model for", set(file) - set(own) - base),
    ):
        if keys:
            raise InputError(
                f"adapter '{adapter}' {what} {len(keys)} weights: {first(keys)}; it belongs to another model"
            )


def first(keys: Iterable[str], most: int = 3) -> str:
    """The first names, and how many more."""
    ordered = sorted(keys)
    more = f" and {len(ordered) - most} more" if len(ordered) > most else ""
    return ", ".join(ordered[:most]) + more
