"""What a mitigation is, what it is given, and what it returns."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

from probate.core.errors import InputError
from probate.core.fingerprint import fingerprint, named_files
from probate.core.plugin_options import Options as Options
from probate.core.plugin_options import read_options
from probate.core.records import Record
from probate.data.packs import Pack
from probate.train.settings import AlignSettings

if TYPE_CHECKING:
    from probate.models.lm import LM


@dataclass(frozen=True)
class MitigationContext:
    """What every mitigation may use. `groups`: those compared; where empty, all that occur. `packs`: identities whose words are masked, the first that of `dimension`.

    `stereotypes`: label → groups that it is stereotyped for; where empty, the pack's. `generated`: whether the study generates the
    augmented records, so that they can be generated in another way. `learner` and `generator` load the model that is trained and the
    one that writes; `prompt` and `max_length` are those of training records.
    """

    dimension: str
    groups: Sequence[str]
    labels: Sequence[str]
    packs: Sequence[Pack] = ()
    language: str = "en"
    seed: int = 0
    stereotypes: Mapping[str, str | Sequence[str]] = field(default_factory=dict)
    generated: bool = True
    learner: Callable[[], LM] | None = None
    generator: Callable[[], LM] | None = None
    prompt: str = "{text}"
    max_length: int = 1024

    def model(self, kind: Literal["learner", "generator"], name: str) -> LM:
        """Raises InputError where the mitigation `name` has no model to use."""
        load = self.learner if kind == "learner" else self.generator
        if load is None:
            raise InputError(f"mitigations: {name} needs a model: name it in a study, or give --model")
        return load()


@dataclass(frozen=True)
class Mitigated:
    """Records to train on, the weight of each one's loss, and what was left out, with the reason."""

    records: list[Record]
    weights: list[float]
    dropped: list[tuple[Record, str]] = field(default_factory=list)
    align: AlignSettings | None = None
    """The alignment loss to train with, if any."""
    notice: dict[str, str] | None = None
    """What stands before every prompt at evaluation, if anything: its `text` and its `placement`, user or system."""


@dataclass(frozen=True)
class Mitigation:
    """A way to stop inheritance. It changes augmented records only; original ones pass through as they are.

    Subclasses override what they do: `change` (one record at a time), `select` (which records stay, all of them seen),
    `weight`, or `align` (a term of the loss).
    """

    name: ClassVar[str]
    title: ClassVar[str]
    source: ClassVar[str]
    idempotent: ClassVar[bool] = False
    """Whether doing it twice is doing it once."""
    removes_groups: ClassVar[bool] = False
    """Whether the texts show no group after it."""
    needs_groups: ClassVar[bool] = False
    """Whether it works by the group that a text shows, so that nothing that removes groups may come before it."""
    purpose: ClassVar[str] = ""
    """What it achieves, if doing it twice is wrong: of two strategies with one purpose only one is taken. It completes the sentence "both …"."""
    option_type: ClassVar[type[Options]] = Options

    options: Any = field(default_factory=Options)

    @property
    def whole(self) -> bool:
        """Whether it must see all records at once: it overrides `select` or `weight`."""
        return self.weighs or type(self).select is not Mitigation.select

    @property
    def weighs(self) -> bool:
        """Whether it gives records a weight of the loss: it overrides `weight`."""
        return type(self).weight is not Mitigation.weight

    @property
    def slow(self) -> bool:
        """Whether it runs a model: a study then keeps what it made as a stage of its own."""
        return False

    @classmethod
    def from_options(cls, options: Mapping[str, object]) -> Self:
        """Raises InputError for an option that the mitigation does not take."""
        return cls(read_options(cls.option_type, options, f"mitigations: {cls.name}"))

    def reads(self, context: MitigationContext) -> list[Any]:
        """What it reads besides options, context and records: as `Task.reads`. Default: each file or folder that an option names."""
        return named_files(self.options, Path())

    def fingerprint(self, context: MitigationContext) -> str:
        """Hash of all but the records and the models that its result depends on.

        Raises:
            InputError: `reads` gives what cannot be compared.
        """
        return fingerprint(
            self, f"mitigations: {self.name}", context, {"learner", "generator"}, self.reads(context)
        )

    def check(self, context: MitigationContext) -> None:
        """Raises InputError for a context that it cannot work in, before any record is seen."""

    def change(self, record: Record, context: MitigationContext) -> list[Record]:
        """What an augmented record becomes: itself changed, or itself and others made from it."""
        return [record]

    def change_all(self, records: Sequence[Record], context: MitigationContext) -> list[list[Record]]:
        """`change` of each record, for mitigations that work on many at once."""
        return [self.change(record, context) for record in records]

    def select(
        self, records: Sequence[Record], original: Sequence[Record], context: MitigationContext
    ) -> tuple[list[Record], list[tuple[Record, str]]]:
        """Which of the augmented `records` stay, in their order, and those left out with the reason."""
        return list(records), []

    def weight(self, records: Sequence[Record], context: MitigationContext) -> list[float]:
        """Weight of each augmented record's loss; 1 leaves it as it is."""
        return [1.0] * len(records)

    def align(self) -> AlignSettings | None:
        """The alignment loss that it adds to training, if any."""
        return None

    def notice(self, context: MitigationContext) -> dict[str, str] | None:
        """What it puts before every prompt at evaluation, if anything."""
        return None

    def instruction(self, context: MitigationContext) -> str:
        """What it tells the generator after each prompt, so that the augmented records are generated anew; empty: nothing."""
        return ""


def spoken(name: str, own: str | None, sentences: Mapping[str, str], language: str) -> str:
    """The sentence that the mitigation `name` says: the user's `own`, else Probate's in the language.

    Raises:
        InputError: a language without a sentence.
    """
    found = own or sentences.get(language)
    if not found:
        raise InputError(
            f"mitigations: {name}: no sentence in '{language}'; there are: {', '.join(sentences)}. Give options.sentence"
        )
    return found


def marked(record: Record, name: str, **what: Any) -> Record:
    """The record with a line in its provenance on what the mitigation `name` did."""
    return record.with_provenance(
        mitigations=[*record.provenance.get("mitigations", []), {"name": name, **what}]
    )


def mitigate(
    records: Sequence[Record], strategies: Sequence[Mitigation], context: MitigationContext
) -> Mitigated:
    """Apply `strategies` in turn to the augmented records; original ones keep their place and their weight of 1.

    Raises:
        InputError: strategies that contradict, or one that cannot work here (why).
    """
    check_together(strategies)
    for strategy in strategies:
        strategy.check(context)
    original = [r for r in records if r.origin == "original"]
    items = [(record, 1.0) for record in records]
    dropped: list[tuple[Record, str]] = []
    for strategy in strategies:
        changed = iter(strategy.change_all([r for r, _ in items if r.origin == "augmented"], context))
        items = [
            (new, weight)
            for record, weight in items
            for new in (next(changed) if record.origin == "augmented" else [record])
        ]
        kept, left = strategy.select([r for r, _ in items if r.origin == "augmented"], original, context)
        dropped += left
        stay = {id(r) for r in kept}
        items = [(r, w) for r, w in items if r.origin == "original" or id(r) in stay]
        augmented = [r for r, _ in items if r.origin == "augmented"]
        factors = dict(zip(map(id, augmented), strategy.weight(augmented, context), strict=True))
        items = [(r, w * factors.get(id(r), 1.0)) for r, w in items]
    align = next((found for s in strategies if (found := s.align())), None)
    notice = next((told for s in strategies if (told := s.notice(context))), None)
    return Mitigated([r for r, _ in items], [w for _, w in items], dropped, align, notice)


def check_together(strategies: Sequence[Mitigation]) -> None:
    """Raises InputError where strategies contradict: which, and why."""
    names = [s.name for s in strategies]
    twice = next((n for n in names if names.count(n) > 1), None)
    if twice:
        raise InputError(f"mitigations: '{twice}' stands there twice")
    for first, second in combinations(strategies, 2):
        where = f"mitigations: {first.name} before {second.name}"
        if first.removes_groups and second.needs_groups:
            raise InputError(
                f"{where}: after {first.name} a text shows no group that {second.name} could work on; put {second.name} first"
            )
        if first.purpose and first.purpose == second.purpose:
            raise InputError(f"{where}: both {first.purpose}; take one")
