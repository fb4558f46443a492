"""Variance and resampling over clusters for a difference of two group means.

All statistics here are g = mean(first group) − mean(second group) over rows that belong to clusters (an
item, or a pair of candidates). A cluster is represented by four numbers: sum and count of its rows in each
group. A bootstrap of B resamples is therefore one matrix product of (B, clusters) counts with (clusters, 4).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy.special import stdtr, stdtrit

from probate.core.records import MEMBER

Array = np.ndarray


def estimate(table: Array) -> float:
    """Return g of a table of shape (clusters, 4) with the columns sum0, n0, sum1, n1."""
    total = table.sum(0)
    return float(mean_difference(total))


def mean_difference(total: Array) -> Array:
    """Return g of totals with sum0, n0, sum1, n1 in the last axis.

    Without rows of side 1, g is the mean of side 0. A caller that compares two groups must ensure that both
    have rows (`contrast` does).
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        first = np.where(total[..., 1] > 0, total[..., 0] / total[..., 1], np.nan)
        second = np.where(total[..., 3] > 0, total[..., 2] / total[..., 3], 0.0)
    return first - second


@lru_cache(maxsize=16)
def draw_counts(size: int, resamples: int, seed: int) -> Array:
    """Return how often each of `size` clusters is drawn in each resample, of shape (resamples, size)."""
    rng = np.random.default_rng([seed, size])
    return rng.multinomial(size, np.full(size, 1 / size), size=resamples).astype(np.float32)


def strata(table: Array) -> list[Array]:
    """Return the indices of clusters by the groups that they hold. Each stratum is resampled separately."""
    kind = (table[:, 1] > 0) * 2 + (table[:, 3] > 0)
    return [np.flatnonzero(kind == k) for k in np.unique(kind)]


FEW = 4
"""Minimum number of clusters that differ from the most common outcome. A share with fewer gets two
pseudo-clusters: one success, one failure.
"""


def influences(table: Array) -> Array:
    """Return the influence of each cluster on g.

    It is u = a₀ − a₁ with aₖ = (sₖ − mₖnₖ) / Nₖ√(1 − nₖ/Nₖ), where m and N are the
    means and counts of the sides. The root corrects for the pull of a cluster on its own mean (CR2: Bell and
    McCaffrey 2002). The result is NaN if one cluster is all of a side.

    Parameters
    ----------
    table : array of shape (..., clusters, 4)
        Sums and counts, see `cluster_table`.

    Returns
    -------
    array of shape (..., clusters)
    """
    total = table.sum(-2, keepdims=True)
    parts = []
    for s, n in ((0, 1), (2, 3)):
        count = np.maximum(total[..., n], 1.0)
        left = 1 - table[..., n] / count
        with np.errstate(invalid="ignore", divide="ignore"):
            drawn = np.where(left > 1e-12, 1 / np.sqrt(np.maximum(left, 0)), np.nan)
        own = (table[..., s] - total[..., s] / count * table[..., n]) / count
        parts.append(np.where(table[..., n] > 0, own * drawn, 0.0))
    return parts[0] - parts[1]


@dataclass(frozen=True)
class Dyads:
    """The members of each cluster, for designs in which clusters share members.

    `kinds` holds an incidence matrix (members, clusters) for each kind of member (by the group that it stands
    for); `sets` holds one of the sets of members of a cluster (sets, clusters).
    """

    kinds: list[Array]
    sets: Array

    @classmethod
    def of(cls, items: Sequence[str], sides: Sequence[int], clusters: Sequence[str]) -> Dyads | None:
        """Read members from item ids. Return None if no id names members, or if a kind has fewer than two
        members.

        The item `…@@A@@B#0` is the row of A, `#1` that of B.

        Parameters
        ----------
        items : sequence of str
            Ids of the items.
        sides : sequence of int
            The group of each item.
        clusters : sequence of str
            The clusters, in order.
        """
        place = {c: i for i, c in enumerate(clusters)}
        side_of: dict[str, int] = {}
        for item, side in zip(items, sides, strict=True):
            cluster, _, number = item.partition("#")
            own = cluster.split(MEMBER)[1:]
            if own and number.isdecimal() and int(number) < len(own):
                side_of.setdefault(own[int(number)], int(side))
        members = {
            c: own for c in clusters for own in [c.split(MEMBER)[1:]] if any(m in side_of for m in own)
        }
        if not members:
            return None
        kinds: dict[int, dict[str, int]] = {}
        for own in members.values():
            for m in own:
                kind = kinds.setdefault(side_of.get(m, -1), {})
                kind.setdefault(m, len(kind))
        sets: dict[frozenset[str], int] = {}
        for own in members.values():
            sets.setdefault(frozenset(own), len(sets))
        if min(map(len, kinds.values())) < 2:
            return None
        incidence = {kind: np.zeros((len(own), len(clusters))) for kind, own in kinds.items()}
        together = np.zeros((len(sets), len(clusters)))
        for c, own in members.items():
            together[sets[frozenset(own)], place[c]] = 1
            for m in own:
                side = side_of.get(m, -1)
                incidence[side][kinds[side][m], place[c]] = 1
        return cls(list(incidence.values()), together)

    def covariance(self, influence: Array) -> tuple[Array, list[tuple[Array, int]]]:
        """Return the covariance of `resample.covariance` for clusters that share members, and its parts.

        Clusters with a common member may be dependent (Aronow, Samii and Assenova 2015). The covariance is
        the sum of squares over members, minus that over sets of members, which would count twice. The parts
        are those of each kind of member, with their degrees of freedom.
        """
        parts = []
        for incidence in self.kinds:
            own = influence @ incidence.T
            parts.append((own @ own.T * len(incidence) / (len(incidence) - 1), len(incidence) - 1))
        both = influence @ self.sets.T
        return np.asarray(sum(v for v, _ in parts) - both @ both.T), parts

    def padded(self, more: int) -> Dyads:
        """Return the members with `more` clusters that have no member."""
        return Dyads(
            [np.pad(own, ((0, 0), (0, more))) for own in self.kinds], np.pad(self.sets, ((0, 0), (0, more)))
        )


def covariance(influence: Array, members: list[Array], dyads: Dyads | None = None) -> tuple[Array, float]:
    """Return the covariance of estimates on the same clusters, and the degrees of freedom of their mean's
    variance.

    The covariance is summed over strata; the degrees of freedom are Satterthwaite's. For one estimate with
    one row in each cluster and two strata, it is Welch's s₀²/n₀ + s₁²/n₁; with pairs, the variance
    of their differences over their number. A mixed design, such as a few pairs among single items, is
    weighted as it is.

    Parameters
    ----------
    influence : array of shape (estimates, clusters)
        Influences, see `influences`.
    members : list of array
        The clusters of each stratum.
    dyads : Dyads, optional
        The members of the clusters. Their covariance is used if it makes the variance of the mean larger.

    Returns
    -------
    tuple of (array of shape (estimates, estimates), float)
        NaN if a side has a single cluster. The degrees of freedom are NaN if nothing varies.
    """
    parts = [influence[:, own] @ influence[:, own].T for own in members]
    ofmean = np.array([part.mean() for part in parts])
    below = sum(v**2 / max(1, len(own) - 1) for v, own in zip(ofmean, members, strict=True))
    plain, freedom = (
        np.asarray(sum(parts)),
        float(ofmean.sum() ** 2 / below) if below > 1e-48 else float("nan"),
    )
    if dyads is None:
        return plain, freedom
    dyadic, kinds = dyads.covariance(influence)
    if not dyadic.mean() > plain.mean():
        return plain, freedom
    below = sum(v.mean() ** 2 / f for v, f in kinds)
    return dyadic, float(dyadic.mean() ** 2 / below)


def padded(table: Array, pseudo: tuple[Array, Array] | None) -> Array:
    """Return the pseudo-clusters that a table of a share needs, of shape (pseudo-clusters, 4).

    Each stratum with few clusters that differ from its most common outcome gets two: one success, one failure
    (after Agresti and Caffo 2000; Agresti and Min 2005). `pseudo` holds the lowest and the highest (value in
    side 0, value in side 1) of the share.
    """
    rows = [row for own in strata(table) for row in _pseudo(table[own], pseudo)] if pseudo is not None else []
    return np.array(rows).reshape(-1, 4)


def welch(
    table: Array, pseudo: tuple[Array, Array] | None = None, dyads: Dyads | None = None
) -> tuple[Callable[[float], tuple[float, float]], float, bool]:
    """Compute Welch's t interval of g at any confidence, with p by inversion.

    The degrees of freedom are Satterthwaite's over the strata.

    Parameters
    ----------
    table : array of shape (clusters, 4)
        Sums and counts, see `cluster_table`.
    pseudo : tuple of array, optional
        See `padded`. The interval is then extended to hold g.
    dyads : Dyads, optional
        See `covariance`.

    Returns
    -------
    tuple of (callable, float, bool)
        Confidence → (low, high); the two-sided p of g = 0; whether pseudo-clusters were added. NaN if
        nothing varies.
    """
    point, more = estimate(table), padded(table, pseudo)
    table = np.concatenate([table, more])
    variances, freedom = covariance(influences(table)[None], strata(table), dyads and dyads.padded(len(more)))
    variance = float(variances[0, 0])
    if not variance > 1e-24:
        return _nowhere, float("nan"), len(more) > 0
    middle, error = estimate(table), np.sqrt(variance)

    def ends(confidence: float) -> tuple[float, float]:
        half = stdtrit(freedom, 0.5 + confidence / 2) * error
        return float(min(point, middle - half)), float(max(point, middle + half))

    return ends, float(stretched_p(point, middle, error, freedom)), len(more) > 0


def stretched_p(
    point: Array | float, middle: Array | float, error: Array | float, freedom: Array | float
) -> Array:
    """Return p of a t interval about `middle` extended to hold `point`: 1 if 0 lies between the two."""
    return np.where(
        np.sign(point) * np.sign(middle) > 0,
        2 * stdtr(freedom, -np.abs(middle) / error),
        1.0,
    )


def _nowhere(confidence: float) -> tuple[float, float]:
    return float("nan"), float("nan")


def _pseudo(rows: Array, ends: tuple[Array, Array]) -> list[Array]:
    """Return two rows for a stratum with almost no variation, else none."""
    _, counts = np.unique(rows.round(9), axis=0, return_counts=True)
    if len(rows) - counts.max() >= FEW:
        return []
    seen = (rows[0, [1, 3]] > 0).astype(float)
    return [np.array([end[0] * seen[0], seen[0], end[1] * seen[1], seen[1]]) for end in ends]
