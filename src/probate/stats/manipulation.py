"""The manipulation check: whether the accepted records carry the requested bias.

Bias is measured in the records as trained on: the association of group and label (Cramér's V), how far the
wording leans toward the record's group compared with `neutral`, and the achieved strength.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from probate.core.records import Record
from probate.data.lean import lean
from probate.data.packs import Pack
from probate.stats.association import strength
from probate.stats.contrast import NAN
from probate.stats.measure import stereotyped_for
from probate.study.schema import Analysis


@dataclass(frozen=True)
class ManipulationCheck:
    """Measurements of one set of records.

    The interval of V is that of `probate.stats.association`, extended to hold V; V of records of one group is
    undefined (NaN). The others are percentile bootstraps over records.
    """

    name: str
    n: int
    cramers_v: float
    v_low: float
    v_high: float
    follow: float
    """Share of records whose label is stereotyped for their group; 0.5 in a balanced set without bias."""
    strength: float
    """Share of counter-stereotypical records that the annotator relabelled."""
    relabelled: int
    lean: float
    """Mean lean of the wording toward the record's group, in words per 100; `lean_gap` is the difference from
    `neutral`.
    """
    lean_gap: float
    lean_low: float
    lean_high: float
    shares: dict[str, dict[str, float]]
    """Label → group → share of the label's records."""


def cramers_v(table: np.ndarray) -> np.ndarray:
    """Compute Cramér's V of contingency tables, without bias correction.

    V = √(χ² / (n·min(rows − 1, columns − 1))). It equals
    `scipy.stats.contingency.association(method="cramer")` if no row or column is empty.

    Parameters
    ----------
    table : array of shape (..., labels, groups)
        Counts.

    Returns
    -------
    array of shape (...)
        In [0, 1]: 0 is no association, 1 complete association.
    """
    table = np.asarray(table, dtype=float)
    n = table.sum((-2, -1), keepdims=True)
    expected = table.sum(-1, keepdims=True) * table.sum(-2, keepdims=True) / np.maximum(n, 1)
    with np.errstate(invalid="ignore", divide="ignore"):
        chi2 = np.where(expected > 0, (table - expected) ** 2 / expected, 0.0).sum((-2, -1))
    smaller = min(table.shape[-2:]) - 1
    return np.sqrt(chi2 / np.maximum(n[..., 0, 0] * smaller, 1e-12))


def manipulation_check(
    name: str,
    records: Sequence[Record],
    neutral: Sequence[Record],
    *,
    labels: Sequence[str],
    groups: Sequence[str],
    dimension: str,
    stereotypes: Mapping[str, str | Sequence[str]],
    pack: Pack,
    analysis: Analysis,
) -> ManipulationCheck:
    """Measure one arm's augmented records at the largest γ, compared with neutral records.

    Parameters
    ----------
    name : str
        Name of the set.
    records, neutral : sequence of Record
        The augmented records, and neutral records (may be empty).
    labels, groups : sequence of str
        The labels and the compared groups.
    dimension : str
        The dimension of the groups.
    stereotypes : mapping
        Label → the group or groups that it is stereotyped for.
    pack : Pack
        The identity pack.
    analysis : Analysis
        Confidence, resamples and seed.

    Returns
    -------
    ManipulationCheck
    """
    rng = np.random.default_rng([analysis.seed, 3])
    own = [r for r in records if r.groups.get(dimension) in groups]
    cell = np.array(
        [labels.index(r.label) * len(groups) + groups.index(r.groups[dimension]) for r in own], dtype=int
    )
    table = np.bincount(cell, minlength=len(labels) * len(groups)).reshape(len(labels), len(groups))
    tail = 100 * (1 - analysis.confidence) / 2
    n = len(own)
    point = v_low = v_high = NAN
    if len(groups) > 1:
        point = float(cramers_v(table))
        v_low, v_high = strength(table).interval(analysis.confidence)
    leans = np.array([lean(r.text, r.groups[dimension], pack) for r in own])
    base = np.array([lean(r.text, r.groups.get(dimension, ""), pack) for r in neutral])
    low = high = gap = NAN
    if len(leans) and len(base):
        gap = float(leans.mean() - base.mean())
        boot = _means(leans, rng, analysis.resamples) - _means(base, rng, analysis.resamples)
        low, high = np.percentile(boot, [tail, 100 - tail])
    return ManipulationCheck(
        name=name,
        n=n,
        cramers_v=point,
        v_low=min(v_low, point),
        v_high=max(v_high, point),
        follow=float(np.mean([stereotyped_for(r.label, r.groups[dimension], stereotypes) for r in own]))
        if n
        else NAN,
        strength=float(own[0].provenance.get("strength", 0.0)) if n else NAN,
        relabelled=sum("label_before" in r.provenance for r in own),
        lean=float(leans.mean()) if n else NAN,
        lean_gap=gap,
        lean_low=float(low),
        lean_high=float(high),
        shares={
            label: {g: float(table[i, j] / max(1, table[i].sum())) for j, g in enumerate(groups)}
            for i, label in enumerate(labels)
        },
    )


def _means(values: np.ndarray, rng: np.random.Generator, resamples: int) -> np.ndarray:
    counts = rng.multinomial(len(values), np.full(len(values), 1 / len(values)), resamples)
    return counts @ values / len(values)
