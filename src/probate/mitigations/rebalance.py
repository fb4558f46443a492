"""Rebalance: undersamples augmented records to equal cells of group and label."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from probate.core.errors import InputError
from probate.core.records import Record, stable_order
from probate.mitigations.base import Mitigation, MitigationContext


class Rebalance(Mitigation):
    """Undersample every cell of label x group to the size of the smallest, so that group and label are
    independent.

    The draw is seeded.
    """

    name = "rebalance"
    title = "Rebalance"
    source = "undersampling of group x label cells (Kamiran and Calders 2012)"
    idempotent = True
    purpose = "make group and label independent"

    def select(
        self, records: Sequence[Record], original: Sequence[Record], context: MitigationContext
    ) -> tuple[list[Record], list[tuple[Record, str]]]:
        if not records:
            return [], []
        cells: dict[tuple[str, str], dict[str, Record]] = defaultdict(dict)
        for record in records:
            cells[record.label, record.groups.get(context.dimension, "")][record.id] = record
        if not any(group for _, group in cells):
            raise InputError(
                f"mitigations: rebalance: no record has a group of '{context.dimension}'; "
                f"name its column with --group {context.dimension}=COLUMN"
            )
        labels = sorted({r.label for r in records} - {""}) or [""]
        groups = context.groups or sorted({group for _, group in cells if group})
        for label in labels:
            for group in groups:
                if not cells.get((label, group)):
                    raise InputError(
                        f"mitigations: rebalance: no augmented record has label '{label}' and "
                        f"{context.dimension}={group}; leave out the label or the group, or generate such "
                        "records"
                    )
        wanted = {(label, group) for label in labels for group in groups}
        least = min(len(cells[c]) for c in wanted)
        stay = {i for c in wanted for i in stable_order(cells[c], "rebalance", context.seed)[:least]}
        kept = [r for r in records if r.id in stay]

        def why(r: Record) -> str:
            if r.groups.get(context.dimension, "") not in groups:
                return "its group is not compared"
            return f"its cell has more than {least} records" if r.label in labels else "it has no label"

        return kept, [(r, why(r)) for r in records if r.id not in stay]
