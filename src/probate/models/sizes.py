"""Whether a model's config.json describes what its files can hold: memory is taken by the config, before a weight is read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from probate.core.errors import InputError
from probate.core.inputs import check_regular

COUNTS = (
    "hidden_size",
    "intermediate_size",
    "num_hidden_layers",
    "num_attention_heads",
    "num_key_value_heads",
    "head_dim",
    "vocab_size",
)
MOST = 2**31
"""Of any of these counts."""


def check_files(folder: Path) -> None:
    """Raises InputError for a pipe or a device among a model's files: reading it would never end."""
    for path in folder.iterdir():
        if path.exists() and not path.is_dir():
            check_regular(path, f"model '{folder}': {path.name}")


def check_size(name: str, folder: Path, config: Any) -> None:
    """Raises InputError where the weights that `config` describes are more than the bytes of the folder's safetensors, however they are coded.

    Counted are embeddings and the smallest part of the layers; a real model has several times as many.
    """
    text = config.get_text_config(decoder=True)
    found = {key: getattr(text, key, None) for key in COUNTS}
    odd = next(
        (
            k
            for k, v in found.items()
            if v is not None and (not isinstance(v, int) or isinstance(v, bool) or not 0 < v < MOST)
        ),
        None,
    )
    if odd is not None:
        raise InputError(
            f"model '{name}': config.json: {odd} is {str(found[odd])[:40]}; take the config.json that belongs to the weights"
        )
    held = sum(p.stat().st_size for p in folder.glob("*.safetensors"))
    width, layers, words = (found[k] or 1 for k in ("hidden_size", "num_hidden_layers", "vocab_size"))
    least = width * words + layers * width
    if held and least > held:
        raise InputError(
            f"model '{name}': its config.json describes at least {least:,} weights, its safetensors have {held:,} bytes; take both of one model"
        )
