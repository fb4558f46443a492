"""Attention in mixed precision: products in bfloat16, masks and softmax in float32.

torch's attention for the CPU multiplies in float32, and takes much of the time on long texts. Here the
products run as batched matrix products in bfloat16. Heads that share keys and values are multiplied together.
"""

from __future__ import annotations

from typing import Any

import torch
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS, sdpa_mask
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

NAME = "probate_mixed"
"""Name of the implementation in the model's config."""
AT_ONCE = 2**21
"""Number of scores that are computed at once."""
MOST_BYTES = 2**28
"""Largest size of a layer's attention weights in bytes; longer texts use torch's attention."""


def register() -> None:
    """Register the implementation with transformers, under a name of its own."""
    ALL_ATTENTION_FUNCTIONS.register(NAME, attention)
    ALL_MASK_ATTENTION_FUNCTIONS.register(NAME, _whole_mask)


def _whole_mask(*args: Any, **kwargs: Any) -> Any:
    """Return the mask of torch's attention, also where that needs none."""
    return sdpa_mask(*args, **{**kwargs, "allow_is_causal_skip": False})


def attention(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    **more: Any,
) -> tuple[torch.Tensor, None]:
    """Attend in mixed precision, or by torch's attention if something is asked that this does not cover.

    Parameters
    ----------
    module : Module
        The layer.
    query : Tensor of shape (rows, heads, tokens, width)
        Queries.
    key, value : Tensor of shape (rows, key heads, all tokens, width)
        Keys and values.
    attention_mask : Tensor of shape (rows or 1, 1, tokens, all tokens), optional
        What a token sees: true, or added to the scores.
    dropout : float, default=0.0
        Dropout of the weights.
    scaling : float, optional
        Factor of the scores; default 1 / √width.
    **more
        What the model passes besides, such as a bias of positions.

    Returns
    -------
    output : Tensor of shape (rows, tokens, heads, width)
        The weighted values.
    weights : None
    """
    rows, heads, tokens, width = query.shape
    if (
        attention_mask is None
        or attention_mask.shape[1] != 1
        or query.dtype != torch.float32
        or dropout
        or any(more.get(name) is not None for name in ("position_bias", "softcap", "s_aux"))
        or 2 * rows * heads * tokens * key.shape[2] > MOST_BYTES
    ):
        return sdpa_attention_forward(
            module, query, key, value, attention_mask, dropout=dropout, scaling=scaling, **more
        )
    factor = scaling if scaling is not None else width**-0.5
    out: torch.Tensor = _Attention.apply(query, key, value, attention_mask, factor)
    return out.transpose(1, 2).contiguous(), None


class _Attention(torch.autograd.Function):
    """softmax(scaling · Q Kᵀ + mask) V, where heads of one key head are rows of one product.

    A few rows are processed at a time, so that their scores stay in the processor's cache.
    """

    @staticmethod
    def forward(ctx: Any, query: Any, key: Any, value: Any, mask: Any, scaling: float) -> torch.Tensor:
        rows, heads, tokens, width = query.shape
        groups = key.shape[1]
        q = (query * scaling).bfloat16().reshape(rows, groups, -1, width)
        k, v = key.bfloat16(), value.bfloat16()
        mask = mask.expand(rows, -1, -1, -1)
        keep = any(ctx.needs_input_grad)
        out = query.new_empty((rows, heads, tokens, v.shape[-1]))
        weights = []
        for part in _parts(rows, heads * tokens * k.shape[2]):
            scores = _product(q[part], k[part].transpose(2, 3)).float().view(-1, heads, tokens, k.shape[2])
            if mask.dtype == torch.bool:
                scores.masked_fill_(~mask[part], torch.finfo(torch.float32).min)
            else:
                scores.add_(mask[part])
            own = scores.softmax(-1).bfloat16().view(len(scores), groups, -1, k.shape[2])
            out[part] = _product(own, v[part]).view_as(out[part])
            if keep:
                weights.append(own)
        if keep:
            ctx.save_for_backward(q, k, v, out, *weights)
            ctx.scaling = scaling
        return out

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> tuple[Any, ...]:
        q, k, v, out, *kept = ctx.saved_tensors
        rows, heads, tokens, _ = out.shape
        grad = grads[0]
        inner = (grad * out).sum(-1).view(rows, k.shape[1], -1, 1)
        grad = grad.bfloat16().reshape(*q.shape[:3], -1)
        to_q = torch.empty_like(q, dtype=torch.float32)
        to_k, to_v = torch.empty_like(k), torch.empty_like(v)
        for weights, part in zip(kept, _parts(rows, heads * tokens * k.shape[2]), strict=True):
            to_v[part] = _product(weights.transpose(2, 3), grad[part])
            scores = _product(grad[part], v[part].transpose(2, 3)).float()
            scores = scores.sub_(inner[part]).mul_(weights).bfloat16()
            to_q[part] = _product(scores, k[part])
            to_k[part] = _product(scores.transpose(2, 3), q[part])
        to_q = to_q.mul_(ctx.scaling).view(rows, heads, tokens, -1)
        return to_q, to_k.float(), to_v.float(), None, None


def _parts(rows: int, size: int) -> list[slice]:
    """Return slices of rows with about `AT_ONCE` scores each; `size` is the number of scores of a row."""
    step = max(1, AT_ONCE // max(1, size))
    return [slice(start, min(start + step, rows)) for start in range(0, rows, step)]


def _product(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """Multiply batches of matrices of shape (rows, groups, …)."""
    return torch.bmm(a.flatten(0, 1), b.flatten(0, 1)).unflatten(0, a.shape[:2])
