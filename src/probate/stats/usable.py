"""Requirements of an effect: usable answers of every group in every arm. Missing ones are reported, not
imputed.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TypeVar

import numpy as np
import pandas as pd

from probate.stats.contrast import EMPTY, Estimate
from probate.stats.measure import Measure


@dataclass(frozen=True, eq=False)
class Values:
    """Values of a measure in one arm and seed.

    `frame` holds the result of `Measure.values` for usable answers. `asked` holds these rows and those of
    unusable answers (`item_id`, `side`; for macro-F1 also `target`). It is empty if the arm has no answers of
    the task.
    """

    arm: str
    frame: pd.DataFrame
    asked: pd.DataFrame

    def usable(self, sides: Collection[int]) -> int:
        """Return the number of usable answers about these sides."""
        return sum(self._usable.get(side, 0) for side in set(sides))

    def wanted(self, sides: Collection[int]) -> int:
        """Return the number of answers about these sides, usable or not."""
        return sum(self._wanted.get(side, 0) for side in set(sides))

    @cached_property
    def _usable(self) -> dict[int, int]:
        return dict(Counter(self.frame["side"].tolist()))

    @cached_property
    def _wanted(self) -> dict[int, int]:
        return dict(Counter(self.asked["side"].tolist()))

    @cached_property
    def items(self) -> set[tuple[str, int]]:
        """Item and side of each usable answer."""
        return set(zip(self.frame["item_id"].tolist(), self.frame["side"].tolist(), strict=True))


@dataclass(frozen=True)
class Asked:
    """What the task asks about in any arm: sides of a measure (by index) and labels."""

    sides: frozenset[int]
    labels: frozenset[str]


NOTHING = pd.DataFrame(
    {"item_id": pd.Series(dtype=str), "side": pd.Series(dtype=int), "value": pd.Series(dtype=float)}
).assign(target="", prediction="")


def values_of(measure: Measure, outcomes: pd.DataFrame, arm: str) -> Values:
    """Return the values of the measure in one arm's outcomes.

    A value that is not a finite number is unusable, whatever `parsed` is.
    """
    if outcomes.empty:
        return Values(arm, NOTHING, NOTHING)
    frame = measure.values(outcomes)
    asked = frame if outcomes["parsed"].all() else measure.values(outcomes.assign(parsed=True))
    if measure.statistic == "mean":
        frame = frame[np.isfinite(frame["value"].to_numpy(dtype=float))]
    return Values(arm, frame, asked)


Key = TypeVar("Key")
COMPARED = 3
"""Number of arms on which values of all arms at once are compared with values of one arm."""


def values_of_arms(
    measure: Measure, outcomes: pd.DataFrame, rows: Mapping[Key, Sequence[int]], names: Mapping[Key, str]
) -> dict[Key, Values]:
    """Return `values_of` each arm of a task.

    Values are taken of all arms at once, which is many times as fast. A measure whose values of an arm depend
    on the other arms' outcomes is noticed by a comparison on some arms; then each arm is taken by itself.

    Parameters
    ----------
    measure : Measure
        The measure.
    outcomes : pandas.DataFrame
        Outcomes of a task.
    rows : mapping of key to array
        Arm → places of its rows in `outcomes`, ascending.
    names : mapping of key to str
        Arm → its name.

    Returns
    -------
    dict of key to Values
        For each arm of `names`; without values if it is not in `rows`.
    """
    keys = [key for key in names if key in rows]
    whole = _at_once(measure, outcomes, [np.asarray(rows[key]) for key in keys])
    found = dict(zip(keys, whole, strict=True)) if whole is not None else {}
    some = (
        [keys[i] for i in dict.fromkeys(np.linspace(0, len(keys) - 1, COMPARED).astype(int))] if keys else []
    )
    for key in some:
        one = values_of(measure, outcomes.iloc[rows[key]], "")
        if key in found and not (one.frame.equals(found[key][0]) and one.asked.equals(found[key][1])):
            found = {}
    return {
        key: Values(name, *found[key])
        if key in found
        else values_of(measure, outcomes.iloc[rows.get(key, [])], name)
        for key, name in names.items()
    }


def _at_once(
    measure: Measure, outcomes: pd.DataFrame, rows: Sequence[np.ndarray]
) -> list[tuple[pd.DataFrame, pd.DataFrame]] | None:
    """Return `frame` and `asked` of each arm; None if the values cannot be told apart by arm."""
    if outcomes.empty or not outcomes.index.equals(pd.RangeIndex(len(outcomes))):
        return None
    arm = np.full(len(outcomes), len(rows))
    for number, own in enumerate(rows):
        arm[own] = number

    def split(frame: pd.DataFrame) -> list[pd.DataFrame] | None:
        if not pd.api.types.is_integer_dtype(frame.index) or not frame.index.is_unique:
            return None
        order = np.argsort(arm[frame.index.to_numpy()], kind="stable")
        ends = np.searchsorted(arm[frame.index.to_numpy()][order], np.arange(len(rows) + 1))
        ordered = frame.iloc[order]
        return [ordered.iloc[a:b] for a, b in itertools.pairwise(ends)]

    frame = measure.values(outcomes)
    asked = frame if outcomes["parsed"].all() else measure.values(outcomes.assign(parsed=True))
    usable = frame
    if measure.statistic == "mean":
        usable = frame[np.isfinite(frame["value"].to_numpy(dtype=float))]
    first, second = split(usable), split(asked)
    return None if first is None or second is None else list(zip(first, second, strict=True))


def asked_of(values: Collection[Values], measure: Measure) -> Asked:
    """Return the sides and labels that any of the arms is asked about."""
    sides = {int(side) for v in values for side in v.asked["side"].unique()}
    labels = (
        {str(x) for v in values for x in v.asked["target"].unique()}
        if measure.statistic == "macro_f1"
        else set()
    )
    return Asked(frozenset(sides), frozenset(labels))


def missing_reason(parts: Sequence[Values], measure: Measure, asked: Asked, sides: Collection[int]) -> str:
    """Return why an effect is undefined for these arms and sides; empty if every arm has usable answers on
    each side.

    Two arms that are paired by item also need a common item on each side.

    Parameters
    ----------
    parts : sequence of Values
        One arm, or the two arms of a pair.
    measure : Measure
        The measure.
    asked : Asked
        What the task asks about.
    sides : collection of int
        The sides that the effect needs.
    """
    for v in parts:
        if v.asked.empty:
            return f"arm '{v.arm}' has no answers of this task"
        for side in sorted(sides):
            if not v.usable({side}):
                return _none(v, measure, side)
        lost = asked.labels - set(v.frame["target"]) if asked.labels else ()
        if lost:
            return f"no usable answer to an item of the label '{min(lost)}' in arm '{v.arm}'"
    both = " and ".join(f"'{v.arm}'" for v in parts)
    if len(parts) == 2 and measure.statistic == "macro_f1":
        after, before = (v.frame.set_index("item_id")["target"] for v in parts)
        lost = asked.labels - set(after[after.index.isin(before.index)])
        if lost:
            return f"no item of the label '{min(lost)}' has a usable answer in both {both}"
    elif len(parts) == 2 and len(measure.sides) > 1:
        lone = sorted(set(sides) - {side for _, side in parts[0].items & parts[1].items})
        if lone:
            return f"no item of group '{measure.sides[lone[0]]}' has a usable answer in both {both}"
    return ""


def _none(v: Values, measure: Measure, side: int) -> str:
    group = f" of group '{measure.sides[side]}'" if len(measure.sides) > 1 else ""
    wanted = v.wanted({side})
    if not wanted:
        return f"nothing is asked{group.replace(' of', ' about')} in arm '{v.arm}'"
    return f"no usable answer{group} in arm '{v.arm}' (0 of {wanted})"


def with_note(e: Estimate, left_out: Mapping[int, str], seeds: int, aside: str = "") -> Estimate:
    """Return the estimate with a note on what it leaves out.

    An undefined estimate has the reason instead.

    Parameters
    ----------
    e : Estimate
        The estimate.
    left_out : mapping
        Seed → why it is left out.
    seeds : int
        Number of seeds.
    aside : str
        Additional note.
    """
    why = "; ".join(dict.fromkeys(left_out.values()))
    if not np.isfinite(e.value):
        return undefined(why or e.reason or "no item has a usable answer wherever one is needed")
    if left_out:
        named = "; ".join(f"seed {seed}: {reason}" for seed, reason in left_out.items())
        aside = "; ".join(filter(None, (f"{len(left_out)} of {seeds} seeds left out ({named})", aside)))
    return replace(e, note="; ".join(filter(None, (e.note, aside))))


def undefined(reason: str) -> Estimate:
    """Return an undefined estimate with its reason."""
    return replace(EMPTY, test="none", reason=reason)


def usable_counts(values: Sequence[Values], measure: Measure, asked: Asked) -> str:
    """Return the number of usable answers of each group over the arms, in words; empty if all are usable."""
    if all(len(v.frame) == len(v.asked) for v in values):
        return ""
    parts = []
    for side in sorted(asked.sides):
        of = sum(v.wanted({side}) for v in values)
        group = f"{measure.sides[side]} " if len(measure.sides) > 1 else ""
        parts.append(f"{group}{sum(v.usable({side}) for v in values)} of {of}")
    return f"usable answers: {', '.join(parts)}"


def most_unusable(values: Sequence[Values], sides: Collection[int]) -> float:
    """Return the largest share of unusable answers on one side in one arm, in [0, 1]; higher is worse."""
    shares = [1 - v.usable({s}) / n for v in values for s in sides if (n := v.wanted({s}))]
    return max(shares, default=0.0)
