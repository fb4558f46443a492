"""Splitting the original data, and mixing augmented data into it at a bias ratio γ."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction

from probate.core.errors import InputError
from probate.core.records import Record, stable_order


def augmented_count(originals: int, ratio: float) -> int:
    """Return the number of augmented records |D_a| for a bias ratio γ = |D_a|/|D_o ∪ D_a|.

    Parameters
    ----------
    originals : int
        Number of original records |D_o|.
    ratio : float
        The bias ratio γ, in [0, 1).

    Returns
    -------
    int
        γ/(1−γ)·|D_o|, rounded, with halves to even.

    Raises
    ------
    InputError
        γ is outside [0, 1).
    """
    if not 0 <= ratio < 1:
        raise InputError(f"ratios: γ must be at least 0 and below 1, got {ratio:g}")
    gamma = Fraction(str(ratio))
    return round(gamma / (1 - gamma) * originals)


@dataclass(frozen=True)
class Draw:
    """The original records drawn for one seed.

    Attributes
    ----------
    train : list of Record
        The training records D_o.
    spare : list of Record
        Records that a matched control may add.
    again : list of Record
        Records that a second matched control may add.
    """

    train: list[Record] = field(default_factory=list)
    spare: list[Record] = field(default_factory=list)
    again: list[Record] = field(default_factory=list)


@dataclass(frozen=True)
class Split:
    """The original records, split into held-out records and the draws of each seed."""

    test: list[Record]
    draws: list[Draw]

    @property
    def train(self) -> list[Record]:
        """The training records D_o of the first seed."""
        return self.draws[0].train

    def all_train(self) -> list[Record]:
        """Return the training records of all seeds, each record once."""
        return list({r.id: r for d in self.draws for r in d.train}.values())

    def all_spare(self) -> list[Record]:
        """Return the records that the controls of all seeds may add, each record once."""
        return list({r.id: r for d in self.draws for r in (*d.spare, *d.again)}.values())


def split_original(
    records: Sequence[Record],
    dimension: str,
    groups: Sequence[str],
    labels: Sequence[str],
    *,
    train_per_cell: int,
    test_per_cell: int | None,
    spare_per_cell: int,
    seed: int,
    again_per_cell: int = 0,
    draws: int = 1,
    first: int = 0,
    left_per_cell: int = 0,
    trained: Sequence[str] | None = None,
) -> Split:
    """Split the records of each cell (label × group) into test records and the draws of each seed.

    Each draw takes the next records that are not held out, and continues from the start when they are used
    up. Two draws therefore have as few records in common as the data allow. A pair stays together.

    Parameters
    ----------
    records : sequence of Record
        The original records.
    dimension : str
        The dimension whose groups form the cells.
    groups, labels : sequence of str
        The groups and the labels of the cells.
    train_per_cell : int
        Training records of a draw for each cell.
    test_per_cell : int or None
        Held-out records for each cell. With None, all records that one draw leaves are held out, so that all
        draws are equal.
    spare_per_cell : int
        Records that a matched control may add, for each cell.
    seed : int
        Seed of the split.
    again_per_cell : int, default 0
        Records that a second matched control may add, for each cell.
    draws : int, default 1
        Number of draws.
    first : int, default 0
        Number of the first draw, so that a study of one seed draws the same records as that seed does in a
        study of many.
    left_per_cell : int, default 0
        Records for each cell that are needed for another purpose, which gets its share of the remaining ones.
    trained : sequence of str, optional
        Groups with training records; the other groups have held-out records only. Default: all groups.

    Returns
    -------
    Split
        The held-out records and the draws.

    Raises
    ------
    InputError
        A cell is empty or too small. The message has its counts.
    """
    cells = cells_of(records, dimension)
    test: list[Record] = []
    drawn = [Draw() for _ in range(draws)]
    for label in labels:
        for group in groups:
            cell = cells.get((label, group), [])
            if not cell:
                have = ", ".join(f"{g} {len(cells.get((label, g), []))}" for g in groups)
                raise InputError(
                    f"data: label '{label}' has no record with {dimension}={group} ({have}); "
                    "add records, or leave the label out with data.labels"
                )
            need = train_per_cell + spare_per_cell + again_per_cell
            if trained is not None and group not in trained:
                need = 0
            if len(cell) <= need:
                raise InputError(
                    f"data: label '{label}', {dimension}={group} has {len(cell)} records; training needs "
                    f"{train_per_cell}"
                    + (f", the matched control {spare_per_cell}" if spare_per_cell else "")
                    + (f", the second control {again_per_cell}" if again_per_cell else "")
                    + ", and at least one must be left for testing; lower data.train_per_cell"
                )
            by_unit = {r.provenance.get("pair", r.id): r for r in cell}
            ordered = [by_unit[u] for u in stable_order(by_unit, "split", seed)]
            rest = ordered[need:]
            if not need:  # held out as many as of the other groups
                rest = ordered[train_per_cell + spare_per_cell + again_per_cell :] or ordered
            held = rest if test_per_cell is None else rest[:test_per_cell]
            test += held
            if not need:
                continue
            more = rest[len(held) :]
            share = max(0, len(more) - left_per_cell) * need // (need + left_per_cell)
            pool = ordered[:need] + more[:share]
            for number, draw in enumerate(drawn, first):
                own = [pool[(number * need + place) % len(pool)] for place in range(need)]
                draw.train.extend(own[:train_per_cell])
                draw.spare.extend(own[train_per_cell : train_per_cell + spare_per_cell])
                draw.again.extend(own[train_per_cell + spare_per_cell :])
    return Split(test, drawn)


def cells_of(records: Iterable[Record], dimension: str) -> dict[tuple[str, str], list[Record]]:
    """Return the records by (label, group)."""
    cells: dict[tuple[str, str], list[Record]] = defaultdict(list)
    for r in records:
        cells[r.label, r.groups.get(dimension, "")].append(r)
    return cells


def nested_order(records: Sequence[Record], cell: Callable[[Record], Hashable], seed: int) -> list[Record]:
    """Return the records in an order in which the first n are balanced over cells, for every n.

    Within a cell the order is random. Cells are then merged in proportion to their size. The first n records
    are the subset for the γ that needs n, so a smaller γ uses a subset of the records of a larger one.

    Parameters
    ----------
    records : sequence of Record
        The records.
    cell : callable
        Record → its cell.
    seed : int
        Seed of the order within cells.

    Returns
    -------
    list of Record
        All records, in this order.
    """
    members: dict[Hashable, list[Record]] = defaultdict(list)
    for r in records:
        members[cell(r)].append(r)
    ranked = []
    for index, key in enumerate(stable_order(map(repr, members), "cell", seed)):
        group = next(v for k, v in members.items() if repr(k) == key)
        by_id = {r.id: r for r in group}
        for place, identity in enumerate(stable_order(by_id, "nest", seed)):
            ranked.append(((place + 0.5) / len(group), index, by_id[identity]))
    ranked.sort(key=lambda t: (t[0], t[1]))
    return [r for _, _, r in ranked]


def mix(original: Sequence[Record], augmented: Sequence[Record], ratio: float, name: str) -> list[Record]:
    """Return D_o and the first |D_a| augmented records.

    Parameters
    ----------
    original : sequence of Record
        The original records D_o.
    augmented : sequence of Record
        Augmented records in nested order (`nested_order`).
    ratio : float
        The bias ratio γ, in [0, 1).
    name : str
        Name of the arm, for the message.

    Returns
    -------
    list of Record
        The mix.

    Raises
    ------
    InputError
        There are fewer augmented records than γ needs.
    """
    count = augmented_count(len(original), ratio)
    if count > len(augmented):
        most = len(augmented) / (len(augmented) + len(original))
        raise InputError(
            f"{name}: γ = {ratio:g} with |D_o| = {len(original)} needs {count} augmented records, but there "
            f"are only {len(augmented)}; use a γ of at most {most:.2f}, or lower data.train_per_cell"
        )
    return [*original, *augmented[:count]]
