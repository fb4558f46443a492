"""Check that a loaded model matches its files: weights, vocabulary, direction of attention, adapter."""

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
"""Buffers that old files contain and newer code computes."""
CHECKED = re.compile(r"LOAD REPORT|Found missing adapter keys|Already found a `peft_config`", re.IGNORECASE)
"""Warnings about problems that `check_weights` and `check_adapter_weights` check themselves."""
NOT_AS_NAMED = re.compile(
    r"newly initialized|not initialized|randomly initialized|not used when|(missing|unexpected|mismatched) "
    r"(adapter )?keys|size mismatch",
    re.IGNORECASE,
)
OTHER_PART = re.compile(r"(^|\.)(vision|visual|image|audio|speech|multi_?modal|mm)\w*\.")
MIN_USED = 0.8
"""Smallest share of the embeddings that the tokenizer has ids for. Real models leave up to 5% unused."""
LOGGED: set[tuple[str, str]] = set()
"""Warnings that were already logged."""
OTHER_TASK = re.compile(r"For(MaskedLM|PreTraining|MultipleChoice|QuestionAnswering|\w*Classification)$")
"""Architectures that do not predict the next token."""


def check_kind(name: str, config: Any) -> None:
    """Check that a config describes a causal language model with unquantised weights.

    Parameters
    ----------
    name : str
        Name of the model, for error messages.
    config : PretrainedConfig
        The model's config.

    Raises
    ------
    InputError
        The model does not predict the next token from the previous ones, or its weights are quantised.
    """
    from transformers import MODEL_FOR_CAUSAL_LM_MAPPING

    named = next((a for a in getattr(config, "architectures", None) or [] if OTHER_TASK.search(a)), None)
    what = named
    if getattr(config, "is_encoder_decoder", False):
        what = f"{config.model_type}, an encoder-decoder model"
    elif not named and type(config) not in MODEL_FOR_CAUSAL_LM_MAPPING:
        what = f"{config.model_type}, for which transformers has no causal language model"
    if what:
        raise InputError(f"model '{name}' is {what}; a study needs a causal language model")
    if getattr(config, "quantization_config", None):
        how = config.quantization_config
        how = how.get("quant_method", "") if isinstance(how, dict) else getattr(how, "quant_method", "")
        raise InputError(
            f"model '{name}': its weights are quantised ({how}); a study needs the unquantised weights"
        )


def check_warnings(name: str, warned: Sequence[str]) -> list[str]:
    """Return the libraries' warnings, each once, and log them.

    Warnings about what the other checks cover are left out.

    Parameters
    ----------
    name : str
        Name of the model, for messages.
    warned : sequence of str
        The warnings issued while the model was loaded.

    Returns
    -------
    list of str
        The remaining warnings.

    Raises
    ------
    InputError
        A warning says that weights or an adapter were not loaded as they are in the files.
    """
    left = [" ".join(w.split()) for w in dict.fromkeys(warned) if not CHECKED.search(w)]
    for text in left:
        if NOT_AS_NAMED.search(text):
            raise InputError(
                f"model '{name}': its weights were not loaded as they are in its files ({text[:300]})"
            )
        if (name, text) not in LOGGED:
            LOGGED.add((name, text))
            logging.getLogger("probate").warning("%s", shown(f"model '{name}': {text[:300]}"))
    return left


def check_labels(where: str, texts: Sequence[str], ids: Sequence[Sequence[int]]) -> None:
    """Raise InputError if an option has no token, or if two options have the same tokens."""
    seen: dict[tuple[int, ...], str] = {}
    for text, own in zip(texts, ids, strict=True):
        if not text or not len(own):
            raise InputError(f"{where}: the option '{text}' has no tokens; give it a non-empty text")
        if tuple(own) in seen:
            raise InputError(
                f"{where}: the options '{seen[tuple(own)]}' and '{text}' have the same tokens for this "
                "model; reword one of them"
            )
        seen[tuple(own)] = text


def check_weights(name: str, model: Any, info: dict[str, Any]) -> None:
    """Check that the files contain exactly the weights of the architecture.

    Parameters
    ----------
    name : str
        Name of the model, for error messages.
    model : PreTrainedModel
        The loaded model.
    info : dict
        The `output_loading_info` of transformers.

    Raises
    ------
    InputError
        Weights are missing, unexpected or of the wrong shape.
    """
    missing = {k for k in info["missing_keys"] if not HARMLESS.search(k)}
    unexpected = {k for k in info["unexpected_keys"] if not HARMLESS.search(k) and not _other_part(k, model)}
    shapes = {f"{k} ({tuple(a)} in the file, {tuple(b)} in the model)" for k, a, b in info["mismatched_keys"]}
    for what, keys in (
        ("have the wrong shape", shapes),
        ("are missing", missing),
        ("are unexpected", unexpected),
    ):
        if keys:
            raise InputError(
                f"model '{name}': {len(keys)} weights {what} for {type(model).__name__} by its config.json: "
                f"{first_names(keys)}; use the weights and the config.json of the same model"
            )


def _other_part(key: str, model: Any) -> bool:
    """Check whether a weight belongs to a vision or audio part, of which only the text decoder is loaded."""
    return bool(OTHER_PART.search(key)) and not any(OTHER_PART.search(k) for k in model.state_dict())


def check_vocabulary(name: str, model: Any, tokenizer: Any) -> None:
    """Check that a tokenizer belongs to the model.

    Raises
    ------
    InputError
        The tokenizer has ids without an embedding, or so few ids that it must be another model's.
    """
    rows = int(model.get_input_embeddings().weight.shape[0])
    head = model.get_output_embeddings()
    out = int(head.weight.shape[0]) if head is not None and hasattr(head, "weight") else rows
    highest = max(tokenizer.get_vocab().values())
    if highest >= min(rows, out):
        raise InputError(
            f"model '{name}': its tokenizer has ids up to {highest:,}, but its embeddings have "
            f"{min(rows, out):,} rows; use the model's own tokenizer"
        )
    if highest + 1 < MIN_USED * rows:
        raise InputError(
            f"model '{name}': its tokenizer has {highest + 1:,} tokens, but its embeddings have {rows:,} "
            "rows; use the model's own tokenizer"
        )


def check_causal(name: str, model: Any) -> None:
    """Raise InputError if a later token changes the prediction for an earlier position."""
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
            f"model '{name}': its output is not finite; its weights are damaged, or it needs another "
            "model.dtype"
        )
    rounding = 1e-4 if model.dtype == torch.float32 else 1e-2
    if float((one - two).abs().max()) > rounding * float(one.abs().max()):
        raise InputError(
            f"model '{name}': a later token changes its predictions for earlier positions; a study needs a "
            "causal language model"
        )


def check_adapter_folder(adapter: str, folder: Path, base: str) -> None:
    """Check an adapter before it is loaded.

    Raises
    ------
    InputError
        A file is missing, the config would run code, or the adapter was trained on another model than `base`.
    """
    config = read_config(adapter, folder)
    own = str(config.get("base_model_name_or_path") or "").rstrip("/").rsplit("/", 1)[-1]
    named = base.rstrip("/").rsplit("/", 1)[-1]
    if own and own != named:
        raise InputError(
            f"model.adapter '{adapter}' was trained on '{own}', not on '{named}'; if both have the same "
            f"weights, set base_model_name_or_path to '{named}' in its adapter_config.json"
        )


def check_adapter_weights(adapter: str, model: Any) -> None:
    """Raise InputError if the adapter's file and the PEFT model built for it have different weights."""
    from peft import get_peft_model_state_dict
    from peft.utils.save_and_load import load_peft_weights

    file = load_peft_weights(adapter, device="cpu")
    check_finite(adapter, file)
    own = get_peft_model_state_dict(model, save_embedding_layers=False)
    base = {f"base_model.model.{k}".replace(".base_layer.", ".") for k in model.get_base_model().state_dict()}
    for what, keys in (
        ("lacks {} weights", set(own) - set(file)),
        ("has {} weights that do not fit the model", set(file) - set(own) - base),
    ):
        if keys:
            raise InputError(
                f"adapter '{adapter}' {what.format(len(keys))}: {first_names(keys)}; it belongs to "
                "another model"
            )


def first_names(keys: Iterable[str], most: int = 3) -> str:
    """Return the first names, joined, and the number of the remaining ones."""
    ordered = sorted(keys)
    more = f" and {len(ordered) - most} more" if len(ordered) > most else ""
    return ", ".join(ordered[:most]) + more
