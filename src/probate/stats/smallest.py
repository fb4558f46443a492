"""Minimum detectable change: the smallest change that a comparison detects with a power of 80%, with its
interval.

The variance between seeds is estimated from few of them: with three seeds of two arms, the result itself
varies by a factor of four. The variance is therefore pooled over all arms of a task (`pooled`). The result
uses the t test of the comparison, and has an interval from the χ² distribution of the variance.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import pandas as pd
from scipy.optimize import brentq
from scipy.special import chdtri, ndtr
from scipy.stats import t

from probate.stats import comparisons, resample, sequential, spread
from probate.stats import seeds as seeds_t
from probate.stats.contrast import before_after, cluster_table, clusters, dyads_of, paired_difference
from probate.stats.dose import ONE_SEED
from probate.stats.measure import Measure
from probate.stats.usable import values_of
from probate.study.plan import REPLICATE_SEED
from probate.study.schema import Analysis

Array = np.ndarray
POWER = 0.8
DRAWS, ARM_DRAWS = 400, 24
"""Number of χ² quantiles over which the power is averaged, and for each of two arms."""


@dataclass(frozen=True)
class DetectableEffect:
    """The smallest change that is detected with a power of 80%, with the interval of this number.

    All are NaN if `reason` is not empty.
    """

    value: float
    low: float
    high: float
    reason: str = ""


@dataclass(frozen=True)
class Noise:
    """The variance of a change between two arms over training seeds, with its degrees of freedom."""

    variance: float
    freedom: int

    def ends(self, confidence: float) -> tuple[float, float]:
        """Return the interval of the variance: `freedom` times the variance over quantiles of χ².

        Without degrees of freedom it is from 0 to infinity.
        """
        return _ends(self.variance, self.freedom, confidence)


def pooled(gaps: Array) -> Noise:
    """Return the variance of a change, pooled over arms: twice the mean of the arms' variances over seeds.

    It estimates the sum of the variances of two arms from arms x (seeds − 1) degrees of freedom. All arms
    of one task, model and training method are assumed to vary equally. Tasks differ in what they measure and
    are not pooled.

    Parameters
    ----------
    gaps : array of shape (arms, seeds)
        The gap of each arm under each seed.

    Returns
    -------
    Noise
        NaN with one seed.
    """
    arms, seeds = gaps.shape
    freedom = arms * (seeds - 1)
    if freedom < 1:
        return Noise(float("nan"), 0)
    return Noise(float(2 * gaps.var(1, ddof=1).mean()), freedom)


def minimum_detectable(
    items: float,
    freedom: float,
    spread: float = 0.0,
    *,
    seeds: int = 1,
    known: float = 0.0,
    alpha: float = 0.05,
    confidence: float = 0.95,
) -> DetectableEffect:
    """Return the smallest change that a two-sided test detects with a power of 80%.

    Parameters
    ----------
    items : float
        Variance of the estimate from items, with `freedom` degrees of freedom. 0 means none.
    freedom : float
        Degrees of freedom of `items`.
    spread : float
        Variance from seeds (s²/S), with `known` degrees of freedom. 0 means none.
    seeds : int
        Number of seeds of the comparison. Its own test has seeds − 1 degrees of freedom for each of its two
        arms.
    known : float
        Degrees of freedom of `spread`.
    alpha : float
        Level of the test.
    confidence : float
        Confidence of the interval.

    Returns
    -------
    DetectableEffect
    """
    if not (items >= 0 and spread >= 0 and items + spread > 0):
        return _unknown("the values do not vary")
    ends = _ends(items, freedom, confidence), _ends(spread, known, confidence) if spread else (0.0, 0.0)
    low, high = (_needed(i, freedom, s, seeds, alpha) for i, s in zip(*ends, strict=True))
    return DetectableEffect(_needed(items, freedom, spread, seeds, alpha), low, high)


def detectable_from_interval(low: float, high: float, freedom: float, confidence: float) -> DetectableEffect:
    """Return `minimum_detectable` of a comparison over items only, from its t interval."""
    error = (high - low) / 2 / t.ppf(0.5 + confidence / 2, freedom) if freedom > 0 else float("nan")
    return minimum_detectable(error**2, freedom, alpha=1 - confidence, confidence=confidence)


def detectable_change(
    after: Mapping[int, pd.DataFrame],
    before: Mapping[int, pd.DataFrame],
    measure: Measure,
    comparison: str,
    noise: Noise,
    analysis: Analysis,
) -> DetectableEffect:
    """Return `minimum_detectable` of a change between two arms, with the pooled variance of the task's arms.

    Parameters
    ----------
    after, before : mapping
        Seed → values of the measure.
    measure : Measure
        The measure.
    comparison : str
        Name of the comparison.
    noise : Noise
        The pooled variance between seeds.
    analysis : Analysis
        Confidence and planned seeds.

    Returns
    -------
    DetectableEffect
        Undefined with one training seed, for macro-F1, and for all groups together, which is not a mean over
        items.
    """
    common = [s for s in sorted(after.keys() & before.keys()) if len(after[s]) and len(before[s])]
    if len(common) < 2 or not noise.freedom:
        return _unknown(ONE_SEED)
    if measure.statistic != "mean" or comparison == comparisons.ANY:
        return _unknown(f"{comparison} is not a mean over items")
    frames = [_paired(after[s], before[s], measure, comparison) for s in common]
    names = pd.unique(np.concatenate([clusters(f) for f in frames]))
    tables = [cluster_table(f, names) for f in frames]
    items, freedom = resample.covariance(
        np.array([resample.influences(own) for own in tables]),
        resample.strata(np.sum(tables, axis=0)),
        dyads_of(frames, names),
    )
    count = len(common)
    together = len(measure.sides) if len(measure.sides) > 2 else 1
    alpha = sequential.stage_level(count, analysis.planned_seeds or 0, (1 - analysis.confidence) / together)
    return minimum_detectable(
        seeds_t.shared_variance(items),
        freedom,
        noise.variance / count,
        seeds=count,
        known=noise.freedom,
        alpha=alpha,
        confidence=analysis.confidence,
    )


ArmKey = tuple[str, float, str]
"""Bias type, γ and mitigation of an arm."""


def values_by_arm(outcomes: pd.DataFrame, measure: Measure) -> dict[ArmKey, dict[int, pd.DataFrame]]:
    """Return the measure's usable values of each arm in the first round, without second controls: arm →
    seed → values.
    """
    values: dict[ArmKey, dict[int, pd.DataFrame]] = {}
    own = outcomes[(outcomes["round"] == 1) & (outcomes["seed"] < REPLICATE_SEED)]
    for (bias_type, ratio, mitigation, seed), part in own.groupby(
        ["bias_type", "ratio", "mitigation", "seed"], sort=False
    ):
        values.setdefault((bias_type, float(ratio), mitigation), {})[int(seed)] = values_of(
            measure, part, ""
        ).frame
    return values


def detectable_between(
    arms: Mapping[ArmKey, Mapping[int, pd.DataFrame]],
    after: ArmKey,
    before: ArmKey,
    measure: Measure,
    comparison: str,
    analysis: Analysis,
    noise: Noise | None = None,
) -> DetectableEffect:
    """Return `detectable_change` between two kinds of arm, with the variance pooled over all `arms`.

    `noise` is that variance, if it is known (`seed_noise`).
    """
    noise = noise or seed_noise([*arms.values()], measure, comparison)
    return detectable_change(arms.get(after, {}), arms.get(before, {}), measure, comparison, noise, analysis)


def seed_noise(arms: Sequence[Mapping[int, pd.DataFrame]], measure: Measure, comparison: str) -> Noise:
    """Return `pooled` over the arms of a task, for the seeds that all of them have. Arms without values are
    left out.
    """
    usable = [{s: f for s, f in own.items() if len(f)} for own in arms]
    usable = [own for own in usable if own]
    common = sorted(set.intersection(*(set(own) for own in usable))) if usable else []
    if measure.statistic != "mean" or comparison == comparisons.ANY or not common:
        return Noise(float("nan"), 0)
    gaps = np.array([[_gap(own[s], measure, comparison) for s in common] for own in usable])
    return pooled(gaps[np.isfinite(gaps).all(1)])


def _gap(frame: pd.DataFrame, measure: Measure, comparison: str) -> float:
    """Return the statistic of one arm whose change the comparison is."""
    if len(measure.sides) > 2:
        frame = spread.against_rest(frame, measure.sides.index(comparison.partition(" − ")[0]))
    side, value = frame["side"].to_numpy(), frame["value"].to_numpy(dtype=np.float64)
    means = [
        value[side == s].mean() if (side == s).any() else np.nan for s in range(min(2, len(measure.sides)))
    ]
    return float(means[0] - (means[1] if len(means) > 1 else 0.0))


def _paired(after: pd.DataFrame, before: pd.DataFrame, measure: Measure, comparison: str) -> pd.DataFrame:
    """Pair values as `comparisons.changes` does."""
    if len(measure.sides) == 1:
        return before_after(after, before)
    common = paired_difference(after, before)
    return (
        common
        if len(measure.sides) == 2
        else spread.against_rest(common, measure.sides.index(comparison.partition(" − ")[0]))
    )


def _unknown(reason: str) -> DetectableEffect:
    return DetectableEffect(float("nan"), float("nan"), float("nan"), reason)


def _ends(variance: float, freedom: float, confidence: float) -> tuple[float, float]:
    if not freedom > 0:
        return 0.0, float("inf")
    tail = (1 - confidence) / 2
    return float(variance * freedom / chdtri(freedom, tail)), float(
        variance * freedom / chdtri(freedom, 1 - tail)
    )


@lru_cache(maxsize=64)
def _ratios(freedom: float, draws: int = DRAWS) -> Array:
    """Return χ²/f at the midpoints of equal parts of its distribution."""
    ratios: Array = chdtri(freedom, 1 - (np.arange(draws) + 0.5) / draws) / freedom
    return ratios


@lru_cache(maxsize=64)
def _arms(seeds: int) -> tuple[Array, Array]:
    """Return the variance of two arms over its true value, and its degrees of freedom, for possible samples
    of seeds.
    """
    own = _ratios(seeds - 1, ARM_DRAWS) / 2
    both = np.array(np.meshgrid(own, own)).reshape(2, -1)
    total, freedom = seeds_t.summed_variance(both, seeds)
    return total, freedom


def _needed(items: float, freedom: float, spread: float, seeds: int, alpha: float) -> float:
    """Return the change at which Cochran and Cox's test has the required power.

    The power is averaged over possible estimates of the variances. If seeds vary, the variance of items is
    taken as known.
    """
    if not np.isfinite(items + spread):
        return float("inf")
    if items + spread == 0:
        return 0.0
    error = np.sqrt(items + spread)
    if spread > 0:
        ratio, known = _arms(seeds)
        half = seeds_t.half_width(items, spread * ratio, freedom, known, 1 - alpha)
    else:
        half = t.ppf(1 - alpha / 2, freedom) * np.sqrt(items * _ratios(freedom))

    def lacks(change: float) -> float:
        return float(np.mean(ndtr((change - half) / error) + ndtr((-change - half) / error))) - POWER

    return float(brentq(lacks, 0.0, 10 * (error + float(np.max(half))), xtol=1e-6 * error))
