"""Do two sets of texts have one distribution? Tests and distances on their embeddings, x of shape (n, width) and y of (m, width)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.spatial.distance import cdist
from scipy.stats import norm, rankdata

Array = np.ndarray
EXACT = 4000
"""Points of both sets up to which kernels and distances are computed for all pairs; above, see `fourier_mmd`."""
FEATURES = 512
BANDWIDTHS = (0.25, 0.5, 1.0, 2.0, 4.0)
CHUNK = 512


@dataclass(frozen=True)
class Distance:
    """A distance between two samples, 0 in expectation where they have one distribution, and its permutation p (one-sided: larger)."""

    name: str
    value: float
    p: float
    method: str


@dataclass(frozen=True)
class Auc:
    """How well a classifier tells the samples apart: 0.5 not at all, 1 perfectly. Interval and p after DeLong et al. (1988)."""

    value: float
    low: float
    high: float
    p: float


def mmd_and_energy(x: Array, y: Array, permutations: int = 10_000, seed: int = 0) -> list[Distance]:
    """Squared MMD (Gretton et al. 2012, unbiased) and energy distance (Székely and Rizzo 2013), p from the same permutations.

    The kernel is a mean of Gaussians, their squared bandwidths multiples (0.25 to 4) of the median squared distance. With more than
    `EXACT` points the MMD is that of `fourier_mmd` and the energy distance is left out.

    Raises:
        ValueError: fewer than two points in a sample.
    """
    if min(len(x), len(y)) < 2:
        raise ValueError("a distance needs at least two points in each sample")
    if len(x) + len(y) > EXACT:
        return [fourier_mmd(x, y, permutations, seed)]
    pooled = np.concatenate([x, y]).astype(np.float64)
    squared = cdist(pooled, pooled, "sqeuclidean")
    kernel = _kernel(squared)
    np.fill_diagonal(kernel, 0.0)
    values, null = _permuted([kernel.astype(np.float32), np.sqrt(squared, dtype=np.float32)], len(x), permutations, seed)
    method = f"{permutations:,} permutations"
    return [
        Distance("MMD²", float(values[0]), _p(null[0], values[0]), f"unbiased, five Gaussian kernels; {method}"),
        Distance("energy distance", float(-values[1]), _p(-null[1], -values[1]), method),
    ]


def _kernel(squared: Array) -> Array:
    middle = _middle(squared)
    return np.asarray(np.mean([np.exp(-squared / (2 * b * middle)) for b in BANDWIDTHS], axis=0))


def _middle(squared: Array) -> float:
    """Median of the squared distances between different points; 1 where all are alike."""
    apart = squared[squared > 0]
    return float(np.median(apart)) if len(apart) else 1.0


def _permuted(matrices: list[Array], n: int, permutations: int, seed: int) -> tuple[Array, Array]:
    """Σ within x / n(n−1) + Σ within y / m(m−1) − 2 Σ between / nm of each matrix (diagonal 0): as it is, and under permutations.

    One matrix product for each chunk of permutations: with z the indicator of x, zᵀAz, zᵀA1 and 1ᵀA1 give all three sums.
    """
    size = len(matrices[0])
    m = size - n
    sums = np.stack([a.sum(1, dtype=np.float64) for a in matrices])
    totals = sums.sum(1)
    rng = np.random.default_rng(seed)
    base = np.zeros(size, dtype=np.float32)
    base[:n] = 1
    found = np.empty((len(matrices), permutations + 1))
    for start in range(0, permutations + 1, CHUNK):
        count = min(CHUNK, permutations + 1 - start)
        z = rng.permuted(np.tile(base, (count, 1)), axis=1)
        if start == 0:
            z[0] = base
        for k, a in enumerate(matrices):
            within = np.einsum("bi,bi->b", z @ a, z, dtype=np.float64)
            reach = z @ sums[k]
            found[k, start : start + count] = (
                within / (n * (n - 1)) + (totals[k] - 2 * reach + within) / (m * (m - 1)) - 2 * (reach - within) / (n * m)
            )
    return found[:, 0], found[:, 1:]


def fourier_mmd(x: Array, y: Array, permutations: int = 10_000, seed: int = 0, features: int = FEATURES) -> Distance:
    """Squared MMD by random Fourier features (Rahimi and Recht 2007): linear in the number of points.

    Each kernel value has a standard error of at most 1/√features; the bias of the squared mean is taken off. p is by the statistic's limit
    law where both samples have one distribution: Σ λᵢ(zᵢ² − 1), z standard normal, λ the eigenvalues of (1/n + 1/m) times the
    covariance of the pooled features.
    """
    rng = np.random.default_rng(seed)
    sample = np.concatenate([s[rng.permutation(len(s))[:1000]] for s in (x, y)]).astype(np.float64)
    middle = _middle(cdist(sample, sample, "sqeuclidean"))
    scale = np.sqrt(1 / (np.repeat(BANDWIDTHS, -(-features // len(BANDWIDTHS)))[:features] * middle))
    frequency = rng.standard_normal((x.shape[1], features)) * scale
    phase = rng.uniform(0, 2 * np.pi, features)

    def mapped(points: Array) -> Array:
        return np.sqrt(2 / features) * np.cos(points.astype(np.float64) @ frequency + phase)

    a, b = mapped(x), mapped(y)
    n, m = len(x), len(y)
    difference = a.mean(0) - b.mean(0)
    noise = sum(s.var(0, ddof=1).sum() / len(s) for s in (a, b))
    value = float(difference @ difference - noise)
    pooled = np.concatenate([a, b])
    law = np.linalg.eigvalsh(np.cov(pooled.T) * (1 / n + 1 / m)).clip(min=0)
    null = (rng.standard_normal((permutations, features)) ** 2) @ law - law.sum()
    return Distance(
        "MMD²", value, _p(null, value), f"{features} random Fourier features; {permutations:,} draws of the limit law"
    )


def _p(null: Array, observed: float) -> float:
    return float((1 + np.sum(null >= observed - 1e-12)) / (1 + len(null)))


def classifier_auc(x: Array, y: Array, confidence: float = 0.95, seed: int = 0) -> Auc:
    """Classifier two-sample test (Lopez-Paz and Oquab 2017): AUC of a logistic regression, cross-validated in five folds.

    Raises:
        ValueError: fewer than five points in a sample.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedKFold, cross_val_predict
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    if min(len(x), len(y)) < 5:
        raise ValueError("a classifier test needs at least five points in each sample")
    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=300, class_weight="balanced"))
    target = np.r_[np.zeros(len(x)), np.ones(len(y))]
    folds = StratifiedKFold(5, shuffle=True, random_state=seed)
    scores = cross_val_predict(model, np.concatenate([x, y]), target, cv=folds, method="decision_function")
    return auc(scores[: len(x)], scores[len(x) :], confidence)


def auc(low: Array, high: Array, confidence: float = 0.95) -> Auc:
    """P(a score of `high` is above one of `low`), ties half, with DeLong's interval and a two-sided p against 0.5."""
    n, m = len(low), len(high)
    ranks = rankdata(np.concatenate([low, high]))
    above = (ranks[n:] - rankdata(high)) / n  # for each high score, the share of low ones below it
    below = 1 - (ranks[:n] - rankdata(low)) / m
    value = float(above.mean())
    error = float(np.sqrt(above.var(ddof=1) / m + below.var(ddof=1) / n))
    if error == 0:
        error = 0.5 / np.sqrt(min(n, m)) / 2  # no variation: as wide as one misplaced point would make it
    half = norm.ppf(0.5 + confidence / 2) * error
    p = float(2 * norm.sf(abs(value - 0.5) / error))
    return Auc(value, max(0.0, value - half), min(1.0, value + half), p)


def precision_recall(x: Array, y: Array, k: int = 5) -> dict[str, float]:
    """How much of the augmented sample `y` lies within the original one `x` and the other way round, all in [0, 1].

    `precision`: share of y inside a ball around a point of x that reaches to its k-th neighbour in x; `recall`: the same with x and y
    exchanged (Kynkäänniemi et al. 2019). `coverage`: share of x's balls that hold a point of y (Naeem et al. 2020).

    Raises:
        ValueError: a sample of k points or fewer.
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
    """Vendi score (Friedman and Dieng 2023): the effective number of different points, from 1 (all alike) to n. Cosine kernel."""
    unit = x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-12)
    gram = unit.T @ unit if len(unit) > unit.shape[1] else unit @ unit.T
    values = np.linalg.eigvalsh(gram.astype(np.float64) / len(unit)).clip(min=1e-12)
    values /= values.sum()
    return float(np.exp(-np.sum(values * np.log(values))))


def principal_map(x: Array, y: Array) -> tuple[Array, Array, Array]:
    """Both samples on the two first principal components of all points, and the share of variance of each component."""
    pooled = np.concatenate([x, y]).astype(np.float64)
    centred = pooled - pooled.mean(0)
    _, values, axes = np.linalg.svd(centred, full_matrices=False)
    share = values**2 / max(float((values**2).sum()), 1e-300)
    found = centred @ axes[:2].T
    return found[: len(x)], found[len(x) :], share[:2]


def summary(x: Array, y: Array, permutations: int = 10_000, seed: int = 0) -> dict[str, Any]:
    """All of the above, as a record; what a sample is too small for is None."""

    def attempt(call: Any, *args: Any) -> Any:
        try:
            return call(*args)
        except ValueError:
            return None

    return {
        "n": len(x),
        "m": len(y),
        "distances": attempt(mmd_and_energy, x, y, permutations, seed),
        "auc": attempt(classifier_auc, x, y),
        "manifold": attempt(precision_recall, x, y),
        "vendi": (vendi(x), vendi(y)),
    }
