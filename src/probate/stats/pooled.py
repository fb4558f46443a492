"""Pooled tests: one estimate and one test over all conditions of a study.

A condition is a bias type at one γ in one task. Conditions are not independent: those of one task have the
same items, those of one seed have the same D_o, nested augmented records and the same control. So they are
not treated as observations. The estimate is the mean of the effects of the conditions, with equal weights.
Its variance has the two parts of a single effect (see `probate.stats.seeds`):

- *items*: the influence of an item on the pooled estimate is the sum of its influences on the conditions.
  Their covariance over items therefore holds what conditions and tasks with the same items have in common;
- *seeds*: one number for each seed and each side of the comparison, which is the mean over all conditions.
  Its variance over seeds holds what the conditions of a seed have in common, whatever it is.

The unit is thus the item and the seed, as in a single effect. With one condition, the pooled effect is the
single effect.

Over several tasks, changes are divided by the standard deviation of an item, and a direction is needed
(`toward_control`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from scipy.special import stdtrit

from probate.core.records import MEMBER
from probate.stats import resample, seeds
from probate.stats.contrast import EMPTY, NAN, ROUNDING, Estimate, farther, over_seeds, pseudo_outcomes
from probate.study.schema import Analysis

Array = np.ndarray


@dataclass(frozen=True, eq=False)
class Layout:
    """The answers that the arms of a task have in common.

    Attributes
    ----------
    items : list of str
        Item id of each answer. Answers are ordered by cluster.
    sides : array of shape (answers,)
        Index of the group of each answer.
    names : list of str
        The clusters.
    cluster : array of shape (answers,)
        Index of the cluster of each answer, ascending.
    """

    items: list[str]
    sides: Array
    names: list[str]
    cluster: Array

    @cached_property
    def starts(self) -> Array:
        return np.flatnonzero(np.r_[True, np.diff(self.cluster) > 0])

    def sums(self, values: Array) -> tuple[Array, Array]:
        """Return sums and counts by cluster of values of shape (..., answers); NaN does not count."""
        present = np.isfinite(values)
        filled, counts = np.where(present, values, 0.0), present.astype(np.float64)
        if len(self.names) == len(self.items):
            return filled, counts
        return np.add.reduceat(filled, self.starts, axis=-1), np.add.reduceat(counts, self.starts, axis=-1)


@dataclass(frozen=True, eq=False)
class Piece:
    """A mean over conditions before its test, such as a task contributes it.

    Attributes
    ----------
    value, middle : float
        The estimate, and the centre of its interval (the estimate with pseudo-outcomes).
    parts : array of shape (2, seeds)
        Contribution of each side of the comparison under each seed.
    influence : array of shape (seeds, clusters + pseudo-clusters)
        Influence of each cluster.
    names : list of str
        The clusters.
    items : array of shape (seeds, seeds)
        Covariance of the seeds' estimates over clusters.
    freedom : float
        Degrees of freedom of `items`.
    top : float
        Largest possible size of the estimate.
    unit : str
        `item` or `pair`.
    how : str
        Words on the interval.
    """

    value: float
    middle: float
    parts: Array
    influence: Array
    names: list[str]
    items: Array
    freedom: float
    top: float = float("inf")
    unit: str = "item"
    how: str = ""


def piece_of(own: Array, reference: Array, layout: Layout, *, side: int | None, share: bool) -> Piece:
    """Return the mean over conditions of own − reference.

    Parameters
    ----------
    own, reference : array of shape (conditions, seeds, answers)
        Values of the two sides of the comparison; NaN without a usable answer. With `side`, an answer counts
        if both sides have it.
    layout : Layout
        The answers.
    side : int, optional
        The group that is compared with all others. None: the level of all answers is compared.
    share : bool
        Whether values lie in [0, 1].

    Returns
    -------
    Piece
    """
    whole = own - reference
    if side is None:
        tables, table = (
            _stacked(layout, a, b) for a, b in ((own, reference), map(_averaged, (own, reference)))
        )
        levels = np.nanmean(own, -1), -np.nanmean(reference, -1)
    else:
        first = layout.sides == side
        tables, table = (_split(layout, values, first) for values in (whole, _averaged(whole)))
        both = np.isfinite(whole)
        levels = _gap(own, both, first), -_gap(reference, both, first)
    held = (table[..., 1] + table[..., 3]).sum(0) > 0
    tables, table = tables[:, :, held], table[:, held]
    names = [name for name, here in zip(layout.names, held, strict=True) if here]
    mean = table.mean(0)
    more = resample.padded(mean, pseudo_outcomes(side is not None) if share else None)
    padded = np.concatenate([tables, np.broadcast_to(more, (*tables.shape[:2], *more.shape))], axis=2)
    influence = resample.influences(padded).mean(0)
    dyads = _dyads(layout, np.isfinite(whole).any((0, 1)), names, side)
    items, freedom = resample.covariance(
        influence, resample.strata(padded.sum((0, 1))), dyads and dyads.padded(len(more))
    )
    full = np.concatenate([table, np.broadcast_to(more, (len(table), *more.shape))], axis=1)
    pairs = 2 * ((mean[:, 1] > 0) & (mean[:, 3] > 0)).sum() > len(mean)
    return Piece(
        float(resample.mean_difference(table.sum(1)).mean()),
        float(resample.mean_difference(full.sum(1)).mean()),
        np.array([level.mean(0) for level in levels]),
        influence,
        names,
        items,
        freedom,
        (1.0 if side is None else 2.0) if share else float("inf"),
        "pair" if pairs else "item",
        (", members of several pairs counted once" if dyads else "")
        + (", a success and a failure added" if len(more) else ""),
    )


def _averaged(values: Array) -> Array:
    """Return the mean over seeds, (conditions, seeds, answers) → (conditions, answers)."""
    if values.shape[1] == 1:
        return values[:, 0]
    present = np.isfinite(values)
    counts = present.sum(1)
    return np.where(counts > 0, np.where(present, values, 0.0).sum(1) / np.maximum(counts, 1), np.nan)


def _stacked(layout: Layout, own: Array, reference: Array) -> Array:
    return np.stack([*layout.sums(own), *layout.sums(reference)], axis=-1)


def _split(layout: Layout, values: Array, first: Array) -> Array:
    return _stacked(layout, np.where(first, values, np.nan), np.where(first, np.nan, values))


def _gap(values: Array, both: Array, first: Array) -> Array:
    """Return the mean of the first group minus that of the others, (..., answers) → (...)."""
    means = []
    for group in (first, ~first):
        use = both & group
        means.append(np.where(use, values, 0.0).sum(-1) / np.maximum(use.sum(-1), 1))
    return means[0] - means[1]


def _dyads(layout: Layout, present: Array, names: list[str], side: int | None) -> resample.Dyads | None:
    if not any(MEMBER in name for name in names):
        return None
    own = np.flatnonzero(present)
    sides = np.zeros(len(own), dtype=int) if side is None else (layout.sides[own] != side).astype(int)
    return resample.Dyads.of([layout.items[i] for i in own], sides.tolist(), names)


def combined(pieces: Sequence[Piece], weights: Sequence[float] | Array) -> Piece:
    """Return the sum of pieces times weights. Clusters of the same name are the same.

    Parameters
    ----------
    pieces : sequence of Piece
        Pieces of the same seeds.
    weights : sequence of float
        One for each piece.

    Returns
    -------
    Piece
        The degrees of freedom of items are Satterthwaite's over the pieces.
    """
    names = list(dict.fromkeys(name for piece in pieces for name in piece.names))
    place = {name: i for i, name in enumerate(names)}
    count = pieces[0].parts.shape[1]
    named, pseudo, extra = np.zeros((count, len(names))), [], np.zeros((count, count))
    for piece, weight in zip(pieces, weights, strict=True):
        size = len(piece.names)
        named[:, [place[name] for name in piece.names]] += weight * piece.influence[:, :size]
        pseudo.append(weight * piece.influence[:, size:])
        # what clusters with common members have in common
        extra += weight**2 * (piece.items - piece.influence @ piece.influence.T)
    influence = np.concatenate([named, *pseudo], axis=1)
    variances = np.array([w**2 * p.items.mean() for p, w in zip(pieces, weights, strict=True)])
    below = sum(v**2 / p.freedom for v, p in zip(variances, pieces, strict=True) if v > 1e-24)
    units = {piece.unit for piece in pieces}
    return Piece(
        float(sum(w * p.value for p, w in zip(pieces, weights, strict=True))),
        float(sum(w * p.middle for p, w in zip(pieces, weights, strict=True))),
        np.sum([w * p.parts for p, w in zip(pieces, weights, strict=True)], axis=0),
        influence,
        names,
        influence @ influence.T + extra,
        float(variances.sum() ** 2 / below) if below else NAN,
        unit=units.pop() if len(units) == 1 else "item",
        how="".join(dict.fromkeys(piece.how for piece in pieces)),
    )


TEST = "t over items and seeds, mean over conditions"


def estimate(piece: Piece, analysis: Analysis) -> Estimate:
    """Return estimate, interval and test of a mean over conditions.

    Interval and p are by Cochran and Cox's t over items and seeds, as in a single effect. With one seed, the
    interval is over items only and there is no p.

    Parameters
    ----------
    piece : Piece
        The mean.
    analysis : Analysis
        Confidence and planned seeds.

    Returns
    -------
    Estimate
    """
    count, n = piece.parts.shape[1], len(piece.names)
    value = 0.0 if abs(piece.value) < ROUNDING else piece.value
    if count > 1:
        low, high, p, within = over_seeds(
            piece.value,
            seeds.shared_variance(piece.items),
            piece.parts,
            piece.freedom,
            analysis,
            middle=piece.middle,
        )
        test, unit = TEST, f"{piece.unit} and seed"
        interval = f"items and seeds, Cochran and Cox's t{piece.how}"
    else:
        error = float(np.sqrt(piece.items[0, 0]))

        def ends(confidence: float) -> tuple[float, float]:
            half = float(stdtrit(piece.freedom, 0.5 + confidence / 2) * error) if error > ROUNDING else NAN
            return min(piece.value, piece.middle - half), max(piece.value, piece.middle + half)

        (low, high), p, within = ends(analysis.confidence), NAN, farther(*ends(2 * analysis.confidence - 1))
        test, unit, interval = "none", piece.unit, f"t over items{piece.how}"
    if np.isnan(low):
        interval = "undefined (no variation)"
    low, high = (float(np.clip(end, -piece.top, piece.top)) for end in (low, high))
    return Estimate(value, low, high, p, n, count, test, interval, unit, within)


def toward_control(
    changes: Sequence[Piece], deviations: Sequence[Piece], scales: Sequence[float], analysis: Analysis
) -> Estimate:
    """Test whether a mitigation moves all tasks together closer to the control, or farther from it.

    Let b, m and c be the vectors of gaps of the unmitigated arms, the mitigated arms and the controls. Each
    is a mean over conditions, divided by the standard deviation of an item of its task. With the change
    D = b − m and the deviation A = (b + m)/2 − c,

        |b − c|² − |m − c|² = 2 A·D.

    The mitigation brings the gaps closer to the control if A·D > 0. The estimate is D·A/|A| (per task, as a
    root mean square): how far the arms move toward the control. It is in standard deviations of an item;
    positive is closer.

    The direction A/|A| is estimated. The direction of the inherited change b − c would not do: chance that
    raises b raises both b − c and b − m, and would look like a mitigation that works (regression to the
    mean). A and D have no chance in common if b and m vary equally (Oldham 1962). The claim also needs that
    arms and control differ along the change: otherwise, their order is not known. So it is tested twice, D
    along A and A along D, and both must reject (intersection-union test, Berger 1982). p is the larger one.
    Where A along D may be 0, the interval holds both directions, so interval and p agree.

    Parameters
    ----------
    changes, deviations : sequence of Piece
        D and A of each comparison. A task with two groups or a level has one comparison. One with more groups
        has several, which count as one.
    scales : sequence of float
        Weight of each comparison: 1 / (standard deviation of an item x √comparisons of the task x √tasks).
    analysis : Analysis
        Confidence and planned seeds.

    Returns
    -------
    Estimate
        Undefined if no arm differs from its control. 0 if A or D is exactly 0.
    """
    own = np.array([w * piece.value for w, piece in zip(scales, changes, strict=True)])
    away = np.array([w * piece.value for w, piece in zip(scales, deviations, strict=True)])
    sizes = [float(np.sqrt((v**2).sum())) for v in (own, away)]
    if not max(sizes) > ROUNDING:
        return replace(EMPTY, test="none", reason="all arms have the same gaps as their controls")
    along = away / sizes[1] if sizes[1] > ROUNDING else own / sizes[0]
    change = own / sizes[0] if sizes[0] > ROUNDING else along
    weights = np.asarray(scales)
    moved = estimate(combined(changes, weights * along), analysis)
    apart = estimate(combined(deviations, weights * change), analysis)
    sure = apart.low > 0 or apart.high < 0
    most = max(abs(moved.low), abs(moved.high))
    return replace(
        moved,
        value=moved.value if sizes[1] > ROUNDING else 0.0,
        low=moved.low if sure else -most,
        high=moved.high if sure else most,
        p=float(np.maximum(moved.p, apart.p)),
        test=f"{TEST}; both D along A and A along D",
        interval=moved.interval if sure else f"{moved.interval}, either direction",
    )
