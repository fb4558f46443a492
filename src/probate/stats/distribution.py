"""Two-sample tests and distances on embeddings of texts, x of shape (n, width) and y of shape (m, width).

Texts that share a source (an item, a parent, a pair) are similar and are not independent. Every test here
takes the source of each row, and permutes, holds out or sums whole sources. For a source with texts in both
samples, labels are exchanged within the source. Without sources, each row is its own source.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from scipy.sparse import csr_matrix
from scipy.spatial.distance import cdist
from scipy.special import expit, logit
from scipy.stats import rankdata
from scipy.stats import t as student

Array = np.ndarray
Sources = tuple[Sequence[Hashable], Sequence[Hashable]]
"""The source of each row of x and of each row of y. Equal values in both are one source."""
EXACT = 4000
"""Maximum number of points for which all pairwise kernels and distances are computed; above it, see
`fourier_mmd`.
"""
FEATURES = 512
BANDWIDTHS = (0.25, 0.5, 1.0, 2.0, 4.0)
CHUNK = 512
FOLDS = 5
FEWEST = 5
"""Minimum number of sources in each sample for a classifier test."""
A_FOLD = 4
"""Sources of each sample in a fold of the classifier test, if there are enough for more than two folds."""
ROWS = "each text could equally be from the other set"
WHOLE = "each source, with all its texts, could equally be from the other set"
WITHIN = "given its source, each text could equally be from the other set"
LAW = "a text has the same distribution in both sets, and sources are independent"
SCORES = (
    "a held-out text of one set scores above one of the other set as often as below, "
    "and sources are independent"
)


@dataclass(frozen=True)
class Distance:
    """A distance between two samples, with a one-sided p (large distances) under the null hypothesis `null`.

    Its expectation is 0 if both samples have the same distribution.
    """

    name: str
    value: float
    p: float
    method: str
    null: str = ROWS


@dataclass(frozen=True)
class Auc:
    """AUC of a classifier that separates the samples: 0.5 is no separation, 1 perfect separation.

    Interval and p come from one t statistic: p is below 1 − confidence if and only if the interval excludes
    0.5. `null` is the null hypothesis of p.
    """

    value: float
    low: float
    high: float
    p: float
    null: str = SCORES


class _Design:
    """The assignment of rows (x first) to sources.

    `codes` is the source of each row; `held` of shape (2, sources) counts the rows of x and of y in each
    source.
    """

    def __init__(self, n: int, m: int, sources: Sources | None = None) -> None:
        if sources is not None and (len(sources[0]), len(sources[1])) != (n, m):
            raise ValueError(
                f"sources must have one element for each row ({n} and {m}). "
                f"Got {len(sources[0])} and {len(sources[1])} instead"
            )
        self.n, self.m = n, m
        if sources is None:
            self.codes = np.arange(n + m)
        else:
            known: dict[Hashable, int] = {}
            self.codes = np.array([known.setdefault(s, len(known)) for side in sources for s in side])
        self.count = int(self.codes.max()) + 1
        self.held = np.stack(
            [np.bincount(part, minlength=self.count) for part in (self.codes[:n], self.codes[n:])]
        )

    @cached_property
    def crossed(self) -> Array:
        """Whether each source has rows in both samples."""
        return np.asarray(self.held.all(0))

    @property
    def counts(self) -> tuple[int, int, int]:
        """Number of sources of x, of y, and in both."""
        return int((self.held[0] > 0).sum()), int((self.held[1] > 0).sum()), int(self.crossed.sum())

    @property
    def fewest(self) -> int:
        """Number of sources of the sample that has fewer."""
        return min(self.counts[:2])

    @property
    def null(self) -> str:
        """The null hypothesis of the permutation of labels, in words."""
        alone = self.held[:, ~self.crossed].sum(0)
        parts = [WHOLE if (alone > 1).any() else ROWS] if len(alone) else []
        return "; ".join([*parts, *([WITHIN] if self.crossed.any() else [])])

    def sums(self, rows: Array) -> Array:
        """Return the sum of the rows of each source, of shape (sources, width)."""
        return np.asarray(self._places @ rows) if self.count < len(rows) else rows

    @cached_property
    def _places(self) -> Any:
        size = len(self.codes)
        return csr_matrix((np.ones(size), (self.codes, np.arange(size))), (self.count, size))


def mmd_and_energy(
    x: Array, y: Array, permutations: int = 10_000, seed: int = 0, sources: Sources | None = None
) -> list[Distance]:
    """Compute squared MMD and energy distance, with p from the same permutations.

    The squared MMD is the unbiased estimate (Gretton et al. 2012); the energy distance is that of Székely
    and Rizzo (2013). The kernel is a mean of Gaussians whose squared bandwidths are multiples (0.25 to 4) of
    the median squared distance. Pairs of rows of one source are left out. Labels of whole sources are
    permuted; within a source that is in both samples, labels of its rows are. If permuted sources differ in
    size, the statistic is divided by its expected size under the null, because one sample may have the larger
    sources.

    Parameters
    ----------
    x, y : array of shape (n, width) and (m, width)
        Embeddings.
    permutations : int
        Number of permutations.
    seed : int
        Seed of the permutations.
    sources : Sources, optional
        Default: each row is its own source.

    Returns
    -------
    list of Distance
        Squared MMD and energy distance; 0 in expectation for equal distributions, higher is farther apart.
        With more than `EXACT` points, only the MMD by `fourier_mmd`.

    Raises
    ------
    ValueError
        A sample has fewer than two sources.
    """
    design = _Design(len(x), len(y), sources)
    if design.fewest < 2:
        raise ValueError("a distance needs at least two sources in each sample")
    if len(x) + len(y) > EXACT:
        return [fourier_mmd(x, y, permutations, seed, sources=sources)]
    pooled = np.concatenate([x, y]).astype(np.float64)
    squared = cdist(pooled, pooled, "sqeuclidean")
    matrices = [_kernel(squared).astype(np.float32), -np.sqrt(squared, dtype=np.float32)]
    values, ps = _permuted(matrices, design, permutations, seed)
    method = f"{permutations:,} permutations"
    return [
        Distance("MMD²", values[0], ps[0], f"unbiased, five Gaussian kernels; {method}", design.null),
        Distance("energy distance", values[1], ps[1], method, design.null),
    ]


def _kernel(squared: Array) -> Array:
    middle = _middle(squared)
    return np.asarray(np.mean([np.exp(-squared / (2 * b * middle)) for b in BANDWIDTHS], axis=0))


def _middle(squared: Array) -> float:
    """Return the median of the squared distances between different points; 1 if all points are equal."""
    apart = squared[squared > 0]
    return float(np.median(apart)) if len(apart) else 1.0


class _Units:
    """The units of the permutation: whole sources of one sample, and single rows of sources that are in both.

    `of` is the unit of each row, `sizes` the number of rows of each unit, `block` the source within which a
    unit's label is exchanged (−1 for whole sources), `first` whether the unit belongs to x.
    """

    def __init__(self, design: _Design) -> None:
        inside = design.crossed[design.codes]
        keys = np.where(inside, design.count + np.arange(len(design.codes)), design.codes)
        _, place, self.of, self.sizes = np.unique(
            keys, return_index=True, return_inverse=True, return_counts=True
        )
        self.block = np.where(inside, design.codes, -1)[place]
        self.first = place < design.n

    def draws(self, count: int, rng: np.random.Generator) -> Array:
        """Return permuted labels of the units (1: x), of shape (count, units)."""
        z = np.empty((count, len(self.first)), dtype=np.float32)
        alone, rows = np.flatnonzero(self.block < 0), np.flatnonzero(self.block >= 0)
        z[:, alone] = rng.permuted(np.tile(self.first[alone].astype(np.float32), (count, 1)), axis=1)
        if len(rows):
            rows = rows[np.argsort(self.block[rows], kind="stable")]
            ranks = np.unique(self.block[rows], return_inverse=True)[1]
            order = (ranks + rng.random((count, len(rows)))).argsort(1)
            z[:, rows] = self.first[rows].astype(np.float32)[order]
        return z


def _permuted(
    matrices: list[Array], design: _Design, permutations: int, seed: int
) -> tuple[list[float], list[float]]:
    """Return the statistic of each matrix and its permutation p.

    The statistic is Σ within x / pairs + Σ within y / pairs − 2 Σ between / pairs, without pairs of one
    source. Each chunk of permutations is one matrix product: with z the indicator of x, zᵀAz, zᵀA1 and
    1ᵀA1 give all three sums. The matrices are overwritten.
    """
    units = _Units(design)
    sizes = units.sizes.astype(np.float64)
    alone = units.block < 0
    plain = design.count == len(design.codes)
    same = None if plain else design.codes[:, None] == design.codes
    scales = [_scale(a, design, units, same) for a in matrices] if len(set(sizes[alone])) > 1 else []
    for k, a in enumerate(matrices):
        if same is None:
            np.fill_diagonal(a, 0.0)
        else:
            a[same] = 0.0
        if len(sizes) < len(a):
            places = csr_matrix(
                (np.ones(len(a), np.float32), (units.of, np.arange(len(a)))), (len(sizes), len(a))
            )
            matrices[k] = np.asarray(places @ (places @ a).T)
    sums = np.stack([a.sum(1, dtype=np.float64) for a in matrices])
    totals = sums.sum(1)
    inner, outer = design.held[:, design.crossed].astype(np.float64)
    squares = np.where(alone, sizes**2, 0.0)
    rng = np.random.default_rng(seed)
    null = np.empty((len(matrices), permutations + 1))
    values = []
    for start in range(0, permutations + 1, CHUNK):
        count = min(CHUNK, permutations + 1 - start)
        z = units.draws(count, rng)
        if start == 0:
            z[0] = units.first
        n = z @ sizes
        m = sizes.sum() - n
        own = z @ squares
        pairs = (
            n**2 - own - (inner**2).sum(),
            m**2 - (squares.sum() - own) - (outer**2).sum(),
            n * m - (inner * outer).sum(),
        )
        for k, a in enumerate(matrices):
            within = np.einsum("bi,bi->b", z @ a, z, dtype=np.float64)
            reach = z @ sums[k]
            value = (
                within / pairs[0]
                + (totals[k] - 2 * reach + within) / pairs[1]
                - 2 * (reach - within) / pairs[2]
            )
            if start == 0:
                values.append(float(value[0]) + 0.0)
            null[k, start : start + count] = value / scales[k](z, n, m) if scales else value
    return values, [_p(own[1:], own[0]) for own in null]


def _scale(
    matrix: Array, design: _Design, units: _Units, same: Array | None
) -> Callable[[Array, Array, Array], Array]:
    """Return a function that gives the expected size of the statistic under the null, by labels z, n and m.

    It is Σ |w_c|² over sources, where w_c is the contribution of a source to the difference of means. For a
    source that is permuted as a whole, it is the mean over all sources of its size; for the others, the mean
    over exchanges within the source.
    """
    rows = matrix.mean(1, dtype=np.float64)
    block = (
        np.diag(matrix).astype(np.float64)
        if same is None
        else np.where(same, matrix, 0).sum(1, dtype=np.float64)
    )
    own = np.diag(matrix) - 2 * rows + rows.mean()
    size = design.held.sum(0)
    whole = np.bincount(
        design.codes, block - 2 * size[design.codes] * rows + size[design.codes] * rows.mean()
    )
    part = np.bincount(design.codes, own)
    alone = ~design.crossed
    by_size = np.bincount(size[alone], whole[alone]) / np.maximum(np.bincount(size[alone]), 1)
    of_unit = np.where(units.block < 0, by_size[np.minimum(units.sizes, len(by_size) - 1)], 0.0)
    (a, b), s = design.held[:, design.crossed], size[design.crossed]
    mean, cross = part[design.crossed] / s, (whole - part)[design.crossed] / (s * (s - 1))
    of_x, of_y, both = (
        (a * (mean + (a - 1) * cross)).sum(),
        (b * (mean + (b - 1) * cross)).sum(),
        (a * b * cross).sum(),
    )

    def scale(z: Array, n: Array, m: Array) -> Array:
        first = z @ of_unit
        return (first + of_x) / n**2 + (of_unit.sum() - first + of_y) / m**2 - 2 * both / (n * m)

    return scale


def fourier_mmd(
    x: Array,
    y: Array,
    permutations: int = 10_000,
    seed: int = 0,
    features: int = FEATURES,
    sources: Sources | None = None,
) -> Distance:
    """Compute squared MMD by random Fourier features (Rahimi and Recht 2007), linear in the number of points.

    Pairs of rows of one source are left out. The standard error of each kernel value is at most
    1/√features.

    p is by the limit law under the null of the squared difference of mean features: Σ λᵢzᵢ² with z
    standard normal and λ the eigenvalues of the covariance of that difference. Each source contributes the
    sum of its centred features, weighted with 1/n in x and −1/m in y; sources of one sample are pooled by
    size. The law is divided by χ²/ν, where ν is the effective number of sources less one, times that of
    eigenvalues. With one feature this is a t test.

    Parameters
    ----------
    x, y : array of shape (n, width) and (m, width)
        Embeddings.
    permutations : int
        Number of draws of the limit law.
    seed : int
        Seed of features and draws.
    features : int
        Number of random features.
    sources : Sources, optional
        Default: each row is its own source.

    Returns
    -------
    Distance
        Squared MMD; 0 in expectation for equal distributions, higher is farther apart.
    """
    design = _Design(len(x), len(y), sources)
    rng = np.random.default_rng(seed)
    sample = np.concatenate([s[rng.permutation(len(s))[:1000]] for s in (x, y)]).astype(np.float64)
    middle = _middle(cdist(sample, sample, "sqeuclidean"))
    scale = np.sqrt(1 / (np.repeat(BANDWIDTHS, -(-features // len(BANDWIDTHS)))[:features] * middle))
    frequency = rng.standard_normal((x.shape[1], features)) * scale
    phase = rng.uniform(0, 2 * np.pi, features)
    mapped = np.concatenate(
        [np.sqrt(2 / features) * np.cos(s.astype(np.float64) @ frequency + phase) for s in (x, y)]
    )
    mapped -= mapped.mean(0)
    difference = mapped[: len(x)].mean(0) - mapped[len(x) :].mean(0)
    parts = _by_source(mapped, design)
    law = np.linalg.eigvalsh(parts.T @ parts).clip(min=0)
    weights = (parts**2).sum(1)
    freedom = max(_effective(weights) - 1, 1.0) * _effective(law)
    null = (
        (rng.standard_normal((permutations, features)) ** 2)
        @ law
        * (freedom / rng.chisquare(freedom, permutations))
    )
    return Distance(
        "MMD²",
        _unbiased(mapped, design),
        _p(null, float(difference @ difference)),
        f"{features} random Fourier features; {permutations:,} draws of the limit law",
        LAW,
    )


def _effective(parts: Array) -> float:
    """Return the effective number of parts, (Σ)² / Σ²."""
    return max(1.0, float(parts.sum() ** 2 / max((parts**2).sum(), 1e-300)))


def _by_source(rows: Array, design: _Design) -> Array:
    """Return one row for each source, whose Gram matrix is the covariance of the difference of means under
    the null.

    `rows` are centred.
    """
    n, m, held, size = design.n, design.m, design.held, design.held.sum(0)
    alone = ~design.crossed
    of_size = np.bincount(size[alone], minlength=int(size.max()) + 1)
    of_x = np.bincount(size[alone & (held[0] > 0)], minlength=len(of_size))
    spread = np.sqrt((of_x / n**2 + (of_size - of_x) / m**2) / np.maximum(of_size, 1))
    weights = np.where(alone, spread[size], 0.0)[design.codes]
    weights = np.where(design.crossed[design.codes], np.r_[np.full(n, 1 / n), np.full(m, -1 / m)], weights)
    return design.sums(rows * weights[:, None]) * np.sqrt(design.count / (design.count - 1))


def _unbiased(rows: Array, design: _Design) -> float:
    """Return the squared distance of the sample means without products of rows of one source, as in
    `_permuted`.
    """
    n, m = design.n, design.m
    first, second = rows[:n].sum(0), rows[n:].sum(0)
    together = design.sums(rows)
    apart = (
        design.sums(np.r_[rows[:n], -rows[n:]])
        if design.crossed.any()
        else together * np.where(design.held[0] > 0, 1, -1)[:, None]
    )
    plus, minus, mixed = (
        float(np.vdot(a, b)) for a, b in ((together, together), (apart, apart), (together, apart))
    )
    a, b = design.held.astype(np.float64)
    return float(
        (first @ first - (plus + minus + 2 * mixed) / 4) / (n**2 - a @ a)
        + (second @ second - (plus + minus - 2 * mixed) / 4) / (m**2 - b @ b)
        - 2 * (first @ second - (plus - minus) / 4) / (n * m - a @ b)
    )


def _p(null: Array, observed: float) -> float:
    """Return the share of `null` that reaches `observed`, with one added to both counts.

    Differences within rounding errors count as equal.
    """
    return float((1 + np.sum(null >= observed - 1e-12 - 1e-4 * null.std())) / (1 + len(null)))


def classifier_auc(
    x: Array, y: Array, confidence: float = 0.95, seed: int = 0, sources: Sources | None = None
) -> Auc:
    """Classifier two-sample test (Lopez-Paz and Oquab 2017): AUC of a logistic regression on held-out
    sources.

    Parameters
    ----------
    x, y : array of shape (n, width) and (m, width)
        Embeddings.
    confidence : float
        Confidence of the interval.
    seed : int
        Seed of the folds.
    sources : Sources, optional
        Default: each row is its own source.

    Returns
    -------
    Auc
        In [0, 1]: 0.5 is no separation, 1 perfect separation.

    Raises
    ------
    ValueError
        A sample has fewer than five sources.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=300, class_weight="balanced"))
    pooled, target = np.concatenate([x, y]), np.r_[np.zeros(len(x)), np.ones(len(y))]

    def score(seen: Array, unseen: Array) -> Array:
        return np.asarray(model.fit(pooled[seen], target[seen]).decision_function(pooled[unseen]))

    return held_out_auc(score, len(x), len(y), confidence, seed, sources)


def held_out_auc(
    score: Callable[[Array, Array], Array],
    n: int,
    m: int,
    confidence: float = 0.95,
    seed: int = 0,
    sources: Sources | None = None,
) -> Auc:
    """Compute the AUC of a classifier on held-out data, with sources kept whole.

    Sources are dealt into up to five folds. Each fold but the first is scored by a classifier that is trained
    on all folds before it, and the AUCs are averaged. Unlike in cross-validation, no two folds serve as
    training and test data for each other. Under the null, the deviations of the folds are therefore
    uncorrelated and their variances add.

    Parameters
    ----------
    score : callable
        Takes the row numbers of the training folds and of the held-out fold (rows of x first, 0 … n − 1,
        then those of y). Returns a score for each held-out row, higher for y.
    n, m : int
        Number of rows of x and of y.
    confidence : float
        Confidence of the interval.
    seed : int
        Seed of the folds.
    sources : Sources, optional
        Default: each row is its own source.

    Returns
    -------
    Auc
        In [0, 1]: 0.5 is no separation, 1 perfect separation.

    Raises
    ------
    ValueError
        A sample has fewer than five sources.
    """
    design = _Design(n, m, sources)
    if design.fewest < FEWEST:
        raise ValueError("a classifier test needs at least five sources in each sample")
    folds = min(max(design.fewest // A_FOLD, 2), FOLDS)
    fold = _dealt(design, folds, np.random.default_rng(seed))[design.codes]
    parts = []
    for k in range(1, folds):
        rows = np.flatnonzero(fold == k)
        cut = int(np.searchsorted(rows, n))
        scores = score(np.flatnonzero(fold < k), rows)
        parts.append(_auc_parts(scores[:cut], scores[cut:], design.codes[rows]))
    return _joined(parts, confidence)


def _dealt(design: _Design, folds: int, rng: np.random.Generator) -> Array:
    """Return the fold of each source. Sources in both samples are dealt first, then those of x and of y.

    Larger sources come first; the order is random among sources of equal size.
    """
    fold = np.empty(design.count, dtype=int)
    for own, start in (
        (design.crossed, 0),
        *((side & ~design.crossed, design.counts[2]) for side in design.held > 0),
    ):
        members = rng.permutation(np.flatnonzero(own))
        members = members[np.argsort(-design.held[:, members].sum(0), kind="stable")]
        fold[members] = (start + np.arange(len(members))) % folds
    return fold


def auc(low: Array, high: Array, confidence: float = 0.95, sources: Sources | None = None) -> Auc:
    """Compute the AUC of two sets of scores: P(a score of `high` exceeds one of `low`), ties counted half.

    The variance is that of DeLong et al. (1988), with sources that of Obuchowski (1997). Interval and
    two-sided p against 0.5 are by Student's t of the log odds, with Satterthwaite's degrees of freedom. The
    scores may depend on each other only through their sources. Scores of one cross-validation do not meet
    this condition.

    Parameters
    ----------
    low, high : array of shape (n,) and (m,)
        Scores of the two samples.
    confidence : float
        Confidence of the interval.
    sources : Sources, optional
        Default: each score is its own source.

    Returns
    -------
    Auc
        In [0, 1]: 0.5 is no separation, 1 if every score of `high` exceeds every score of `low`.
    """
    return _joined([_auc_parts(low, high, _Design(len(low), len(high), sources).codes)], confidence)


@dataclass(frozen=True)
class _Fold:
    """An AUC, its weight, the variance and degrees of freedom from each kind of source, and the fewest
    sources.
    """

    value: float
    weight: float
    parts: list[tuple[float, int]]
    fewest: int


def _auc_parts(low: Array, high: Array, codes: Array) -> _Fold:
    n, m = len(low), len(high)
    ranks = rankdata(np.concatenate([low, high]))
    above = (ranks[n:] - rankdata(high)) / n  # for each high score, the share of low ones below it
    below = 1 - (ranks[:n] - rankdata(low)) / m
    value = float(above.mean())
    _, codes = np.unique(codes, return_inverse=True)
    size = int(codes.max()) + 1
    influence = np.bincount(codes, np.r_[(below - value) / n, (above - value) / m])
    in_x, in_y = (np.bincount(own, minlength=size) > 0 for own in (codes[:n], codes[n:]))
    parts = []
    for own in (in_x & ~in_y, in_y & ~in_x, in_x & in_y):
        count = int(own.sum())
        if count > 1:
            parts.append((count * float(influence[own].var(ddof=1)), count - 1))
        elif count:
            parts.append((float(influence[own][0] ** 2), 1))
    return _Fold(value, n * m / (n + m), parts, min(int(in_x.sum()), int(in_y.sum())))


def _joined(folds: list[_Fold], confidence: float) -> Auc:
    """Return the weighted mean of AUCs whose variances add."""
    weights = np.array([f.weight for f in folds]) / sum(f.weight for f in folds)
    value = float(weights @ [f.value for f in folds])
    parts = [
        (w**2 * variance, freedom)
        for w, f in zip(weights, folds, strict=True)
        for variance, freedom in f.parts
    ]
    variance, fewest = sum(v for v, _ in parts), sum(f.fewest for f in folds)
    if variance > 1e-12:
        centre, error, freedom = value, np.sqrt(variance), variance**2 / sum(v**2 / k for v, k in parts)
    else:  # no variation: as if one text were misplaced
        centre, error, freedom = (
            float(np.clip(value, 0.5 / fewest, 1 - 0.5 / fewest)),
            0.5 / fewest,
            max(fewest - 1, 1),
        )
    odds, error = float(logit(centre)), float(error / (centre * (1 - centre)))
    half = float(student.ppf(0.5 + confidence / 2, freedom) * error)
    p = float(2 * student.sf(abs(odds) / error, freedom))
    return Auc(value, min(value, float(expit(odds - half))), max(value, float(expit(odds + half))), p)


def precision_recall(x: Array, y: Array, k: int = 5) -> dict[str, float]:
    """Measure how far the augmented sample `y` lies within the original sample `x`, and the reverse.

    Parameters
    ----------
    x, y : array of shape (n, width) and (m, width)
        Embeddings.
    k : int
        The ball around a point reaches to its k-th neighbour in its own sample.

    Returns
    -------
    dict of float
        All in [0, 1], higher is closer. `precision`: share of y inside a ball around a point of x; `recall`:
        the same with x and y exchanged (Kynkäänniemi et al. 2019). `coverage`: share of x's balls that hold
        a point of y (Naeem et al. 2020).

    Raises
    ------
    ValueError
        A sample has k points or fewer.
    """
    from sklearn.neighbors import NearestNeighbors

    if min(len(x), len(y)) <= k:
        raise ValueError(f"precision and recall need more than {k} points in each sample")

    def radius(points: Array) -> Array:
        return np.asarray(NearestNeighbors(n_neighbors=k + 1).fit(points).kneighbors(points)[0][:, -1])

    def inside(points: Array, centres: Array, reach: Array) -> tuple[Array, Array]:
        held, holds = np.zeros(len(points), dtype=bool), np.zeros(len(centres), dtype=bool)
        for start in range(0, len(points), CHUNK):
            within = cdist(points[start : start + CHUNK], centres) <= reach
            held[start : start + CHUNK] = within.any(1)
            holds |= within.any(0)
        return held, holds

    of_y, covered = inside(y, x, radius(x))
    of_x, _ = inside(x, y, radius(y))
    return {"precision": float(of_y.mean()), "recall": float(of_x.mean()), "coverage": float(covered.mean())}


def vendi(x: Array) -> float:
    """Compute the Vendi score (Friedman and Dieng 2023) with the cosine kernel.

    It is the effective number of different points, from 1 (all equal) to n; higher is more diverse.
    """
    unit = x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-12)
    gram = unit.T @ unit if len(unit) > unit.shape[1] else unit @ unit.T
    values = np.linalg.eigvalsh(gram.astype(np.float64) / len(unit)).clip(min=1e-12)
    values /= values.sum()
    return float(np.exp(-np.sum(values * np.log(values))))


def principal_map(x: Array, y: Array) -> tuple[Array, Array, Array]:
    """Project both samples on the first two principal components of all points.

    Returns
    -------
    tuple of array
        Scores of x of shape (n, 2), scores of y of shape (m, 2), and the share of variance of each component.
    """
    pooled = np.concatenate([x, y]).astype(np.float64)
    centred = pooled - pooled.mean(0)
    _, values, axes = np.linalg.svd(centred, full_matrices=False)
    share = values**2 / max(float((values**2).sum()), 1e-300)
    scores = centred @ axes[:2].T
    return scores[: len(x)], scores[len(x) :], share[:2]


def summary(
    x: Array, y: Array, permutations: int = 10_000, seed: int = 0, sources: Sources | None = None
) -> dict[str, Any]:
    """Compute all tests and distances of this module, as a record.

    Entries are None if a sample is too small. `sources` holds the number of sources of x, of y, and in both.
    """

    def attempt(call: Any, *args: Any) -> Any:
        try:
            return call(*args)
        except ValueError:
            return None

    return {
        "n": len(x),
        "m": len(y),
        "sources": _Design(len(x), len(y), sources).counts,
        "distances": attempt(mmd_and_energy, x, y, permutations, seed, sources),
        "auc": attempt(classifier_auc, x, y, 0.95, seed, sources),
        "manifold": attempt(precision_recall, x, y),
        "vendi": (vendi(x), vendi(y)),
    }
