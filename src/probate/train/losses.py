"""The losses of training, with the batch's shared prompt prefix computed once.

The prompts of one task have a common beginning (system turn, instruction, label list). A plain trainer
processes these tokens for each record. Here they go through the model once per batch, with gradients, and the
records attend to the prefix by its keys and values. Loss and gradient equal those of the plain forward pass.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch

from probate.core.errors import StageError
from probate.models.inference.batching import pad_left, shared_prefix
from probate.models.inference.output_layer import output_layer_at
from probate.models.inference.prefix import cache_argument, expanded_cache, prefix_states
from probate.models.inference.proof import (
    ROUNDINGS,
    TAIL,
    base_of,
    exact_limit,
    holds,
    peft_forward,
    plain_pass,
    random_rows,
    rounded_products,
    rounding,
)
from probate.models.inference.tree import option_tree
from probate.models.inference.trunk import PAD, Trunk, trunk_of

SHARED = "step after a shared prefix"
PADDED_LEFT = "step in batches, padded on the left"
PADDED_RIGHT = "step in batches, padded on the right"
Losses = tuple[torch.Tensor, torch.Tensor | None]
LEAN = "lean LoRA layers"
EXTRA = 0.1
"""Share of an example's tokens that may be added to enter completions of other examples with it."""
LOGIT_ROWS = 2048
"""Maximum number of tokens whose logits the padded way keeps at once."""


@dataclass(frozen=True)
class Example:
    """Token ids of one training record.

    Only `completion` (including the end of turn) contributes to the loss, times `weight`.
    """

    prompt: list[int]
    completion: list[int]
    weight: float = 1.0
    augmented: bool = False
    label: str = ""
    nodes: Sequence[int] | None = None
    """Node ids that replace the tokens above a shared trunk."""
    rejected: Example | None = None
    """The same prompt with the rejected answer (preference training)."""
    margin: float = 0.0
    """Log-likelihood of the completion minus that of the rejected one, under the model before training."""

    @property
    def tokens(self) -> int:
        return len(self.prompt) + len(self.completion)

    @property
    def inputs(self) -> Sequence[int]:
        return self.nodes if self.nodes is not None else self.prompt + self.completion


def completion_loss(model: Any, batch: Sequence[Example], pad_id: int) -> tuple[torch.Tensor, int]:
    """Compute the weighted sum of the cross-entropy over all completion tokens of a batch.

    Returns
    -------
    loss : Tensor
        A scalar in nats, lower is better.
    tokens : int
        Number of completion tokens.
    """
    loss, _ = loss_and_features(model, batch, pad_id, features=False)
    return loss, sum(len(e.completion) for e in batch)


def loss_and_features(model: Any, batch: Sequence[Example], pad_id: int, *, features: bool = True) -> Losses:
    """Return the loss of `completion_loss`, and φ (batch, width), each record's mean last hidden state."""
    losses, states = row_losses(model, batch, pad_id, features=features)
    return (losses * torch.tensor([e.weight for e in batch], device=losses.device)).sum(), states


def row_losses(model: Any, batch: Sequence[Example], pad_id: int, *, features: bool = False) -> Losses:
    """Compute each record's cross-entropy, summed over the tokens of its completion.

    The shared prefix is computed once if this gives the loss and gradient of plain passes
    (`probate.models.inference.proof`). Otherwise rows are padded on the right, or processed one by one.

    Returns
    -------
    losses : Tensor of shape (batch,)
        In nats, lower is better.
    features : Tensor of shape (batch, width) or None
        φ of each record, as in `loss_and_features`.
    """
    shared = _shared(batch)
    if batch[0].nodes is None:  # above a trunk, `above_trunk` has compared them
        longest = max(e.tokens for e in batch)
        if not _holds(
            model, SHARED if shared else PADDED_LEFT, longest, pad_id, features, unshared=not shared
        ):
            if _holds(model, PADDED_RIGHT, longest, pad_id, features, unshared=True):
                return plain_losses(
                    model, batch, pad_id, features=features, max_rows=max(1, LOGIT_ROWS // longest)
                )
            lean = _holds(model, LEAN, longest, pad_id, features, unshared=True)
            with nullcontext() if lean else peft_forward(model):
                return plain_losses(model, batch, pad_id, features=features)
    return shared_losses(model, batch, pad_id, shared, features=features)


def verify_step(model: Any, examples: Sequence[Example], pad_id: int, *, features: bool = False) -> None:
    """Compare the step with plain passes once, on texts as long as the longest example."""
    every = [*examples, *(e.rejected for e in examples if e.rejected)]
    if every[0].nodes is None:
        shared = _shared(every)
        _holds(
            model,
            SHARED if shared else PADDED_LEFT,
            max(e.tokens for e in every),
            pad_id,
            features,
            unshared=not shared,
        )


def left_padding_holds(model: Any, longest: int, pad_id: int) -> bool:
    """Check that left-padded rows without a shared prefix give each row's own loss and gradient."""
    return _holds(model, PADDED_LEFT, longest, pad_id, False, unshared=True)


def _shared(batch: Sequence[Example]) -> int:
    """Return the number of tokens that the batch's prompts share.

    A single record shares all but its last token with itself, so that its step is compared like the others.
    """
    rows = [e.inputs[: len(e.prompt)] for e in batch]
    return max(shared_prefix(rows), len(rows[0]) - 1 if len(rows) == 1 else 0)


def shared_losses(
    model: Any, batch: Sequence[Example], pad_id: int, shared: int, *, features: bool = False
) -> Losses:
    """Compute `row_losses` in one padded pass that processes the first `shared` tokens once."""
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
    labels = labels.to(device)
    used = labels != -100
    with output_layer_at(model, torch.nn.functional.pad(used, (0, 1))) as chosen:
        out = model(
            input_ids=ids,
            attention_mask=mask,
            position_ids=position,
            use_cache=bool(shared),
            logits_to_keep=keep + 1,
            output_hidden_states=features,
            **cache_argument(model, cache),
        )
    logits = out.logits[0] if chosen else out.logits[:, :-1][used]
    losses = torch.nn.functional.cross_entropy(logits.float(), labels[used], reduction="none")
    loss = losses.new_zeros(len(batch)).index_add(0, used.nonzero()[:, 0], losses)
    if not features:
        return loss, None
    total = (out.hidden_states[-1] * own[:, :, None]).sum(1)
    if head is not None:
        total = total + head.sum(0)
    return loss, total / (own.sum(1, keepdim=True) + shared)


def plain_losses(
    model: Any, batch: Sequence[Example], pad_id: int, *, features: bool = False, max_rows: int = 1
) -> Losses:
    """Compute `row_losses` by the model's own pass, one row at a time or `max_rows` padded on the right."""
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


def _holds(model: Any, shortcut: str, longest: int, pad_id: int, features: bool, *, unshared: bool) -> bool:
    """Check that a shortcut of the step gives the loss and gradient of plain passes."""

    def measure(length: int) -> float:
        batch = _case(model, length, pad_id, unshared)

        def quick() -> Losses:
            if shortcut in (PADDED_RIGHT, LEAN):
                return plain_losses(
                    model, batch, pad_id, features=features, max_rows=1 if shortcut == LEAN else len(batch)
                )
            return shared_losses(model, batch, pad_id, _shared(batch), features=features)

        return _step_gap(model, [(batch, quick)], pad_id, features)

    limit = partial(_step_limit, model, pad_id, features)
    return holds(model, shortcut, longest, measure, _detail(model, features), limit)


def _step_limit(model: Any, pad_id: int, features: bool, length: int) -> float:
    """Return the largest difference of a step that counts as rounding.

    A gradient changes more by rounding than logits do, because it passes twice through the model.
    """
    exact = exact_limit(model)
    if exact is not None:
        return exact
    (row, _) = _case(model, length, pad_id, True)
    with _lively(model) as trained, peft_forward(model):
        plain = _outcome(plain_losses(model, [row], pad_id, features=features), trained)[1]
        with rounded_products(model):
            moved = _outcome(plain_losses(model, [row], pad_id, features=features), trained)[1]
    return ROUNDINGS * max(rounding(model, length), _relative(moved, plain) if trained else 0.0)


def _trunk_holds(model: Any, trunk: Trunk, longest: int, pad_id: int) -> bool:
    """Check the step above the trunk, with and without a shared prefix."""

    def measure(length: int) -> float:
        return _step_gap(
            model, [way(_case(model, length, pad_id, unshared)) for unshared in (False, True)], pad_id, True
        )

    def way(batch: list[Example]) -> tuple[list[Example], Callable[[], Losses]]:
        def quick() -> Losses:
            own = trunk.fresh(model)
            placed = _placed(own, model, batch)
            if placed is None:
                raise MemoryError("no room for the trunk's states")
            with own.above(model):
                return shared_losses(model, placed, PAD, _shared(placed), features=True)

        return batch, quick

    name = f"step above the shared trunk of {trunk.bottom} layers"
    limit = partial(_step_limit, model, pad_id, True)
    return holds(model, name, longest, measure, _detail(model, True), limit)


def _case(model: Any, length: int, pad_id: int, unshared: bool) -> list[Example]:
    """Return two examples of random tokens, with or without a shared prefix."""
    long, near, far = random_rows(model, length, pad_id)
    return [Example(row[:-TAIL], row[-TAIL:]) for row in (long, far if unshared else near)]


def _detail(model: Any, features: bool) -> str:
    """Return a hash of the trained parameters, if gradients are enabled, and of `features`."""
    trained = (
        [f"{n} {tuple(p.shape)}" for n, p in model.named_parameters() if p.requires_grad]
        if torch.is_grad_enabled()
        else []
    )
    return hashlib.sha256(" ".join([*trained, str(features)]).encode()).hexdigest()


def _step_gap(
    model: Any, ways: Sequence[tuple[list[Example], Callable[[], Losses]]], pad_id: int, features: bool
) -> float:
    """Return the largest difference of loss, states and gradient from plain passes."""

    def plain(row: Example) -> list[torch.Tensor]:
        with peft_forward(model):
            return _outcome(plain_losses(model, [row], pad_id, features=features), trained)

    gaps = []
    with _lively(model) as trained:
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
                    f"model '{type(base_of(model)).__name__}': its plain gradient is not finite, so it "
                    "cannot be trained; use another model or model.dtype"
                )
            actual = _outcome(way(), trained)
            gaps += [_relative(a, b) for a, b in zip(actual[1:], expected[1:], strict=True)]
            nats = float((actual[0] - expected[0]).square().mean().sqrt()) / TAIL**0.5  # per token
            gaps.append(nats if nats == nats else float("inf"))
    return max(gaps)


@contextmanager
def _lively(model: Any) -> Iterator[list[torch.Tensor]]:
    """Yield the trained parameters, if gradients are enabled.

    B of a fresh adapter is 0, which hides the gradient of A, so it holds random numbers inside the block.
    """
    trained = [p for p in model.parameters() if p.requires_grad] if torch.is_grad_enabled() else []
    zero = [p for p in trained if not p.detach().any()]
    draw = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for p in zero:
            p.copy_(torch.randn(p.shape, generator=draw) * 0.02)
    try:
        yield trained
    finally:
        with torch.no_grad():
            for p in zero:
                p.zero_()


def _outcome(result: Losses, trained: Sequence[torch.Tensor]) -> list[torch.Tensor]:
    """Return losses, gradient and states of a step."""
    losses, states = result
    objective = losses.sum() if states is None else losses.sum() + states.float().square().sum()
    own = torch.autograd.grad(objective, trained, allow_unused=True) if trained else ()
    grads = [
        (torch.zeros_like(p) if g is None else g).flatten().float() for g, p in zip(own, trained, strict=True)
    ]
    return [
        losses.detach(),
        torch.cat(grads or [losses.new_zeros(1)]),
        torch.zeros(1) if states is None else states.detach(),
    ]


def _relative(actual: torch.Tensor, plain: torch.Tensor) -> float:
    """Return the norm of the difference relative to the norm of `plain`; infinite if not finite."""
    difference = float((actual.float() - plain.float()).norm() / plain.float().norm().clamp(min=1e-12))
    return difference if difference == difference else float("inf")


def preference_loss(
    model: Any, batch: Sequence[Example], pad_id: int, beta: float, *, features: bool = False
) -> Losses:
    """Compute the weighted sum of the DPO loss over a batch.

    The loss of a pair is −log σ(β·(m − m₀)). m is the log-likelihood of the preferred answer minus that of
    the rejected one, and m₀ is m under the reference, the model before training (`Example.margin`).

    Returns
    -------
    loss : Tensor
        A scalar, lower is better.
    features : Tensor of shape (batch, width) or None
        φ of the preferred rows.

    References
    ----------
    Rafailov et al. (2023), Direct Preference Optimization.
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
    """Run `model` above its shared trunk, if it has one; yield examples and padding id for it."""
    trunk, placed = trunk_of(model), None
    rejected = [e.rejected for e in examples if e.rejected]
    every = [*examples, *rejected]
    if trunk and _trunk_holds(model, trunk, max(e.tokens for e in every), pad_id):
        placed = _placed(trunk, model, every)
    if trunk is None or placed is None:
        yield list(examples), pad_id
        return
    others = iter(placed[len(examples) :])
    with trunk.above(model):
        yield [replace(e, rejected=next(others)) if e.rejected else e for e in placed[: len(examples)]], PAD


def _placed(trunk: Trunk, model: Any, examples: Sequence[Example]) -> list[Example] | None:
    """Enter examples into the trunk; None if it has no room for them.

    If there are few completions, such as labels, each prompt is entered with all of them. An arm with the
    same texts and other labels then finds their states.
    """
    completions = sorted({tuple(e.completion) for e in examples})
    tree = option_tree([[*completion, PAD] for completion in completions])
    if len(tree.inputs) * len(examples) > sum(len(e.completion) + EXTRA * e.tokens for e in examples):
        entered = trunk.enter(model, [e.prompt + e.completion for e in examples])
        return entered and [replace(e, nodes=n) for e, n in zip(examples, entered[0], strict=True)]
    entered = trunk.enter(model, [e.prompt for e in examples], [tree] * len(examples))
    if entered is None:
        return None
    paths = {
        completion: [node - 1 for node, _ in path[1:]]
        for completion, path in zip(completions, tree.paths, strict=True)
    }
    return [
        replace(e, nodes=[*nodes, *(own.inputs[i] for i in paths[tuple(e.completion)])])
        for e, nodes, own in zip(examples, *entered, strict=True)
    ]
