"""More than two groups: each group against the rest, all groups together, the range and the worst group."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TypeVar

import numpy as np
import pandas as pd

from probate.stats.contrast import EMPTY, NAN, Estimate, clusters, over_seeds
from probate.stats.resample import draw_counts
from probate.stats.seeds import shared_variance
from probate.study.schema import Analysis

Statistic = Callable[[np.ndarray], np.ndarray]


def highest(means: np.ndarray) -> np.ndarray:
    """Return the largest group mean, (..., groups) → (...); NaN if a group has none."""
    return np.max(means, -1)


def lowest(means: np.ndarray) -> np.ndarray:
    """Return the smallest group mean, (..., groups) → (...); NaN if a group has none."""
    return np.min(means, -1)


def distance(means: np.ndarray) -> np.ndarray:
    """Return the largest minus the smallest group mean; at least 0, higher is more unequal.

    At small n it is above 0 by chance alone.
    """
    return highest(means) - lowest(means)


def against_rest(frame: pd.DataFrame, side: int) -> pd.DataFrame:
    """Return the frame with the group as side 0 and all other groups as side 1."""
    return frame.assign(side=(frame["side"] != side).astype(int))


Part = TypeVar("Part")


def simultaneous_estimates(
    frames: Mapping[str, Part], analysis: Analysis, contrast: Callable[[Part, Analysis], Estimate]
) -> dict[str, Estimate]:
    """Return each group's estimate with interval and p that hold simultaneously for all groups.

    The adjustment is Bonferroni's, which holds under any dependence of comparisons and seeds: intervals at
    1 − α / groups, p times the number of groups.

    Parameters
    ----------
    frames : mapping
        Group → what `contrast` takes: frames of the group against the rest, one for each seed.
    analysis : Analysis
        Confidence and planned seeds.
    contrast : callable
        Takes frames and analysis, returns an estimate.

    Returns
    -------
    dict
        Group → estimate.
    """
    count = max(1, len(frames))
    strict = analysis.model_copy(update={"confidence": 1 - (1 - analysis.confidence) / count})
    estimates = {}
    for group, own in frames.items():
        e = contrast(own, strict)
        estimates[group] = replace(
            e, p=min(1.0, e.p * count) if np.isfinite(e.p) else e.p,
            test=f"{e.test}, for {count} groups together",
            interval=f"{e.interval}, for {count} groups together", each=contrast(own, analysis).within,
        )  # fmt: skip
    return estimates


def smallest_p(estimates: Mapping[str, Estimate]) -> Estimate:
    """Test whether the change differs between groups (group x arm interaction); return the group with the
    smallest p.

    If the change is the same in all groups, no group differs from the rest, so the smallest of the
    simultaneous p tests that (union-intersection, Roy 1953). `within` is the margin that no group's change
    against the rest exceeds. It is by two one-sided tests for each group, without adjustment, because all of
    them must reject (intersection-union, Berger 1982). The estimate is undefined if that of a group is.
    """
    if not estimates or not all(np.isfinite(e.value) for e in estimates.values()):
        return EMPTY
    name = min(
        estimates,
        key=lambda g: (estimates[g].p if np.isfinite(estimates[g].p) else 2.0, -abs(estimates[g].value)),
    )
    within = [e.each for e in estimates.values()]
    return replace(
        estimates[name],
        within=float(np.max(within)) if np.isfinite(within).all() else NAN,
        note=f"the surest of {len(estimates)} groups: {name}",
    )


def level(frames: Sequence[pd.DataFrame], groups: int, statistic: Statistic, analysis: Analysis) -> Estimate:
    """Estimate a statistic of the group means in one kind of arm, with a percentile bootstrap over items.

    Parameters
    ----------
    frames : sequence of pandas.DataFrame
        Values of the measure, one frame for each seed.
    groups : int
        Number of groups.
    statistic : callable
        `highest`, `lowest` or `distance`.
    analysis : Analysis
        Confidence, resamples and seed.

    Returns
    -------
    Estimate
        Without a test.
    """
    frames = [f for f in frames if len(f)]
    if not frames:
        return EMPTY
    names = sorted({c for f in frames for c in clusters(f)})
    tables = [_table(f, names, groups) for f in frames]
    present = np.sum([t[:, 1].sum(0) for t in tables], axis=0) > 0
    tables = [t[..., present] for t in tables]

    def of(weights: np.ndarray) -> np.ndarray:
        """Return the statistic, of shape (seeds, rows)."""
        return np.array([statistic(_means(weights, t)) for t in tables])

    by_seed = of(np.ones((1, len(names))))
    draws = of(draw_counts(len(names), analysis.resamples, analysis.seed))
    draws = draws[:, np.isfinite(draws).all(0)]  # in a few draws a small group has no item
    value = float(by_seed.mean())
    if len(frames) > 1:
        low, high, _, _ = over_seeds(
            value, shared_variance(np.cov(draws)), by_seed.T, len(names) - 1, analysis
        )
        method = "item bootstrap and seeds, Cochran and Cox's t"
        return Estimate(value, low, high, NAN, len(names), len(frames), "none", method, "item and seed")
    tail = (1 - analysis.confidence) / 2
    if not draws.size:
        return Estimate(
            value, NAN, NAN, NAN, len(names), 1, "none", "undefined (no draw holds each group)", "item"
        )
    low, high = (float(x) for x in np.quantile(draws[0], (tail, 1 - tail)))
    return Estimate(value, low, high, NAN, len(names), 1, "none", "percentile bootstrap", "item")


def _table(frame: pd.DataFrame, names: list[str], groups: int) -> np.ndarray:
    """Return sums and counts, of shape (clusters, 2, groups)."""
    index = pd.Index(names).get_indexer(clusters(frame))
    table = np.zeros((len(names), 2, groups))
    np.add.at(table, (index, 0, frame["side"].to_numpy()), frame["value"].to_numpy())
    np.add.at(table, (index, 1, frame["side"].to_numpy()), 1.0)
    return table


def _means(weights: np.ndarray, table: np.ndarray) -> np.ndarray:
    """Return group means, of shape (rows, groups)."""
    total = (weights @ table.reshape(len(table), -1)).reshape(len(weights), 2, -1)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(total[:, 1] > 0, total[:, 0] / total[:, 1], np.nan)
