"""Rebalance: as many augmented records in each cell of group and label."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from probate.core.errors import InputError
from probate.core.records import Record, stable_order
from probate.mitigations.base import Mitigation, MitigationContext


class Rebalance(Mitigation):
    """Every cell of label x group is cut down, by a seeded draw, to the size of the smallest: group and label become independent."""

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
                f"mitigations: rebalance: no record has a group of '{context.dimension}'; name its column, as in --group {context.dimension}=COLUMN"
            )
        labels = sorted({r.label for r in records} - {""}) or [""]
        groups = context.groups or sorted({group for _, group in cells if group})
        for label in labels:
            for group in groups:
                if not cells.get((label, group)):
                    raise InputError(
                        f"mitigations: rebalance: no augmented record has label '{label}' and {context.dimension}={group}; "
                        "leave the label or the group out, or generate some"
                    )
        wanted = {(label, group) for label in labels for group in groups}
        least = min(len(cells[c]) for c in wanted)
        stay = {i for c in wanted for i in stable_order(cells[c], "rebalance", context.seed)[:least]}
        kept = [r for r in records if r.id in stay]

        def why(r: Record) -> str:
            if r.groups.get(context.dimension, "") not in groups:
                return "its group is none of those that are compared"
            return f"its cell has more than {least} records" if r.label in labels else "it has no label"

        return kept, [(r, why(r)) for r in records if r.id not in stay]
