"""Reweight: weights the loss so that group and label are independent."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from probate.core.errors import InputError
from probate.core.records import Record
from probate.mitigations.base import Mitigation, MitigationContext


class Reweight(Mitigation):
    """Give each augmented record the weight P(group)·P(label) / P(group, label).

    Group and label are independent in the weighted data (Kamiran and Calders 2012). The mean weight is 1, no
    record is left out, and rare cells have higher weights.
    """

    name = "reweight"
    title = "Reweight"
    source = "reweighing (Kamiran and Calders 2012)"
    purpose = "make group and label independent"

    def weight(self, records: Sequence[Record], context: MitigationContext) -> list[float]:
        keys = [(r.groups.get(context.dimension, ""), r.label) for r in records]
        if records and not any(g for g, _ in keys):
            raise InputError(
                f"mitigations: reweight: no record has a group of '{context.dimension}'; "
                f"name its column with --group {context.dimension}=COLUMN"
            )
        cells, groups, labels = (
            Counter(keys),
            Counter(g for g, _ in keys),
            Counter(label for _, label in keys),
        )
        return [groups[g] * labels[label] / (len(keys) * cells[g, label]) for g, label in keys]
