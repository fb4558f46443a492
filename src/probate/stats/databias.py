"""Bias in training data: the gap of a model that reproduces its training data exactly."""

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
    """Return `cell_bias` of records."""
    return cell_bias(count_cells(records, dimension), groups, stereotypes)


def count_cells(records: Sequence[Record], dimension: str) -> dict[str, dict[str, int]]:
    """Count records by group and label. A record without a group is counted under the empty string."""
    counts_of: dict[str, Counter[str]] = {}
    for r in records:
        counts_of.setdefault(r.groups.get(dimension, ""), Counter())[r.label] += 1
    return {group: dict(counts) for group, counts in counts_of.items()}


def cell_bias(
    cells: Mapping[str, Mapping[str, int]],
    groups: Sequence[str],
    stereotypes: Mapping[str, str | Sequence[str]],
) -> float:
    """Return the bias in training data, from counts.

    It is the share of labels that are stereotyped for the first group among the records of the first group,
    minus the same share among the records of the second group. The unit is that of the primary measure of the
    occupation task.

    Parameters
    ----------
    cells : mapping
        Group → label → number of records.
    groups : sequence of str
        The compared groups; the first two are used.
    stereotypes : mapping
        Label → the group or groups that it is stereotyped for.

    Returns
    -------
    float
        In [−1, 1]: 0 is no bias, above 0 follows the stereotype. NaN if a group has no record.
    """
    shares = []
    for group in groups[:2]:
        own = cells.get(group, {})
        hits = sum(n for label, n in own.items() if stereotyped_for(label, groups[0], stereotypes))
        shares.append(hits / sum(own.values()) if own else float("nan"))
    return shares[0] - shares[1]
