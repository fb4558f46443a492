"""Dose and response: the slope of a change over γ or over the bias in the training data, and the γ at which a budget is spent.

The change of a gap gₖ against its reference rₖ at dose xₖ is fitted by a line through the origin, for no dose means no change:
κ = Σ xₖ (gₖ − rₖ) / Σ xₖ². That is a fixed linear combination of gaps. A gap is a difference of means over items, so κ is the gap of the
items' own combinations Σ wₖ (yᵢₖ − rᵢₖ) with wₖ = xₖ / Σ x², and everything that is known of one gap (interval, test, several seeds) holds for it:
items are the unit, and each is seen at every dose.
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
"""γ → seed → the measure's values (columns item_id, side, value)."""


def slope(curve: Curve, reference: Curve, dose: Mapping[float, float], analysis: Analysis) -> Estimate:
    """Change of the gap per unit of `dose` (γ → x), against the reference at the same γ.

    With x = γ it is the slope of the dose curve. With x = the difference in bias between the two arms' training data it is the inheritance
    coefficient: 1 where the model's gap changes as much as the data's, above 1 where it is amplified, below 0 where it is turned round, if
    both are in one unit. Seeds and items that one arm lacks are left out. `EMPTY` where no dose differs from 0.
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
    """Σ weight × value of each item and side that all frames have, by (γ, `OWN` or `REFERENCE`); a part for the biased arms together and one for their references.

    A seed moves the arms of all γ alike: the records at one γ are among those at a higher one. So their sum counts as one arm of each seed.
    """
    columns = {key: f.set_index(["item_id", "side"])["value"] * weights[key] for key, f in frames.items()}
    whole = pd.concat(columns.values(), axis=1, join="inner", keys=range(len(columns)), sort=False)
    place = {side: [i for i, key in enumerate(columns) if key[1] == side] for side in (OWN, REFERENCE)}
    parts = {f"{PART}{i}": whole[own].sum(axis=1) for i, own in enumerate(place.values())}
    return pd.DataFrame(parts).assign(value=whole.sum(axis=1)).reset_index()


@dataclass(frozen=True)
class Step:
    """How much more the gap has changed against its reference at the dose `high` than at `low`."""

    low: float
    high: float
    change: Estimate


def steps(curve: Curve, reference: Curve, planned: Sequence[float], analysis: Analysis) -> list[Step]:
    """From each planned dose to the next, starting without a change at γ = 0. None where one of the two failed: no step bridges a gap in the curve."""
    pairs = itertools.pairwise(sorted({0.0, *planned}))
    return [
        Step(low, high, step(curve, reference, low, high, analysis))
        for low, high in pairs
        if all(r in curve and r in reference for r in (low, high) if r > 0)
    ]


def step(curve: Curve, reference: Curve, low: float, high: float, analysis: Analysis) -> Estimate:
    """How much more the gap has changed against its reference at the dose `high` than at `low` (0: no change), over the seeds that all arms have."""
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
    """Of (change, adjusted p) of each step: `rises` or `falls` if the sure ones go one way, `turns` if they go both ways, `flat` if none is sure."""
    signs = {float(np.sign(change)) for change, p in steps if p < alpha}
    return {frozenset(): "flat", frozenset({1.0}): "rises", frozenset({-1.0}): "falls"}.get(
        frozenset(signs), "turns"
    )


NOT_WITHIN = "not within the γ studied"
"""What an infinite γ means, in words."""
ONE_SEED = "one training seed: how far the result moves from one training to the next is not known"
UNKNOWN = 1e6
"""Half of an interval of which nothing is known: seeds agree by chance, and items have nothing in common."""
GRID = 41
"""Points from one dose to the next at which the change is tested; between them the margin of the test is taken as linear."""


@dataclass(frozen=True)
class Threshold:
    """The lowest γ at which the change of the gap against its reference is larger than the budget, either way, and from which γ to which it may be.

    `inf` stands for `NOT_WITHIN`: as `ratio` the curve stays within the budget up to the highest dose, as `high` the data leave that open, as `low` they
    leave nothing else open. All three are NaN where there is no threshold, for `reason`, or because it lies, or may lie, across a dose that failed
    (`reason` is then empty), or because a group has no value in common.
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
    """Where |change of the gap against the reference| first crosses `budget`, linear between doses, from no change at γ = 0; see `passage`.

    Over the seeds that all doses have with values of both groups. Undefined with one of them: it says nothing of another training.
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
    """What seeds add to the variance of the changes: (parts, doses, doses), the covariance over doses of the biased arms' means over seeds, and of their references'."""

    covariance: np.ndarray
    seeds: int

    @classmethod
    def of(cls, parts: np.ndarray) -> Arms:
        """`parts`: (parts, doses, seeds), what the arms and their references add to each change. One reference for all doses stands there for each."""
        seeds = parts.shape[2]
        return cls(np.array([np.cov(own).reshape(len(own), len(own)) for own in parts]) / seeds, seeds)

    def spread(self, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Variance of weighted sums of the changes, and its degrees of freedom. `weights`: (sums, doses)."""
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
    """The γ at which the change passes `budget` for the first time, and all those at which the data do not rule that out (tests inverted).

    Args:
        doses: γ > 0 in rising order.
        tables: (doses, seeds, clusters, 4), the changes as `cluster_table` sums them; two seeds or more.
        averaged: (doses, clusters, 4), the same of the changes averaged over seeds by item.
        missing: planned γ without values; nothing is known from the dose before one to the dose after it.
        arms: what seeds add to the variance of the changes. Default: the changes are taken as of one arm.
        dyads: who takes part in the clusters, where several share a member.

    "It passes at γ for the first time" says of the signed change that it is +budget or −budget there and within the budget before. It is rejected with half of
    α where the change at γ is shown to be smaller than that, and with the other half where it is shown to be larger there or to have passed at a dose before;
    that half is shared equally by those tests (Bonferroni). "Not within the γ studied" says that no dose's change is beyond the budget, for a line between two
    doses is highest at one of them; it is rejected where one is shown to be, with α shared equally by the doses. Each test is `contrast`'s t over items and
    seeds. So the true γ, or that there is none, is ruled out in at most a share α of studies. The interval goes from the lowest γ that is left to
    the highest; the estimate is always left.
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
    """The first and the last place with a margin of at least 0; none where there is no such place."""
    inside = np.flatnonzero(margin >= 0)
    if not len(inside):
        return []
    found = []
    for edge, step in ((inside[0], -1), (inside[-1], 1)):
        other = edge + step
        if not 0 <= other < len(along):
            found.append(float(along[edge]))
            continue
        share = margin[edge] / (margin[edge] - margin[other])
        found.append(float(along[edge] + share * (along[other] - along[edge])))
    return found


def interval_note(low: float, high: float) -> str:
    """What an infinite end of a threshold's interval means, in words; empty where both are finite."""
    if np.isfinite(high):
        return ""
    return NOT_WITHIN if np.isinf(low) else f"the interval has no upper end: '{NOT_WITHIN}' is not ruled out"


@dataclass(frozen=True)
class _Curve:
    """The change of a gap at γ = 0, where there is none, and at each dose, with what its variance at any γ between is made of.

    `middle`: of the interval (`contrast`). `influence`: (γ, seeds, clusters), what each adds. `members`: the clusters of each stratum.
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
        """At each row of `weights` (places, γ): the variance of items, that of seeds, and the degrees of freedom of both."""
        found = [
            resample.covariance(np.einsum("d,dsi->si", w, self.influence), self.members, self.dyads)
            for w in weights
        ]
        items, freedom = (
            np.array([seeds_t.shared_variance(v) for v, _ in found]),
            np.array([f for _, f in found]),
        )
        spread, known = self.arms.spread(weights[:, 1:])
        return items, spread, freedom, known

    def ends(self, weights: np.ndarray, tail: float) -> tuple[np.ndarray, np.ndarray]:
        """Of the interval with `tail` on each side, at each row of `weights`; both 0 at γ = 0, and `UNKNOWN` away where nothing varies, by chance."""
        half = seeds_t.half_width(*self._variances(weights), 1 - 2 * tail)
        half = np.where(weights[:, 0] == 1, 0.0, np.where(np.isnan(half), UNKNOWN, half))
        value, middle = weights @ self.value, weights @ self.middle
        return np.minimum(value, middle - half), np.maximum(value, middle + half)

    def margin(
        self, number: int, along: np.ndarray, budget: float, smaller: float, larger: float
    ) -> np.ndarray:
        """How far the interval reaches over +budget or −budget, `along` the line to dose `number` from the one before it; below 0: neither is in it.

        `smaller`: the tail with which the change is shown to be smaller than the budget, `larger`: to be larger.
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
        """p of each dose's change being within ±budget: the share of changes as large as that found if the true one is at the budget (Hodges and Lehmann 1954).

        1 where nothing varies, by chance: nothing is then shown.
        """
        variances, size = self._variances(np.eye(len(self.value))[1:]), np.abs(self.middle[1:])
        both = [seeds_t.p_value(np.maximum(size + way * budget, 0.0), *variances) for way in (-1, 1)]
        found: np.ndarray = np.where((size > budget) & np.isfinite(both[0]), sum(both) / 2, 1.0)
        return found


def _pseudo(averaged: np.ndarray) -> np.ndarray:
    """The pseudo-clusters of each dose (`resample.padded`), (doses, clusters, 4): those of one stratum in one place at all doses, empty where a dose needs none."""
    found = []
    for own in resample.strata(averaged.sum(0)):
        rows = [
            resample.padded(dose[own][dose[own][:, [1, 3]].sum(1) > 0], pseudo_outcomes(True))
            for dose in averaged
        ]
        if any(map(len, rows)):
            found.append(np.array([r if len(r) else np.zeros((2, 4)) for r in rows]))
    return np.concatenate(found, axis=1) if found else np.zeros((len(averaged), 0, 4))


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
