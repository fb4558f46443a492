"""Gated feed-forward blocks in mixed precision: down(silu(gate(x)) ⊙ up(x)) in a few operations.

The blocks of Llama, Mistral, Qwen and their relatives hold three quarters of a model's weights. Run layer by
layer, they convert each product to float32 and back. Here gate and up are one product, and what lies between
the products stays in bfloat16.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import torch

from probate.models.inference.proof import Lean
from probate.models.mixed_linear import MixedLinear, multiply, multiply_back, narrow

NAMES = ("gate_proj", "up_proj", "down_proj")
AGREES = 0.02
"""Largest relative difference from the block's own forward pass on random inputs."""


def fuse(block: Any) -> None:
    """Give a gated block the fused forward pass, if it equals its own; other modules stay as they are.

    A gated block has three layers of `MixedLinear` without bias, and SiLU. The weights of gate and up become
    views of one tensor.
    """
    parts = dict(block.named_children())
    if {*parts} != {*NAMES, "act_fn"}:
        return
    if not all(type(parts[n]) is MixedLinear and parts[n].bias is None for n in NAMES):
        return
    gate, up = block.gate_proj, block.up_proj
    both = torch.cat([gate.weight.detach(), up.weight.detach()])
    block.__dict__["_both"] = both
    for layer, part in zip((gate, up), both.split([len(gate.weight), len(up.weight)]), strict=True):
        layer.weight = torch.nn.Parameter(part, requires_grad=False)
    own: Any = type(block)
    x = torch.randn((4, gate.in_features), generator=torch.Generator().manual_seed(0))
    with torch.inference_mode(False), torch.no_grad():
        plain = own.forward(block, x)
        block.__class__ = _fused(own)
        difference = block(x) - plain
    if not float(difference.norm()) <= AGREES * float(plain.norm()):
        unfuse(block)


def unfuse(block: Any) -> None:
    """Give a block its own forward pass again; other modules stay as they are."""
    if isinstance(block, _Gated):
        block.__class__ = type(block).__mro__[2]
    block.__dict__.pop("_both", None)


class _Gated:
    """The fused forward pass, mixed into the class of a block."""

    def forward(self: Any, x: torch.Tensor) -> torch.Tensor:
        adapters = [_adapter(getattr(self, n)) for n in NAMES]
        if len({None if a is None else len(a) for a in adapters}) > 1 or None in adapters:
            own: torch.Tensor = super().forward(x)  # type: ignore[misc]
            return own
        down = getattr(self.down_proj, "base_layer", self.down_proj).weight
        out: torch.Tensor = GatedProduct.apply(
            x, narrow(x), self._both, down, *(part for adapter in adapters for part in adapter or ())
        )
        return out


@cache
def _fused(own: Any) -> type:
    return type(own.__name__, (_Gated, own), {})


def _adapter(layer: Any) -> tuple[Any, ...] | None:
    """Return A, B and scaling of a layer's adapter, () without one, and None if the layer must run itself."""
    forward = layer.__dict__.get("forward")
    lean = isinstance(forward, Lean)
    base = forward.args[0] if lean else layer
    if type(base) is not MixedLinear or any(m._forward_hooks or m._forward_pre_hooks for m in (layer, base)):
        return None
    return (forward.args[1].weight, forward.args[2].weight, forward.args[3]) if lean else ()


class GatedProduct(torch.autograd.Function):
    """The block with frozen weights, and with adapters of all three layers or without any."""

    @staticmethod
    def forward(ctx: Any, x: Any, narrowed: Any, both: Any, down: Any, *adapters: Any) -> torch.Tensor:
        rows = narrowed.reshape(-1, x.shape[-1])
        a = b = a_down = b_down = None
        if adapters:
            a_gate, b_gate, s_gate, a_up, b_up, s_up, a_down, b_down, s_down = adapters
            a = torch.cat([a_gate, a_up]).bfloat16()
            b = torch.block_diag(b_gate * s_gate, b_up * s_up).bfloat16()
            a_down, b_down = a_down.bfloat16(), (b_down * s_down).bfloat16()
            ctx.rank, ctx.scalings = len(a_gate), (s_gate, s_up, s_down)
        gates, hidden = multiply(rows, both, a, b)
        gate, up = gates.chunk(2, dim=1)
        out, hidden_down = multiply(torch.nn.functional.silu(gate).mul_(up), down, a_down, b_down)
        ctx.save_for_backward(rows, both, down, gates, a, b, hidden, a_down, b_down, hidden_down)
        return out.float().view(*x.shape[:-1], out.shape[-1])

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> tuple[Any, ...]:
        rows, both, down, gates, a, b, hidden, a_down, b_down, hidden_down = ctx.saved_tensors
        grad = grads[0].reshape(-1, grads[0].shape[-1]).bfloat16()
        through_down = None if a is None else grad @ b_down
        to_inner = multiply_back(grad, down, through_down, a_down)
        gate, up = gates.chunk(2, dim=1)
        silu = torch.nn.functional.silu(gate)
        to_gates = torch.empty_like(gates)
        to_gate, to_up = to_gates.chunk(2, dim=1)
        torch.mul(to_inner, silu, out=to_up)
        torch.ops.aten.silu_backward.grad_input(to_inner.mul_(up), gate, grad_input=to_gate)
        through = None if a is None else to_gates @ b
        to_x = multiply_back(to_gates, both, through, a).float().view(*grads[0].shape[:-1], rows.shape[1])
        if through is None or through_down is None:
            return to_x, None, None, None
        r, width, (s_gate, s_up, s_down) = ctx.rank, gate.shape[1], ctx.scalings
        to_a, to_b = (through.T @ rows).float(), (to_gates.T @ hidden).float()
        to_a_down, to_b_down = (through_down.T @ silu.mul_(up)).float(), (grad.T @ hidden_down).float()
        return (
            to_x, None, None, None,
            to_a[:r], to_b[:width, :r] * s_gate, None,
            to_a[r:], to_b[width:, r:] * s_up, None,
            to_a_down, to_b_down * s_down, None,
        )  # fmt: skip
