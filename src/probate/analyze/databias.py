"""Bias in training data: the gap that a model would have if it passed its data on as they are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from probate.records import Record
from probate.tasks.base import stereotyped_for


def data_bias(
    records: Sequence[Record], dimension: str, groups: Sequence[str], stereotypes: Mapping[str, str | Sequence[str]]
) -> float:
    """Share of labels that are stereotyped for the first group among its records, minus the same share among the second's, in [-1, 1].

    The unit of the occupation task's primary measure. NaN where a group has no record.
    """
    shares = []
    for group in groups[:2]:
        own = [r for r in records if r.groups.get(dimension) == group]
        hits = sum(stereotyped_for(r.label, groups[0], stereotypes) for r in own)
        shares.append(hits / len(own) if own else float("nan"))
    return shares[0] - shares[1]
