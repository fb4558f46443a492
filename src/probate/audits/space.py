"""Texts as points without a model: TF-IDF of words and word pairs, reduced by SVD (latent semantic analysis). Fast enough for 100,000 rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from probate.execution.misalignment.distribution import tested, told
from probate.stats.distribution import Sources
from probate.stats.wording import evenly

WORDS = r"(?u)\w+"
WIDTH = 64
FEATURES = 20_000
MOST = 4000
"""Texts of each set that are compared; of a larger set as many, evenly over the whole."""


def embed(original: Sequence[str], augmented: Sequence[str], seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Both sets in one space, of shape (texts, up to 64)."""
    from sklearn.decomposition import TruncatedSVD
    from sklearn.feature_extraction.text import TfidfVectorizer

    texts = [*original, *augmented]
    table = TfidfVectorizer(
        sublinear_tf=True, max_features=FEATURES, ngram_range=(1, 2), token_pattern=WORDS
    ).fit_transform(texts)
    width = max(1, min(WIDTH, min(table.shape) - 1))
    points = TruncatedSVD(width, random_state=seed).fit_transform(table)
    points /= np.maximum(np.linalg.norm(points, axis=1, keepdims=True), 1e-12)
    return points[: len(original)], points[len(original) :]


def compare(
    original: Sequence[str],
    augmented: Sequence[str],
    permutations: int = 10_000,
    seed: int = 0,
    sources: Sources | None = None,
) -> dict[str, Any]:
    """`probate.execution.misalignment.distribution.compare` in this one space, on at most 4,000 texts of each."""
    a, b = ([side[i] for i in evenly(len(side), MOST)] for side in (original, augmented))
    own = (
        (
            [sources[0][i] for i in evenly(len(original), MOST)],
            [sources[1][i] for i in evenly(len(augmented), MOST)],
        )
        if sources
        else None
    )
    comparison, pairs = told(a, b)
    counts = {"n": [len(original), len(augmented)], "compared": comparison["n"]}
    return (
        comparison
        | counts
        | {"spaces": {"words": tested(*embed(a, b, seed), pairs, permutations, seed, own)}}
    )
