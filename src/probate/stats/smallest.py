"""The smallest change that a comparison finds four times in five, and between which changes that may lie.

How much seeds differ is known from few of them: with three seeds of two arms the figure itself varies by a factor of four. So the spread is pooled over all
arms of a task (`pooled`), the figure is that of the t which the comparison uses, and it has an interval from the χ² of what the spread is known from.
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

from probate.stats import compare, resample, sequential, spread
from probate.stats import seeds as seeds_t
from probate.stats.contrast import before_after, cluster_table, clusters, dyads_of, paired_difference
from probate.stats.measure import Measure
from probate.stats.usable import values_of
from probate.study.plan import REPLICATE_SEED
from probate.study.schema import Analysis

Array = np.ndarray
POWER = 0.8
DRAWS, ARM_DRAWS = 400, 24
"""Quantiles of χ² over which the power is averaged; of each of two arms."""
ONE_SEED = "one training seed: how far the result moves from one training to the next is not known"


@dataclass(frozen=True)
class DetectableEffect:
    """The smallest change that is found with a power of 80%, and the interval of that figure. NaN for `reason`."""

    value: float
    low: float
    high: float
    reason: str = ""


@dataclass(frozen=True)
class Noise:
    """The variance of a change between two arms from one training seed to the next, with the degrees of freedom that it is known from."""

    variance: float
    freedom: int

    def ends(self, confidence: float) -> tuple[float, float]:
        """The interval of the variance: `freedom` times it over the quantiles of χ². From 0 to infinity without a degree of freedom."""
        return _ends(self.variance, self.freedom, confidence)


def pooled(gaps: Array) -> Noise:
    """Of the gap of each arm under each seed, (arms, seeds): twice the mean of the arms' variances over seeds.

    It is what the sum of the variances of two arms estimates, from arms x (seeds − 1) degrees of freedom instead of those of two arms. It takes each arm to vary as
    much as the others, of one task, model and training; tasks differ in what they measure and are not pooled. NaN with one seed.
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
    """The smallest change that a two-sided test at `alpha` finds with a power of 80%; 0 counts as none of either variance.

    Args:
        items: variance of the estimate that items make, known from `freedom` degrees of freedom.
        spread: variance that seeds make (s²/S), known from `known` degrees of freedom.
        seeds: how many the comparison has; its own test knows the spread of each of its two arms from seeds − 1.
        alpha: level of the test.
        confidence: of the interval.
    """
    if not (items >= 0 and spread >= 0 and items + spread > 0):
        return _unknown("nothing varies")
    ends = _ends(items, freedom, confidence), _ends(spread, known, confidence) if spread else (0.0, 0.0)
    low, high = (_needed(i, freedom, s, seeds, alpha) for i, s in zip(*ends, strict=True))
    return DetectableEffect(_needed(items, freedom, spread, seeds, alpha), low, high)


def detectable_from_interval(low: float, high: float, freedom: float, confidence: float) -> DetectableEffect:
    """`smallest_found` of a comparison over items alone, from its t interval."""
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
    """`smallest_found` of a change between two arms (seed → the measure's values), with the pooled spread of the task's arms.

    Undefined with one training seed, for macro-F1 and for all groups together, which is no mean over items.
    """
    common = [s for s in sorted(after.keys() & before.keys()) if len(after[s]) and len(before[s])]
    if len(common) < 2 or not noise.freedom:
        return _unknown(ONE_SEED)
    if measure.statistic != "mean" or comparison == compare.ANY:
        return _unknown(f"{comparison} is no mean over items")
    frames = [_paired(after[s], before[s], measure, comparison) for s in common]
    names = pd.unique(np.concatenate([clusters(f) for f in frames]))
    tables = [cluster_table(f, names) for f in frames]
    found, freedom = resample.covariance(
        np.array([resample.influences(own) for own in tables]),
        resample.strata(np.sum(tables, axis=0)),
        dyads_of(frames, names),
    )
    count = len(common)
    together = len(measure.sides) if len(measure.sides) > 2 else 1
    alpha = sequential.stage_level(count, analysis.planned_seeds or 0, (1 - analysis.confidence) / together)
    return minimum_detectable(
        seeds_t.shared_variance(found),
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
    """Kind of arm → seed → the measure's usable values, of a task's outcomes in the first round; no second controls."""
    found: dict[ArmKey, dict[int, pd.DataFrame]] = {}
    own = outcomes[(outcomes["round"] == 1) & (outcomes["seed"] < REPLICATE_SEED)]
    for (bias_type, ratio, mitigation, seed), part in own.groupby(
        ["bias_type", "ratio", "mitigation", "seed"], sort=False
    ):
        found.setdefault((bias_type, float(ratio), mitigation), {})[int(seed)] = values_of(
            measure, part, ""
        ).frame
    return found


def detectable_between(
    arms: Mapping[ArmKey, Mapping[int, pd.DataFrame]],
    after: ArmKey,
    before: ArmKey,
    measure: Measure,
    comparison: str,
    analysis: Analysis,
) -> DetectableEffect:
    """`of_change` from one kind of arm to another, with the spread of all `arms`."""
    noise = seed_noise([*arms.values()], measure, comparison)
    return detectable_change(arms.get(after, {}), arms.get(before, {}), measure, comparison, noise, analysis)


def seed_noise(arms: Sequence[Mapping[int, pd.DataFrame]], measure: Measure, comparison: str) -> Noise:
    """`pooled` over the arms of a task (each: seed → the measure's values), of the seeds that all of them have; arms without any value are left out."""
    there = [{s: f for s, f in own.items() if len(f)} for own in arms]
    there = [own for own in there if own]
    common = sorted(set.intersection(*(set(own) for own in there))) if there else []
    if measure.statistic != "mean" or comparison == compare.ANY or not common:
        return Noise(float("nan"), 0)
    gaps = np.array([[_gap(own[s], measure, comparison) for s in common] for own in there])
    return pooled(gaps[np.isfinite(gaps).all(1)])


def _gap(frame: pd.DataFrame, measure: Measure, comparison: str) -> float:
    """The statistic of one arm whose change the comparison is."""
    if len(measure.sides) > 2:
        frame = spread.against_rest(frame, measure.sides.index(comparison.partition(" − ")[0]))
    means = frame.groupby("side")["value"].mean()
    return float(means.get(0, np.nan) - (means.get(1, np.nan) if len(measure.sides) > 1 else 0.0))


def _paired(after: pd.DataFrame, before: pd.DataFrame, measure: Measure, comparison: str) -> pd.DataFrame:
    """As `compare.changes` pairs them."""
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
    """χ²/f at the middles of equal parts of its distribution."""
    found: Array = chdtri(freedom, 1 - (np.arange(draws) + 0.5) / draws) / freedom
    return found


@lru_cache(maxsize=64)
def _arms(seeds: int) -> tuple[Array, Array]:
    """The variance of two arms that vary alike over its true value, and its degrees of freedom, as a study of so many seeds may find them."""
    own = _ratios(seeds - 1, ARM_DRAWS) / 2
    both = np.array(np.meshgrid(own, own)).reshape(2, -1)
    total, freedom = seeds_t.summed_variance(both, seeds)
    return total, freedom


def _needed(items: float, freedom: float, spread: float, seeds: int, alpha: float) -> float:
    """The change at which Cochran and Cox's test has the power: over what a study may find of the variances, those of items being known where seeds vary."""
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
