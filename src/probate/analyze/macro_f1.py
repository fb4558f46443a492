"""Macro-F1 of a classifier, and its change between two arms, with intervals and tests over items."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from probate.analyze.contrast import EMPTY, NAN, Estimate, farther, over_seeds
from probate.analyze.resample import draw_counts, p_value
from probate.analyze.seeds import shared
from probate.study import Analysis


def macro_f1(confusion: np.ndarray) -> np.ndarray:
    """Macro-F1 of confusion counts (..., labels, labels + 1); rows are targets, the last column is any other answer.

    In [0, 1], higher is better. The mean of 2·TP / (targets + predictions) over the labels that occur as targets; a label
    that is never predicted counts 0. Equals `sklearn.metrics.f1_score(average="macro", labels=targets, zero_division=0)`.
    """
    confusion = np.asarray(confusion, dtype=np.float64)
    size = confusion.shape[-2]
    hits = np.diagonal(confusion[..., :, :size], axis1=-2, axis2=-1)
    total = confusion.sum(-1) + confusion[..., :, :size].sum(-2)
    return np.where(total > 0, 2 * hits / np.maximum(total, 1), 0.0).mean(-1)


def level(frames: Sequence[pd.DataFrame], analysis: Analysis, labels: Collection[str] = ()) -> Estimate:
    """Macro-F1 of one kind of arm (`item_id`, `target`, `prediction`; a frame a seed), averaged over seeds.

    `labels`: those that were asked about. Undefined where one of them has no item among those of all seeds: the mean would be of fewer labels.
    """
    return _estimate([(f, None) for f in frames if _covers(f, labels)], analysis, labels)


def change(pairs: Sequence[tuple[pd.DataFrame, pd.DataFrame]], analysis: Analysis, labels: Collection[str] = ()) -> Estimate:
    """Macro-F1 after minus before, on the items that both have; p by exchanging the two answers to an item. `labels` as in `level`."""
    return _estimate([(a, b) for a, b in pairs if _covers(_joined(a, b).reset_index(), labels)], analysis, labels)


def _covers(frame: pd.DataFrame, labels: Collection[str]) -> bool:
    return len(frame) > 0 and set(labels) <= set(frame["target"])


def _estimate(
    pairs: Sequence[tuple[pd.DataFrame, pd.DataFrame | None]], analysis: Analysis, needed: Collection[str]
) -> Estimate:
    if not pairs:
        return EMPTY
    tables = [a.set_index("item_id") if b is None else _joined(a, b) for a, b in pairs]
    common = sorted(set.intersection(*(set(t.index) for t in tables)))
    lost = set(needed) - set(tables[0].loc[common, "target"])
    if not common or lost:
        return replace(EMPTY, reason=f"no item of the label '{min(lost)}' has a usable answer in every seed" if lost else "")
    tables = [t.loc[common] for t in tables]
    labels = sorted(set(tables[0]["target"]))
    after = [_cells(t["target"], t["prediction"], labels) for t in tables]
    paired = pairs[0][1] is not None
    before = [_cells(t["target"], t["before"], labels) for t in tables] if paired else []
    counts = draw_counts(len(common), analysis.resamples, analysis.seed)

    def statistic(weights: np.ndarray) -> np.ndarray:
        """(seeds, rows of weights)"""
        found = np.array([_scores(weights, cells, len(labels)) for cells in after])
        return found - np.array([_scores(weights, cells, len(labels)) for cells in before]) if paired else found

    by_seed = statistic(np.ones((1, len(common)), dtype=np.float32))[:, 0]
    draws = statistic(counts)
    value = float(by_seed.mean())
    p = _exchange_p(after, before, len(labels), value, analysis) if paired else NAN
    if len(tables) > 1:
        low, high, t_p, within = over_seeds(value, shared(np.cov(draws)), by_seed, len(common) - 1, analysis)
        p = t_p if paired else NAN
        test, interval, unit = "t over items and seeds", "item bootstrap and seeds, Cochran and Cox's t", "item and seed"
    else:
        tail = (1 - analysis.confidence) / 2
        low, high = (float(x) for x in np.quantile(draws[0], (tail, 1 - tail)))
        within = farther(*np.quantile(draws[0], (2 * tail, 1 - 2 * tail)))
        test, interval, unit = "permutation of arms within items", "percentile bootstrap", "item"
    bottom = -1.0 if paired else 0.0
    return Estimate(
        value, max(bottom, low), min(1.0, high), p, len(common), len(tables), test if paired else "none", interval, unit,
        within if paired else NAN,
    )  # fmt: skip


def _joined(after: pd.DataFrame, before: pd.DataFrame) -> pd.DataFrame:
    joined = after.merge(before[["item_id", "prediction"]], on="item_id", suffixes=("", "_before"))
    return joined.rename(columns={"prediction_before": "before"}).set_index("item_id")


def _cells(target: pd.Series, prediction: pd.Series, labels: list[str]) -> np.ndarray:
    """Which confusion cell each item is in: target x (label or other)."""
    index = {label: i for i, label in enumerate(labels)}
    return target.map(index).to_numpy() * (len(labels) + 1) + prediction.map(lambda x: index.get(x, len(labels))).to_numpy()


def _scores(weights: np.ndarray, cells: np.ndarray, size: int) -> np.ndarray:
    """Macro-F1 for each row of item weights (rows, items)."""
    onehot = np.zeros((len(cells), size * (size + 1)), dtype=np.float32)
    onehot[np.arange(len(cells)), cells] = 1
    return macro_f1((weights @ onehot).reshape(-1, size, size + 1))


def _exchange_p(after: list[np.ndarray], before: list[np.ndarray], size: int, observed: float, analysis: Analysis) -> float:
    rng = np.random.default_rng([analysis.seed, 3, len(after[0])])
    keep = rng.integers(0, 2, (analysis.resamples, len(after[0])), dtype=np.int8).astype(np.float32)
    null = np.zeros(analysis.resamples)
    for a, b in zip(after, before, strict=True):
        onehot = np.zeros((2, len(a), size * (size + 1)), dtype=np.float32)
        onehot[0, np.arange(len(a)), a] = 1
        onehot[1, np.arange(len(b)), b] = 1
        first = keep @ onehot[0] + (1 - keep) @ onehot[1]
        both = (onehot[0] + onehot[1]).sum(0)
        shape = (-1, size, size + 1)
        null += macro_f1(first.reshape(shape)) - macro_f1((both - first).reshape(shape))
    return p_value(np.abs(null / len(after)), abs(observed))
