"""Linear layers in mixed precision: products in bfloat16, inputs and outputs in float32.

The product of an adapter is computed first, and the product of the frozen weights is added to it before the
only rounding. Added to a rounded product, a change smaller than half its last digit would have no effect.
"""

from __future__ import annotations

from typing import Any

import torch


class MixedLinear(torch.nn.Linear):
    """A frozen linear layer with bfloat16 weights, and inputs and outputs in float32."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = MixedProduct.apply(x, narrow(x), self.weight, self.bias, None, None, 1.0)
        return out


class MixedProduct(torch.autograd.Function):
    """y = x Wᵀ + bias + scaling · (x Aᵀ) Bᵀ, where W and bias are frozen, and A and B may be None."""

    @staticmethod
    def forward(
        ctx: Any, x: Any, narrowed: Any, weight: Any, bias: Any, a: Any, b: Any, scaling: float
    ) -> torch.Tensor:
        rows = narrowed.reshape(-1, x.shape[-1])
        down, up = (None, None) if a is None else (a.bfloat16(), (b * scaling).bfloat16())
        product, hidden = multiply(rows, weight, down, up)
        out = product.float()
        ctx.save_for_backward(None if a is None else rows, weight, down, up, hidden)
        ctx.scaling = scaling
        return (out if bias is None else out.add_(bias)).view(*x.shape[:-1], out.shape[-1])

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> tuple[Any, ...]:
        rows, weight, down, up, hidden = ctx.saved_tensors
        grad = grads[0].reshape(-1, grads[0].shape[-1]).bfloat16()
        through = None if up is None else grad @ up
        to_x = to_a = to_b = None
        if ctx.needs_input_grad[0]:
            to_x = multiply_back(grad, weight, through, down).float()
            to_x = to_x.view(*grads[0].shape[:-1], weight.shape[1])
        if through is not None:
            to_a, to_b = (through.T @ rows).float(), (grad.T @ hidden).float().mul_(ctx.scaling)
        return to_x, None, None, None, to_a, to_b, None


def narrow(x: torch.Tensor) -> torch.Tensor:
    """Return `x` in bfloat16, without a gradient. Layers with the same input share the result."""
    if x.is_inference():  # it counts no changes in place
        return x.bfloat16()
    known = x.__dict__.get("_narrow")
    if known is None or known[0] != x._version:
        known = x._version, x.detach().bfloat16()
        x.__dict__["_narrow"] = known
    return known[1]


def multiply(rows: Any, weight: Any, a: Any = None, b: Any = None) -> tuple[torch.Tensor, Any]:
    """Return rows · Wᵀ + (rows · Aᵀ) Bᵀ, rounded once, and rows · Aᵀ; all in bfloat16."""
    if a is None:
        return rows @ weight.T, None
    hidden = rows @ a.T
    return (hidden @ b.T).addmm_(rows, weight.T), hidden


def multiply_back(grad: Any, weight: Any, through: Any = None, a: Any = None) -> torch.Tensor:
    """Return grad · W + through · A, rounded once, where `through` is grad · B."""
    return grad @ weight if through is None else (through @ a).addmm_(grad, weight)
