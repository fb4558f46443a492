"""The losses of training, with the batch's shared prompt prefix computed once.

The prompts of one task begin alike (system turn, instruction, label list). In a plain trainer each record of a
batch pays for those tokens; here they go through the model once a batch, with gradients, and the records follow as
branches that see the prefix by its keys and values. The loss and its gradient are those of the plain forward pass.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from typing import Any

import torch

from probate.core.errors import StageError
from probate.models.inference.batching import pad_left, shared_prefix
from probate.models.inference.prefix import cache_argument, expanded_cache, prefix_states
from probate.models.inference.proof import TAIL, base_of, holds, plain_pass, random_rows
from probate.models.inference.trunk import PAD, Trunk, trunk_of
from probate.train.lora import as_peft_has_it

SHARED = "step after a shared prefix"
PADDED_LEFT = "step in batches, padded on the left"
PADDED_RIGHT = "step in batches, padded on the right"
Losses = tuple[torch.Tensor, torch.Tensor | None]
LEAN = "lean LoRA layers"
LOGIT_ROWS = 2048
"""Tokens whose logits the padded way holds at once."""


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


def loss_and_features(model: Any, batch: Sequence[Example], pad_id: int, *, features: bool = True) -> Losses:
    """The loss of `completion_loss`, and φ of each record, of shape (batch, width): its mean last hidden state over all its tokens."""
    losses, states = row_losses(model, batch, pad_id, features=features)
    return (losses * torch.tensor([e.weight for e in batch], device=losses.device)).sum(), states


def row_losses(model: Any, batch: Sequence[Example], pad_id: int, *, features: bool = False) -> Losses:
    """Each record's cross-entropy, summed over its completion's tokens, of shape (batch,); and φ as in `loss_and_features`.

    The shared prefix is computed once where that gives the loss and gradient of plain passes (`probate.models.inference.proof`). Else rows are
    padded on the right, or go alone.
    """
    shared = _shared(batch)
    if batch[0].nodes is None:  # above a trunk, `above_trunk` has looked
        longest = max(e.tokens for e in batch)
        if not _holds(model, SHARED if shared else PADDED_LEFT, longest, pad_id, features, lone=not shared):
            if _holds(model, PADDED_RIGHT, longest, pad_id, features, lone=True):
                return plain_losses(
                    model, batch, pad_id, features=features, max_rows=max(1, LOGIT_ROWS // longest)
                )
            lean = _holds(model, LEAN, longest, pad_id, features, lone=True)
            with nullcontext() if lean else as_peft_has_it(model):
                return plain_losses(model, batch, pad_id, features=features)
    return shared_losses(model, batch, pad_id, shared, features=features)


def prove_step(model: Any, examples: Sequence[Example], pad_id: int, *, features: bool = False) -> None:
    """Compare the step with plain passes on texts as long as the longest of `examples`: then no batch of them needs a comparison of its own."""
    every = [*examples, *(e.rejected for e in examples if e.rejected)]
    if every[0].nodes is None:
        shared = _shared(every)
        _holds(
            model,
            SHARED if shared else PADDED_LEFT,
            max(e.tokens for e in every),
            pad_id,
            features,
            lone=not shared,
        )


def left_padding_holds(model: Any, longest: int, pad_id: int) -> bool:
    """Whether rows without a shared prefix, padded on the left, have the loss and gradient that each has alone."""
    return _holds(model, PADDED_LEFT, longest, pad_id, False, lone=True)


def _shared(batch: Sequence[Example]) -> int:
    """Tokens that the batch's prompts share. A record alone shares all but the last with itself: its step is compared with the others'."""
    rows = [e.inputs[: len(e.prompt)] for e in batch]
    return max(shared_prefix(rows), len(rows[0]) - 1 if len(rows) == 1 else 0)


def shared_losses(
    model: Any, batch: Sequence[Example], pad_id: int, shared: int, *, features: bool = False
) -> Losses:
    """`row_losses` in one padded pass that sees the first `shared` tokens once; with 0, rows stay apart."""
    device = next(model.parameters()).device
    rows = [e.inputs for e in batch]
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
        logits.float().reshape(-1, logits.shape[-1]),
        labels.to(device).reshape(-1),
        ignore_index=-100,
        reduction="none",
    )
    loss = losses.view(len(batch), keep).sum(1)
    if not features:
        return loss, None
    total = (out.hidden_states[-1] * own[:, :, None]).sum(1)
    if head is not None:
        total = total + head.sum(0)
    return loss, total / (own.sum(1, keepdim=True) + shared)


def plain_losses(
    model: Any, batch: Sequence[Example], pad_id: int, *, features: bool = False, max_rows: int = 1
) -> Losses:
    """`row_losses` by the model's own pass over token ids: row by row, or with `max_rows` padded on the right."""
    losses, states = [], []
    for start in range(0, len(batch), max_rows):
        part = batch[start : start + max_rows]
        rows = [e.prompt + e.completion for e in part]
        asked = {"output_hidden_states": True} if features else {}
        if len(part) == 1:
            out = plain_pass(model, rows[0], **asked)
        else:
            width = max(map(len, rows))
            device = next(model.parameters()).device
            ids = torch.tensor([row + [pad_id] * (width - len(row)) for row in rows], device=device)
            out = model(input_ids=ids, use_cache=False, **asked)
        for i, e in enumerate(part):
            logits = out.logits[i, len(e.prompt) - 1 : e.tokens - 1].float()
            targets = torch.tensor(e.completion, device=logits.device)
            losses.append(torch.nn.functional.cross_entropy(logits, targets, reduction="sum"))
            if features:
                states.append(out.hidden_states[-1][i, : e.tokens].mean(0))
    return torch.stack(losses), torch.stack(states) if features else None


def _holds(model: Any, shortcut: str, longest: int, pad_id: int, features: bool, *, lone: bool) -> bool:
    """Whether the step's `shortcut` gives the loss and, of what is trained, the gradient of plain passes."""

    def measure(length: int) -> float:
        batch = _case(model, length, pad_id, lone)

        def quick() -> Losses:
            if shortcut in (PADDED_RIGHT, LEAN):
                return plain_losses(
                    model, batch, pad_id, features=features, max_rows=1 if shortcut == LEAN else len(batch)
                )
            return shared_losses(model, batch, pad_id, _shared(batch), features=features)

        return _step_gap(model, [(batch, quick)], pad_id, features)

    return holds(model, shortcut, longest, measure, _detail(model, features))


def _trunk_holds(model: Any, trunk: Trunk, longest: int, pad_id: int) -> bool:
    """The same for the step above the trunk, with and without a shared prefix."""

    def measure(length: int) -> float:
        return _step_gap(
            model, [way(_case(model, length, pad_id, lone)) for lone in (False, True)], pad_id, True
        )

    def way(batch: list[Example]) -> tuple[list[Example], Callable[[], Losses]]:
        def quick() -> Losses:
            own = trunk.fresh(model)
            nodes = own.enter(model, [e.prompt + e.completion for e in batch])
            if nodes is None:
                raise MemoryError("no room for the trunk's states")
            placed = [replace(e, nodes=n) for e, n in zip(batch, nodes[0], strict=True)]
            with own.above(model):
                return shared_losses(model, placed, PAD, _shared(placed), features=True)

        return batch, quick

    return holds(
        model, f"step above the shared trunk of {trunk.bottom} layers", longest, measure, _detail(model, True)
    )


def _case(model: Any, length: int, pad_id: int, lone: bool) -> list[Example]:
    long, near, far = random_rows(model, length, pad_id)
    return [Example(row[:-TAIL], row[-TAIL:]) for row in (long, far if lone else near)]


def _detail(model: Any, features: bool) -> str:
    """What of `model` is trained, if a gradient is asked for, and whether states are."""
    trained = (
        [f"{n} {tuple(p.shape)}" for n, p in model.named_parameters() if p.requires_grad]
        if torch.is_grad_enabled()
        else []
    )
    return hashlib.sha256(" ".join([*trained, str(features)]).encode()).hexdigest()


def _step_gap(
    model: Any, ways: Sequence[tuple[list[Example], Callable[[], Losses]]], pad_id: int, features: bool
) -> float:
    """Largest difference of loss, states and gradient between each way over its batch and plain passes without the lean layers.

    A fresh adapter's B is 0, which hides the gradient of A: meanwhile it holds random numbers.
    """
    trained = [p for p in model.parameters() if p.requires_grad] if torch.is_grad_enabled() else []
    zero = [p for p in trained if not p.detach().any()]
    draw = torch.Generator().manual_seed(0)

    def outcome(found: Losses) -> list[torch.Tensor]:
        losses, states = found
        objective = losses.sum() if states is None else losses.sum() + states.float().square().sum()
        own = torch.autograd.grad(objective, trained, allow_unused=True) if trained else ()
        grads = [
            (torch.zeros_like(p) if g is None else g).flatten().float()
            for g, p in zip(own, trained, strict=True)
        ]
        return [
            losses.detach(),
            torch.cat(grads or [losses.new_zeros(1)]),
            torch.zeros(1) if states is None else states.detach(),
        ]

    def plain(row: Example) -> list[torch.Tensor]:
        with as_peft_has_it(model):
            return outcome(plain_losses(model, [row], pad_id, features=features))

    gaps = []
    with torch.no_grad():
        for p in zero:
            p.copy_(torch.randn(p.shape, generator=draw) * 0.02)
    try:
        rows = {tuple(e.prompt + e.completion): e for batch, _ in ways for e in batch}
        alone = {key: plain(row) for key, row in rows.items()}
        for batch, way in ways:
            losses, grads, states = zip(*(alone[tuple(e.prompt + e.completion)] for e in batch), strict=True)
            expected = [
                torch.cat(losses),
                torch.stack(grads).sum(0),
                torch.cat(states) if features else torch.zeros(1),
            ]
            if not all(torch.isfinite(x).all() for x in expected):
                raise StageError(
                    f"model '{type(base_of(model)).__name__}': its plain gradient is no finite number; it "
                    "cannot be trained"
                )
            found = outcome(way())
            gaps += [_relative(a, b) for a, b in zip(found[1:], expected[1:], strict=True)]
            nats = (
                float((found[0] - expected[0]).square().mean().sqrt()) / TAIL**0.5
            )  # a token's, by its share of a row's error
            gaps.append(nats if nats == nats else float("inf"))
    finally:
        with torch.no_grad():
            for p in zero:
                p.zero_()
    return max(gaps)


def _relative(found: torch.Tensor, plain: torch.Tensor) -> float:
    off = float((found.float() - plain.float()).norm() / plain.float().norm().clamp(min=1e-12))
    return off if off == off else float("inf")


def preference_loss(
    model: Any, batch: Sequence[Example], pad_id: int, beta: float, *, features: bool = False
) -> Losses:
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
    if trunk and _trunk_holds(model, trunk, max(e.tokens for e in every), pad_id):
        entered = trunk.enter(model, [e.prompt + e.completion for e in every])
    if trunk is None or entered is None:
        yield list(examples), pad_id
        return
    placed = [replace(e, nodes=nodes) for e, nodes in zip(every, entered[0], strict=True)]
    others = iter(placed[len(examples) :])
    with trunk.above(model):
        yield [replace(e, rejected=next(others)) if e.rejected else e for e in placed[: len(examples)]], PAD
