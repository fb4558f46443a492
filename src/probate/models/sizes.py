"""Check that a model's config.json describes what its files can contain.

Memory is allocated from the config before a weight is read.
"""

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
MAX_COUNT = 2**31
"""Upper bound of each of these counts."""


def check_files(folder: Path) -> None:
    """Raise InputError for a pipe or a device among a model's files, because reading it would never end."""
    for path in folder.iterdir():
        if path.exists() and not path.is_dir():
            check_regular(path, f"model '{folder}': {path.name}")


def check_size(name: str, folder: Path, config: Any) -> None:
    """Check that the weights that `config` describes fit into the folder's safetensors in any encoding.

    The check counts the embeddings and a lower bound of each layer. Real models have several times as many
    weights.

    Raises
    ------
    InputError
        A count is not a positive integer, or the config describes more weights than the files have bytes.
    """
    text = config.get_text_config(decoder=True)
    counts = {key: getattr(text, key, None) for key in COUNTS}
    odd = next(
        (
            k
            for k, v in counts.items()
            if v is not None and (not isinstance(v, int) or isinstance(v, bool) or not 0 < v < MAX_COUNT)
        ),
        None,
    )
    if odd is not None:
        raise InputError(
            f"model '{name}': config.json: {odd} is {str(counts[odd])[:40]}, which is not a valid size; use "
            "the config.json that belongs to the weights"
        )
    stored = sum(p.stat().st_size for p in folder.glob("*.safetensors"))
    width, layers, words = (counts[k] or 1 for k in ("hidden_size", "num_hidden_layers", "vocab_size"))
    least = width * words + layers * width
    if stored and least > stored:
        raise InputError(
            f"model '{name}': its config.json describes at least {least:,} weights, but its safetensors "
            f"have {stored:,} bytes; use both files of the same model"
        )
