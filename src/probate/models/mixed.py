"""Mixed precision on the CPU: the products of frozen linear layers in bfloat16, everything else in float32.

Processors with instructions for bfloat16 multiply it about four times as fast as float32. The weights of the
blocks' linear layers are kept in bfloat16, and their inputs are rounded to it. Products are accumulated in
float32 and rounded once. So are the products of attention (`probate.models.mixed_attention`), and gated
feed-forward blocks keep bfloat16 between their products (`probate.models.mixed_gated`). The residual stream,
norms, softmax, output layer, loss, adapters and optimizer stay in float32.

`model.dtype: auto` uses it after a comparison with the model's float32 passes (`mixed_if_equal`).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from peft import LoraConfig, get_peft_model

from probate.core.errors import StageError
from probate.models import mixed_attention
from probate.models.blocks import blocks
from probate.models.inference.proof import (
    ROUNDINGS,
    forget,
    holds,
    random_rows,
    relative_difference,
    rounding,
)
from probate.models.inference.shortcut_check import PASSES, TRAINING
from probate.models.mixed_gated import fuse, unfuse
from probate.models.mixed_linear import MixedLinear
from probate.models.quiet import quiet

LEAST_WIDTH = 256
"""Models with narrower layers stay in float32, because their products take little of the time."""
LENGTH = 128
"""Length in tokens of the texts of the comparison."""
CURVE = 0.01
"""Largest difference between a step's losses in float32 and in mixed precision, as a share of the loss."""
STEPS, ROWS, SHORT = 6, 4, 48
"""Training steps of the comparison, and its number and length of texts."""


def is_mixed(model: Any) -> bool:
    """Return whether a model runs in mixed precision."""
    return any(isinstance(m, MixedLinear) for m in model.modules())


def mixed_layers(model: Any) -> list[torch.nn.Linear]:
    """Return the layers that mixed precision changes: plain linear layers of the blocks, in float32."""
    try:
        _, layers = blocks(model)
    except StageError:
        return []
    return [
        m
        for m in layers.modules()
        if type(m) is torch.nn.Linear
        and m.weight.dtype == torch.float32
        and max(m.in_features, m.out_features) >= LEAST_WIDTH
    ]


def make_mixed(model: Any) -> None:
    """Change a float32 model to mixed precision in place, and drop what is known of its float32 passes."""
    _change(model)
    forget(model)


def _change(model: Any) -> None:
    for layer in mixed_layers(model):
        layer.__class__ = MixedLinear
        layer.weight = torch.nn.Parameter(layer.weight.detach().bfloat16(), requires_grad=False)
    for module in model.modules():
        fuse(module)
    if getattr(model.config, "_attn_implementation", None) == "sdpa":
        mixed_attention.register()
        model.config._attn_implementation = mixed_attention.NAME


def mixed_if_equal(model: Any, pad_id: int) -> None:
    """Change a float32 model to mixed precision if this agrees with float32 up to rounding.

    Two things are compared once per model and machine, on random texts: the logits and the gradient at the
    embeddings, whose difference may be three times the change if each product is rounded to bfloat16 at
    random; and the losses of a few training steps of an adapter, which may differ by 1%.

    Parameters
    ----------
    model : PreTrainedModel
        A causal LM in float32 on the CPU, without gradients.
    pad_id : int
        The padding token, which is not used in the texts.
    """
    weights = {m: m.weight for m in mixed_layers(model)}
    if not weights:
        return
    attention = getattr(model.config, "_attn_implementation", None)
    context = getattr(model.config.get_text_config(decoder=True), "max_position_embeddings", None) or LENGTH
    length = min(LENGTH, context)

    @contextmanager
    def mixed() -> Iterator[None]:
        try:
            _change(model)
            yield
        finally:
            for module in model.modules():
                unfuse(module)
            for layer, weight in weights.items():
                layer.__class__, layer.weight = torch.nn.Linear, weight
            model.config._attn_implementation = attention

    def passes(n: int) -> float:
        row, _, _ = random_rows(model, n, pad_id)
        plain = _pass(model, row)
        with mixed():
            actual = _pass(model, row)
        return max(relative_difference(a, b) for a, b in zip(actual, plain, strict=True))

    def training(n: int) -> float:
        plain = _losses(model, n, pad_id)
        with mixed():
            actual = _losses(model, n, pad_id)
        return max(abs(a - b) / b for a, b in zip(actual, plain, strict=True))

    if holds(
        model, PASSES, length, passes, limit=lambda n: ROUNDINGS * rounding(model, n, torch.bfloat16)
    ) and holds(model, TRAINING, min(SHORT, length), training, limit=lambda _: CURVE):
        weights.clear()
        make_mixed(model)


def _pass(model: Any, row: list[int]) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the logits of a row, and the gradient of its loss at the embeddings."""
    with torch.inference_mode(False), torch.enable_grad():
        ids = torch.tensor([row])
        entry = model.get_input_embeddings()(ids).detach().requires_grad_(True)
        logits = model(inputs_embeds=entry, use_cache=False).logits[0]
        loss = torch.nn.functional.cross_entropy(logits[:-1].float(), ids[0, 1:])
        (gradient,) = torch.autograd.grad(loss, entry)
    return logits.detach(), gradient


def _losses(model: Any, length: int, pad_id: int) -> list[float]:
    """Return the losses of a few training steps of an adapter on all linear layers."""
    rows = torch.tensor([random_rows(model, length + i, pad_id)[0][:length] for i in range(ROWS)])
    losses = []
    with torch.inference_mode(False), torch.enable_grad(), quiet():
        torch.manual_seed(0)  # within `holds`, which keeps the caller's state
        adapted = get_peft_model(model, LoraConfig(r=8, target_modules="all-linear"))
        try:
            weights = [p for p in adapted.parameters() if p.requires_grad]
            optimizer = torch.optim.AdamW(weights, lr=1e-3)
            for _ in range(STEPS):
                logits = adapted(input_ids=rows, use_cache=False).logits[:, :-1].flatten(0, 1)
                loss = torch.nn.functional.cross_entropy(logits.float(), rows[:, 1:].flatten())
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                losses.append(float(loss.detach()))
        finally:
            adapted.unload()
            model.__dict__.pop("peft_config", None)
            model.requires_grad_(False).eval()
    return losses
