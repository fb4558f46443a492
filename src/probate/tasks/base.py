"""What a task is, what it is given, and what it returns."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

import pandas as pd

from probate.fingerprint import fingerprint, named_files
from probate.options import Options as Options
from probate.options import read_options
from probate.records import Record

if TYPE_CHECKING:
    from probate.bias.packs import Pack
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
class Measure:
    """A number with a value for each item, compared between groups.

    `values` takes the task's outcomes and returns a frame with columns `item_id`, `side` (index into `sides`) and
    `value`; rows that do not count are left out. With one side there is no gap, and what is inherited is the change of
    the level. `statistic` `macro_f1` needs the columns `target` and `prediction` instead of `value`, and one side.
    `toward` says in words what a gap above 0 means, with `{a}` for the first group of the comparison and `{b}` for the other.
    """

    name: str
    title: str
    unit: str
    toward: str
    sides: tuple[str, ...]
    values: Callable[[pd.DataFrame], pd.DataFrame]
    primary: bool = False
    better: str = "none"
    """`higher` or `lower` is better for a person in the group, or `none` where neither is."""
    statistic: Literal["mean", "macro_f1"] = "mean"
    scale: Literal["plain", "log"] = "plain"
    """`log`: amounts above 0 that are compared by their logarithms (`probate.analyze.amounts`)."""


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


def by_group(dimension: str, groups: Sequence[str]) -> Callable[[pd.DataFrame], pd.Series]:
    """Side of each outcome: the index of its group, missing for any other."""
    index = {group: number for number, group in enumerate(groups)}

    def side(outcomes: pd.DataFrame) -> pd.Series:
        return outcomes["groups"].map(lambda g: index.get(g.get(dimension)))

    return side


def everyone(outcomes: pd.DataFrame) -> pd.Series:
    """One side for all outcomes."""
    return pd.Series(0, index=outcomes.index)


def stereotyped_for(label: str, group: str, stereotypes: Mapping[str, str | Sequence[str]]) -> bool:
    """Whether `label` is stereotyped for `group`."""
    found = stereotypes.get(label, ())
    return group == found if isinstance(found, str) else group in found


def labels_frame(outcomes: pd.DataFrame, side: pd.Series) -> pd.DataFrame:
    """What `Measure.values` returns for `macro_f1`."""
    keep = outcomes["parsed"] & side.notna()
    kept = outcomes[keep]
    return pd.DataFrame(
        {"item_id": kept["item_id"], "side": side[keep].astype(int), "target": kept["target"], "prediction": kept["prediction"]}
    )


def frame(outcomes: pd.DataFrame, side: pd.Series, value: pd.Series) -> pd.DataFrame:
    """The frame that `Measure.values` returns: unparsed rows and rows of no side are left out."""
    keep = outcomes["parsed"] & side.notna()
    return pd.DataFrame(
        {"item_id": outcomes["item_id"][keep], "side": side[keep].astype(int), "value": value[keep].astype(float)}
    )
