"""Values of several seeds on the same items in the same order, as arrays.

Nearly all arms of a study answer the same items in the same order. Their contrasts then need no joins of
tables. Wherever items are missing or in another order, `align` returns None, and the tables are joined.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
import pandas as pd

from probate.stats.resample import Dyads

Array = np.ndarray


@dataclass(frozen=True)
class Layout:
    """The clusters of a sequence of items.

    Attributes
    ----------
    names : tuple of str
        The clusters, in the order of their first item.
    cells : array of shape (items,)
        Twice the index of the item's cluster, plus its side.
    counts : array of shape (clusters, 2)
        Number of items of each cluster on each side.
    dyads : Dyads or None
        Members of the clusters, if the ids of the items name them.
    """

    names: tuple[str, ...]
    cells: Array
    counts: Array
    dyads: Dyads | None

    def table(self, values: Array) -> Array:
        """Return the table of shape (clusters, 4) of `contrast.cluster_table`."""
        sums = np.bincount(self.cells, weights=values, minlength=self.counts.size).reshape(-1, 2)
        table = np.empty((len(self.names), 4))
        table[:, 0::2], table[:, 1::2] = sums, self.counts
        return table


@dataclass(frozen=True)
class Aligned:
    """Values of one or several seeds on the same items.

    Attributes
    ----------
    items : tuple of str
        Ids of the items. An item and a side occur once.
    sides : tuple of int
        Side of each item.
    parts : array of shape (arms, seeds, items)
        Contribution of each arm to the value; the value is their sum.
    """

    items: tuple[str, ...]
    sides: tuple[int, ...]
    parts: Array

    @property
    def values(self) -> Array:
        """array of shape (seeds, items): The values."""
        return np.asarray(self.parts.sum(0))

    @property
    def layout(self) -> Layout:
        """Layout: The clusters."""
        return _layout(self.items, self.sides)

    def of_side(self, side: int) -> Aligned:
        """Return the items of one side, as side 0."""
        own = np.flatnonzero(np.array(self.sides) == side)
        return Aligned(tuple(self.items[i] for i in own), (0,) * len(own), self.parts[:, :, own])

    def means(self) -> Array:
        """Return the contribution of each arm and seed to the difference of group means, (arms, seeds).

        With one group, it is that to its mean.
        """
        second = np.array(self.sides, dtype=bool)
        first = self.parts[:, :, ~second].mean(-1)
        return first - self.parts[:, :, second].mean(-1) if second.any() else first


@lru_cache(maxsize=256)
def _layout(items: tuple[str, ...], sides: tuple[int, ...]) -> Layout:
    own = [item.partition("#")[0] for item in items]
    index: dict[str, int] = {}
    for name in own:
        index.setdefault(name, len(index))
    names = tuple(index)
    cells = np.array([2 * index[name] + side for name, side in zip(own, sides, strict=True)], dtype=np.intp)
    counts = np.bincount(cells, minlength=2 * len(names)).reshape(-1, 2).astype(float)
    return Layout(names, cells, counts, Dyads.of(items, sides, names))


@lru_cache(maxsize=256)
def _distinct(items: tuple[str, ...], sides: tuple[int, ...]) -> bool:
    """Return whether no item occurs twice on a side, and all sides are 0 or 1."""
    return len(set(zip(items, sides, strict=True))) == len(items) and set(sides) <= {0, 1}


def align(frames: Sequence[pd.DataFrame]) -> Aligned | None:
    """Return frames of the columns `item_id`, `side` and `value` as arrays, one seed each.

    Parameters
    ----------
    frames : sequence of pandas.DataFrame
        The frames.

    Returns
    -------
    Aligned or None
        None if there is no frame, items or their order differ, an item occurs twice on a side, or there are
        more than two sides.
    """
    if not frames:
        return None
    items, sides = _keys(frames[0])
    if not items or not _distinct(items, sides) or any(_keys(f) != (items, sides) for f in frames[1:]):
        return None
    values = np.array([f["value"].to_numpy(dtype=np.float64) for f in frames])
    return Aligned(items, sides, values[None])


def _keys(frame: pd.DataFrame) -> tuple[tuple[str, ...], tuple[int, ...]]:
    return tuple(frame["item_id"].tolist()), tuple(frame["side"].tolist())


def align_pairs(pairs: Sequence[tuple[pd.DataFrame, pd.DataFrame]]) -> tuple[Aligned, Aligned] | None:
    """Return pairs (after, before) as arrays, one seed each; None as for `align`, over all frames."""
    whole = align([frame for pair in pairs for frame in pair])
    if whole is None:
        return None
    return replace(whole, parts=whole.parts[:, 0::2]), replace(whole, parts=whole.parts[:, 1::2])


def difference(after: Aligned, before: Aligned) -> Aligned:
    """Return what `contrast.paired_difference` returns for each seed."""
    return replace(after, parts=np.concatenate([after.parts, -before.parts]))


def stacked(after: Aligned, before: Aligned) -> Aligned:
    """Return what `contrast.before_after` returns for each seed."""
    none = np.zeros_like(after.parts)
    parts = [np.concatenate([after.parts, none], axis=2), np.concatenate([none, before.parts], axis=2)]
    count = len(after.items)
    return Aligned(after.items * 2, (0,) * count + (1,) * count, np.concatenate(parts))
