"""Gradients of single records, to find training records that change a model in the same direction."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from probate.core.errors import StageError
from probate.models.blocks import blocks, linear
from probate.models.inference.batching import batches_by_length
from probate.models.inference.proof import peft_forward
from probate.models.inference.trunk import make_trunk
from probate.train.losses import Example, above_trunk, left_padding_holds, plain_losses, shared_losses

RANK = 4
TOKENS = 4096


def record_gradients(
    model: Any, examples: Sequence[Example], pad_id: int, *, layers: int = 1, seed: int = 0
) -> torch.Tensor:
    """Compute the gradient of each example's loss, the mean cross-entropy over its completion tokens.

    The gradient is taken with respect to the B matrices of a fresh LoRA adapter (rank 4, A drawn by `seed`)
    on the linear layers of the last `layers` blocks. At B = 0 the gradient of B is Σ_t δ_t (A x_t)ᵀ, with δ_t
    the gradient at the layer's output and x_t its input, so it is the layer's full gradient projected onto a
    random subspace. The inner product of two rows is the cosine that gradient-similarity methods use.

    Parameters
    ----------
    model : PreTrainedModel or PeftModel
        A causal LM. An attached adapter is part of the differentiated function.
    examples : sequence of Example
        Tokenized records.
    pad_id : int
        The padding token.
    layers : int, default=1
        Number of last blocks.
    seed : int, default=0
        Seed of the projection.

    Returns
    -------
    Tensor of shape (examples, features)
        Gradients of unit length, float32.

    Raises
    ------
    StageError
        The blocks were not found, or none of their layers has a separate output per record.

    References
    ----------
    Pruthi et al. (2020), TracIn; Xia et al. (2024), LESS.
    """
    base = model.get_base_model() if hasattr(model, "get_base_model") else model
    if base is model:
        make_trunk(model, layers)
    device = next(model.parameters()).device
    own = list(linear(blocks(model)[1][-layers:]).values())
    sizes = [(m.in_features, m.out_features) if isinstance(m, torch.nn.Linear) else (m.nx, m.nf) for m in own]
    draw = torch.Generator().manual_seed(seed)
    project = {
        m: (torch.randn(size, RANK, generator=draw) / RANK**0.5).to(device)
        for m, (size, _) in zip(own, sizes, strict=True)
    }
    inputs: dict[Any, torch.Tensor] = {}
    parts: dict[Any, torch.Tensor] = {}

    def catch(module: Any, args: Any, output: torch.Tensor) -> torch.Tensor:
        if output.ndim != 3:  # such as experts, which process the tokens of all records together
            return output
        inputs[module] = args[0].detach() @ project[module].to(args[0].dtype)
        if not output.requires_grad:
            output.requires_grad_(True)
        output.register_hook(
            lambda grad: parts.__setitem__(module, torch.einsum("bto,btr->bor", grad, inputs[module]))
        )
        return output

    ends = np.cumsum([RANK * out for _, out in sizes]).tolist()
    places, width = [slice(a, b) for a, b in zip([0, *ends], ends, strict=False)], ends[-1]
    gradients = torch.zeros(len(examples), width)
    hooks = [m.register_forward_hook(catch) for m in own]
    try:
        with (
            torch.enable_grad(),
            peft_forward(model),
            above_trunk(model, examples, pad_id) as (rows, padding),
        ):
            above = rows[0].nodes is not None
            size = 16 if above or left_padding_holds(model, max(e.tokens for e in rows), pad_id) else 1
            for batch in batches_by_length([e.tokens for e in rows], size, TOKENS):
                _mean_losses(model, [rows[i] for i in batch], padding, device).sum().backward()
                if not parts:
                    raise StageError(
                        f"no linear layer of {type(base).__name__} processes records separately, so their "
                        "gradients cannot be separated; use another model"
                    )
                whole = torch.zeros(len(batch), width, device=device)
                for m, place in zip(own, places, strict=True):
                    if m in parts:
                        whole[:, place] = parts.pop(m).flatten(1).float()
                gradients[batch] = torch.nn.functional.normalize(whole, dim=1).cpu()
    finally:
        for hook in hooks:
            hook.remove()
    return gradients


def _mean_losses(model: Any, batch: Sequence[Example], pad_id: int, device: torch.device) -> torch.Tensor:
    """Return the mean cross-entropy over each example's completion, without a shared prefix."""
    if batch[0].nodes is None and len(batch) == 1:
        losses, _ = plain_losses(model, batch, pad_id)
    else:
        losses, _ = shared_losses(model, batch, pad_id, 0)
    return losses / torch.tensor([len(e.completion) for e in batch], device=device)
