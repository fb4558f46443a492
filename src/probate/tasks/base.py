"""What a task is, what it is given, and what it returns."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Self

import pandas as pd
from pydantic import BaseModel, ConfigDict, ValidationError

from probate.errors import InputError, nearest
from probate.records import Record

if TYPE_CHECKING:
    from probate.models.lm import LM

Tick = Callable[[int], None]


@dataclass(frozen=True)
class TaskContext:
    """What every task may use. `groups` are the two that are compared, the first minus the second."""

    test: Sequence[Record]
    labels: Sequence[str]
    dimension: str
    groups: Sequence[str]
    stereotypes: Mapping[str, str]
    prompt: str
    max_length: int
    seed: int = 0


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


@dataclass(frozen=True)
class Measure:
    """A number with a value for each item, compared between two groups.

    `values` takes the task's outcomes and returns a frame with columns `item_id`, `side` (0 first group, 1 second)
    and `value`; rows that do not count are left out. `toward` says in words what a gap above 0 means.
    """

    name: str
    title: str
    unit: str
    toward: str
    sides: tuple[str, str]
    values: Callable[[pd.DataFrame], pd.DataFrame]
    primary: bool = False
    better: str = "none"
    """`higher` or `lower` is better for a person in the group, or `none` where neither is."""


class Options(BaseModel):
    """Base of a task's options."""

    model_config = ConfigDict(extra="forbid", frozen=True)


@dataclass(frozen=True)
class Task(ABC):
    """A downstream measure. Subclasses declare what they measure and implement `evaluate` and `measures`."""

    name: ClassVar[str]
    title: ClassVar[str]
    metric: ClassVar[str]
    relation: ClassVar[str]
    source: ClassVar[str]
    languages: ClassVar[tuple[str, ...]] = ("en",)
    option_type: ClassVar[type[Options]] = Options

    options: Any = field(default_factory=Options)

    @classmethod
    def from_options(cls, options: Mapping[str, object]) -> Self:
        """Raises InputError for an option that the task does not take."""
        try:
            return cls(cls.option_type.model_validate(dict(options)))
        except ValidationError as error:
            first = error.errors()[0]
            key = ".".join(map(str, first["loc"]))
            allowed = list(cls.option_type.model_fields)
            raise InputError(
                f"tasks: {cls.name}.options.{key}: {first['msg'].lower()}{nearest(key, allowed)}; allowed: {', '.join(allowed) or 'none'}"
            ) from None

    @abstractmethod
    def size(self, context: TaskContext) -> int:
        """Number of prompts that `evaluate` will score, for progress and `probate plan`."""

    @abstractmethod
    def evaluate(self, lm: LM, context: TaskContext, tick: Tick | None = None) -> list[Outcome]:
        """One outcome for each item (for each candidate in a comparison), in a fixed order."""

    @abstractmethod
    def measures(self, context: TaskContext) -> list[Measure]:
        """What is compared between groups; exactly one is primary."""


def by_group(dimension: str, groups: Sequence[str]) -> Callable[[pd.DataFrame], pd.Series]:
    """Side of each outcome: 0 for the first group, 1 for the second, missing for any other."""

    def side(outcomes: pd.DataFrame) -> pd.Series:
        return outcomes["groups"].map(lambda g: {groups[0]: 0, groups[1]: 1}.get(g.get(dimension)))

    return side


def frame(outcomes: pd.DataFrame, side: pd.Series, value: pd.Series) -> pd.DataFrame:
    """The frame that `Measure.values` returns: unparsed rows and rows of no side are left out."""
    keep = outcomes["parsed"] & side.notna()
    return pd.DataFrame(
        {"item_id": outcomes["item_id"][keep], "side": side[keep].astype(int), "value": value[keep].astype(float)}
    )
