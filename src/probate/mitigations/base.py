"""Base class of mitigations, with their context and their result."""

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
    """Context of a mitigation.

    Attributes
    ----------
    dimension : str
        Dimension of the groups that are compared.
    groups : sequence of str
        Groups that are compared. If empty, all that occur.
    labels : sequence of str
        Labels of the task.
    packs : sequence of Pack
        Identity packs whose words are masked; the first is that of `dimension`.
    language : str
        Language of the texts (ISO 639-1).
    seed : int
        Seed of random draws.
    stereotypes : mapping
        Label → groups that it is stereotyped for. If empty, those of the pack.
    generated : bool
        True if the study generates the augmented records, so that a mitigation can change the prompts.
    learner, generator : callable or None
        Functions that load the model that is trained and the model that generates.
    prompt : str
        Prompt template of the training records.
    max_length : int
        Maximum length of a training record, in tokens.
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
        """Load the learner or the generator for the mitigation `name`; raises InputError if there is none."""
        load = self.learner if kind == "learner" else self.generator
        if load is None:
            raise InputError(f"mitigations: {name} needs a model; name one in the study, or with --model")
        return load()


@dataclass(frozen=True)
class Mitigated:
    """Result of mitigations.

    Attributes
    ----------
    records : list of Record
        Records to train on.
    weights : list of float
        Weight of the loss of each record.
    dropped : list of (Record, str)
        Records that were left out, with the reason.
    """

    records: list[Record]
    weights: list[float]
    dropped: list[tuple[Record, str]] = field(default_factory=list)
    align: AlignSettings | None = None
    """The alignment loss to train with, if any."""
    notice: dict[str, str] | None = None
    """Notice before every prompt at evaluation, if any: `text`, and `placement` (`user` or `system`)."""


@dataclass(frozen=True)
class Mitigation:
    """Base class of mitigations. A mitigation changes augmented records and never original ones.

    Subclasses override the methods that they need: `change` (one record at a time), `select` (choose among
    all records), `weight` (weights of the loss), or `align` (a term of the loss).

    Parameters
    ----------
    options : Options
        Options of the type `option_type`.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    source: ClassVar[str]
    idempotent: ClassVar[bool] = False
    """True if applying it twice has the same result as applying it once."""
    removes_groups: ClassVar[bool] = False
    """True if the texts show no group afterwards."""
    needs_groups: ClassVar[bool] = False
    """True if it needs the group that a text shows. No mitigation that removes groups may precede it."""
    purpose: ClassVar[str] = ""
    """Purpose that only one mitigation of a list may have. It completes the sentence "both …" of an error."""
    option_type: ClassVar[type[Options]] = Options

    options: Any = field(default_factory=Options)

    @property
    def whole(self) -> bool:
        """True if it needs all records at once, because it overrides `select` or `weight`."""
        return self.weighs or type(self).select is not Mitigation.select

    @property
    def weighs(self) -> bool:
        """True if it sets weights of the loss, because it overrides `weight`."""
        return type(self).weight is not Mitigation.weight

    @property
    def slow(self) -> bool:
        """True if it runs a model. A study then stores its result as a separate stage."""
        return False

    @property
    def needs_weights(self) -> str:
        """What it needs that a model behind a server does not give; empty if it works there, too.

        The default recognises weights of the loss and an alignment loss. Override it in a mitigation that
        computes with a loaded model.
        """
        if self.align() is not None:
            return "changes the loss of the training"
        return "weights records in the loss of the training" if self.weighs else ""

    @classmethod
    def from_options(cls, options: Mapping[str, object]) -> Self:
        """Create the mitigation from a mapping of options; raises InputError for a wrong option."""
        return cls(read_options(cls.option_type, options, f"mitigations: {cls.name}"))

    def reads(self, context: MitigationContext) -> list[Any]:
        """Return the inputs besides options, context and records, as `Task.reads` does.

        Default: each file or folder that an option names.
        """
        return named_files(self.options, Path())

    def fingerprint(self, context: MitigationContext) -> str:
        """Return a hash of everything that the result depends on, except the records and the models.

        Raises
        ------
        InputError
            If `reads` returns a value without comparable content.
        """
        return fingerprint(
            self, f"mitigations: {self.name}", context, {"learner", "generator"}, self.reads(context)
        )

    def check(self, context: MitigationContext) -> None:
        """Check that the mitigation works in this context; raises InputError before any record is read."""

    def change(self, record: Record, context: MitigationContext) -> list[Record]:
        """Change one augmented record.

        Parameters
        ----------
        record : Record
            An augmented record.
        context : MitigationContext
            Context of the mitigation.

        Returns
        -------
        list of Record
            The record, changed or not, and further records made from it.
        """
        return [record]

    def change_all(self, records: Sequence[Record], context: MitigationContext) -> list[list[Record]]:
        """Return `change` of each record. Override it in mitigations that process many records at once."""
        return [self.change(record, context) for record in records]

    def select(
        self, records: Sequence[Record], original: Sequence[Record], context: MitigationContext
    ) -> tuple[list[Record], list[tuple[Record, str]]]:
        """Choose among the augmented records.

        Parameters
        ----------
        records : sequence of Record
            All augmented records.
        original : sequence of Record
            All original records.
        context : MitigationContext
            Context of the mitigation.

        Returns
        -------
        kept : list of Record
            Records to train on, in their order.
        dropped : list of (Record, str)
            The other records, with the reason.
        """
        return list(records), []

    def weight(self, records: Sequence[Record], context: MitigationContext) -> list[float]:
        """Return the weight of the loss of each augmented record; 1 changes nothing."""
        return [1.0] * len(records)

    def align(self) -> AlignSettings | None:
        """Return the alignment loss that it adds to training, or None."""
        return None

    def notice(self, context: MitigationContext) -> dict[str, str] | None:
        """Return the notice before every prompt at evaluation (`text` and `placement`), or None."""
        return None

    def instruction(self, context: MitigationContext) -> str:
        """Return the text that follows each prompt for the generator; empty if the prompts do not change.

        With a text the study generates the augmented records again.
        """
        return ""


def sentence_in(name: str, own: str | None, sentences: Mapping[str, str], language: str) -> str:
    """Return the sentence of the mitigation `name`: the user's `own`, or the default in the language.

    Raises
    ------
    InputError
        If there is no default in the language.
    """
    sentence = own or sentences.get(language)
    if not sentence:
        raise InputError(
            f"mitigations: {name}: no sentence in '{language}', only in {', '.join(sentences)}; "
            "set options.sentence"
        )
    return sentence


def marked(record: Record, name: str, **what: Any) -> Record:
    """Return the record with an entry in its provenance about what the mitigation `name` did.

    Parameters
    ----------
    record : Record
        The record.
    name : str
        Name of the mitigation.
    **what
        Details, as JSON values.

    Returns
    -------
    Record
        A copy of the record.
    """
    return record.with_provenance(
        mitigations=[*record.provenance.get("mitigations", []), {"name": name, **what}]
    )


def mitigate(
    records: Sequence[Record], strategies: Sequence[Mitigation], context: MitigationContext
) -> Mitigated:
    """Apply mitigations, one after another, to the augmented records.

    Parameters
    ----------
    records : sequence of Record
        Original and augmented records. Original ones keep their place and a weight of 1.
    strategies : sequence of Mitigation
        Mitigations, in order.
    context : MitigationContext
        Context of the mitigations.

    Returns
    -------
    Mitigated
        Records with weights, and the records that were left out.

    Raises
    ------
    InputError
        If two mitigations contradict each other, or one does not work in the context. The message says why.
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
    align = next((loss for s in strategies if (loss := s.align())), None)
    notice = next((text for s in strategies if (text := s.notice(context))), None)
    return Mitigated([r for r, _ in items], [w for _, w in items], dropped, align, notice)


def check_together(strategies: Sequence[Mitigation]) -> None:
    """Check that mitigations fit together; raises InputError if two contradict each other."""
    names = [s.name for s in strategies]
    twice = next((n for n in names if names.count(n) > 1), None)
    if twice:
        raise InputError(f"mitigations: '{twice}' is duplicated; remove one")
    for first, second in combinations(strategies, 2):
        where = f"mitigations: {first.name} before {second.name}"
        if first.removes_groups and second.needs_groups:
            raise InputError(
                f"{where}: {first.name} removes the groups that {second.name} needs; put {second.name} first"
            )
        if first.purpose and first.purpose == second.purpose:
            raise InputError(f"{where}: both {first.purpose}; use only one")
