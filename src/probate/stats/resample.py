"""Resampling over clusters: intervals and tests for a difference of two group means.

All statistics here are g = mean(first group) − mean(second group) over rows that belong to clusters (an item, or a
pair of candidates). A cluster enters by four numbers: sum and count of its rows in each group. So a bootstrap of B
resamples is one matrix product of (B, clusters) counts with (clusters, 4).
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
    """g of a (clusters, 4) table with columns sum0, n0, sum1, n1."""
    total = table.sum(0)
    return float(mean_difference(total))


def mean_difference(total: Array) -> Array:
    """g of totals with columns sum0, n0, sum1, n1 in the last axis. A table of one group has no side 1: g is then the mean of side 0.

    Whoever compares two groups sees to it that both have rows (`contrast` leaves out what lacks one).
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        first = np.where(total[..., 1] > 0, total[..., 0] / total[..., 1], np.nan)
        second = np.where(total[..., 3] > 0, total[..., 2] / total[..., 3], 0.0)
    return first - second


@lru_cache(maxsize=16)
def draw_counts(size: int, resamples: int, seed: int) -> Array:
    """How often each of `size` clusters is drawn, for each resample: (resamples, size)."""
    rng = np.random.default_rng([seed, size])
    return rng.multinomial(size, np.full(size, 1 / size), size=resamples).astype(np.float32)


def strata(table: Array) -> list[Array]:
    """Indices of clusters by which groups they hold; each kind is resampled by itself."""
    kind = (table[:, 1] > 0) * 2 + (table[:, 3] > 0)
    return [np.flatnonzero(kind == k) for k in np.unique(kind)]


FEW = 4
"""A share of which fewer clusters than this differ from the commonest outcome gets two pseudo-clusters: one success, one failure."""


def influences(table: Array) -> Array:
    """What each cluster adds to g: u = a₀ − a₁, aₖ = (sₖ − mₖnₖ) / Nₖ√(1 − nₖ/Nₖ), with the sides' means m and counts N.

    The root makes up for what a cluster has drawn the mean toward itself (CR2: Bell and McCaffrey 2002). NaN where one cluster is all of a side.
    """
    total = table.sum(0)
    parts = []
    for s, n in ((0, 1), (2, 3)):
        count = max(total[n], 1.0)
        left = 1 - table[:, n] / count
        with np.errstate(invalid="ignore", divide="ignore"):
            drawn = np.where(left > 1e-12, 1 / np.sqrt(np.maximum(left, 0)), np.nan)
        own = (table[:, s] - total[s] / count * table[:, n]) / count
        parts.append(np.where(table[:, n] > 0, own * drawn, 0.0))
    return parts[0] - parts[1]


@dataclass(frozen=True)
class Dyads:
    """Who takes part in which cluster: for each kind of member (by the group that it stands for) an incidence matrix (members, clusters), and one of the sets
    of members that a cluster has (sets, clusters)."""

    kinds: list[Array]
    sets: Array

    @classmethod
    def of(cls, items: Sequence[str], sides: Sequence[int], clusters: Sequence[str]) -> Dyads | None:
        """From the ids of items, the group of each, and the clusters in order; None where no id names members, or a kind has fewer than two.

        The item `…@@A@@B#0` is A's row, `#1` is B's.
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
        found = {kind: np.zeros((len(own), len(clusters))) for kind, own in kinds.items()}
        together = np.zeros((len(sets), len(clusters)))
        for c, own in members.items():
            together[sets[frozenset(own)], place[c]] = 1
            for m in own:
                side = side_of.get(m, -1)
                found[side][kinds[side][m], place[c]] = 1
        return cls(list(found.values()), together)

    def covariance(self, influence: Array) -> tuple[Array, list[tuple[Array, int]]]:
        """As `resample.covariance`, where clusters with a member in common may go together (Aronow, Samii and Assenova 2015): the squares of each member's sum,
        less those of each set's, which would count twice; and the parts of each kind of member with their degrees of freedom."""
        parts = []
        for incidence in self.kinds:
            own = influence @ incidence.T
            parts.append((own @ own.T * len(incidence) / (len(incidence) - 1), len(incidence) - 1))
        both = influence @ self.sets.T
        return np.asarray(sum(v for v, _ in parts) - both @ both.T), parts

    def padded(self, more: int) -> Dyads:
        """With `more` clusters of nobody."""
        return Dyads(
            [np.pad(own, ((0, 0), (0, more))) for own in self.kinds], np.pad(self.sets, ((0, 0), (0, more)))
        )


def covariance(influence: Array, members: list[Array], dyads: Dyads | None = None) -> tuple[Array, float]:
    """Covariance of estimates on the same clusters, summed over strata, and Satterthwaite's degrees of freedom of their mean's variance.

    `dyads`: who takes part in the clusters; their covariance counts where it makes the variance of the mean larger.

    `influence`: (estimates, clusters), by `influences`. With one estimate, one row a cluster and two strata it is Welch's s₀²/n₀ + s₁²/n₁, with pairs
    the variance of their differences over their number; a design between the two, such as a few pairs among single items, is weighed as it is.
    NaN where a side has a single cluster; no degrees of freedom (NaN) where nothing varies.
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
    found, kinds = dyads.covariance(influence)
    if not found.mean() > plain.mean():
        return plain, freedom
    below = sum(v.mean() ** 2 / f for v, f in kinds)
    return found, float(found.mean() ** 2 / below)


def padded(table: Array, pseudo: tuple[Array, Array] | None) -> Array:
    """The pseudo-clusters that a share's table needs: two for each stratum with hardly another outcome than its commonest; else none, (0, 4).

    `pseudo`: the lowest and the highest (value in side 0, value in side 1) that the share can have; one cluster of each is added (after Agresti and
    Caffo 2000; Agresti and Min 2005).
    """
    rows = [row for own in strata(table) for row in _pseudo(table[own], pseudo)] if pseudo is not None else []
    return np.array(rows).reshape(-1, 4)


def welch(
    table: Array, pseudo: tuple[Array, Array] | None = None, dyads: Dyads | None = None
) -> tuple[Callable[[float], tuple[float, float]], float, bool]:
    """Student's t interval of g at any confidence, with Welch's variance and Satterthwaite's degrees of freedom over the strata; its inversion, p of
    g = 0; and whether pseudo-clusters were added.

    `pseudo`: see `padded`; the interval is then stretched to hold g. `dyads`: see `covariance`. NaN where nothing varies.
    """
    point, more = estimate(table), padded(table, pseudo)
    table = np.concatenate([table, more])
    found, freedom = covariance(influences(table)[None], strata(table), dyads and dyads.padded(len(more)))
    variance = float(found[0, 0])
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
    """p of the t interval about `middle` that is stretched to hold `point`: 1 where 0 lies between the two."""
    return np.where(
        np.sign(point) * np.sign(middle) > 0,
        2 * stdtr(freedom, -np.abs(middle) / error),
        1.0,
    )


def _nowhere(confidence: float) -> tuple[float, float]:
    return float("nan"), float("nan")


def _pseudo(rows: Array, ends: tuple[Array, Array]) -> list[Array]:
    """Two rows for a stratum whose clusters hardly differ, else none."""
    _, counts = np.unique(rows.round(9), axis=0, return_counts=True)
    if len(rows) - counts.max() >= FEW:
        return []
    seen = (rows[0, [1, 3]] > 0).astype(float)
    return [np.array([end[0] * seen[0], seen[0], end[1] * seen[1], seen[1]]) for end in ends]
