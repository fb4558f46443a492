"""The interface of a task: its context, its outcomes and its measures."""

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
    """The data and settings that every task may use.

    Attributes
    ----------
    test : sequence of Record
        Held-out original records.
    labels : sequence of str
        The study's labels.
    dimension : str
        Dimension of the compared groups.
    groups : sequence of str
        The compared groups. Two: the first minus the second. More: each against the rest.
    stereotypes : mapping
        Label → the group or groups that it is stereotyped for.
    prompt : str
        The study's prompt.
    max_length : int
        Maximum length of an example, in tokens.
    seed : int
        Seed of the task's random choices.
    base : pathlib.Path
        Folder that relative paths start from.
    pack : Pack, optional
        The study's identity pack.
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
    """The result of one item.

    Items whose ids are equal up to '#' are one unit of resampling.

    Attributes
    ----------
    item_id : str
        Id of the item.
    groups : dict of str
        Dimension → group.
    target : str
        The correct answer, if there is one.
    response : str
        The raw response.
    prediction : str
        The parsed response.
    score : float
        The value of the task's metric for this item.
    parsed : bool
        Whether the response could be parsed.
    scoring : str
        Scoring of the options (`sum`, `bytes`, `pmi`) if the answer is a choice.
    """

    item_id: str
    groups: dict[str, str]
    target: str
    response: str
    prediction: str
    score: float
    parsed: bool
    scoring: str = ""
    """Scoring of the options (`sum`, `bytes`, `pmi`) if the answer is a choice."""


@dataclass(frozen=True)
class Task(ABC):
    """A downstream measure. Subclasses declare what they measure and implement `size`, `evaluate` and
    `measures`.

    Attributes
    ----------
    name, title : str
        Name in studies, and name in the report.
    metric : str
        Name of the score of an outcome.
    relation : {'direct', 'indirect'}
        Whether the task measures the bias itself.
    source : str
        Origin of the items and of the method.
    better : {'higher', 'lower', 'none'}
        The better direction of `metric`.
    languages, dimensions : tuple of str
        Supported languages, and the dimensions whose groups are compared.
    option_type : type of Options
        The options that a study may set.
    options : Options
        The options of this task.
    alias : str
        Alternative name in the study.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    metric: ClassVar[str]
    relation: ClassVar[str]
    source: ClassVar[str]
    better: ClassVar[str] = "none"
    """The better direction of `metric`; `none` if neither is."""
    languages: ClassVar[tuple[str, ...]] = ("en",)
    dimensions: ClassVar[tuple[str, ...]] = ("the study's",)
    """Dimensions whose groups the task compares."""
    option_type: ClassVar[type[Options]] = Options
    on_servers: ClassVar[bool] = False
    """Whether `evaluate` asks only for texts and letters (`score_options` of A, B, …), as a server can."""

    outcomes_per_item: ClassVar[int] = 1
    """Number of consecutive outcomes that `evaluate` returns for one item; every item has as many prompts."""

    options: Any = field(default_factory=Options)
    alias: str = ""

    @property
    def key(self) -> str:
        """Name of the task in a study: its alias, else its name."""
        return self.alias or self.name

    @property
    def related(self) -> str:
        """`direct` or `indirect`: whether the task measures the bias itself. The study may override it for a
        data set.
        """
        return getattr(self.options, "relation", None) or self.relation

    @classmethod
    def from_options(cls, options: Mapping[str, object], alias: str = "") -> Self:
        """Create the task with a study's options.

        Raises
        ------
        InputError
            An unknown option or an invalid value.
        """
        return cls(read_options(cls.option_type, options, f"tasks: {cls.name}"), alias)

    @abstractmethod
    def size(self, context: TaskContext) -> int:
        """Return the number of prompts that `evaluate` scores, for progress and `probate plan`."""

    def check(self, context: TaskContext) -> None:
        """Check data, options and required libraries. Called before any training.

        Raises
        ------
        InputError
            The task cannot run with this context.
        """
        self.size(context)

    def remarks(self, context: TaskContext) -> list[str]:
        """Return sentences on what the task does differently in this study, for the plan and the report."""
        return []

    def reads(self, context: TaskContext) -> list[Any]:
        """Return what `evaluate` reads besides options and context.

        The default is each file or folder that an option names. A task with other data adds them:
        `[*super().reads(context), path]`.

        Returns
        -------
        list
            Paths (compared by content), texts, numbers, records, or lists of these.
        """
        return named_files(self.options, context.base)

    def fingerprint(self, context: TaskContext) -> str:
        """Return a hash of everything that the outcomes of one model depend on.

        If the hash is equal, finished outcomes are reused.

        Raises
        ------
        InputError
            `reads` returns something without comparable content.
        """
        return fingerprint(self, f"tasks: {self.name}", context, {"base"}, self.reads(context))

    @abstractmethod
    def evaluate(self, lm: LM, context: TaskContext, tick: Tick | None = None) -> list[Outcome]:
        """Evaluate one model.

        Parameters
        ----------
        lm : LM
            The model.
        context : TaskContext
            Data and settings.
        tick : callable, optional
            Called with the number of prompts that have been scored since the last call.

        Returns
        -------
        list of Outcome
            One outcome for each item (in a comparison: for each candidate), in a fixed order.
        """

    def prompts_of(self, context: TaskContext) -> list[range] | None:
        """Return the prompts that each outcome depends on, as indices in the order in which `evaluate` asks.

        `probate ask` reports with them how each answer of a server was read. None (the default) if every item
        has as many prompts, and items are asked one after the other.
        """
        return None

    def notes(self, outcomes: pd.DataFrame, context: TaskContext) -> list[str]:
        """Return sentences about one arm's outcomes for the report, such as words that drive a measure."""
        return []

    @abstractmethod
    def measures(self, context: TaskContext) -> list[Measure]:
        """Return the measures that are compared between groups. Exactly one is primary."""
