"""LoRA layers with a lean forward and backward pass that adds the adapter's product in place."""

from __future__ import annotations

from typing import Any

import torch
from peft.tuners.lora import Linear

from probate.models.inference.proof import Lean
from probate.models.mixed_linear import MixedLinear, MixedProduct, narrow


class _LoraLinear(torch.autograd.Function):
    """y = x Wᵀ + bias + scaling · (x Aᵀ) Bᵀ (Hu et al. 2022), where W and bias are frozen."""

    @staticmethod
    def forward(ctx: Any, x: Any, weight: Any, bias: Any, a: Any, b: Any, scaling: float) -> torch.Tensor:
        rows = x.reshape(-1, x.shape[-1])
        hidden = rows @ a.T
        out = rows @ weight.T if bias is None else torch.addmm(bias, rows, weight.T)
        out.addmm_(hidden, b.T, alpha=scaling)
        ctx.save_for_backward(rows, weight, a, b, hidden)
        ctx.scaling = scaling
        return out.view(*x.shape[:-1], out.shape[-1])

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> tuple[Any, ...]:
        rows, weight, a, b, hidden = ctx.saved_tensors
        grad = grads[0].reshape(-1, grads[0].shape[-1])
        through = (grad @ b).mul_(ctx.scaling)
        to_x = None
        if ctx.needs_input_grad[0]:
            to_x = (grad @ weight).addmm_(through, a).view(*grads[0].shape[:-1], a.shape[1])
        return to_x, None, None, through.T @ rows, (grad.T @ hidden).mul_(ctx.scaling), None


def lean_lora(model: Any) -> int:
    """Give the plain LoRA linear layers of a PEFT model the lean forward; return their number.

    Layers with dropout, variants such as DoRA, quantised layers, and adapters whose dtype differs from their
    base (but for mixed precision) keep PEFT's forward. The change is removed with the layers when PEFT
    unloads the adapter.
    """

    count = 0
    for layer in model.modules():
        if type(layer) is not Linear or type(layer.base_layer) not in (torch.nn.Linear, MixedLinear):
            continue
        if len(layer.active_adapters) != 1 or layer.lora_variant:
            continue
        name = layer.active_adapters[0]
        if name not in layer.lora_A:
            continue
        a, b, base = layer.lora_A[name], layer.lora_B[name], layer.base_layer
        plain = isinstance(layer.lora_dropout[name], torch.nn.Identity) and a.bias is None and b.bias is None
        mixed = isinstance(base, MixedLinear) and a.weight.dtype == torch.float32
        if plain and (mixed or a.weight.dtype == base.weight.dtype) and not base.weight.requires_grad:
            layer.forward = Lean(_forward, base, a, b, layer.scaling[name])
            count += 1
    return count


def _forward(base: Any, a: Any, b: Any, scaling: float, x: torch.Tensor) -> torch.Tensor:
    own = base.weight, base.bias, a.weight, b.weight, scaling
    out: torch.Tensor = (
        MixedProduct.apply(x, narrow(x), *own)
        if isinstance(base, MixedLinear)
        else _LoraLinear.apply(x, *own)
    )
    return out
