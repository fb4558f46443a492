"""LoRA fine-tuning, supervised on completions or by preference; see `probate.train.losses` for the losses."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from peft import LoraConfig, get_peft_model, get_peft_model_state_dict, set_peft_model_state_dict
from safetensors import SafetensorError
from safetensors.torch import load_file

from probate.core.errors import StageError
from probate.core.files import atomic_files, write_atomic
from probate.models.adapter_files import WEIGHTS
from probate.models.blocks import blocks, linear
from probate.models.checks import check_warnings
from probate.models.inference.trunk import make_trunk
from probate.models.lora import lean_lora
from probate.models.quiet import quiet
from probate.study.schema import Training
from probate.train.align import SCALE_STEPS, Alignment
from probate.train.checkpoint import checkpoint, restore
from probate.train.losses import Example, above_trunk, loss_and_features, preference_loss, verify_step
from probate.train.settings import AlignSettings
from probate.train.trainer import Trainer, TrainingLog, load_trainer


def lora_config(training: Training, model: Any = None) -> Any:
    """Return the PEFT configuration of a study's `training.lora`; `lora.layers` needs `model`.

    Raises
    ------
    StageError
        The model has fewer layers than `lora.layers`, or its layers were not found.
    """

    lora = training.lora
    targets, chosen, pattern = lora.targets, None, None
    if lora.layers is not None:
        name, layers = blocks(model)
        if lora.layers > len(layers):
            raise StageError(
                f"training.lora.layers is {lora.layers}, but the model has {len(layers)} layers; lower it"
            )
        pattern, chosen = name.rsplit(".", 1)[-1], list(range(len(layers) - lora.layers, len(layers)))
        if targets == "all-linear":
            targets = sorted({n.rsplit(".", 1)[-1] for n in linear(layers)})
    return LoraConfig(
        task_type="CAUSAL_LM",
        r=lora.r,
        lora_alpha=lora.alpha,
        lora_dropout=lora.dropout,
        target_modules=targets,
        layers_to_transform=chosen,
        layers_pattern=pattern,
    )


def epoch_batches(
    examples: Sequence[Example], batch_size: int, seed: int, epoch: int, *, mixed: bool = False
) -> list[list[int]]:
    """Return index batches of one epoch, similar lengths together, in an order fixed by seed and epoch.

    Lengths are jittered before sorting, so that batches differ between epochs, and the batches are then
    shuffled. With `mixed`, each batch has the overall proportion of original and augmented records, as nearly
    as its size allows.
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
    """Return the learning-rate factor in [0, 1]: linear warm-up (a share of steps), then half a cosine."""
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
    align: AlignSettings | None = None,
    beta: float | None = None,
    tick: Callable[[int, float], None] | None = None,
    start: Path | None = None,
) -> TrainingLog:
    """Fine-tune with the study's trainer. For the arguments, see `probate.train.trainer.Trainer.train`."""
    trainer = load_trainer(training.trainer)
    begun: dict[str, Path] = {"start": start} if start is not None else {}
    return trainer.train(
        base, examples, training, seed, out, pad_id=pad_id, align=align, beta=beta, tick=tick, **begun
    )


class LoraTrainer(Trainer):
    """Trains a new LoRA adapter with AdamW.

    After each epoch, a checkpoint is written to `out/checkpoint`. A later call continues from it.
    """

    name = "lora"
    title = "LoRA"
    continues = True

    @torch.random.fork_rng()  # seeds are set inside; the caller's stay
    def train(
        self,
        base: Any,
        examples: Sequence[Example],
        training: Training,
        seed: int,
        out: Path,
        *,
        pad_id: int,
        align: AlignSettings | None = None,
        beta: float | None = None,
        tick: Callable[[int, float], None] | None = None,
        start: Path | None = None,
    ) -> TrainingLog:
        """Fine-tune as described at `Trainer.train`.

        `seed` decides the order of batches, dropout, and without `start` the adapter's initial weights.

        Raises
        ------
        StageError
            There is no example, or the loss is not finite or diverges. The message has the step and both
            terms.
        """
        if not examples:
            raise StageError("training: there are no records to train on; check data and ratios")
        if training.lora.layers is not None:
            make_trunk(base, training.lora.layers)
        torch.manual_seed(seed)
        model: Any
        with quiet() as warned:
            try:
                model = get_peft_model(base, lora_config(training, base))
            except ValueError as error:  # layers that PEFT does not know or rejects
                raise StageError(
                    f"training: no LoRA adapter fits this model ({error}); name its layers in "
                    "training.lora.targets"
                ) from None
        check_warnings(base.config._name_or_path, warned)
        weights = {name: p for name, p in model.named_parameters() if p.requires_grad}
        try:
            if start is not None:
                _begin_with(model, start)
            lean_lora(model)
            with above_trunk(model, examples, pad_id) as (inputs, padding):
                log = _train(model, weights, inputs, training, seed, out, padding, align, beta, tick)
            out.mkdir(parents=True, exist_ok=True)
            with atomic_files(out) as part:
                model.save_pretrained(str(part), safe_serialization=True, save_embedding_layers=False)
            (out / "README.md").unlink(missing_ok=True)  # PEFT's blank model card
            shutil.rmtree(out / "checkpoint", ignore_errors=True)
            write_atomic(out / "losses.json", json.dumps(log.losses))
            return log
        finally:
            model.unload()
            base.__dict__.pop("peft_config", None)
            base.requires_grad_(False)
            base.eval()


def _begin_with(model: Any, start: Path) -> None:
    """Give a new adapter the weights of the adapter in `start`.

    Raises
    ------
    StageError
        The adapter has other weights, or cannot be read.
    """
    own = {name: p.shape for name, p in get_peft_model_state_dict(model, save_embedding_layers=False).items()}
    try:
        weights = load_file(start / WEIGHTS)
    except (SafetensorError, OSError) as error:
        raise StageError(
            f"training: the adapter of the previous round cannot be read ({start / WEIGHTS}: {error}); "
            "delete its folder and run the study again"
        ) from None
    if {name: p.shape for name, p in weights.items()} != own:
        raise StageError(
            f"training: the adapter in {start} has other weights than training.lora asks for; delete its "
            "folder and run the study again"
        )
    set_peft_model_state_dict(model, weights)


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
        epoch_batches(examples, training.batch_size, seed, epoch, mixed=aligned is not None)
        for epoch in range(training.epochs)
    ]
    grouped = training.gradient_accumulation
    total = sum(math.ceil(len(plan) / grouped) for plan in plans)
    losses: list[float] = []
    distances: list[float] = []
    first_epoch = restore(out / "checkpoint", weights, optimizer, losses, distances, aligned)
    model.train()
    verify_step(model, examples, pad_id, features=aligned is not None)
    step = len(losses)
    for epoch in range(first_epoch, training.epochs):
        torch.manual_seed(seed * 1_000_003 + epoch)  # dropout
        plan = plans[epoch]
        for start in range(0, len(plan), grouped):
            group = [[examples[i] for i in batch] for batch in plan[start : start + grouped]]
            count = sum(len(e.completion) if beta is None else 1 for batch in group for e in batch)
            value, batch_distances = 0.0, []
            for batch in group:
                if beta is None:
                    loss, features = loss_and_features(model, batch, pad_id, features=aligned is not None)
                else:
                    loss, features = preference_loss(model, batch, pad_id, beta, features=aligned is not None)
                objective = loss / count
                if aligned is not None and features is not None:
                    term, distance = aligned.term(
                        features, [e.augmented for e in batch], [e.label for e in batch]
                    )
                    objective = objective + aligned.factor() * term / len(group)
                    batch_distances.append(distance)
                objective.backward()
                value += float(loss.detach()) / count
            if aligned is not None:
                distances.append(
                    float(np.nanmean(batch_distances)) if np.isfinite(batch_distances).any() else math.nan
                )
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
    """Raise StageError if the loss is not finite, or grew by a third over 16 steps with an alignment term."""
    where = f"at step {step + 1} of {total} (epoch {epoch + 1})"
    if aligned is not None:
        early, late = losses[:SCALE_STEPS], [*losses, value][-2 * SCALE_STEPS :]
        grown = len(losses) > 3 * SCALE_STEPS and np.mean(late) > 1.3 * np.mean(early)
        if grown or not math.isfinite(value):
            raise StageError(
                f"training diverges {where}: the plain loss is {value:.3g}, the alignment term "
                f"{aligned.factor():.3g} x {distances[-1]:.3g}; lower the weight of the mitigation 'loss' "
                f"({aligned.settings.weight:g})"
            )
    if not math.isfinite(value):
        raise StageError(
            f"training: the loss is {value} {where}; lower training.learning_rate "
            f"({training.learning_rate:g})"
        )
