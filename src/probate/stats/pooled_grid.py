"""The arms of one task as arrays, and the means over conditions that pooled tests need."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from probate.stats import pooled_macro
from probate.stats.arms import AGAINST_BASE, AGAINST_MATCHED, ArmKind, Frames
from probate.stats.comparisons import ALL, comparison_names, needed_sides
from probate.stats.macro_f1 import cells_of
from probate.stats.measure import Measure
from probate.stats.pooled import Layout, Piece, piece_of
from probate.stats.usable import Asked, Values, missing_reason
from probate.study.taxonomy import NEUTRAL

Array = np.ndarray
Condition = tuple[tuple[ArmKind, ...], ArmKind]
"""The kinds of arm on one side of the comparison, whose mean is taken, and the kind on the other side."""


@dataclass(frozen=True, eq=False)
class Grid:
    """One measure of one task in all arms of the first round.

    Attributes
    ----------
    task : str
        Key of the task.
    measure : Measure
        The measure; amounts are on the log scale.
    frames : Frames
        Kind of arm → seed → values.
    asked : Asked
        What the task asks about.
    typical : float
        The typical amount, for amounts on a log scale; else NaN.
    """

    task: str
    measure: Measure
    frames: Frames
    asked: Asked
    typical: float

    def kinds(self, mitigation: str = "none") -> list[ArmKind]:
        """Return the kinds of biased arm with a mitigation, one for each condition."""
        return [
            k
            for k in self.frames
            if k.mitigation == mitigation and k.round == 1 and k.bias_type not in ("none", NEUTRAL)
        ]

    @property
    def mitigations(self) -> list[str]:
        """The mitigations, in the order of the study."""
        return [m for m in dict.fromkeys(k.mitigation for k in self.frames) if m != "none"]

    def control(self, kind: ArmKind, contrast: str) -> ArmKind | None:
        """Return the kind of arm that a condition is compared with; None if the study has none."""
        other = ArmKind(NEUTRAL, kind.ratio) if contrast == AGAINST_MATCHED else ArmKind("none", 0.0)
        return other if other in self.frames else None

    def contrast(self) -> str:
        """Return the contrast that isolates bias: against matched controls if each γ has one, else γ = 0."""
        own = self.kinds()
        matched = all(self.control(k, AGAINST_MATCHED) for k in own)
        return AGAINST_MATCHED if own and matched else AGAINST_BASE

    def seeds(self, conditions: Sequence[Condition]) -> set[int]:
        """Return the seeds of any arm of the conditions."""
        return {s for own, other in conditions for k in (*own, other) for s in self.frames[k]}

    def why(self, condition: Condition, seed: int) -> str:
        """Return why a condition is incomplete under a seed; empty if it is complete."""
        kinds = (*condition[0], condition[1])
        absent = next((k for k in kinds if seed not in self.frames[k]), None)
        if absent:
            return f"there is no arm '{absent.arm(seed)}'"
        held = np.array([self._present[k, seed] for k in kinds])
        whole = held.any(1).all() if len(self.measure.sides) == 1 and not self._macro else True
        common = held.all(0)
        if self._macro:
            whole = self.asked.labels <= set(self._targets[common])
        elif len(self.measure.sides) > 1:
            whole = self._sides <= set(self.layout.sides[common].tolist())
        if whole and (held.any(1).all()):
            return ""
        values = [self.frames[k][seed] for k in kinds]
        reasons = (
            missing_reason(pair, self.measure, self.asked, self._sides)
            for pair in itertools.combinations(values, 2)
        )
        names = " and ".join(f"'{v.arm}'" for v in values)
        return next(filter(None, reasons), f"no item has a usable answer in each of {names}")

    def pieces(self, conditions: Sequence[Condition], seeds: Sequence[int]) -> dict[str, Piece]:
        """Return comparison → its mean over conditions.

        Parameters
        ----------
        conditions : sequence of Condition
            The conditions, complete under each of the seeds.
        seeds : sequence of int
            The seeds.
        """
        count = len(conditions[0][0])
        own = [self._stacked([c[0][i] for c in conditions], seeds) for i in range(count)]
        other = self._stacked([c[1] for c in conditions], seeds)
        if self._macro:
            return {
                ALL: pooled_macro.macro_piece((own, [other]), max(1, len(self.asked.labels)), self.layout)
            }
        mean = own[0] if count == 1 else np.mean(own, axis=0)
        sides, share = self.measure.sides, self.measure.unit == "share"
        names = comparison_names(self.measure)
        if len(sides) == 1:
            return {names[0]: piece_of(mean, other, self.layout, side=None, share=share)}
        groups = [0] if len(sides) == 2 else sorted(self.asked.sides)
        return {names[g]: piece_of(mean, other, self.layout, side=g, share=share) for g in groups}

    def spread(self, conditions: Sequence[Condition], seeds: Sequence[int]) -> float:
        """Return the standard deviation of an item within a group, over all arms of the conditions."""
        kinds = dict.fromkeys(k for own, other in conditions for k in (*own, other))
        values = [self._values[k, s] for k in kinds for s in seeds]
        if self._macro:
            size = max(1, len(self.asked.labels))
            return float(np.sqrt(np.mean([pooled_macro.spread(v, size) ** 2 for v in values])))
        variances = []
        whole = np.array(values)
        for side in sorted(self._sides):
            own = whole[:, self.layout.sides == side]
            present = np.isfinite(own)
            n = np.maximum(present.sum(1), 1)
            filled = np.where(present, own, 0.0)
            variances.append((filled**2).sum(1) / n - (filled.sum(1) / n) ** 2)
        return float(np.sqrt(max(float(np.mean(variances)), 0.0)))

    def values(self, kinds: Sequence[ArmKind]) -> list[Values]:
        """Return the values of kinds of arm under all seeds."""
        return [v for k in dict.fromkeys(kinds) for v in self.frames[k].values()]

    @property
    def _macro(self) -> bool:
        return self.measure.statistic == "macro_f1"

    @property
    def _sides(self) -> frozenset[int]:
        return needed_sides(self.measure, comparison_names(self.measure)[-1], self.asked)

    def _stacked(self, kinds: Sequence[ArmKind], seeds: Sequence[int]) -> Array:
        """Return values of shape (conditions, seeds, answers)."""
        return np.array([[self._values[k, s] for s in seeds] for k in kinds])

    @cached_property
    def _arms(self) -> dict[tuple[ArmKind, int], pd.DataFrame]:
        return {
            (k, s): v.frame
            for k, by_seed in self.frames.items()
            if k.round == 1 and not k.replicate
            for s, v in by_seed.items()
        }

    @cached_property
    def _codes(self) -> tuple[Layout, list[Array]]:
        """The layout, and the index of the answers of each arm."""
        frames = list(self._arms.values())
        ids = np.concatenate([f["item_id"].to_numpy(dtype=object) for f in frames])
        sides = np.concatenate([f["side"].to_numpy() for f in frames]).astype(int)
        code, items = pd.factorize(ids)
        names = [str(item) if self._macro else str(item).partition("#")[0] for item in items]
        of_item, clusters = pd.factorize(np.array(names, dtype=object))
        count, groups = len(items), max(1, len(self.measure.sides))
        # answers in the order of cluster, item and side
        order = (of_item[code].astype(np.int64) * max(1, count) + code) * groups + sides
        keys, place = np.unique(order, return_inverse=True)
        item = keys // groups % max(1, count)
        layout = Layout([str(items[i]) for i in item], keys % groups, list(clusters), of_item[item])
        return layout, np.split(place, np.cumsum([len(f) for f in frames])[:-1])

    @property
    def layout(self) -> Layout:
        return self._codes[0]

    @cached_property
    def _values(self) -> dict[tuple[ArmKind, int], Array]:
        """(kind, seed) → values of all answers; with macro-F1, confusion cells."""
        size, found = len(self.layout.items), {}
        for (key, frame), place in zip(self._arms.items(), self._codes[1], strict=True):
            if self._macro:
                values = np.full(size, pooled_macro.NO_ANSWER)
                values[place] = cells_of(frame["target"], frame["prediction"], sorted(self.asked.labels))
            else:
                counts = np.bincount(place, minlength=size)
                total = np.bincount(place, frame["value"].to_numpy(dtype=np.float64), size)
                values = np.where(counts > 0, total / np.maximum(counts, 1), np.nan)
            found[key] = values
        return found

    @cached_property
    def _present(self) -> dict[tuple[ArmKind, int], Array]:
        return {k: v >= 0 if self._macro else np.isfinite(v) for k, v in self._values.items()}

    @cached_property
    def _targets(self) -> Array:
        """The label of each item (macro-F1)."""
        targets = np.full(len(self.layout.items), "", dtype=object)
        for frame, place in zip(self._arms.values(), self._codes[1], strict=True):
            targets[place] = frame["target"].to_numpy(dtype=object)
        return targets


def complete(
    grids: Sequence[Grid], conditions: Sequence[Sequence[Condition]]
) -> tuple[list[list[Condition]], list[int], str, str]:
    """Return the conditions and seeds of a balanced grid, with a note on what is left out.

    First, a seed is left out if more than half of its conditions are incomplete, such as a seed that failed.
    Then each condition is left out that is incomplete under one of the other seeds. So each seed has the same
    conditions.

    Parameters
    ----------
    grids : sequence of Grid
        The tasks.
    conditions : sequence of sequence of Condition
        The conditions of each task.

    Returns
    -------
    conditions : list of list of Condition
        The complete conditions of each task.
    seeds : list of int
        The seeds.
    note : str
        What is left out; empty if nothing is.
    reason : str
        Why nothing is left; empty if something is.
    """
    seeds = sorted({s for g, own in zip(grids, conditions, strict=True) for s in g.seeds(own)})
    units = [(t, c) for t, own in enumerate(conditions) for c in own]
    why = [[grids[t].why(c, s) for s in seeds] for t, c in units]
    lost = np.array([[bool(reason) for reason in row] for row in why]).reshape(len(units), len(seeds))
    gone = 2 * lost.sum(0) > len(units)
    kept = [s for s, drop in zip(seeds, gone, strict=True) if not drop]
    left = np.asarray(lost[:, ~gone].any(1))
    first = next((reason for row in why for reason in row if reason), "")
    notes = [
        f"seed {s} left out ({int(lost[:, i].sum())} of {len(units)} conditions are incomplete: "
        f"{next(row[i] for row in why if row[i])})"
        for i, s in enumerate(seeds)
        if gone[i]
    ]
    if left.any():
        reasons = dict.fromkeys(
            row[i] for row, out in zip(why, left, strict=True) if out for i in np.flatnonzero(~gone) if row[i]
        )
        shown = "; ".join(list(reasons)[:MOST_REASONS])
        more = f"; and {len(reasons) - MOST_REASONS} more reasons" if len(reasons) > MOST_REASONS else ""
        notes.append(f"{int(left.sum())} of {len(units)} {LEFT_OUT} ({shown}{more})")
    chosen: list[list[Condition]] = [[] for _ in grids]
    for (t, c), out in zip(units, left, strict=True):
        if not out:
            chosen[t].append(c)
    nothing = not kept or left.all()
    return chosen, kept, "; ".join(notes), (first or "there is no condition") if nothing else ""


LEFT_OUT = "conditions left out"
"""Words of the note on conditions that are left out."""
MOST_REASONS = 3
"""Largest number of reasons in a note."""
