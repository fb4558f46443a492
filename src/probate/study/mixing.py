"""Splitting original data, and mixing augmented data into it at a bias ratio γ."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction

from probate.core.errors import InputError
from probate.core.records import Record, stable_order


def augmented_count(originals: int, ratio: float) -> int:
    """|D_a| = round(γ/(1−γ)·|D_o|), halves to even, for γ = |D_a|/|D_o ∪ D_a| in [0, 1).

    Raises
    ------
    InputError
        Γ outside [0, 1).
    """
    if not 0 <= ratio < 1:
        raise InputError(f"ratios: γ must be at least 0 and below 1, got {ratio:g}")
    gamma = Fraction(str(ratio))
    return round(gamma / (1 - gamma) * originals)


@dataclass(frozen=True)
class Draw:
    """What one seed takes of the original records: to train on (D_o), what a matched control may add, and what a second control may add."""

    train: list[Record] = field(default_factory=list)
    spare: list[Record] = field(default_factory=list)
    again: list[Record] = field(default_factory=list)


@dataclass(frozen=True)
class Split:
    """Original records, parted: what is held out, and what each seed draws of the rest."""

    test: list[Record]
    draws: list[Draw]

    @property
    def train(self) -> list[Record]:
        """D_o of the first seed."""
        return self.draws[0].train

    def all_train(self) -> list[Record]:
        """D_o of any seed, each record once."""
        return list({r.id: r for d in self.draws for r in d.train}.values())

    def all_spare(self) -> list[Record]:
        """What a control of any seed may add, each record once."""
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
) -> Split:
    """Part the records by cell (label x group): training, spare (for a control), test. A pair stays together.

    Each of `draws` takes the next records of what is not held out, and begins again where they end: so two
    draws have as few records in common as the data allow, none where there are enough. `first`: the number of
    the first one, so that a study of one seed draws as that seed does in a study of many. Where all else is
    held out (`test_per_cell` None) all draws are the same. `left_per_cell`: records that something else draws
    from the rest, which gets its share of it.

    Raises
    ------
    InputError
        A cell that is empty or too small, with its counts.
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
                    "add some, or leave the label out with data.labels"
                )
            need = train_per_cell + spare_per_cell + again_per_cell
            if len(cell) <= need:
                raise InputError(
                    (
                        f"data: label '{label}', {dimension}={group} has {len(cell)} records; training "
                        f"takes {train_per_cell}"
                    )
                    + (f", the matched control {spare_per_cell}" if spare_per_cell else "")
                    + (f", the second one {again_per_cell}" if again_per_cell else "")
                    + " and at least one must be left to test on; lower data.train_per_cell"
                )
            by_unit = {r.provenance.get("pair", r.id): r for r in cell}
            ordered = [by_unit[u] for u in stable_order(by_unit, "split", seed)]
            rest = ordered[need:]
            held = rest if test_per_cell is None else rest[:test_per_cell]
            test += held
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
    """Records by (label, group)."""
    cells: dict[tuple[str, str], list[Record]] = defaultdict(list)
    for r in records:
        cells[r.label, r.groups.get(dimension, "")].append(r)
    return cells


def nested_order(records: Sequence[Record], cell: Callable[[Record], Hashable], seed: int) -> list[Record]:
    """An order whose every beginning is as balanced over cells as its length allows.

    Within a cell the order is random by `seed`; cells are then merged in proportion to their size, so that
    the first n records are the subset at the γ that wants n, and a smaller γ is contained in a larger one.
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
    """D_o and the first |D_a| of the (nested-ordered) augmented records.

    Raises
    ------
    InputError
        Fewer augmented records than γ wants.
    """
    count = augmented_count(len(original), ratio)
    if count > len(augmented):
        most = len(augmented) / (len(augmented) + len(original))
        raise InputError(
            f"{name}: γ = {ratio:g} with |D_o| = {len(original)} wants {count} augmented records, there are "
            f"{len(augmented)}; the largest γ is {most:.2f}, or lower data.train_per_cell"
        )
    return [*original, *augmented[:count]]
