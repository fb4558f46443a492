"""Gradients of single records: which training records pull a model the same way?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from probate.infer.batching import batches_by_length, pad_left
from probate.infer.trunk import make_trunk
from probate.train.losses import Example, above_trunk

RANK = 4
TOKENS = 4096


def record_gradients(model: Any, examples: Sequence[Example], pad_id: int, *, layers: int = 1, seed: int = 0) -> torch.Tensor:
    """Gradient of each example's loss (mean over its completion tokens), of unit length, float32 of shape (examples, features).

    By the B matrices of a fresh LoRA adapter (rank 4, A drawn by `seed`) on the linear layers of the `layers` last
    blocks: at B = 0 the gradient of B is Σ_t δ_t (A x_t)ᵀ, δ_t the gradient at the layer's output and x_t its input, so that it
    is the layer's full gradient projected on a random subspace. The inner product of two rows is the cosine that
    gradient-similarity methods use (TracIn, Pruthi et al. 2020; LESS, Xia et al. 2024). `model` may wear a PEFT adapter, which is then part
    of what is differentiated through.
    """
    base = model.get_base_model() if hasattr(model, "get_base_model") else model
    if base is model:
        make_trunk(model, layers)
    device = next(model.parameters()).device
    last = getattr(base, base.base_model_prefix).layers[-layers:]
    linear = [m for layer in last for n, m in layer.named_modules() if isinstance(m, torch.nn.Linear) and "lora_" not in n]
    draw = torch.Generator().manual_seed(seed)
    project = {m: (torch.randn(m.in_features, RANK, generator=draw) / RANK**0.5).to(device, m.weight.dtype) for m in linear}
    inputs: dict[Any, torch.Tensor] = {}
    parts: dict[Any, torch.Tensor] = {}

    def catch(module: Any, args: Any, output: torch.Tensor) -> torch.Tensor:
        inputs[module] = args[0].detach() @ project[module]
        if not output.requires_grad:
            output.requires_grad_(True)
        output.register_hook(lambda grad: parts.__setitem__(module, torch.einsum("bto,btr->bor", grad, inputs[module])))
        return output

    found = torch.zeros(len(examples), sum(m.out_features for m in linear) * RANK)
    hooks = [m.register_forward_hook(catch) for m in linear]
    try:
        with torch.enable_grad(), above_trunk(model, examples, pad_id) as (rows, padding):
            for batch in batches_by_length([e.tokens for e in rows], 16, TOKENS):
                _mean_losses(model, [rows[i] for i in batch], padding, device).sum().backward()
                whole = torch.cat([parts[m].flatten(1) for m in linear], dim=1)
                found[batch] = torch.nn.functional.normalize(whole.float(), dim=1).cpu()
    finally:
        for hook in hooks:
            hook.remove()
    return found


def _mean_losses(model: Any, batch: Sequence[Example], pad_id: int, device: torch.device) -> torch.Tensor:
    """Mean cross-entropy over the completion of each example, no prefix shared, so that rows stay apart."""
    ids, mask = pad_left([e.inputs for e in batch], pad_id, device)
    keep = max(len(e.completion) for e in batch)
    labels = torch.full((len(batch), keep), -100, dtype=torch.long)
    for i, example in enumerate(batch):
        labels[i, keep - len(example.completion) :] = torch.tensor(example.completion)
    out = model(
        input_ids=ids,
        attention_mask=mask,
        position_ids=(mask.cumsum(1) - 1).clamp(min=0),
        use_cache=False,
        logits_to_keep=keep + 1,
    )
    losses = torch.nn.functional.cross_entropy(
        out.logits[:, :-1].float().transpose(1, 2), labels.to(device), ignore_index=-100, reduction="none"
    )
    return losses.sum(1) / torch.tensor([len(e.completion) for e in batch], device=device)
