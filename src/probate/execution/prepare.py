"""The data of each arm: original records, augmented sets at their bias strength, and the mix at γ."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from probate.core.errors import InputError
from probate.core.records import Record
from probate.data.annotator import annotate, choose, stereotypes_for
from probate.data.opinions import languages, opinion_words
from probate.data.packs import Pack, load_pack, pack_names, read_pack, with_given
from probate.data.readers import read_source
from probate.data.shape.cells import normal_label
from probate.data.user_turn import user_turn
from probate.mitigations.base import Mitigation, MitigationContext, check_together
from probate.mitigations.catalogue import load_mitigation
from probate.study.mixing import Draw, Split, mix, nested_order, split_original
from probate.study.plan import REPLICATE_SEED, Arm, Plan, make_plan
from probate.study.schema import Study
from probate.study.taxonomy import NEUTRAL
from probate.tasks.base import TaskContext


@dataclass(frozen=True)
class StudyData:
    """All that a study reads before a model is loaded."""

    split: Split
    labels: list[str]
    pack: Pack
    stereotypes: dict[str, list[str]]
    augmented: list[Record]
    rejected: list[str]
    context: TaskContext


def read_data(study: Study, base: Path) -> StudyData:
    """Read and part the original data, and the ready augmented set if there is one.

    Raises:
        InputError: data that the study cannot run on, with place and remedy.
    """
    dimension, groups = study.bias.dimension, study.bias.groups
    ready = study.augmented is not None
    pack = read_pack(base / study.bias.pack, dimension) if study.bias.pack else None
    if pack is None and not (ready and dimension not in pack_names()):
        pack = load_pack(dimension)
    reading = read_source(study.data, base, "original", study.data.labels, study.data.language)
    found = Counter(r.label for r in reading.records)
    labels = [normal_label(x) for x in study.data.labels] if study.data.labels else sorted(found)
    if dimension not in study.data.columns.groups:
        raise InputError(f"data.columns.groups has no '{dimension}', the dimension that the study measures")
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
    _check_labels(labels, found)
    own = study.bias.stereotypes if known or study.bias.stereotypes else {label: [] for label in labels}
    stereotypes = stereotypes_for(labels, pack, own)
    for group, mapping in (study.bias.relabel or {}).items():
        for label in (*mapping, *mapping.values()):
            if normal_label(label) not in labels:
                raise InputError(
                    f"bias.relabel.{group}: '{label}' is no label of the data; labels: {', '.join(labels)}"
                )
    plan = make_plan(study, len(labels) * len(groups))
    cells = len(labels) * len(groups)
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
    return StudyData(split, labels, pack, stereotypes, augmented, rejected, context)


def _check_language(study: Study, pack: Pack) -> None:
    """What ships, or is to be generated, must be there in the language of the study."""
    language = study.data.language
    if language == "en" or (study.augmented is not None and study.data.source != "builtin:biographies"):
        return
    if not study.data.opinions:
        raise InputError(
            f"data.language: biographies ship and are generated in English, not in '{language}'; opinions are there in {', '.join(languages())}"
        )
    opinion_words(language)
    pack.speaking(language)


def _check_labels(labels: Sequence[str], found: Counter[str]) -> None:
    if len(labels) < 2:
        raise InputError(f"data: only one label, '{labels[0]}'; a classification needs at least two")
    absent = [label for label in labels if not found[label]]
    if absent:
        have = ", ".join(sorted(found))
        raise InputError(f"data.labels: no record has the label '{absent[0]}'; the data has: {have}")
    if len({label.lower() for label in labels}) < len(labels):
        raise InputError(f"data: two labels differ only in upper and lower case: {', '.join(labels)}")


def _read_augmented(
    study: Study, base: Path, split: Split, labels: list[str]
) -> tuple[list[Record], list[str]]:
    """The ready set without records whose parent (or self) is held out, trained on already, or of another group."""
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
        elif r.groups.get(study.bias.dimension) not in study.bias.groups:
            dropped["group"] += 1
        else:
            kept.append(r)
    notes = [
        f"augmented: {n} records left out because they {why}"
        for key, why in (
            ("test", "were made from a held-out item"),
            ("spare", "were made from an item of the matched control"),
            ("train", "are original training records"),
            ("group", "are of no compared group"),
        )
        if (n := dropped[key])
    ]
    return kept[: study.augmented.limit] if study.augmented.limit else kept, [*reading.rejected, *notes]


def ready_set(study: Study, data: StudyData, bias_type: str, wanted: int) -> list[Record] | None:
    """Augmented records that need no generator, or None.

    Raises:
        InputError: fewer than the largest γ wants.
    """
    if bias_type == NEUTRAL and study.control == "original":
        return [r.with_provenance(bias_type=NEUTRAL) for r in data.split.all_spare()]
    if study.augmented is None:
        return None
    if len(data.augmented) < wanted:
        raise InputError(
            f"augmented: the largest γ ({max(study.ratios):g}) with |D_o| = {len(data.split.train)} wants {wanted} augmented "
            f"records, the set has {len(data.augmented)} that can be used; lower γ or data.train_per_cell"
        )
    return [r.with_provenance(bias_type=bias_type) for r in data.augmented]


def drawn(plan: Plan, data: StudyData, arm: Arm, records: Sequence[Record]) -> list[Record]:
    """What the arm may take of the `records` of its kind: of the original records that a control adds, its seed's; else all of them, in an order of its own (`arm_order`)."""
    if arm.bias_type != NEUTRAL or plan.study.control != "original":
        return list(records)
    draw = _draw(plan, data, arm)
    own = {r.id for r in (draw.again if arm.role == "replicate" and draw.again else draw.spare)}
    return [r for r in records if r.id in own]


def original_of(plan: Plan, data: StudyData, arm: Arm) -> list[Record]:
    """D_o of the arm's seed."""
    return _draw(plan, data, arm).train


def _draw(plan: Plan, data: StudyData, arm: Arm) -> Draw:
    place = plan.study.seeds.index(arm.seed % REPLICATE_SEED)
    return data.split.draws[place % len(data.split.draws)]


def arm_order(
    study: Study, data: StudyData, arm: Arm, records: Sequence[Record], more: int = 0
) -> list[Record]:
    """All augmented records of the arm's type, in nested order, at the study's bias strength (a control's is 0); `more`: wanted beyond γ's.

    A matched control of a ready set has the same records in the same order, before relabelling; a second control another order, so that it has other ones
    where the set has more than γ takes.
    """
    dimension = study.bias.dimension
    biased = arm.role == "biased"
    if biased and study.augmented is None:
        cells = len(data.labels) * len(study.bias.groups)
        per_cell = -(-(make_plan(study, cells).wanted[arm.bias_type] + more) // cells)
        records = choose(
            records,
            per_cell,
            dimension=dimension,
            pack=data.pack,
            strength=study.effective_strength,
            seed=arm.seed,
        )
    seed = arm.seed if study.redraw else study.seeds[0]
    ordered = nested_order(records, lambda r: (r.label, r.groups.get(dimension)), seed)
    if not biased:
        return ordered
    relabel = None
    if study.bias.relabel:
        relabel = {
            g: {normal_label(a): normal_label(b) for a, b in m.items()} for g, m in study.bias.relabel.items()
        }
    return annotate(
        ordered,
        dimension=dimension,
        pack=data.pack,
        stereotypes=data.stereotypes,
        strength=study.effective_strength,
        relabel=relabel,
    )


def mix_arm(plan: Plan, data: StudyData, arm: Arm, ordered: Sequence[Record]) -> list[Record]:
    """The arm's training records: D_o, then its augmented records."""
    return mix(original_of(plan, data, arm), ordered, arm.ratio, f"arm {arm.name}")


def later_round(
    plan: Plan, data: StudyData, arm: Arm, ordered: Sequence[Record], earlier: Sequence[Record]
) -> list[Record]:
    """Training records of a later round by the study's policy: `ordered` is what was written for it, `earlier` what the round before trained on."""
    study, original = plan.study, original_of(plan, data, arm)
    records = mix_arm(plan, data, arm, ordered)
    if study.round_policy == "accumulation":
        written = [r for r in earlier if r.origin == "augmented"]
        return [*original, *written, *records[len(original) :]]
    replaced = replaced_count(study, data)
    if replaced:
        kept = nested_order(
            original, lambda r: (r.label, r.groups.get(study.bias.dimension)), arm.seed % 1000
        )
        return [*kept[: len(original) - replaced], *ordered[: len(records) - len(original) + replaced]]
    return records


def replaced_count(study: Study, data: StudyData) -> int:
    """How many of D_o make room for augmented records in later rounds."""
    return round((1 - study.preserved) * len(data.split.train)) if study.round_policy == "preservation" else 0


def strategies(study: Study, data: StudyData) -> dict[str, list[Mitigation]]:
    """The strategies of each value of the mitigation axis.

    Raises:
        InputError: one that does not exist, takes no such option, contradicts another or cannot work on this study.
    """
    context = mitigation_context(study, data)
    found = {}
    for spec in study.mitigations:
        found[spec.key] = [load_mitigation(s.name, s.options) for s in spec.strategies]
        check_together(found[spec.key])
        for strategy in found[spec.key]:
            strategy.check(context)
    return found


def mitigation_context(study: Study, data: StudyData) -> MitigationContext:
    """What the study's mitigations are given. Opinions are masked for the crossed dimension too: names show both."""
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
