"""The records of each arm: original records D_o, augmented records at the bias strength, and their mix."""

from __future__ import annotations

from collections.abc import Sequence

from probate.core.errors import InputError
from probate.core.records import Record
from probate.data.annotator import annotate, choose
from probate.data.shape.cells import normal_label
from probate.execution.prepare import Prepared
from probate.study.mixing import Draw, mix, nested_order
from probate.study.plan import REPLICATE_SEED, Arm
from probate.study.taxonomy import NEUTRAL


def ready_set(prepared: Prepared, bias_type: str) -> list[Record] | None:
    """Return the augmented records that need no generator, or None if they must be generated.

    Raises
    ------
    InputError
        The ready set has fewer usable records than the largest γ needs.
    """
    study, data, wanted = prepared.study, prepared.data, prepared.plan.wanted[bias_type]
    if bias_type == NEUTRAL and study.control == "original":
        return [r.with_provenance(bias_type=NEUTRAL) for r in data.split.all_spare()]
    if study.augmented is None:
        return None
    if len(data.augmented) < wanted:
        raise InputError(
            f"augmented: the largest γ ({max(study.ratios):g}) with |D_o| = {len(data.split.train)} needs "
            f"{wanted} augmented records, but the set has only {len(data.augmented)} usable ones; lower γ "
            "or data.train_per_cell"
        )
    return [r.with_provenance(bias_type=bias_type) for r in data.augmented]


def drawn(prepared: Prepared, arm: Arm, records: Sequence[Record]) -> list[Record]:
    """Return the records that the arm may use.

    A control that adds original records uses those drawn for its seed. Every other arm uses all `records`, in
    its own order (`arm_order`).
    """
    if arm.bias_type != NEUTRAL or prepared.study.control != "original":
        return list(records)
    draw = _draw(prepared, arm)
    own = {r.id for r in (draw.again if arm.role == "replicate" and draw.again else draw.spare)}
    return [r for r in records if r.id in own]


def original_of(prepared: Prepared, arm: Arm) -> list[Record]:
    """Return the original training records D_o of the arm's seed."""
    return _draw(prepared, arm).train


def _draw(prepared: Prepared, arm: Arm) -> Draw:
    draws, place = prepared.data.split.draws, prepared.study.seeds.index(arm.seed % REPLICATE_SEED)
    return draws[place % len(draws)]


def arm_order(prepared: Prepared, arm: Arm, records: Sequence[Record], more: int = 0) -> list[Record]:
    """Return all augmented records of the arm's bias type in nested order, at the study's bias strength.

    Parameters
    ----------
    prepared : Prepared
        The study and its data.
    arm : Arm
        The arm. The bias strength of a control is 0.
    records : sequence of Record
        The augmented records, before relabelling.
    more : int, default 0
        How many records are needed beyond those of the largest γ.

    Returns
    -------
    list of Record
        The first n records are the subset for the γ that needs n. A matched control of a ready set has the
        same records in the same order, before relabelling. A second control has another order, so that it
        uses other records if the set has more than γ needs.
    """
    study, data = prepared.study, prepared.data
    dimension = study.bias.dimension
    biased = arm.role == "biased"
    if biased and study.augmented is None:
        cells = len(data.labels) * len(study.train_groups)
        per_cell = -(-(prepared.plan.wanted[arm.bias_type] + more) // cells)
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


def mix_arm(prepared: Prepared, arm: Arm, ordered: Sequence[Record]) -> list[Record]:
    """Return the arm's training records: D_o, then its augmented records."""
    return mix(original_of(prepared, arm), ordered, arm.ratio, f"arm {arm.name}")


def later_round(
    prepared: Prepared, arm: Arm, ordered: Sequence[Record], earlier: Sequence[Record]
) -> list[Record]:
    """Return the training records of a later round, by the study's `round_policy`.

    `ordered` are the records generated for this round. `earlier` are the training records of the previous
    round.
    """
    study, original = prepared.study, original_of(prepared, arm)
    records = mix_arm(prepared, arm, ordered)
    if study.round_policy == "accumulation":
        written = [r for r in earlier if r.origin == "augmented"]
        return [*original, *written, *records[len(original) :]]
    replaced = replaced_count(prepared)
    if replaced:
        kept = nested_order(
            original, lambda r: (r.label, r.groups.get(study.bias.dimension)), arm.seed % 1000
        )
        return [*kept[: len(original) - replaced], *ordered[: len(records) - len(original) + replaced]]
    return records


def replaced_count(prepared: Prepared) -> int:
    """Return how many records of D_o are replaced by augmented records in later rounds."""
    study = prepared.study
    if study.round_policy != "preservation":
        return 0
    return round((1 - study.preserved) * len(prepared.data.split.train))
