"""Pooled change of macro-F1: its mean over conditions, with the influence of each item (delta method)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from probate.stats.macro_f1 import f1_and_influence, pseudo_items
from probate.stats.pooled import Layout, Piece
from probate.stats.resample import FEW

Array = np.ndarray
NO_ANSWER = -1
"""Cell of an item without a usable answer."""


def macro_piece(sides: tuple[Sequence[Array], Sequence[Array]], labels: int, layout: Layout) -> Piece:
    """Return the mean over conditions of the macro-F1 of one side of the comparison minus that of the other.

    Parameters
    ----------
    sides : tuple of (sequence of array, sequence of array)
        The arms of each side, whose mean is the side's: confusion cells of shape (conditions, seeds, items),
        `NO_ANSWER` without a usable answer. An item counts in a condition if all its arms and seeds have it.
    labels : int
        Number of labels.
    layout : Layout
        The items.

    Returns
    -------
    Piece
        As `macro_f1.change` computes it, if there is one condition.
    """
    own, reference = (np.array(side) for side in sides)
    conditions, seeds, count = own.shape[1:]
    valid = np.asarray((own >= 0).all((0, 2)) & (reference >= 0).all((0, 2)))
    more, weights = np.zeros((2, 0), dtype=int), np.zeros(0)
    if _differing(own, reference, valid, labels) < FEW:
        pseudo, weights = pseudo_items(labels, True)
        more = np.array(pseudo)
    influence = np.zeros((seeds, count + more.shape[1]))
    plain, padded = np.zeros((2, seeds)), np.zeros((2, seeds))
    sizes = valid.sum(1) + weights.sum()
    for place, (arms, sign) in enumerate(((own, 1.0), (reference, -1.0))):
        part = sign / len(arms) / conditions
        for arm in arms:
            for c in range(conditions):
                kept = np.flatnonzero(valid[c])
                where = np.r_[kept, np.arange(count, influence.shape[1])]
                grow = np.sqrt(sizes[c] / max(sizes[c] - 1, 1))
                for s in range(seeds):
                    cells = np.r_[arm[c, s, kept], more[place]]
                    value, adds = f1_and_influence(cells, np.r_[np.ones(len(kept)), weights], labels)
                    influence[s, where] += part * grow * adds * np.sqrt(np.r_[np.ones(len(kept)), weights])
                    padded[place, s] += part * value
                    plain[place, s] += part * (
                        f1_and_influence(arm[c, s, kept], np.ones(len(kept)), labels)[0]
                        if len(weights)
                        else value
                    )
    held = valid.any(0)
    influence = influence[:, np.r_[held, np.ones(more.shape[1], dtype=bool)]]
    return Piece(
        float(plain.sum(0).mean()),
        float(padded.sum(0).mean()),
        plain,
        influence,
        [layout.items[i] for i in np.flatnonzero(held)],
        influence @ influence.T,
        float(max(sizes.min() - 1, 1)),
        1.0,
        how=", a success and a failure of each label added" if len(weights) else "",
    )


def spread(cells: Array, labels: int) -> float:
    """Return the standard deviation of the contribution of one item to macro-F1.

    Parameters
    ----------
    cells : array of shape (items,)
        Confusion cells of one arm; `NO_ANSWER` without a usable answer.
    labels : int
        Number of labels.
    """
    own = cells[cells >= 0]
    _, adds = f1_and_influence(own, np.ones(len(own)), labels)
    return float(np.sqrt(len(own) * (adds**2).sum()))


def _differing(own: Array, reference: Array, valid: Array, labels: int) -> int:
    """Count the items that do not change in the most common way over all conditions and seeds."""
    right = [
        np.where(valid[:, None], side % (labels + 1) == side // (labels + 1), 0) for side in (own, reference)
    ]
    change = (right[0][:, None].astype(int) - right[1][None]).reshape(-1, valid.shape[1])
    return int(valid.shape[1] - np.unique(change, axis=1, return_counts=True)[1].max())
