"""Contrasts: estimate, interval, p, n and the names of the methods, for one seed or several."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

import numpy as np
import pandas as pd
from scipy.stats import binomtest

from probate.stats import exact, resample, seeds, sequential
from probate.stats.aligned import Aligned
from probate.study.schema import Analysis

NAN = float("nan")


@dataclass(frozen=True)
class Estimate:
    """An estimate with its interval, its p and the names of the methods.

    Attributes
    ----------
    value : float
        The estimate. NaN if undefined.
    low, high : float
        Ends of the interval at the study's confidence.
    p : float
        Two-sided p of no effect; NaN if there is no test.
    n : int
        Number of units (items or pairs).
    seeds : int
        Number of training seeds.
    test, interval : str
        Names of the test and of the interval.
    unit : str
        The unit of resampling.
    within : float
        Equivalence margin: two one-sided tests (Schuirmann 1987), each at 1 − confidence, show that the
        effect is no larger than this in either direction.
    reason : str
        Why there is no estimate: a side, a group or an arm has no usable answer. Empty if there is one.
    each : float
        For one of several groups with simultaneous intervals: its own `within`, not adjusted for the others.
    note : str
        What a finite estimate leaves out, such as a seed without usable answers. Empty if it leaves out
        nothing.
    """

    value: float
    low: float
    high: float
    p: float
    n: int
    seeds: int
    test: str
    interval: str
    unit: str
    within: float = NAN
    """Equivalence margin of two one-sided tests (Schuirmann 1987), each at 1 − confidence."""
    reason: str = ""
    """Why there is no estimate. Empty if there is one."""
    each: float = NAN
    """`within` of one of several groups, not adjusted for the others."""
    note: str = ""
    """What a finite estimate leaves out. Empty if it leaves out nothing."""


ROUNDING = 1e-12
"""Estimates smaller than this are floating-point rounding errors, and are set to zero."""
EMPTY = Estimate(NAN, NAN, NAN, NAN, 0, 0, "none: no item", "none", "item")


def cluster_table(frame: pd.DataFrame, names: Sequence[str] | None = None) -> np.ndarray:
    """Sum and count values by cluster and side.

    Parameters
    ----------
    frame : pandas.DataFrame
        Columns `item_id`, `side` (0 or 1) and `value`. The cluster is the part of the item id before '#'.
    names : sequence of str, optional
        The clusters, in the order of the rows. Default: in the order of their first appearance.

    Returns
    -------
    array of shape (clusters, 4)
        Columns sum0, n0, sum1, n1.
    """
    own = clusters(frame)
    cluster = pd.factorize(own)[0] if names is None else pd.Index(names).get_indexer(own)
    table = np.zeros((len(names) if names is not None else cluster.max() + 1 if len(cluster) else 0, 4))
    side = frame["side"].to_numpy()
    np.add.at(table, (cluster, side * 2), frame["value"].to_numpy())
    np.add.at(table, (cluster, side * 2 + 1), 1.0)
    return table


def clusters(frame: pd.DataFrame) -> np.ndarray:
    """Return the cluster of each row: the part of the item id before '#'."""
    return np.array([item.partition("#")[0] for item in frame["item_id"].tolist()], dtype=object)


PART = "part"
"""Prefix of the columns that hold the contribution of each arm to `value`. A frame without them is of one
arm.
"""


def paired_difference(after: pd.DataFrame, before: pd.DataFrame) -> pd.DataFrame:
    """Return the value in `after` minus the value in `before`, paired by item, with the contribution of each
    arm.

    Items that only one frame has are left out. The columns are those of `after`, `part0` and `part1`.
    """
    joined = after.merge(before, on=["item_id", "side"], suffixes=("", "_before"))
    own, other = joined["value"], -joined["value_before"]
    return joined[["item_id", "side"]].assign(value=own + other, part0=own, part1=other)


def before_after(after: pd.DataFrame, before: pd.DataFrame) -> pd.DataFrame:
    """Stack the values after (side 0) and before (side 1) of one group, so that an item is a pair.

    The columns `part0` and `part1` hold the contribution of each arm.
    """
    sides = (
        after.assign(side=0, part0=after["value"], part1=0.0),
        before.assign(side=1, part0=0.0, part1=before["value"]),
    )
    return pd.concat(sides, ignore_index=True)


def arm_parts(frame: pd.DataFrame) -> list[float]:
    """Return the contribution of each arm to the difference of group means (with one group: to its mean)."""
    columns = [c for c in frame.columns if c.startswith(PART)] or ["value"]
    side = frame["side"].to_numpy()
    first, second = side == 0, side == 1
    values = [frame[c].to_numpy(dtype=np.float64) for c in columns]
    return [float(v[first].mean() - (v[second].mean() if second.any() else 0.0)) for v in values]


def dyads_of(frames: Sequence[pd.DataFrame], names: Sequence[str]) -> resample.Dyads | None:
    """Return the members of the clusters `names`, if the ids of the items name them."""
    rows = pd.concat(frames)[["item_id", "side"]].drop_duplicates()
    return resample.Dyads.of(rows["item_id"].tolist(), rows["side"].tolist(), names)


def contrast(
    frames: Sequence[pd.DataFrame] | Aligned,
    analysis: Analysis,
    *,
    paired: bool,
    share: bool,
    sides: Literal[1, 2] = 2,
) -> Estimate:
    """Estimate the gap between two groups, or the level of one group.

    One seed: the interval is Welch's t over items. For a share with almost no variation, a success and a
    failure are added. For binary answers of one model with one item for each group, it is Newcombe's interval
    with half of Yates's correction (one group: Wilson's interval). Clusters that hold both groups contribute
    their differences. p is the inversion of the interval, so interval and p always agree. A permutation of
    groups would instead test whether whole distributions are equal; unequal sizes or variances would break
    it. The interval covers variation over items, not variation over training seeds.

    Several seeds: the variance is the sum of the variance that items add in all seeds and s²/S of each arm's
    estimates. Interval and p are by Cochran and Cox's t (see `probate.stats.seeds`).

    Parameters
    ----------
    frames : sequence of pandas.DataFrame, or Aligned
        One frame for each seed, with the columns `item_id`, `side` and `value`. A frame in which a side has
        no value is left out.
    analysis : Analysis
        Confidence, planned seeds.
    paired : bool
        Whether the values are differences between two models on one item.
    share : bool
        Whether the values lie in [0, 1] (paired: in [−1, 1]). The interval of a share is clipped to its
        range: [0, 1] for one group, [−1, 1] for a gap, twice that width for a change of either.
    sides : {1, 2}
        2: the gap, first group minus second. 1: the level of the one group in the frames.

    Returns
    -------
    Estimate
        `EMPTY` if no frame has values of every side.
    """
    if isinstance(frames, Aligned):
        complete = set(range(sides)) <= set(frames.sides)
        summed = _of_aligned(frames) if complete else None
    else:
        frames = [f for f in frames if set(range(sides)) <= set(f["side"])]
        summed = _of_frames(frames) if frames else None
    if summed is None:
        return EMPTY
    estimate = _contrast(summed, analysis, paired, share)
    estimate = replace(estimate, value=0.0 if abs(estimate.value) < ROUNDING else estimate.value)
    if not share:
        return estimate
    top = sides if paired else 1
    bottom = -top if paired or sides > 1 else 0
    return replace(
        estimate,
        low=float(np.clip(estimate.low, bottom, top)),
        high=float(np.clip(estimate.high, bottom, top)),
    )


class _Summed(NamedTuple):
    """Values by cluster: averaged over seeds and of each seed (`cluster_table`), and each arm's part."""

    table: np.ndarray
    tables: Sequence[np.ndarray]
    parts: np.ndarray
    dyads: resample.Dyads | None


def _of_aligned(values: Aligned) -> _Summed:
    layout, own = values.layout, values.values
    tables = [layout.table(v) for v in own]
    table = layout.table(own.mean(0)) if len(own) > 1 else tables[0]
    return _Summed(table, tables, values.means(), layout.dyads)


def _of_frames(frames: Sequence[pd.DataFrame]) -> _Summed:
    averaged = pd.concat(frames)
    if len(frames) > 1 or averaged.duplicated(["item_id", "side"]).any():
        averaged = averaged.groupby(["item_id", "side"], as_index=False, sort=False)["value"].mean()
    names = list(pd.unique(clusters(averaged)))
    tables = [cluster_table(f, names) for f in frames]
    parts = np.array([arm_parts(f) for f in frames]).T
    return _Summed(cluster_table(averaged, names), tables, parts, dyads_of([averaged], names))


def _contrast(summed: _Summed, analysis: Analysis, paired: bool, share: bool) -> Estimate:
    table, tables, _, dyads = summed
    both_sides = bool((table[:, 1].sum() > 0) and (table[:, 3].sum() > 0))
    unit = "pair" if 2 * ((table[:, 1] > 0) & (table[:, 3] > 0)).sum() > len(table) else "item"
    value, n = resample.estimate(table), len(table)
    if len(tables) > 1:
        return _over_seeds(summed, value, n, unit, paired, share, analysis)
    interval, ends, p = _interval(table, paired, share, dyads)
    low, high = ends(analysis.confidence)
    if np.isnan(low):
        interval = "undefined (no variation)"
    if not both_sides:
        return Estimate(value, low, high, NAN, n, 1, "none", interval, unit)
    test = "inversion of the interval" if np.isfinite(p) else "none"
    return Estimate(
        value, low, high, p, n, 1, test, interval, unit, farther(*ends(2 * analysis.confidence - 1))
    )


def farther(low: float, high: float) -> float:
    """Return the absolute value of the end that is farther from 0.

    For an interval at 1 − 2α, this is the margin that two one-sided tests at α show.
    """
    return float(max(abs(low), abs(high)))


def _interval(
    table: np.ndarray, paired: bool, share: bool, dyads: resample.Dyads | None = None
) -> tuple[str, Callable[[float], tuple[float, float]], float]:
    """Choose the interval for the design: its name, its ends at a confidence, and p by inversion."""
    sums, sizes = table[:, [0, 2]], table[:, [1, 3]]
    if share and not paired and dyads is None and (sizes.sum(1) == 1).all() and np.isin(sums, (0, 1)).all():
        (a, b), (n, m) = sums.sum(0), sizes.sum(0)
        if n and m:
            return (
                "Newcombe, with half of Yates's correction",
                lambda c: _floats(exact.newcombe((a, n), (b, m), c)),
                float(exact.newcombe_p((a, n), (b, m))),
            )
        if n:
            return "Wilson", lambda c: _wilson(a, n, c), NAN
    pseudo = pseudo_outcomes(paired) if share else None
    ends, p, added = resample.welch(table, pseudo, dyads)
    name = "Welch's t" + (", members of several pairs counted once" if dyads else "")
    return f"{name}, a success and a failure added" if added else name, ends, p


def _wilson(hits: float, n: float, confidence: float) -> tuple[float, float]:
    ends = binomtest(int(hits), int(n)).proportion_ci(confidence, method="wilson")
    return float(ends.low), float(ends.high)


def _floats(ends: tuple[np.ndarray, np.ndarray]) -> tuple[float, float]:
    return float(ends[0]), float(ends[1])


def pseudo_outcomes(paired: bool) -> tuple[np.ndarray, np.ndarray]:
    """Return what a success and a failure add to either side: 0 or 1, or −1 or 1 for a difference of two
    models.
    """
    low = -1.0 if paired else 0.0
    return np.array([low, 1.0]), np.array([1.0, low])


def _over_seeds(
    summed: _Summed,
    value: float,
    n: int,
    unit: str,
    paired: bool,
    share: bool,
    analysis: Analysis,
) -> Estimate:
    """Estimate over several seeds."""
    table, tables, parts, dyads = summed
    more = resample.padded(table, pseudo_outcomes(paired) if share else None)
    tables = [np.concatenate([own, more]) for own in tables]
    members = resample.strata(np.sum(tables, axis=0))
    influence = np.array([resample.influences(own) for own in tables])
    items, freedom = resample.covariance(influence, members, dyads and dyads.padded(len(more)))
    middle = resample.estimate(np.concatenate([table, more]))
    low, high, p, within = over_seeds(
        value, seeds.shared_variance(items), parts, freedom, analysis, middle=middle
    )
    interval = (
        "items and seeds, Cochran and Cox's t"
        + (", members of several pairs counted once" if dyads else "")
        + (", a success and a failure added" if len(more) else "")
    )
    if np.isnan(low):
        interval = "undefined (no variation)"
    return Estimate(
        value, low, high, p, n, len(tables), "t over items and seeds", interval, f"{unit} and seed", within
    )


def over_seeds(
    value: float,
    items: float,
    parts: np.ndarray,
    freedom: float,
    analysis: Analysis,
    *,
    middle: float | None = None,
) -> tuple[float, float, float, float]:
    """Return interval, p and equivalence margin of a mean over seeds.

    With `analysis.planned_seeds`, they are those of an interim analysis (see `probate.stats.sequential`).

    Parameters
    ----------
    value : float
        The estimate.
    items : float
        Variance that items contribute in all seeds (`seeds.shared_variance`).
    parts : array of shape (arms, seeds)
        Contribution of each arm to the estimate under each seed.
    freedom : float
        Degrees of freedom of `items`.
    analysis : Analysis
        Confidence and planned seeds.
    middle : float, optional
        Centre of the interval if it is not `value`. The interval is then extended to hold `value`.

    Returns
    -------
    tuple of float
        (low, high, p, within), see `Estimate`. Interval and margin are NaN if nothing varies.
    """
    count, middle = parts.shape[1], value if middle is None else middle
    spread, known = seeds.seed_variance(parts)
    alpha = 1 - analysis.confidence
    own = sequential.stage_level(count, analysis.planned_seeds or 0, alpha)

    def ends(confidence: float) -> tuple[float, float]:
        half = float(seeds.half_width(items, spread, freedom, known, confidence))
        return (min(value, middle - half), max(value, middle + half)) if np.isfinite(half) else (NAN, NAN)

    p = float(seeds.p_value(value, items, spread, freedom, known))
    return *ends(1 - own), min(1.0, p * alpha / own) if np.isfinite(p) else p, farther(*ends(1 - 2 * own))
