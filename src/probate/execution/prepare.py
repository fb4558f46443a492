"""Preparation of a study: its data, plan, tasks and mitigations, before any model is loaded."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from probate.core.deferred import deferred
from probate.core.errors import InputError
from probate.core.records import Record
from probate.data.annotator import stereotypes_for
from probate.data.generation.prompts import check_wording
from probate.data.opinions import languages, opinion_words
from probate.data.packs import Pack, load_pack, pack_names, read_pack, with_given
from probate.data.readers import read_source
from probate.data.shape.cells import normal_label
from probate.data.user_turn import user_turn
from probate.execution.hosted_checks import check_hosted
from probate.execution.jobs import Measurement
from probate.mitigations.base import Mitigation, MitigationContext, check_together
from probate.mitigations.catalogue import load_mitigation
from probate.study.mixing import Split, split_original
from probate.study.plan import Arm, Plan, make_plan
from probate.study.schema import Study
from probate.study.taxonomy import NEUTRAL
from probate.tasks.base import TaskContext
from probate.tasks.catalogue import tasks_and_probes

with deferred():
    from probate.train import trainer


@dataclass(frozen=True)
class StudyData:
    """The data of a study, read before a model is loaded, and its plan."""

    split: Split
    labels: list[str]
    pack: Pack
    stereotypes: dict[str, list[str]]
    augmented: list[Record]
    rejected: list[str]
    context: TaskContext
    plan: Plan


@dataclass(frozen=True)
class Prepared:
    """A study with its data, tasks and mitigations, read and checked once. All jobs use it."""

    study: Study
    data: StudyData
    measurements: tuple[Measurement, ...]
    """Tasks, then probes."""
    mitigations: Mapping[str, tuple[Mitigation, ...]]
    """Name on the mitigation axis → strategies in their order."""
    mitigating: MitigationContext

    @property
    def plan(self) -> Plan:
        return self.data.plan

    def strategies(self, arm: Arm) -> tuple[Mitigation, ...]:
        """Return the mitigation strategies of an arm; empty for `none`."""
        return self.mitigations.get(arm.mitigation, ())

    def instruction(self, arm: Arm) -> str:
        """Return the arm's mitigation instruction to the generator; empty if there is none."""
        return " ".join(filter(None, (s.instruction(self.mitigating) for s in self.strategies(arm))))

    def writer(self, arm: Arm) -> int:
        """Return the seed that the arm's augmented records are generated for.

        It is the arm's own seed, or 0 if all seeds train on the same records or none are generated.
        """
        return arm.seed if self.study.redraw and arm.bias_type in self.plan.draws else 0


def prepare(study: Study, base: Path) -> Prepared:
    """Read the data of `study`, plan its arms, and load its tasks and mitigations.

    Parameters
    ----------
    study : Study
        The study, without axes: one generator and one model.
    base : Path
        Folder that relative paths start from.

    Returns
    -------
    Prepared
        The study, ready to run.

    Raises
    ------
    InputError
        The data, tasks or mitigations cannot be used. The message says where and what to do.
    """
    data = read_data(study, base)
    tasks = tasks_and_probes(study)
    for task in tasks:
        task.check(data.context)
    measurements = tuple(Measurement(t, data.context, t.fingerprint(data.context)) for t in tasks)
    if study.training.trainer != "lora":
        own = trainer.load_trainer(study.training.trainer)
        if study.round_policy == "continued" and study.rounds > 1 and not own.continues:
            raise InputError(
                f"round_policy: the trainer '{own.name}' cannot continue the training of an adapter; use "
                "another policy, or training.trainer: lora"
            )
    context = _mitigation_context(study, data)
    strategies = _strategies(study, context)
    check_hosted(study, tasks, data.context, strategies)
    return Prepared(study, data, measurements, strategies, context)


def read_data(study: Study, base: Path) -> StudyData:
    """Read and split the original data, and read the ready augmented set if there is one.

    Parameters
    ----------
    study : Study
        The study.
    base : Path
        Folder that relative paths start from.

    Returns
    -------
    StudyData
        The data and the plan.

    Raises
    ------
    InputError
        The data cannot be used. The message says where and what to do.
    """
    dimension, groups = study.bias.dimension, study.bias.groups
    ready = study.augmented is not None
    pack = read_pack(base / study.bias.pack, dimension) if study.bias.pack else None
    if pack is None and not (ready and dimension not in pack_names()):
        pack = load_pack(dimension)
    _check_biographies(study)
    reading = read_source(study.data, base, "original", study.data.labels, study.data.language)
    counts = Counter(r.label for r in reading.records)
    labels = [normal_label(x) for x in study.data.labels] if study.data.labels else sorted(counts)
    if dimension not in study.data.columns.groups:
        raise InputError(
            f"data.columns.groups: the dimension '{dimension}', which the study measures, is missing; add it"
        )
    there = {r.groups.get(dimension, "") for r in reading.records} if ready else set()
    unknown = [g for g in groups if not (pack and g in pack.groups) and g not in there]
    if unknown:
        have = (
            f"in the identity pack '{dimension}'; it has: {', '.join(pack.groups)}"
            if pack
            else f"in the data; it has: {', '.join(sorted(there))}"
        )
        raise InputError(f"bias.groups: '{unknown[0]}' is not {have}")
    known, pack = pack, with_given(pack, dimension, groups)
    _check_language(study, pack)
    _check_labels(labels, counts)
    own = study.bias.stereotypes if known or study.bias.stereotypes else {label: [] for label in labels}
    stereotypes = stereotypes_for(labels, pack, own)
    for group, mapping in (study.bias.relabel or {}).items():
        for label in (*mapping, *mapping.values()):
            if normal_label(label) not in labels:
                raise InputError(
                    f"bias.relabel.{group}: '{label}' is not a label of the data; its labels: "
                    f"{', '.join(labels)}"
                )
    cells = len(labels) * len(study.train_groups)
    plan = make_plan(study, cells)
    if plan.draws:
        crossed = study.bias.cross or pack.cross
        language = study.data.language
        cross = load_pack(crossed).speaking(language) if crossed else None
        check_wording(list(plan.draws), pack, cross, study.data.opinions, language)
    spare = -(-plan.wanted.get(NEUTRAL, 0) // cells) if study.control == "original" else 0
    same_file = study.augmented is not None and study.augmented.source == study.data.source
    split = split_original(
        reading.records,
        dimension,
        groups,
        labels,
        train_per_cell=study.data.train_per_cell,
        test_per_cell=study.data.test_per_cell,
        spare_per_cell=spare,
        seed=study.data.split_seed,
        again_per_cell=spare if study.replicate_control and study.redraw else 0,
        draws=len(study.seeds) if study.redraw else 1,
        first=study.seeds[0] if study.redraw and len(study.seeds) == 1 else 0,
        left_per_cell=-(-max(plan.wanted.values(), default=0) // cells) if same_file else 0,
        trained=study.train_groups,
    )
    augmented: list[Record] = []
    rejected = list(reading.rejected)
    if study.augmented is not None:
        augmented, more = _read_augmented(study, base, split, labels)
        rejected += more
    context = TaskContext(
        split.test,
        labels,
        dimension,
        groups,
        stereotypes,
        user_turn(study.data),
        study.training.max_length,
        study.data.split_seed,
        base,
        pack,
    )
    return StudyData(split, labels, pack, stereotypes, augmented, rejected, context, plan)


def _in_english(study: Study) -> bool:
    """Return whether no text that Probate brings or generates is in another language than English."""
    given = study.augmented is not None and study.data.source != "builtin:biographies"
    return study.data.language == "en" or given


def _check_biographies(study: Study) -> None:
    """Check that biographies are in English."""
    if not study.data.opinions and not _in_english(study):
        raise InputError(
            "data.language: biographies exist, and are generated, in English only, not in "
            f"'{study.data.language}'; use opinions, which exist in {', '.join(languages())}"
        )


def _check_language(study: Study, pack: Pack) -> None:
    """Check that opinions and identities have words in the study's language."""
    if not _in_english(study):
        opinion_words(study.data.language)
        pack.speaking(study.data.language)


def _check_labels(labels: Sequence[str], counts: Counter[str]) -> None:
    if len(labels) < 2:
        raise InputError(f"data: only one label, '{labels[0]}'; a classification needs at least two")
    absent = [label for label in labels if not counts[label]]
    if absent:
        have = ", ".join(sorted(counts))
        raise InputError(f"data.labels: no record has the label '{absent[0]}'; the data has: {have}")
    if len({label.lower() for label in labels}) < len(labels):
        raise InputError(f"data: two labels differ only in upper and lower case: {', '.join(labels)}")


def _read_augmented(
    study: Study, base: Path, split: Split, labels: list[str]
) -> tuple[list[Record], list[str]]:
    """Read the ready set and leave out records that cannot be used.

    These are records that are, or whose parent is, held out or trained on already, and records of other
    groups.
    """
    assert study.augmented is not None
    reading = read_source(study.augmented, base, "augmented", labels)
    own = {r.id.removeprefix("o:"): "test" for r in split.test}
    own |= {r.id.removeprefix("o:"): "spare" for r in split.all_spare()}
    same_file = study.augmented.source == study.data.source
    if same_file:
        own |= {r.id.removeprefix("o:"): "train" for r in split.all_train()}
    kept, dropped = [], Counter[str]()
    for r in reading.records:
        parent = r.provenance.get("parent", r.id.removeprefix("a:"))
        known_parent = "parent" in r.provenance or same_file
        if known_parent and parent in own:
            dropped[own[parent]] += 1
        elif r.groups.get(study.bias.dimension) not in study.train_groups:
            dropped["group"] += 1
        else:
            kept.append(r)
    notes = [
        f"augmented: {n} records are left out because they {why}"
        for key, why in (
            ("test", "were made from a held-out item"),
            ("spare", "were made from an item of the matched control"),
            ("train", "are original training records"),
            ("group", f"belong to none of the {'trained' if study.data.train_groups else 'compared'} groups"),
        )
        if (n := dropped[key])
    ]
    return kept[: study.augmented.limit] if study.augmented.limit else kept, [*reading.rejected, *notes]


def _strategies(study: Study, context: MitigationContext) -> dict[str, tuple[Mitigation, ...]]:
    """Load the strategies of each value of the mitigation axis.

    Raises
    ------
    InputError
        A strategy does not exist, has no such option, contradicts another one or cannot work on this study.
    """
    strategies = {}
    for spec in study.mitigations:
        strategies[spec.key] = tuple(load_mitigation(s.name, s.options) for s in spec.strategies)
        check_together(strategies[spec.key])
        for strategy in strategies[spec.key]:
            strategy.check(context)
    return strategies


def _mitigation_context(study: Study, data: StudyData) -> MitigationContext:
    """Return what the study's mitigations are given.

    Opinions are also masked for the crossed dimension, because names show both dimensions.
    """
    cross = study.bias.cross or data.pack.cross
    packs = (data.pack, load_pack(cross)) if cross and study.data.opinions else (data.pack,)
    return MitigationContext(
        study.bias.dimension,
        study.bias.groups,
        data.labels,
        packs,
        study.data.language,
        study.data.split_seed,
        data.stereotypes,
        generated=study.augmented is None,
        prompt=user_turn(study.data),
        max_length=study.training.max_length,
    )
