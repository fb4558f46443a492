"""What a trainer is: how a model is fine-tuned on records.

A trainer is one class, found by an entry point of the group `probate.trainers`; a study names it in `training.trainer`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, cast

from probate.core.plugins import entry_points_of, installed
from probate.study.schema import Training
from probate.train.losses import Example
from probate.train.settings import AlignSettings

TRAINERS = {"lora": "probate.train.sft:LoraTrainer"}
"""Probate's own trainers: name → class."""


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


class Trainer(ABC):
    """A way to fine-tune. Subclasses declare `name` (as in `training.trainer`) and `title`, and implement `train`."""

    name: ClassVar[str]
    title: ClassVar[str]

    @abstractmethod
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
    ) -> TrainingLog:
        """Fine-tune an adapter on `examples` and write it to `out` as a PEFT folder, in safetensors. `base` comes back as it was.

        The result depends on the arguments alone: the same call writes the same adapter. A call that finds unfinished work of its own
        in `out` may continue it, if it ends with the same adapter.

        Parameters
        ----------
        base
            The causal LM that the backend loaded, without an adapter.
        examples
            Tokenised records; the loss of each one's `completion` counts `weight` times.
        training
            The study's settings.
        seed
            Decides all that is drawn by chance.
        out
            Folder of the adapter; made if missing.
        pad_id
            Padding token id.
        align
            The alignment loss between original and augmented examples, if the study asks for one.
        beta
            With it, preference training (DPO) at that β; every example then has a `rejected` answer.
        tick
            To be called with (records finished since the last call, loss of the step) after each optimizer step.

        Raises
        ------
        StageError
            Settings that it does not support, no example, or a loss that is not finite.
        """


def trainer_names() -> list[str]:
    """Names of all trainers that are installed."""
    return sorted({*TRAINERS, *entry_points_of("probate.trainers", TRAINERS)})


def load_trainer(name: str) -> Trainer:
    """The trainer of that name.

    Raises
    ------
    InputError
        No such trainer, or one that cannot be imported.
    """
    return cast("type[Trainer]", installed("trainer", name, TRAINERS))()
