"""The interface of trainers: how a model is fine-tuned on records.

A trainer is one class, registered by an entry point of the group `probate.trainers`. A study names it in
`training.trainer`.
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
    """The report of a training run.

    Attributes
    ----------
    losses : list of float
        Mean loss of each optimizer step, without the alignment term.
    tokens : int
        Number of tokens that were trained on.
    steps : int
        Number of optimizer steps.
    distances : list of float
        Distance D of each step; empty without the alignment loss.
    scale : float
        The factor s of the alignment loss; 0 without it.
    """

    losses: list[float]
    tokens: int
    steps: int
    distances: list[float] = field(default_factory=list)
    scale: float = 0.0


class Trainer(ABC):
    """A method of fine-tuning.

    Subclasses define `name` (as in `training.trainer`) and `title`, and implement `train`. A trainer that can
    continue the training of an adapter (`round_policy: continued`) sets `continues` and takes `start`.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    continues: ClassVar[bool] = False

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
        start: Path | None = None,
    ) -> TrainingLog:
        """Fine-tune an adapter and write it as a PEFT folder in safetensors. `base` is left unchanged.

        The result depends only on the arguments: the same call writes the same adapter. A call may continue
        unfinished work of its own in `out` if the adapter ends up the same.

        Parameters
        ----------
        base : torch.nn.Module
            The causal language model that the backend loaded, without an adapter.
        examples : sequence of Example
            Tokenised records. The loss of each `completion` is multiplied by its `weight`.
        training : Training
            The study's settings.
        seed : int
            Seed of all random choices.
        out : Path
            Folder of the adapter; it is created if missing.
        pad_id : int
            Id of the padding token.
        align : AlignSettings, optional
            Settings of the alignment loss between original and augmented examples.
        beta : float, optional
            β of preference training (DPO). Every example then has a `rejected` answer.
        tick : callable, optional
            Called after each optimizer step with the number of records since the last call and the step's
            loss.
        start : Path, optional
            Folder of the adapter with whose weights the new one begins. It is passed only to a trainer with
            `continues`.

        Returns
        -------
        TrainingLog
            Losses, tokens and steps.

        Raises
        ------
        StageError
            The settings are not supported, there is no example, or the loss is not finite.
        """


def trainer_names() -> list[str]:
    """Return the names of all installed trainers."""
    return sorted({*TRAINERS, *entry_points_of("probate.trainers", TRAINERS)})


def load_trainer(name: str) -> Trainer:
    """Return the trainer of a name.

    Raises
    ------
    InputError
        There is no such trainer, or it cannot be imported.
    """
    return cast("type[Trainer]", installed("trainer", name, TRAINERS))()
