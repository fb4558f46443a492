"""Dose-response: the slope of a change over γ or over the bias of the training data, and the γ at which a
budget is passed.

The change of a gap gₖ against its reference rₖ at dose xₖ is fitted by a line through the origin,
because no dose means no change:

    κ = Σ xₖ (gₖ − rₖ) / Σ xₖ².

κ is a fixed linear combination of gaps. A gap is a difference of means over items, so κ is the gap of the
item values Σ wₖ (yᵢₖ − rᵢₖ) with weights wₖ = xₖ / Σ x². Interval, test and the treatment
of several seeds are therefore those of a single gap. The unit is the item, and each item is observed at every
dose.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from probate.stats import resample, sequential
from probate.stats import seeds as seeds_t
from probate.stats.contrast import (
    EMPTY,
    PART,
    Estimate,
    arm_parts,
    cluster_table,
    clusters,
    contrast,
    dyads_of,
    paired_difference,
    pseudo_outcomes,
)
from probate.study.schema import Analysis

Curve = Mapping[float, Mapping[int, pd.DataFrame]]
"""γ → seed → values of the measure (columns item_id, side, value)."""


def slope(curve: Curve, reference: Curve, dose: Mapping[float, float], analysis: Analysis) -> Estimate:
    """Estimate the change of the gap per unit of dose, against the reference at the same γ.

    With the dose x = γ, this is the slope of the dose-response curve. With x the difference in bias between
    the training data of the two arms, it is the inheritance coefficient. If data and gap have the same unit,
    the coefficient is 1 where the model's gap changes as much as the gap of the data, above 1 where bias is
    amplified, and below 0 where it is reversed.

    Parameters
    ----------
    curve, reference : Curve
        Values of the biased arms and of their references.
    dose : mapping of float to float
        γ → x.
    analysis : Analysis
        Confidence and planned seeds.

    Returns
    -------
    Estimate
        Change per unit of dose. Seeds and items that one arm lacks are left out. `EMPTY` if no dose differs
        from 0.
    """
    ratios = [r for r in curve if r in reference and dose.get(r)]
    total = sum(dose[r] ** 2 for r in ratios)
    if not total:
        return EMPTY
    weights = {
        (r, side): sign * dose[r] / total for r in ratios for side, sign in ((OWN, 1.0), (REFERENCE, -1.0))
    }
    seeds = sorted(set.intersection(*(set(curve[r]) & set(reference[r]) for r in ratios)))
    frames = []
    for seed in seeds:
        parts = {(r, OWN): curve[r][seed] for r in ratios} | {
            (r, REFERENCE): reference[r][seed] for r in ratios
        }
        frames.append(weighted_sum(parts, weights))
    return contrast(frames, analysis, paired=True, share=False)


OWN, REFERENCE = "own", "reference"


def weighted_sum(
    frames: Mapping[tuple[float, str], pd.DataFrame], weights: Mapping[tuple[float, str], float]
) -> pd.DataFrame:
    """Return the weighted sum of the values for each item and side that all frames have.

    The columns `part0` and `part1` hold the contribution of all biased arms and of all references. A seed
    affects the arms of all γ in common, because the records at one γ are a subset of those at a higher γ.
    The sum of these arms therefore counts as one arm of each seed.

    Parameters
    ----------
    frames : mapping
        (γ, `OWN` or `REFERENCE`) → values.
    weights : mapping
        (γ, `OWN` or `REFERENCE`) → weight.

    Returns
    -------
    pandas.DataFrame
        Columns `item_id`, `side`, `value`, `part0` and `part1`.
    """
    columns = {key: f.set_index(["item_id", "side"])["value"] * weights[key] for key, f in frames.items()}
    whole = pd.concat(columns.values(), axis=1, join="inner", keys=range(len(columns)), sort=False)
    place = {side: [i for i, key in enumerate(columns) if key[1] == side] for side in (OWN, REFERENCE)}
    parts = {f"{PART}{i}": whole[own].sum(axis=1) for i, own in enumerate(place.values())}
    return pd.DataFrame(parts).assign(value=whole.sum(axis=1)).reset_index()


@dataclass(frozen=True)
class Step:
    """Change of the gap against its reference at the dose `high`, minus the same change at the dose `low`."""

    low: float
    high: float
    change: Estimate


def steps(curve: Curve, reference: Curve, planned: Sequence[float], analysis: Analysis) -> list[Step]:
    """Estimate the change from each planned dose to the next, starting without a change at γ = 0.

    A step is left out if one of its two doses has no arm: no step bridges a missing dose.
    """
    pairs = itertools.pairwise(sorted({0.0, *planned}))
    return [
        Step(low, high, step(curve, reference, low, high, analysis))
        for low, high in pairs
        if all(r in curve and r in reference for r in (low, high) if r > 0)
    ]


def step(curve: Curve, reference: Curve, low: float, high: float, analysis: Analysis) -> Estimate:
    """Estimate the change of the gap at the dose `high` minus the change at `low`, over the seeds that all
    arms have.

    At γ = 0 the change is 0.
    """
    doses = [r for r in (low, high) if r > 0]
    seeds = sorted(set.intersection(*(set(curve[r]) & set(reference[r]) for r in doses)))
    weights = {
        (r, own): way * side
        for r, way in ((low, -1.0), (high, 1.0))
        for own, side in ((OWN, 1.0), (REFERENCE, -1.0))
    }
    frames = [
        weighted_sum(
            {(r, own): (curve if own == OWN else reference)[r][s] for r in doses for own in (OWN, REFERENCE)},
            weights,
        )
        for s in seeds
    ]
    return contrast(frames, analysis, paired=True, share=False)


def shape(steps: Sequence[tuple[float, float]], alpha: float = 0.05) -> str:
    """Classify a dose-response curve by its significant steps.

    Parameters
    ----------
    steps : sequence of (float, float)
        Change and adjusted p of each step.
    alpha : float
        Level of significance.

    Returns
    -------
    str
        `rises` or `falls` if the significant steps have one direction, `turns` if they have both, `flat` if
        no step is significant.
    """
    signs = {float(np.sign(change)) for change, p in steps if p < alpha}
    return {frozenset(): "flat", frozenset({1.0}): "rises", frozenset({-1.0}): "falls"}.get(
        frozenset(signs), "turns"
    )


NOT_WITHIN = "not within the γ studied"
"""Text for an infinite γ."""
ONE_SEED = "one training seed: how far the result moves from one training to the next is not known"
UNKNOWN = 1e6
"""Half-width of an interval without information: seeds agree by chance and items have no variance in common.
"""
GRID = 41
"""Number of points between two doses at which the change is tested. Between points, the margin is
interpolated.
"""


@dataclass(frozen=True)
class Threshold:
    """The lowest γ at which the change of the gap exceeds the budget in either direction, with its interval.

    `inf` means `NOT_WITHIN`. As `ratio`: the curve stays within the budget up to the highest dose. As `high`:
    the data do not rule that out. As `low`: the data rule out everything else. All three are NaN if the
    threshold is undefined. `reason` then says why; it is empty if the threshold lies, or may lie, across a
    missing dose, or if a group has no values in common.
    """

    budget: float
    ratio: float
    low: float
    high: float
    n: int = 0
    seeds: int = 0
    reason: str = ""


def threshold(
    curve: Curve, reference: Curve, planned: Sequence[float], budget: float, analysis: Analysis
) -> Threshold:
    """Estimate where |change of the gap against the reference| first crosses `budget`.

    The curve is linear between doses and starts without a change at γ = 0, see `first_crossing`.

    Parameters
    ----------
    curve, reference : Curve
        Values of the biased arms and of their references.
    planned : sequence of float
        The planned γ.
    budget : float
        Maximum acceptable change, in the unit of the gap.
    analysis : Analysis
        Confidence and planned seeds.

    Returns
    -------
    Threshold
        Computed over the seeds in which every dose has values of both groups. Undefined with one seed, which
        does not show the variation between trainings.
    """
    doses = sorted(r for r in curve if r > 0 and r in reference)
    shared = set.intersection(*(set(curve[r]) & set(reference[r]) for r in doses)) if doses else set()
    by_seed = {s: [paired_difference(curve[r][s], reference[r][s]) for r in doses] for s in sorted(shared)}
    by_seed = {s: frames for s, frames in by_seed.items() if all({0, 1} <= set(f["side"]) for f in frames)}
    kept = [*by_seed.values()]
    if len(kept) < 2:
        return _none(budget, ONE_SEED if kept else "", 0, len(kept))
    names = pd.unique(np.concatenate([clusters(f) for frames in kept for f in frames]))
    tables = np.array([[cluster_table(frames[d], names) for frames in kept] for d in range(len(doses))])
    parts = np.array([[arm_parts(frames[d]) for frames in kept] for d in range(len(doses))]).transpose(
        2, 0, 1
    )
    missing = [p for p in planned if p > 0 and p not in doses]
    return first_crossing(
        doses,
        tables,
        np.array([_averaged([own[d] for own in kept], names) for d in range(len(doses))]),
        budget,
        analysis,
        missing,
        Arms.of(parts),
        dyads_of([f for frames in kept for f in frames], names),
    )


def _averaged(frames: Sequence[pd.DataFrame], names: Sequence[str]) -> np.ndarray:
    return cluster_table(
        pd.concat(frames).groupby(["item_id", "side"], as_index=False, sort=False)["value"].mean(), names
    )


def _none(budget: float, reason: str, n: int, seeds: int) -> Threshold:
    return Threshold(budget, float("nan"), float("nan"), float("nan"), n, seeds, reason)


@dataclass(frozen=True)
class Arms:
    """The variance of the changes that seeds contribute.

    `covariance` has the shape (parts, doses, doses): the covariance over doses of the means over seeds, of
    the biased arms and of their references.
    """

    covariance: np.ndarray
    seeds: int

    @classmethod
    def of(cls, parts: np.ndarray) -> Arms:
        """Estimate the covariance from `parts` of shape (parts, doses, seeds): contributions of the arms and
        of their references.

        A reference that is common to all doses is repeated for each dose.
        """
        seeds = parts.shape[2]
        return cls(np.array([np.cov(own).reshape(len(own), len(own)) for own in parts]) / seeds, seeds)

    def spread(self, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the variance of weighted sums of the changes and its degrees of freedom. `weights`: (sums,
        doses).
        """
        return seeds_t.summed_variance(
            np.einsum("sd,pde,se->ps", weights, self.covariance, weights), self.seeds
        )


def first_crossing(
    doses: Sequence[float],
    tables: np.ndarray,
    averaged: np.ndarray,
    budget: float,
    analysis: Analysis,
    missing: Sequence[float] = (),
    arms: Arms | None = None,
    dyads: resample.Dyads | None = None,
) -> Threshold:
    """Estimate the γ at which the change first crosses `budget`, with a confidence set by inversion of
    tests.

    The hypothesis "the change first crosses the budget at γ" states that the signed change is +budget or
    −budget at γ and within the budget before. It is rejected at α/2 if the change at γ is shown to be
    smaller in absolute value. It is also rejected if the change at γ is shown to be larger, or if a crossing
    at an earlier dose is shown; these tests share the other α/2 equally (Bonferroni). The hypothesis "not
    within the γ studied" states that no dose has a change beyond the budget (a line between two doses has
    its maximum at one of them). It is rejected if a dose is shown to be beyond the budget; the doses share α
    equally. Each test is the t test of `contrast` over items and seeds.

    The true γ, or the absence of a crossing, is therefore excluded in at most a share α of studies. The
    interval spans all γ that are not rejected, and always holds the estimate.

    Parameters
    ----------
    doses : sequence of float
        γ > 0, ascending.
    tables : array of shape (doses, seeds, clusters, 4)
        The changes as sums of `cluster_table`; two seeds or more.
    averaged : array of shape (doses, clusters, 4)
        The same for the changes averaged over seeds by item.
    budget : float
        Maximum acceptable change.
    analysis : Analysis
        Confidence and planned seeds.
    missing : sequence of float
        Planned γ without values. Between the doses on either side of one, nothing is known.
    arms : Arms, optional
        The variance that seeds contribute. Default: the changes are taken as those of one arm.
    dyads : resample.Dyads, optional
        The members of the clusters, if several clusters share a member.

    Returns
    -------
    Threshold
        NaN if the crossing lies, or may lie, across a missing dose.
    """
    if arms is None:
        arms = Arms.of(resample.mean_difference(tables.sum(2))[None])
    curve = _Curve.of(doses, tables, averaged, arms, dyads)
    seeds, n = tables.shape[1], tables.shape[2]
    point = _interpolated_crossing(doses, curve.value[1:], budget, missing)
    if np.isnan(point):
        return _none(budget, "", n, seeds)
    alpha = sequential.stage_level(seeds, analysis.planned_seeds or 0, 1 - analysis.confidence)
    beyond = curve.beyond(budget)
    left: list[float] = [point]
    at = [0.0, *doses]
    for number in range(1, len(at)):
        if (beyond[: number - 1] <= alpha / (2 * number)).any():
            continue
        if any(at[number - 1] < m < at[number] for m in missing):
            left += at[number - 1 : number + 1]
            continue
        along = np.linspace(0, 1, GRID)
        margin = curve.margin(number, along, budget, alpha / 2, alpha / (2 * number))
        left += [at[number - 1] + (at[number] - at[number - 1]) * w for w in _ends(along, margin)]
    if not (beyond <= alpha / len(doses)).any():
        left.append(float("inf"))
    return Threshold(budget, point, min(left), max(left), n, seeds)


def _ends(along: np.ndarray, margin: np.ndarray) -> list[float]:
    """Return the first and the last place with a margin of at least 0, or nothing if there is none."""
    inside = np.flatnonzero(margin >= 0)
    if not len(inside):
        return []
    ends = []
    for edge, step in ((inside[0], -1), (inside[-1], 1)):
        other = edge + step
        if not 0 <= other < len(along):
            ends.append(float(along[edge]))
            continue
        share = margin[edge] / (margin[edge] - margin[other])
        ends.append(float(along[edge] + share * (along[other] - along[edge])))
    return ends


def interval_note(low: float, high: float) -> str:
    """Return the meaning of an infinite end of a threshold's interval; empty if both ends are finite."""
    if np.isfinite(high):
        return ""
    return NOT_WITHIN if np.isinf(low) else f"the interval has no upper end: '{NOT_WITHIN}' is not ruled out"


@dataclass(frozen=True)
class _Curve:
    """The change of a gap at γ = 0 (none) and at each dose, with the components of its variance at any γ
    between.

    `middle` is the centre of the interval (see `contrast`), `influence` of shape (γ, seeds, clusters) the
    influence of each cluster, `members` the clusters of each stratum.
    """

    value: np.ndarray
    middle: np.ndarray
    arms: Arms
    influence: np.ndarray
    members: list[np.ndarray]
    dyads: resample.Dyads | None

    @classmethod
    def of(
        cls,
        doses: Sequence[float],
        tables: np.ndarray,
        averaged: np.ndarray,
        arms: Arms,
        dyads: resample.Dyads | None = None,
    ) -> _Curve:
        more = _pseudo(averaged)
        seeds = tables.shape[1]
        whole = np.concatenate(
            [tables, np.broadcast_to(more[:, None], (len(doses), seeds, *more.shape[1:]))], axis=2
        )
        influence = np.zeros((len(doses) + 1, seeds, whole.shape[2]))
        influence[1:] = [[resample.influences(own) for own in dose] for dose in whole]
        members = resample.strata(whole.sum((0, 1)))
        value = np.array([0.0, *(resample.estimate(own) for own in averaged)])
        middle = np.array(
            [0.0, *(resample.estimate(np.concatenate(both)) for both in zip(averaged, more, strict=True))]
        )
        return cls(value, middle, arms, influence, members, dyads and dyads.padded(more.shape[1]))

    def _variances(self, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Return, for each row of `weights` (places, γ), the variances of items and of seeds with their
        degrees of freedom.
        """
        parts = [
            resample.covariance(np.einsum("d,dsi->si", w, self.influence), self.members, self.dyads)
            for w in weights
        ]
        items, freedom = (
            np.array([seeds_t.shared_variance(v) for v, _ in parts]),
            np.array([f for _, f in parts]),
        )
        spread, known = self.arms.spread(weights[:, 1:])
        return items, spread, freedom, known

    def ends(self, weights: np.ndarray, tail: float) -> tuple[np.ndarray, np.ndarray]:
        """Return the ends of the interval with probability `tail` on each side, for each row of `weights`.

        Both are 0 at γ = 0. They are `UNKNOWN` away from the value if nothing varies by chance.
        """
        half = seeds_t.half_width(*self._variances(weights), 1 - 2 * tail)
        half = np.where(weights[:, 0] == 1, 0.0, np.where(np.isnan(half), UNKNOWN, half))
        value, middle = weights @ self.value, weights @ self.middle
        return np.minimum(value, middle - half), np.maximum(value, middle + half)

    def margin(
        self, number: int, along: np.ndarray, budget: float, smaller: float, larger: float
    ) -> np.ndarray:
        """Return how far the interval extends over +budget or −budget, at places `along` the line to dose
        `number`.

        Below 0, neither is in the interval. `smaller` is the tail for showing that the change is smaller than
        the budget, `larger` the tail for showing that it is larger.
        """
        weights = np.zeros((len(along), len(self.value)))
        weights[:, number - 1], weights[:, number] = 1 - along, along
        (low, high), (inner_low, inner_high) = self.ends(weights, smaller), self.ends(weights, larger)
        up, down = (
            np.minimum(high - budget, budget - inner_low),
            np.minimum(-low - budget, budget + inner_high),
        )
        return np.maximum(up, down)

    def beyond(self, budget: float) -> np.ndarray:
        """Return, for each dose, the p of the hypothesis that the change is within ±budget (Hodges and
        Lehmann 1954).

        It is the probability of changes as large as the observed one if the true change is at the budget. It
        is 1 if nothing varies by chance, because nothing is shown then.
        """
        variances, size = self._variances(np.eye(len(self.value))[1:]), np.abs(self.middle[1:])
        both = [seeds_t.p_value(np.maximum(size + way * budget, 0.0), *variances) for way in (-1, 1)]
        p: np.ndarray = np.where((size > budget) & np.isfinite(both[0]), sum(both) / 2, 1.0)
        return p


def _pseudo(averaged: np.ndarray) -> np.ndarray:
    """Return the pseudo-clusters of each dose (`resample.padded`), of shape (doses, clusters, 4).

    Those of one stratum have the same place at all doses; they are empty where a dose needs none.
    """
    tables = []
    for own in resample.strata(averaged.sum(0)):
        rows = [
            resample.padded(dose[own][dose[own][:, [1, 3]].sum(1) > 0], pseudo_outcomes(True))
            for dose in averaged
        ]
        if any(map(len, rows)):
            tables.append(np.array([r if len(r) else np.zeros((2, 4)) for r in rows]))
    return np.concatenate(tables, axis=1) if tables else np.zeros((len(averaged), 0, 4))


def _interpolated_crossing(
    doses: Sequence[float], changes: Sequence[float] | np.ndarray, budget: float, missing: Sequence[float]
) -> float:
    at, level = 0.0, 0.0
    for dose, change in zip(doses, map(abs, changes), strict=True):
        if change > budget:
            if any(at < m < dose for m in missing):
                return float("nan")
            return float(at + (dose - at) * (budget - level) / (change - level))
        at, level = dose, change
    return float("nan" if missing else "inf")
