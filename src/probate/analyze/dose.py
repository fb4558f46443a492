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
from typing import Any

import numpy as np
import pandas as pd

from probate.analyze import resample
from probate.analyze.contrast import EMPTY, Estimate, cluster_table, contrast
from probate.study import Analysis

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
    weights = {(r, side): sign * dose[r] / total for r in ratios for side, sign in (("own", 1.0), ("reference", -1.0))}
    seeds = sorted(set.intersection(*(set(curve[r]) & set(reference[r]) for r in ratios)))
    frames = []
    for seed in seeds:
        parts = {(r, "own"): curve[r][seed] for r in ratios} | {(r, "reference"): reference[r][seed] for r in ratios}
        frames.append(combined(parts, weights))
    return contrast(frames, analysis, paired=True, share=False)


def combined(frames: Mapping[Any, pd.DataFrame], weights: Mapping[Any, float]) -> pd.DataFrame:
    """Σ weight × value of each item and side that all frames have."""
    parts = [f.assign(value=f["value"] * weights[key]) for key, f in frames.items()]
    whole = pd.concat(parts).groupby(["item_id", "side"], sort=False)["value"].agg(["sum", "count"]).reset_index()
    whole = whole[whole["count"] == len(parts)]
    return whole.rename(columns={"sum": "value"})[["item_id", "side", "value"]]


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
    weights = {(r, own): way * side for r, way in ((low, -1.0), (high, 1.0)) for own, side in (("own", 1.0), ("other", -1.0))}
    frames = [
        combined({(r, own): (curve if own == "own" else reference)[r][s] for r in doses for own in ("own", "other")}, weights)
        for s in seeds
    ]
    return contrast(frames, analysis, paired=True, share=False)


def shape(steps: Sequence[tuple[float, float]], alpha: float = 0.05) -> str:
    """Of (change, adjusted p) of each step: `rises` or `falls` if the sure ones go one way, `turns` if they go both ways, `flat` if none is sure."""
    signs = {float(np.sign(change)) for change, p in steps if p < alpha}
    return {frozenset(): "flat", frozenset({1.0}): "rises", frozenset({-1.0}): "falls"}.get(frozenset(signs), "turns")


@dataclass(frozen=True)
class Threshold:
    """The lowest γ at which the change of the gap against the reference is larger than the budget, with its interval.

    inf: not reached up to the highest dose. NaN: it lies, or may lie, across a dose that failed; or a group has no value in common.
    """

    budget: float
    ratio: float
    low: float
    high: float


def threshold(curve: Curve, reference: Curve, planned: Sequence[float], budget: float, analysis: Analysis) -> Threshold:
    """Where |change of the gap against the reference| crosses `budget`, linear between doses, from no change at γ = 0.

    Percentile interval over resamples of items (the same ones at all doses) and of seeds.
    """
    doses = sorted(r for r in curve if r > 0 and r in reference)
    changes = [
        [combined({1: curve[r][s], 0: reference[r][s]}, {1: 1.0, 0: -1.0}) for s in sorted(set(curve[r]) & set(reference[r]))]
        for r in doses
    ]
    seeds = min((len(own) for own in changes), default=0)
    if not seeds:
        return Threshold(budget, *[float("nan")] * 3)
    rows = [[f.set_index(["item_id", "side"])["value"] for f in own[:seeds]] for own in changes]
    common = sorted(set.intersection(*(set(f.index) for own in rows for f in own)))
    if {side for _, side in common} != {0, 1}:
        return Threshold(budget, *[float("nan")] * 3)
    index = pd.MultiIndex.from_tuples(common, names=["item_id", "side"]).to_frame(index=False)
    tables = np.array([[cluster_table(index.assign(value=f.loc[common].to_numpy())) for f in own] for own in rows])
    draws = min(analysis.resamples, 2000)
    counts = np.zeros((draws, tables.shape[2]))
    for number, members in enumerate(resample.strata(tables[0, 0])):
        counts[:, members] = resample.draw_counts(len(members), draws, analysis.seed + number)
    picked = np.random.default_rng(analysis.seed).multinomial(seeds, np.full(seeds, 1 / seeds), draws)
    totals = np.einsum("dsbk,bs->bdk", counts @ tables, picked)
    missing = [p for p in planned if p > 0 and p not in doses]
    crossings = np.sort(
        [_crossing(doses, row, budget, missing) for row in resample.difference(totals)]
    )  # NaN counts as not reached
    tail = (1 - analysis.confidence) / 2
    low, high = (float(crossings[min(draws - 1, int(q * draws))]) for q in (tail, 1 - tail))
    point = _crossing(doses, resample.difference(tables.sum((1, 2))), budget, missing)
    return Threshold(budget, point, *(float("inf") if np.isnan(v) else v for v in (low, high)))


def _crossing(doses: Sequence[float], changes: np.ndarray, budget: float, missing: Sequence[float]) -> float:
    at, level = 0.0, 0.0
    for dose, change in zip(doses, map(abs, changes), strict=True):
        if change > budget:
            if any(at < m < dose for m in missing):
                return float("nan")
            return at + (dose - at) * (budget - level) / (change - level)
        at, level = dose, change
    return float("nan" if missing else "inf")
