"""More than two groups: the distance from the best to the worst, and the worst group."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd

from probate.analyze.contrast import EMPTY, NAN, Estimate, clusters, farther, over_seeds
from probate.analyze.resample import draw_counts, p_value
from probate.analyze.seeds import shared
from probate.study import Analysis

Statistic = Callable[[np.ndarray], np.ndarray]


def highest(means: np.ndarray) -> np.ndarray:
    """Largest group mean, (..., groups) → (...); NaN where a group has none."""
    return np.max(means, -1)


def lowest(means: np.ndarray) -> np.ndarray:
    """Smallest group mean."""
    return np.min(means, -1)


def distance(means: np.ndarray) -> np.ndarray:
    """Largest minus smallest group mean; at least 0, higher is more unequal. At small n it is above 0 by chance alone."""
    return highest(means) - lowest(means)


def against_rest(frame: pd.DataFrame, side: int) -> pd.DataFrame:
    """The group as side 0, all others as side 1."""
    return frame.assign(side=(frame["side"] != side).astype(int))


def level(frames: Sequence[pd.DataFrame], groups: int, statistic: Statistic, analysis: Analysis) -> Estimate:
    """`statistic` of the group means in one kind of arm (a frame a seed); percentile bootstrap over items."""
    return _estimate([(f,) for f in frames if len(f)], groups, statistic, analysis)


def change(
    pairs: Sequence[tuple[pd.DataFrame, pd.DataFrame]], groups: int, statistic: Statistic, analysis: Analysis
) -> Estimate:
    """`statistic` after minus before; p by exchanging the two arms within items."""
    return _estimate([p for p in pairs if len(p[0]) and len(p[1])], groups, statistic, analysis)


def _estimate(arms: Sequence[tuple[pd.DataFrame, ...]], groups: int, statistic: Statistic, analysis: Analysis) -> Estimate:
    if not arms:
        return EMPTY
    names = sorted({c for frames in arms for f in frames for c in clusters(f)})
    tables = [[_table(f, names, groups) for f in frames] for frames in arms]
    there = np.sum([t[:, 1].sum(0) for own in tables for t in own], axis=0) > 0
    tables = [[t[..., there] for t in own] for own in tables]
    paired = len(arms[0]) == 2

    def of(weights: np.ndarray) -> np.ndarray:
        """(seeds, rows)"""
        return np.array([_signed([statistic(_means(weights, t)) for t in own]) for own in tables])

    by_seed = of(np.ones((1, len(names))))[:, 0]
    draws = of(draw_counts(len(names), analysis.resamples, analysis.seed))
    draws = draws[:, np.isfinite(draws).all(0)]  # in a few draws a small group has no item
    value = float(by_seed.mean())
    p, test = NAN, "none"
    if len(arms) > 1:
        low, high, p, within = over_seeds(value, shared(np.cov(draws)), by_seed, len(names) - 1, analysis)
        return Estimate(
            value, low, high, p if paired else NAN, len(names), len(arms),
            "t over items and seeds" if paired else "none", "item bootstrap and seeds, Cochran and Cox's t", "item and seed", within if paired else NAN,
        )  # fmt: skip
    tail = (1 - analysis.confidence) / 2
    if not draws.size:
        return Estimate(value, NAN, NAN, NAN, len(names), 1, "none", "undefined (no draw holds each group)", "item")
    low, high = (float(x) for x in np.quantile(draws[0], (tail, 1 - tail)))
    within = farther(*np.quantile(draws[0], (2 * tail, 1 - 2 * tail))) if paired else NAN
    if paired:
        p, test = _exchange_p(tables[0], statistic, value, analysis), "permutation of arms within items"
    return Estimate(value, low, high, p, len(names), 1, test, "percentile bootstrap", "item", within)


def _signed(parts: list[np.ndarray]) -> np.ndarray:
    return parts[0] - parts[1] if len(parts) == 2 else parts[0]


def _table(frame: pd.DataFrame, names: list[str], groups: int) -> np.ndarray:
    """(clusters, 2, groups): sums and counts."""
    index = pd.Index(names).get_indexer(clusters(frame))
    table = np.zeros((len(names), 2, groups))
    np.add.at(table, (index, 0, frame["side"].to_numpy()), frame["value"].to_numpy())
    np.add.at(table, (index, 1, frame["side"].to_numpy()), 1.0)
    return table


def _means(weights: np.ndarray, table: np.ndarray) -> np.ndarray:
    """(rows, groups)"""
    total = (weights @ table.reshape(len(table), -1)).reshape(len(weights), 2, -1)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(total[:, 1] > 0, total[:, 0] / total[:, 1], np.nan)


def _exchange_p(tables: list[np.ndarray], statistic: Statistic, observed: float, analysis: Analysis) -> float:
    rng = np.random.default_rng([analysis.seed, 4, len(tables[0])])
    keep = rng.integers(0, 2, (analysis.resamples, len(tables[0]))).astype(float)
    joined = np.concatenate([tables[0].reshape(len(keep[0]), -1), tables[1].reshape(len(keep[0]), -1)])
    first = np.concatenate([keep, 1 - keep], axis=1)
    shape = (2 * len(tables[0]), *tables[0].shape[1:])
    null = statistic(_means(first, joined.reshape(shape))) - statistic(_means(1 - first, joined.reshape(shape)))
    return p_value(np.abs(null[np.isfinite(null)]), abs(observed))
