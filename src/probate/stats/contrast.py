"""One contrast: estimate, interval, p, n, and the names of the methods, for one seed or several."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import pandas as pd

from probate.stats import exact, resample, seeds, sequential
from probate.study.schema import Analysis

NAN = float("nan")


@dataclass(frozen=True)
class Estimate:
    """An estimate with its interval at the study's confidence, its p and how both were made."""

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
    """The effect is shown to be no larger than this either way: two one-sided tests (Schuirmann 1987), each at 1 − confidence."""
    reason: str = ""
    """Why there is no estimate: a side, a group or an arm without a usable answer. Empty where there is one."""
    each: float = NAN
    """Of one of several groups whose interval holds for all together: `within` of its own, not adjusted for the others."""
    note: str = ""
    """What a finite estimate leaves out, such as a seed without usable answers. Empty where it leaves out nothing."""


ROUNDING = 1e-12
"""Estimates smaller than this are zero but for floating-point rounding."""
EMPTY = Estimate(NAN, NAN, NAN, NAN, 0, 0, "none: no item", "none", "item")


def cluster_table(frame: pd.DataFrame, names: Sequence[str] | None = None) -> np.ndarray:
    """(clusters, 4): sum and count of `value` in side 0 and side 1, by the item id before '#'; the clusters in the order of `names`, if given."""
    own = clusters(frame)
    cluster = pd.factorize(own)[0] if names is None else pd.Index(names).get_indexer(own)
    table = np.zeros((len(names) if names is not None else cluster.max() + 1 if len(cluster) else 0, 4))
    side = frame["side"].to_numpy()
    np.add.at(table, (cluster, side * 2), frame["value"].to_numpy())
    np.add.at(table, (cluster, side * 2 + 1), 1.0)
    return table


def clusters(frame: pd.DataFrame) -> np.ndarray:
    """The item id before '#' of each row."""
    return np.array([item.partition("#")[0] for item in frame["item_id"].tolist()], dtype=object)


PART = "part"
"""Columns of this name and a number: what each arm adds to `value`. A frame without them is of one arm."""


def paired_difference(after: pd.DataFrame, before: pd.DataFrame) -> pd.DataFrame:
    """Paired by item: value in `after` minus value in `before`, for items that both have; a part for each of the two arms."""
    joined = after.merge(before, on=["item_id", "side"], suffixes=("", "_before"))
    own, other = joined["value"], -joined["value_before"]
    return joined[["item_id", "side"]].assign(value=own + other, part0=own, part1=other)


def before_after(after: pd.DataFrame, before: pd.DataFrame) -> pd.DataFrame:
    """One group: its values after as side 0 and before as side 1, so that an item is a pair; a part for each of the two arms."""
    sides = (
        after.assign(side=0, part0=after["value"], part1=0.0),
        before.assign(side=1, part0=0.0, part1=before["value"]),
    )
    return pd.concat(sides, ignore_index=True)


def arm_parts(frame: pd.DataFrame) -> list[float]:
    """What each arm adds to the frame's difference of group means (of one group: to its mean)."""
    columns = [c for c in frame.columns if c.startswith(PART)] or ["value"]
    side = frame["side"].to_numpy()
    first, second = side == 0, side == 1
    values = [frame[c].to_numpy(dtype=np.float64) for c in columns]
    return [float(v[first].mean() - (v[second].mean() if second.any() else 0.0)) for v in values]


def dyads_of(frames: Sequence[pd.DataFrame], names: Sequence[str]) -> resample.Dyads | None:
    """Who takes part in the clusters `names` of the frames, where their items' ids say so."""
    rows = pd.concat(frames)[["item_id", "side"]].drop_duplicates()
    return resample.Dyads.of(rows["item_id"].tolist(), rows["side"].tolist(), names)


def contrast(
    frames: Sequence[pd.DataFrame], analysis: Analysis, *, paired: bool, share: bool, sides: Literal[1, 2] = 2
) -> Estimate:
    """Gap between the groups in `frames`, one frame a seed; with `sides` 1 the level of the one group that they hold.

    A frame in which a side has no value gives no estimate and is left out; where none is left, the estimate is undefined (`EMPTY`).

    `paired`: the values are differences between two models on one item. `share`: values lie in [0, 1] (or, paired,
    in [-1, 1]).

    One seed: the interval is Welch's t over items, for a share with hardly a second outcome with a success and a failure added; for one model's
    yes-or-no answers, an item a group, Newcombe's with half of Yates's correction (Wilson's where there is one group). Clusters that hold both groups count by their differences. p is
    the interval's inversion, so that the two never disagree (a permutation of groups would test whether whole distributions are equal, which unequal
    numbers or spreads break). This covers the items, not what another training seed would give. Several seeds: the variance is what
    the items add in all seeds plus s²/S of each arm's estimates, and both interval and p are by Cochran and Cox's t (`probate.stats.seeds`).
    The interval of a share ends where its range ends: [0, 1] for one group, [-1, 1] for a gap, twice that width for a change of either.
    """
    frames = [f for f in frames if set(range(sides)) <= set(f["side"])]
    if not frames:
        return EMPTY
    found = _contrast(frames, analysis, paired, share)
    found = replace(found, value=0.0 if abs(found.value) < ROUNDING else found.value)
    if not share:
        return found
    top = sides if paired else 1
    bottom = -top if paired or sides > 1 else 0
    return replace(
        found, low=float(np.clip(found.low, bottom, top)), high=float(np.clip(found.high, bottom, top))
    )


def _contrast(frames: Sequence[pd.DataFrame], analysis: Analysis, paired: bool, share: bool) -> Estimate:
    averaged = pd.concat(frames)
    if len(frames) > 1 or averaged.duplicated(["item_id", "side"]).any():
        averaged = averaged.groupby(["item_id", "side"], as_index=False, sort=False)["value"].mean()
    names = list(pd.unique(clusters(averaged)))
    table = cluster_table(averaged, names)
    dyads = dyads_of([averaged], names)
    both_sides = bool((table[:, 1].sum() > 0) and (table[:, 3].sum() > 0))
    unit = "pair" if 2 * ((table[:, 1] > 0) & (table[:, 3] > 0)).sum() > len(table) else "item"
    value, n = resample.estimate(table), len(table)
    if len(frames) > 1:
        return _over_seeds(frames, table, names, dyads, value, n, unit, paired, share, analysis)
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
    """The end of an interval that is farther from 0: of one at 1 − 2α, the margin that two one-sided tests at α show."""
    return float(max(abs(low), abs(high)))


def _interval(
    table: np.ndarray, paired: bool, share: bool, dyads: resample.Dyads | None = None
) -> tuple[str, Callable[[float], tuple[float, float]], float]:
    """The name of the interval that suits the design, its ends at a confidence, and p: 1 − the confidence at which one of them is 0."""
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
    from statsmodels.stats.proportion import proportion_confint

    low, high = proportion_confint(hits, n, alpha=1 - confidence, method="wilson")
    return float(low), float(high)


def _floats(ends: tuple[np.ndarray, np.ndarray]) -> tuple[float, float]:
    return float(ends[0]), float(ends[1])


def pseudo_outcomes(paired: bool) -> tuple[np.ndarray, np.ndarray]:
    """What a success and a failure add to either side: 0 or 1, or as a difference between two models −1 or 1."""
    low = -1.0 if paired else 0.0
    return np.array([low, 1.0]), np.array([1.0, low])


def _over_seeds(
    frames: Sequence[pd.DataFrame],
    table: np.ndarray,
    names: Sequence[str],
    dyads: resample.Dyads | None,
    value: float,
    n: int,
    unit: str,
    paired: bool,
    share: bool,
    analysis: Analysis,
) -> Estimate:
    """`table`: that of the values averaged over seeds."""
    tables = [cluster_table(f, names) for f in frames]
    parts = np.array([arm_parts(f) for f in frames]).T
    more = resample.padded(table, pseudo_outcomes(paired) if share else None)
    tables = [np.concatenate([own, more]) for own in tables]
    members = resample.strata(np.sum(tables, axis=0))
    influence = np.array([resample.influences(own) for own in tables])
    found, freedom = resample.covariance(influence, members, dyads and dyads.padded(len(more)))
    middle = resample.estimate(np.concatenate([table, more]))
    low, high, p, within = over_seeds(
        value, seeds.shared_variance(found), parts, freedom, analysis, middle=middle
    )
    interval = (
        "items and seeds, Cochran and Cox's t"
        + (", members of several pairs counted once" if dyads else "")
        + (", a success and a failure added" if len(more) else "")
    )
    if np.isnan(low):
        interval = "undefined (no variation)"
    return Estimate(
        value, low, high, p, n, len(frames), "t over items and seeds", interval, f"{unit} and seed", within
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
    """Interval, p and margin (`Estimate.within`) of a mean over seeds; with `analysis.planned_seeds` those of a look at some of them.

    `items`: the variance that all seeds share (`seeds.shared`), of `freedom` degrees. `parts`: (arms, seeds), what each arm adds. `middle`: of the interval, where it is not `value`; it then
    is stretched to hold `value`.
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
