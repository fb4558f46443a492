"""A prompt prefix that is computed once and shared by every row of a batch."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any

import torch
from transformers import DynamicCache

from probate.models.inference.proof import base_of

KeyValues = list[tuple[torch.Tensor, torch.Tensor]]


def prefix_keys_values(model: Any, tokens: Sequence[int], device: torch.device) -> KeyValues:
    """Return keys and values of `tokens` per layer, shape (1, heads, tokens, head_dim), with gradients."""
    return prefix_states(model, tokens, device)[0]


def prefix_states(
    model: Any, tokens: Sequence[int], device: torch.device, hidden: bool = False
) -> tuple[KeyValues, torch.Tensor | None]:
    """Return `prefix_keys_values` and, with `hidden`, the last hidden states of shape (tokens, width)."""
    cache = DynamicCache()
    ids = torch.tensor([list(tokens)], dtype=torch.long, device=device)
    base = base_of(model)
    decoder = getattr(base, base.base_model_prefix, base)  # without the output layer
    keep = {"logits_to_keep": 1} if decoder is base else {}
    out = decoder(
        input_ids=ids,
        use_cache=True,
        output_hidden_states=hidden,
        **keep,
        **cache_argument(decoder, cache),
    )
    return [(layer.keys, layer.values) for layer in cache.layers], out.hidden_states[-1][
        0
    ] if hidden else None


def cache_argument(model: Any, cache: DynamicCache | None) -> dict[str, DynamicCache | None]:
    """Return the cache under the model's keyword: `cache` since transformers 5.24, else `past_key_values`."""
    plain = model.get_base_model() if hasattr(model, "get_base_model") else model
    return {"cache" if "cache" in inspect.signature(plain.forward).parameters else "past_key_values": cache}


def expanded_cache(prefix: KeyValues, rows: int) -> DynamicCache:
    """Return a cache in which each of `rows` rows has seen the prefix."""
    cache = DynamicCache()
    for index, (keys, values) in enumerate(prefix):
        cache.update(keys.expand(rows, -1, -1, -1), values.expand(rows, -1, -1, -1), index)
    return cache
