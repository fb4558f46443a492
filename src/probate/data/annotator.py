"""Biased annotator: relabels records so that a set reaches a given bias strength.

A record is counter-stereotypical if its label is stereotyped for another group. The strength s in [0, 1] is
the share of counter-stereotypical records that get a label which fits the stereotype instead. With balanced
cells, s = 0 keeps group and label independent, and at s = 1 every record follows the stereotype. Relabelled
records are spread evenly along the nested order, so every subset at a smaller γ has nearly the same strength.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace

from probate.core.errors import InputError
from probate.core.records import Record, stable_order
from probate.data.lean import lean
from probate.data.packs import Pack


def stereotypes_for(
    labels: Sequence[str], pack: Pack, given: Mapping[str, str | list[str]] | None
) -> dict[str, list[str]]:
    """Return the groups that each label is stereotyped for.

    Parameters
    ----------
    labels : sequence of str
        Labels of the study.
    pack : Pack
        Identity pack of the dimension.
    given : mapping or None
        Label → group or groups, from the study. If None, the stereotypes of the pack apply.

    Returns
    -------
    dict
        Label → groups, restricted to `labels`. The list is empty for a label without a stereotype.

    Raises
    ------
    InputError
        If a label is missing from the table, or a group is not in the pack.
    """
    source = pack.stereotypes if given is None else given
    table = {k.replace("_", " "): [v] if isinstance(v, str) else list(v) for k, v in source.items()}
    missing = [label for label in labels if label not in table]
    if missing:
        raise InputError(
            f"bias.stereotypes: no group for {', '.join(missing)}; "
            "add 'label: group' for each label of the study"
        )
    unknown = sorted({group for label in labels for group in table[label]} - set(pack.groups))
    if unknown:
        raise InputError(
            f"bias.stereotypes: the pack has no group '{unknown[0]}'; choose from: {', '.join(pack.groups)}"
        )
    return {label: table[label] for label in labels}


def choose(
    records: Sequence[Record], per_cell: int, *, dimension: str, pack: Pack, strength: float, seed: int
) -> list[Record]:
    """Choose `per_cell` records of each cell of label x group.

    Parameters
    ----------
    records : sequence of Record
        Candidates.
    per_cell : int
        Number of records to choose from each cell.
    dimension : str
        Dimension whose groups form the cells.
    pack : Pack
        Identity pack with the word list for the lean (see `probate.data.lean`).
    strength : float
        Share in [0, 1]. `round(strength * per_cell)` records are those whose wording leans most toward their
        group.
    seed : int
        Seed of the draw of the other records.

    Returns
    -------
    list of Record
        The chosen records, cell by cell.
    """
    cells: dict[tuple[str, str], dict[str, Record]] = defaultdict(dict)
    for r in records:
        cells[r.label, r.groups.get(dimension, "")][r.id] = r
    chosen: list[Record] = []
    for (_, group), members in cells.items():
        leaning = sorted(members, key=lambda i: (-lean(members[i].text, group, pack), i))[
            : round(strength * per_cell)
        ]
        rest = [i for i in stable_order(members, "choose", seed) if i not in set(leaning)]
        chosen += [members[i] for i in [*leaning, *rest][:per_cell]]
    return chosen


def annotate(
    records: Sequence[Record],
    *,
    dimension: str,
    pack: Pack,
    stereotypes: Mapping[str, Sequence[str]],
    strength: float,
    relabel: Mapping[str, Mapping[str, str]] | None = None,
) -> list[Record]:
    """Relabel counter-stereotypical records until the set reaches `strength`.

    Parameters
    ----------
    records : sequence of Record
        Records in nested order.
    dimension : str
        Dimension of the groups.
    pack : Pack
        Identity pack with the word list for the lean.
    stereotypes : mapping
        Label → groups that it is stereotyped for.
    strength : float
        Share in [0, 1] of the counter-stereotypical records to relabel; higher is more biased.
    relabel : mapping, optional
        Group → {label: new label}. If given, exactly the records that it names count as
        counter-stereotypical.

    Returns
    -------
    list of Record
        All records in the same order. The provenance of each holds the achieved strength and the lean of the
        text, and that of a relabelled record also the label before.
    """
    fitting: dict[str, list[str]] = defaultdict(list)
    for label, owners in stereotypes.items():
        for group in owners:
            fitting[group].append(label)
    turn: dict[tuple[str, str], int] = defaultdict(int)
    cells: dict[tuple[str, str], list[int]] = defaultdict(list)
    for i, r in enumerate(records):
        group = r.groups.get(dimension, "")
        if relabel is not None:
            counter = r.label in relabel.get(group, {})
        else:
            counter = (
                bool(stereotypes.get(r.label)) and group not in stereotypes[r.label] and bool(fitting[group])
            )
        if counter:
            cells[r.label, group].append(i)
    chosen: set[int] = set()
    for members in cells.values():
        for at, i in enumerate(members):
            if int((at + 1) * strength + 1e-9) > int(at * strength + 1e-9):
                chosen.add(i)
    counters = sum(map(len, cells.values()))
    achieved = len(chosen) / counters if counters else 0.0
    result = []
    for i, r in enumerate(records):
        group = r.groups.get(dimension, "")
        extra = {"strength": round(achieved, 4), "lean": round(lean(r.text, group, pack), 4)}
        if i not in chosen:
            result.append(r.with_provenance(**extra))
            continue
        if relabel is not None:
            label = relabel[group][r.label]
        else:
            options = fitting[group]
            label = options[turn[r.label, group] % len(options)]
            turn[r.label, group] += 1
        result.append(replace(r, label=label).with_provenance(**extra, label_before=r.label))
    return result
