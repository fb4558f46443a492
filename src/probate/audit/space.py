"""Texts as points without a model: TF-IDF of words and word pairs, reduced by SVD (latent semantic analysis). Fast enough for 100,000 rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from probate.analyze.wording import distinct, length_matched, lengths, telling_words
from probate.why.distribution import FEWEST_PAIRS, plain

WORDS = r"(?u)\w+"
WIDTH = 64
FEATURES = 20_000
MOST = 4000
"""Texts of each set that are compared; of a larger set as many, evenly over the whole."""


def spread(count: int, most: int = MOST) -> np.ndarray:
    """At most `most` places, evenly over `count`."""
    return np.linspace(0, count - 1, min(count, most)).astype(int)


def embed(original: Sequence[str], augmented: Sequence[str], seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Both sets in one space, of shape (texts, up to 64)."""
    from sklearn.decomposition import TruncatedSVD
    from sklearn.feature_extraction.text import TfidfVectorizer

    texts = [*original, *augmented]
    table = TfidfVectorizer(sublinear_tf=True, max_features=FEATURES, ngram_range=(1, 2), token_pattern=WORDS).fit_transform(
        texts
    )
    width = max(1, min(WIDTH, min(table.shape) - 1))
    points = TruncatedSVD(width, random_state=seed).fit_transform(table)
    points /= np.maximum(np.linalg.norm(points, axis=1, keepdims=True), 1e-12)
    return points[: len(original)], points[len(original) :]


def compare(original: Sequence[str], augmented: Sequence[str], permutations: int = 10_000, seed: int = 0) -> dict[str, Any]:
    """`probate.why.distribution.compare` in this one space, on at most 4,000 texts of each."""
    from probate.analyze.distribution import summary

    a, b = ([side[i] for i in spread(len(side))] for side in (original, augmented))
    x, y = embed(a, b, seed)
    left, right = length_matched(a, b)
    least = min(len(a), len(b))
    sizes = [lengths(a), lengths(b)]
    return {
        "n": [len(original), len(augmented)],
        "compared": [len(a), len(b)],
        "lengths": [[float(s.mean()), float(s.std(ddof=1)) if len(s) > 1 else 0.0] for s in sizes],
        "distinct": [distinct([side[i] for i in spread(len(side), least)]) for side in (a, b)],
        "words": [vars(w) for w in telling_words(a, b)],
        "pairs": len(left),
        "spaces": {
            "words": {
                "all": plain(summary(x, y, permutations, seed)),
                "matched": plain(summary(x[left], y[right], permutations, seed)) if len(left) >= FEWEST_PAIRS else None,
            }
        },
    }
