"""Embedding of texts without a model: TF-IDF of words and word pairs, reduced by SVD.

This is latent semantic analysis. It is fast enough for 100,000 rows.
"""

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
"""Largest number of texts of each set that are compared, evenly over the whole set."""


def embed(original: Sequence[str], augmented: Sequence[str], seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Embed both sets in one space.

    Parameters
    ----------
    original, augmented : sequence of str
        The texts.
    seed : int, default 0
        Seed of the SVD.

    Returns
    -------
    tuple of arrays
        Points of unit length of both sets, each of shape (texts, dimensions) with at most 64 dimensions.
    """
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


def compare_words(
    original: Sequence[str],
    augmented: Sequence[str],
    permutations: int = 10_000,
    seed: int = 0,
    sources: Sources | None = None,
) -> dict[str, Any]:
    """Compare both sets in this space, on at most 4,000 texts of each.

    Parameters
    ----------
    original, augmented : sequence of str
        The texts.
    permutations : int, default 10000
        Permutations of each test.
    seed : int, default 0
        Seed of the SVD and of the permutations.
    sources : Sources, optional
        Source of each text of both sets.

    Returns
    -------
    dict
        As `probate.execution.misalignment.distribution.compare_distributions`, with the one space `words`.
    """
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
