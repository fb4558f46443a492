"""What a task is, what it is given, and what it returns."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

import pandas as pd

from probate.core.fingerprint import fingerprint, named_files
from probate.core.plugin_options import Options as Options
from probate.core.plugin_options import read_options
from probate.core.records import Record
from probate.stats.measure import Measure

if TYPE_CHECKING:
    from probate.data.packs import Pack
    from probate.models.lm import LM

Tick = Callable[[int], None]


@dataclass(frozen=True)
class TaskContext:
    """What every task may use. `groups` are those that are compared: of two, the first minus the second; of more, each against the rest.

    `stereotypes` maps a label to the groups that it is stereotyped for. `base` is where relative paths start.
    """

    test: Sequence[Record]
    labels: Sequence[str]
    dimension: str
    groups: Sequence[str]
    stereotypes: Mapping[str, str | Sequence[str]]
    prompt: str
    max_length: int
    seed: int = 0
    base: Path = Path(".")
    pack: Pack | None = None


@dataclass(frozen=True)
class Outcome:
    """One item's result. Items whose id is equal up to '#' are one unit of resampling."""

    item_id: str
    groups: dict[str, str]
    target: str
    response: str
    prediction: str
    score: float
    parsed: bool
    scoring: str = ""
    """How options were scored (`sum`, `bytes`, `pmi`), where the answer is a choice."""


@dataclass(frozen=True)
class Task(ABC):
    """A downstream measure. Subclasses declare what they measure and implement `evaluate` and `measures`."""

    name: ClassVar[str]
    title: ClassVar[str]
    metric: ClassVar[str]
    relation: ClassVar[str]
    source: ClassVar[str]
    better: ClassVar[str] = "none"
    """Direction of `metric`: `higher` or `lower` is better, or `none` where neither is."""
    languages: ClassVar[tuple[str, ...]] = ("en",)
    dimensions: ClassVar[tuple[str, ...]] = ("the study's",)
    """Dimensions whose groups it compares."""
    option_type: ClassVar[type[Options]] = Options

    options: Any = field(default_factory=Options)
    alias: str = ""

    @property
    def key(self) -> str:
        """What the task is called in a study: its alias, else its name."""
        return self.alias or self.name

    @property
    def related(self) -> str:
        """`direct` or `indirect`: whether the task measures the bias itself. The study may say otherwise for a data set."""
        return getattr(self.options, "relation", None) or self.relation

    @classmethod
    def from_options(cls, options: Mapping[str, object], alias: str = "") -> Self:
        """Raises InputError for an option that the task does not take."""
        return cls(read_options(cls.option_type, options, f"tasks: {cls.name}"), alias)

    @abstractmethod
    def size(self, context: TaskContext) -> int:
        """Number of prompts that `evaluate` will score, for progress and `probate plan`."""

    def check(self, context: TaskContext) -> None:
        """Raises InputError for what cannot work: data, options, a library that is missing. Called before anything is trained."""
        self.size(context)

    def reads(self, context: TaskContext) -> list[Any]:
        """What `evaluate` reads besides options and context: paths (they count by content), texts, numbers, records, lists of these.

        Default: each file or folder that an option names. A task with data elsewhere adds them: `[*super().reads(context), path]`.
        """
        return named_files(self.options, context.base)

    def fingerprint(self, context: TaskContext) -> str:
        """Hash of all that the outcomes of one model depend on: where it is the same, finished outcomes are taken as they are.

        Raises:
            InputError: `reads` gives what cannot be compared.
        """
        return fingerprint(self, f"tasks: {self.name}", context, {"base"}, self.reads(context))

    @abstractmethod
    def evaluate(self, lm: LM, context: TaskContext, tick: Tick | None = None) -> list[Outcome]:
        """One outcome for each item (for each candidate in a comparison), in a fixed order."""

    def notes(self, outcomes: pd.DataFrame, context: TaskContext) -> list[str]:
        """Lines for the report about one arm's outcomes, such as the words that drive a measure."""
        return []

    @abstractmethod
    def measures(self, context: TaskContext) -> list[Measure]:
        """What is compared between groups; exactly one is primary."""
