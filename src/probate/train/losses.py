"""The losses of training, with the batch's shared prompt prefix computed once.

The prompts of one task begin alike (system turn, instruction, label list). In a plain trainer each record of a
batch pays for those tokens; here they go through the model once a batch, with gradients, and the records follow as
branches that see the prefix by its keys and values. The loss and its gradient are those of the plain forward pass.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch

from probate.infer.batching import pad_left, shared_prefix
from probate.infer.prefix import cache_argument, can_share, expanded_cache, prefix_states
from probate.infer.trunk import PAD, trunk_of


@dataclass(frozen=True)
class Example:
    """Token ids of one training record; only `completion` (end of turn included) carries loss, times `weight`."""

    prompt: list[int]
    completion: list[int]
    weight: float = 1.0
    augmented: bool = False
    label: str = ""
    nodes: Sequence[int] | None = None
    """What the model is given instead of the tokens, above a shared trunk."""
    rejected: Example | None = None
    """The same prompt with the answer that is not preferred (preference training)."""
    margin: float = 0.0
    """Log-likelihood of the completion minus that of the rejected one, under the model before training."""

    @property
    def tokens(self) -> int:
        return len(self.prompt) + len(self.completion)

    @property
    def inputs(self) -> Sequence[int]:
        return self.nodes if self.nodes is not None else self.prompt + self.completion


def completion_loss(model: Any, batch: Sequence[Example], pad_id: int) -> tuple[torch.Tensor, int]:
    """Weighted sum of the cross-entropy over all completion tokens of `batch`, and their number."""
    loss, _ = loss_and_features(model, batch, pad_id, features=False)
    return loss, sum(len(e.completion) for e in batch)


def loss_and_features(
    model: Any, batch: Sequence[Example], pad_id: int, *, features: bool = True
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """The loss of `completion_loss`, and φ of each record, of shape (batch, width): its mean last hidden state over all its tokens."""
    losses, states = row_losses(model, batch, pad_id, features=features)
    return (losses * torch.tensor([e.weight for e in batch], device=losses.device)).sum(), states


def row_losses(
    model: Any, batch: Sequence[Example], pad_id: int, *, features: bool = False
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Each record's cross-entropy, summed over its completion's tokens, of shape (batch,); and φ as in `loss_and_features`."""
    device = next(model.parameters()).device
    rows = [e.inputs for e in batch]
    shared = 0
    if can_share(model, max(map(len, rows))):
        shared = shared_prefix([row[: len(e.prompt)] for row, e in zip(rows, batch, strict=True)])
    ids, mask = pad_left([row[shared:] for row in rows], pad_id, device)
    keep = max(len(e.completion) for e in batch)
    labels = torch.full((len(rows), keep), -100, dtype=torch.long)
    for i, example in enumerate(batch):
        labels[i, keep - len(example.completion) :] = torch.tensor(example.completion)
    position = (mask.cumsum(1) - 1).clamp(min=0) + shared
    cache = None
    own, head = mask, None
    if shared:
        prefix, head = prefix_states(model, rows[0][:shared], device, hidden=features)
        cache = expanded_cache(prefix, len(rows))
        mask = torch.cat([mask.new_ones(len(rows), shared), mask], dim=1)
    out = model(
        input_ids=ids,
        attention_mask=mask,
        position_ids=position,
        use_cache=bool(shared),
        logits_to_keep=keep + 1,
        output_hidden_states=features,
        **cache_argument(model, cache),
    )
    logits = out.logits[:, :-1]
    losses = torch.nn.functional.cross_entropy(
        logits.float().reshape(-1, logits.shape[-1]), labels.to(device).reshape(-1), ignore_index=-100, reduction="none"
    )
    loss = losses.view(len(batch), keep).sum(1)
    if not features:
        return loss, None
    total = (out.hidden_states[-1] * own[:, :, None]).sum(1)
    if head is not None:
        total = total + head.sum(0)
    return loss, total / (own.sum(1, keepdim=True) + shared)


def preference_loss(
    model: Any, batch: Sequence[Example], pad_id: int, beta: float, *, features: bool = False
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Weighted sum of the DPO loss (Rafailov et al. 2023) over `batch`, and φ of the preferred rows.

    −log σ(β·(m − m₀)), m the log-likelihood of the preferred answer minus that of the rejected one, m₀ the same under the model before
    training (`Example.margin`), which is the reference.
    """
    pairs = [*batch, *(e.rejected for e in batch if e.rejected)]
    losses, states = row_losses(model, pairs, pad_id, features=features)
    n = len(batch)
    margins = losses[n:] - losses[:n]
    device = losses.device
    before = torch.tensor([e.margin for e in batch], device=device)
    weights = torch.tensor([e.weight for e in batch], device=device)
    loss = -(weights * torch.nn.functional.logsigmoid(beta * (margins - before))).sum()
    return loss, None if states is None else states[:n]


@contextmanager
def above_trunk(model: Any, examples: Sequence[Example], pad_id: int) -> Iterator[tuple[list[Example], int]]:
    """Examples and padding id for `model`, which runs above its shared trunk, where it has one, until this ends."""
    trunk, entered = trunk_of(model), None
    rejected = [e.rejected for e in examples if e.rejected]
    every = [*examples, *rejected]
    if trunk and can_share(model, max(e.tokens for e in every)):
        entered = trunk.enter(model, [e.prompt + e.completion for e in every])
    if trunk is None or entered is None:
        yield list(examples), pad_id
        return
    placed = [replace(e, nodes=nodes) for e, nodes in zip(every, entered[0], strict=True)]
    others = iter(placed[len(examples) :])
    with trunk.above(model):
        yield [replace(e, rejected=next(others)) if e.rejected else e for e in placed[: len(examples)]], PAD
