"""Bias in training data: the gap that a model would have if it passed its data on as they are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from probate.core.records import Record
from probate.stats.measure import stereotyped_for


def data_bias(
    records: Sequence[Record],
    dimension: str,
    groups: Sequence[str],
    stereotypes: Mapping[str, str | Sequence[str]],
) -> float:
    """`cell_bias` of records."""
    return cell_bias(count_cells(records, dimension), groups, stereotypes)


def count_cells(records: Sequence[Record], dimension: str) -> dict[str, dict[str, int]]:
    """Group → label → how many records; the group of a record without one is empty."""
    found: dict[str, Counter[str]] = {}
    for r in records:
        found.setdefault(r.groups.get(dimension, ""), Counter())[r.label] += 1
    return {group: dict(counts) for group, counts in found.items()}


def cell_bias(
    cells: Mapping[str, Mapping[str, int]],
    groups: Sequence[str],
    stereotypes: Mapping[str, str | Sequence[str]],
) -> float:
    """Share of labels that are stereotyped for the first group among its records, minus the same share among the second's, in [-1, 1].

    `cells`: group → label → records. The unit of the occupation task's primary measure. NaN where a group has no record.
    """
    shares = []
    for group in groups[:2]:
        own = cells.get(group, {})
        hits = sum(n for label, n in own.items() if stereotyped_for(label, groups[0], stereotypes))
        shares.append(hits / sum(own.values()) if own else float("nan"))
    return shares[0] - shares[1]
