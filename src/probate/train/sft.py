"""LoRA supervised fine-tuning on completions, with the batch's shared prompt prefix computed once.

The prompts of one task begin alike (system turn, instruction, label list). In a plain trainer each record of a
batch pays for those tokens; here they go through the model once a batch, with gradients, and the records follow as
branches that see the prefix by its keys and values. The loss and its gradient are those of the plain forward pass.
"""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from probate.errors import StageError
from probate.infer.batching import pad_left, shared_prefix
from probate.infer.prefix import cache_argument, can_share, expanded_cache, prefix_states
from probate.infer.trunk import PAD, make_trunk, trunk_of
from probate.study import Training
from probate.train.align import SCALE_STEPS, Alignment
from probate.train.checkpoint import checkpoint, restore
from probate.train.lora import lean_lora
from probate.train.settings import AlignSettings


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


@dataclass(frozen=True)
class TrainingLog:
    """What a training run reports: mean loss of each optimizer step (without the alignment term), and the tokens that it saw.

    `distances`: D of each step where the alignment loss was on; `scale`: its s.
    """

    losses: list[float]
    tokens: int
    steps: int
    distances: list[float] = field(default_factory=list)
    scale: float = 0.0


def lora_config(training: Training, model: Any = None) -> Any:
    """The PEFT configuration that a study's `training.lora` describes; `lora.layers` needs the model that it is for.

    Raises:
        StageError: `lora.layers` for a model with fewer layers.
    """
    from peft import LoraConfig

    lora = training.lora
    targets, chosen = lora.targets, None
    if lora.layers is not None:
        names = [name for name, m in model.named_modules() if isinstance(m, torch.nn.Linear) and ".layers." in name]
        depth = 1 + max((int(name.split(".layers.")[1].split(".")[0]) for name in names), default=-1)
        if lora.layers > depth:
            raise StageError(f"training.lora.layers is {lora.layers}, but the model has {depth} layers")
        chosen = list(range(depth - lora.layers, depth))
        if targets == "all-linear":
            targets = sorted({name.rsplit(".", 1)[-1] for name in names})
    return LoraConfig(
        task_type="CAUSAL_LM",
        r=lora.r,
        lora_alpha=lora.alpha,
        lora_dropout=lora.dropout,
        target_modules=targets,
        layers_to_transform=chosen,
    )


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


def epoch_batches(
    examples: Sequence[Example], batch_size: int, seed: int, epoch: int, *, mixed: bool = False
) -> list[list[int]]:
    """Index batches of one epoch: similar lengths together, order decided by (seed, epoch) alone.

    Lengths are jittered before sorting, so that batches differ between epochs, and batches are then shuffled. `mixed`: each batch
    has original and augmented records in the proportion of the whole, as nearly as its size allows.
    """
    rng = np.random.default_rng([seed, epoch])
    lengths = np.array([e.tokens for e in examples], dtype=float)
    jittered = lengths * rng.uniform(0.95, 1.05, len(lengths))
    order = np.argsort(jittered, kind="stable")
    if mixed:
        place = np.empty(len(examples))
        augmented = np.array([e.augmented for e in examples])
        for side in (False, True):
            own = order[augmented[order] == side]
            place[own] = (np.arange(len(own)) + 0.5) / max(1, len(own))
        order = np.argsort(place, kind="stable")
    batches = [order[i : i + batch_size].tolist() for i in range(0, len(order), batch_size)]
    return [batches[i] for i in rng.permutation(len(batches))]


def schedule(step: int, total: int, warmup: float) -> float:
    """Learning-rate factor in [0, 1]: linear warm-up over `warmup` (a share of all steps), then half a cosine."""
    ramp = max(1, round(warmup * total))
    if step < ramp:
        return (step + 1) / ramp
    return 0.5 * (1 + math.cos(math.pi * (step - ramp) / max(1, total - ramp)))


def train(
    base: Any,
    examples: Sequence[Example],
    training: Training,
    seed: int,
    out: Path,
    *,
    pad_id: int,
    adapter: Path | None = None,
    align: AlignSettings | None = None,
    beta: float | None = None,
    tick: Callable[[int, float], None] | None = None,
) -> TrainingLog:
    """Fine-tune a fresh LoRA adapter on `examples` and write it to `out` as an ordinary PEFT folder.

    `base` comes back as it was, without the adapter. Epoch checkpoints lie in `out/checkpoint`; a call that finds
    one continues from it and ends with the same weights as an uninterrupted run.

    Args:
        base: the causal LM, unwrapped.
        examples: tokenised records, not empty.
        training: the study's settings.
        seed: decides the adapter's initial weights, the order of batches and dropout.
        out: folder of the adapter; made if missing.
        pad_id: padding token id.
        adapter: an adapter to start from instead of a fresh one (later rounds).
        beta: with it, preference training (DPO) at that β; every example then has a `rejected` answer.
        align: the alignment loss between original and augmented examples; without examples of both it has no effect.
        tick: called with (records finished, loss of the step) after each optimizer step.

    Raises:
        StageError: no example, or a loss that is not finite or diverges (with its step and both terms).
    """
    if not examples:
        raise StageError("training: no record to train on")
    from peft import PeftModel, get_peft_model

    from probate.models.quiet import quiet

    if training.lora.layers is not None:
        make_trunk(base, training.lora.layers)
    torch.manual_seed(seed)
    model: Any
    with quiet():
        if adapter is None:
            model = get_peft_model(base, lora_config(training, base))
        else:
            model = PeftModel.from_pretrained(base, str(adapter), is_trainable=True)
    lean_lora(model)
    weights = {name: p for name, p in model.named_parameters() if p.requires_grad}
    try:
        with above_trunk(model, examples, pad_id) as (inputs, padding):
            log = _train(model, weights, inputs, training, seed, out, padding, align, beta, tick)
        out.mkdir(parents=True, exist_ok=True)
        model.save_pretrained(str(out), safe_serialization=True, save_embedding_layers=False)
        (out / "README.md").unlink(missing_ok=True)  # PEFT's blank model card
        shutil.rmtree(out / "checkpoint", ignore_errors=True)
        (out / "losses.json").write_text(json.dumps(log.losses), encoding="utf-8")
        return log
    finally:
        model.unload()
        base.__dict__.pop("peft_config", None)
        base.requires_grad_(False)
        base.eval()


def _train(
    model: Any,
    weights: dict[str, torch.nn.Parameter],
    examples: list[Example],
    training: Training,
    seed: int,
    out: Path,
    pad_id: int,
    align: AlignSettings | None,
    beta: float | None,
    tick: Callable[[int, float], None] | None,
) -> TrainingLog:
    on_cpu = next(iter(weights.values())).device.type == "cpu"
    optimizer = torch.optim.AdamW(
        weights.values(), lr=training.learning_rate, weight_decay=training.weight_decay, fused=on_cpu or None
    )
    both = len({e.augmented for e in examples}) == 2
    aligned = Alignment(align, sorted({e.label for e in examples})) if align is not None and both else None
    plans = [
        epoch_batches(examples, training.batch_size, seed, epoch, mixed=aligned is not None) for epoch in range(training.epochs)
    ]
    grouped = training.gradient_accumulation
    total = sum(math.ceil(len(plan) / grouped) for plan in plans)
    losses: list[float] = []
    distances: list[float] = []
    first_epoch = restore(out / "checkpoint", weights, optimizer, losses, distances, aligned)
    model.train()
    step = len(losses)
    for epoch in range(first_epoch, training.epochs):
        torch.manual_seed(seed * 1_000_003 + epoch)  # dropout
        plan = plans[epoch]
        for start in range(0, len(plan), grouped):
            group = [[examples[i] for i in batch] for batch in plan[start : start + grouped]]
            count = sum(len(e.completion) if beta is None else 1 for batch in group for e in batch)
            value, apart = 0.0, []
            for batch in group:
                if beta is None:
                    loss, features = loss_and_features(model, batch, pad_id, features=aligned is not None)
                else:
                    loss, features = preference_loss(model, batch, pad_id, beta, features=aligned is not None)
                objective = loss / count
                if aligned is not None and features is not None:
                    term, distance = aligned.term(features, [e.augmented for e in batch], [e.label for e in batch])
                    objective = objective + aligned.factor() * term / len(group)
                    apart.append(distance)
                objective.backward()
                value += float(loss.detach()) / count
            if aligned is not None:
                distances.append(float(np.nanmean(apart)) if np.isfinite(apart).any() else math.nan)
                aligned.see(value, distances[-1])
            _check_step(value, losses, step, total, epoch, training, aligned, distances)
            torch.nn.utils.clip_grad_norm_(weights.values(), training.clip)
            for param_group in optimizer.param_groups:
                param_group["lr"] = training.learning_rate * schedule(step, total, training.warmup)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            losses.append(value)
            step += 1
            if tick:
                tick(sum(map(len, group)), value)
        if epoch + 1 < training.epochs:
            checkpoint(out / "checkpoint", weights, optimizer, losses, epoch + 1, distances, aligned)
    model.eval()
    tokens = sum(e.tokens for e in examples) * training.epochs
    return TrainingLog(losses, tokens, total, distances, aligned.scale if aligned else 0.0)


def _check_step(
    value: float,
    losses: list[float],
    step: int,
    total: int,
    epoch: int,
    training: Training,
    aligned: Alignment | None,
    distances: list[float],
) -> None:
    """Raises StageError where the loss is not finite, or with an alignment term has grown by a third over sixteen steps."""
    where = f"at step {step + 1} of {total} (epoch {epoch + 1})"
    if aligned is not None:
        early, late = losses[:SCALE_STEPS], [*losses, value][-2 * SCALE_STEPS :]
        grown = len(losses) > 3 * SCALE_STEPS and np.mean(late) > 1.3 * np.mean(early)
        if grown or not math.isfinite(value):
            raise StageError(
                f"training: it diverges {where}: the plain loss is {value:.3g}, the alignment term {aligned.factor():.3g} x "
                f"{distances[-1]:.3g}; lower the weight of the mitigation 'loss' ({aligned.settings.weight:g})"
            )
    if not math.isfinite(value):
        raise StageError(f"training: the loss is {value} {where}; lower training.learning_rate ({training.learning_rate:g})")
