"""Jobs of a worker. A job is a value: it holds its inputs but no model, and can be sent to another machine.

Each job has a key: the hash of all inputs that its result depends on. The key identifies a finished job.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from probate.core.cache import digest
from probate.core.fingerprint import plain
from probate.core.records import Record, content_hash
from probate.data.generation.prompts import cues, templates
from probate.data.opinions import opinion_words
from probate.data.packs import Pack
from probate.data.shape.sources import Ties, sources_of
from probate.mitigations.base import Mitigation, MitigationContext
from probate.study.schema import Generation, ModelSpec, Training
from probate.tasks.base import Task, TaskContext
from probate.train.settings import AlignSettings

VERSIONS = {"generate": 4, "distribution": 3, "mitigate": 3, "train": 3, "evaluate": 4}
"""Version of each stage's code, raised by hand when its output changes. Older stages are done again."""


@dataclass(frozen=True)
class Trained:
    """A trained adapter: the arm's name, the key of its training, and the folder with the PEFT adapter."""

    arm: str
    key: str
    folder: Path


@dataclass(frozen=True)
class GenerateJob:
    """Generate augmented records of one bias type.

    `target` is the number of records to accept. `written` are the groups that are written about; empty for
    all of `groups`. `author` is the adapter that generates in a later round.
    """

    name: str
    bias_type: str
    target: int
    labels: list[str]
    groups: list[str]
    pack: Pack
    cross: Pack | None
    statements: list[str]
    language: str
    generation: Generation
    model: ModelSpec
    instruction: str = ""
    author: Trained | None = None
    round: int = 1
    written: Sequence[str] = ()

    def key(self, fingerprint: str) -> str:
        """Return the job's key. `fingerprint` is the model's; an adapter's key replaces it."""
        opinions = opinion_words(self.language) if self.statements else None
        return digest(
            VERSIONS["generate"],
            self.bias_type,
            templates(bool(self.statements), self.language)[self.bias_type],
            cues(bool(self.statements), self.language),
            self.language,
            self.statements,
            self.target,
            self.labels,
            self.groups,
            *map(plain, (self.pack, self.cross, opinions)),
            self.generation.model_dump(exclude={"budget"}),
            self.author.key if self.author else fingerprint,
            *([self.instruction] if self.instruction else []),
            *(["written", list(self.written)] if self.written else []),
        )


@dataclass(frozen=True)
class DistributionJob:
    """Compare an augmented set with D_o.

    The comparison runs in the spaces `model` (last hidden states) and `sentences` (a sentence encoder).
    """

    name: str
    original: list[Record]
    augmented: list[Record]
    spaces: list[Literal["model", "sentences"]]
    dimension: str
    model: ModelSpec

    @property
    def sources(self) -> Any:
        return sources_of([_ties(r) for r in self.original], [_ties(r) for r in self.augmented])

    def groups(self) -> tuple[list[str], list[str]]:
        """Return the group of each original and of each augmented record."""
        first, second = (
            [r.groups.get(self.dimension, "") for r in records] for records in (self.original, self.augmented)
        )
        return first, second

    def key(self, fingerprint: str, encoder: str) -> str:
        """Return the job's key. `encoder` is the sentence encoder's content hash, empty if it is not used."""
        return digest(
            VERSIONS["distribution"],
            self.spaces,
            self.dimension,
            fingerprint,
            *([encoder] if encoder else []),
            *map(content_hash, (self.original, self.augmented)),
            self.sources,
        )


@dataclass(frozen=True)
class MitigateJob:
    """Mitigate the training records of one arm.

    `context` has no models; the worker adds those of `model` and `generator`.
    """

    arm: str
    records: list[Record]
    strategies: tuple[Mitigation, ...]
    context: MitigationContext
    model: ModelSpec
    generator: ModelSpec

    @property
    def slow(self) -> bool:
        """Whether a model is needed; then the result is kept as a stage."""
        return any(s.slow for s in self.strategies)

    def key(self, fingerprints: list[str]) -> str:
        """Return the job's key. `fingerprints` are those of the model and of the generator."""
        own = [s.fingerprint(self.context) for s in self.strategies]
        return digest(VERSIONS["mitigate"], own, fingerprints, content_hash(self.records))


@dataclass(frozen=True)
class Watched:
    """Records whose distance is measured before and after training.

    These are the held-out original records and the arm's whole augmented set.
    """

    held_out: list[Record]
    augmented: list[Record]


@dataclass(frozen=True)
class ArmJob:
    """Train and measure one adapter.

    `weights` has the weight of each record's loss. `notice` is placed before each prompt at evaluation.
    """

    arm: str
    model: ModelSpec
    records: list[Record]
    weights: list[float]
    seed: int
    training: Training
    method: Literal["sft", "dpo"]
    prompt: str
    labels: list[str]
    dimension: str
    columns: dict[str, Any]
    """Columns of `outcomes.parquet` that all outcomes of the arm share."""
    align: AlignSettings | None = None
    notice: dict[str, str] | None = None
    watched: Watched | None = None
    start: Trained | None = None
    """The adapter that training continues from; None for a new one."""

    def key(self, fingerprint: str, trainer: Sequence[tuple[str, str]] = ()) -> str:
        """Return the key of the training.

        `fingerprint` is the base model's, and `trainer` the code of the trainer's class (`fingerprint.code`).
        """
        watched = (self.watched.held_out, self.watched.augmented) if self.watched else ()
        return digest(
            VERSIONS["train"],
            self.training.model_dump(exclude={"beta"}),
            self.seed,
            content_hash(self.records),
            self.prompt,
            self.labels,
            fingerprint,
            *map(content_hash, watched),
            *([self.weights] if set(self.weights) != {1.0} else []),
            *([asdict(self.align)] if self.align else []),
            *(["dpo", self.training.beta] if self.method == "dpo" else []),
            *(["start", self.start.key] if self.start else []),
            *trainer,  # of a plug-in; Probate's own trainer adds nothing
        )

    def evaluation(self, trained: Trained, measurement: Measurement) -> EvaluateJob:
        """Return the job that measures the trained adapter by one task."""
        columns = {**self.columns, "task": measurement.task.key, "metric": measurement.task.metric}
        return EvaluateJob(trained, self.model, measurement, columns, self.notice)


@dataclass(frozen=True)
class Measurement:
    """A task with its context, which is the same for all arms of a study.

    `fingerprint` is the hash of everything except the model that the outcomes depend on.
    """

    task: Task
    context: TaskContext
    fingerprint: str


@dataclass(frozen=True)
class EvaluateJob:
    """Measure one task on one adapter. All rows of `outcomes.parquet` for the arm share `columns`."""

    trained: Trained
    model: ModelSpec
    measurement: Measurement
    columns: dict[str, Any]
    notice: dict[str, str] | None = None

    @property
    def key(self) -> str:
        return digest(
            VERSIONS["evaluate"],
            self.trained.key,
            self.measurement.fingerprint,
            *([self.notice] if self.notice else []),
        )


def _ties(r: Record) -> Ties:
    """Return what a record states about its source; original records have an id that a parent may name."""
    own = r.provenance
    return Ties(
        r.id.partition(":")[2] if r.origin == "original" else "",
        (str(own["parent"]),) if "parent" in own else (),
        (str(own["pair"]),) if "pair" in own else (),
    )
