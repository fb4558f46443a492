"""Separation of the texts of groups by a classifier, with names and words of groups masked.

An audit measures this for a file without labels.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from probate.audits.groups import FEWEST, Dimension
from probate.audits.read import AuditSet
from probate.audits.space import FEATURES, WORDS
from probate.data.packs import load_pack, pack_names
from probate.data.shape.language import LANGUAGES
from probate.data.shape.sources import sources_of
from probate.mitigations.base import MitigationContext
from probate.mitigations.catalogue import load_mitigation
from probate.mitigations.mask import Mask
from probate.stats.distribution import Auc, held_out_auc
from probate.stats.wording import evenly

MOST = 2000
"""Largest number of texts of a side that are compared, evenly over all of them."""
MOST_GROUPS = 6


@dataclass(frozen=True)
class Apart:
    """Separation of one group from the others of its dimension.

    Attributes
    ----------
    dimension, group : str
        The dimension, and the group that is separated from the others.
    n : int
        Number of texts.
    auc : float
        AUC of a classifier on texts of sources that it was not trained on, from 0 to 1 (0.5: no separation).
    low, high : float
        95% interval of the AUC.
    p : float
        p against an AUC of 0.5.
    words : tuple of str
        Words whose shares of texts differ most between the two sides.
    sources : int
        Number of sources of the texts.
    """

    dimension: str
    group: str
    n: int
    auc: float
    low: float
    high: float
    p: float
    words: tuple[str, ...]
    sources: int


def told_apart(data: AuditSet, dimensions: Sequence[Dimension]) -> Iterator[Apart]:
    """Measure the separation of each group of a file without labels.

    Parameters
    ----------
    data : AuditSet
        The file. Nothing is measured if it has labels.
    dimensions : sequence of Dimension
        Its dimensions.

    Yields
    ------
    Apart
        One for each group with at least 20 texts and at least 20 texts of other groups, for at most the six
        largest groups of a dimension.
    """
    if data.labelled:
        return
    masked: dict[int, str] = {}
    call = _masker(data.shape.language)
    source, _ = sources_of(data.ties)
    for d in dimensions:
        counts = Counter(v for v in d.values if v)
        groups = [g for g, n in counts.most_common(MOST_GROUPS) if min(n, sum(counts.values()) - n) >= FEWEST]
        for group in groups[:1] if len(counts) == 2 else groups:
            sides = [
                [i for i, v in enumerate(d.values) if v and (v == group) == own] for own in (True, False)
            ]
            a, b = ([side[k] for k in evenly(len(side), MOST)] for side in sides)
            for i in {*a, *b} - masked.keys():
                masked[i] = call(f"{data.prompts[i]}\n{data.texts[i]}")
            own, others = [masked[i] for i in a], [masked[i] for i in b]
            if auc := _auc(own, others, ([source[i] for i in a], [source[i] for i in b])):
                count = len({source[i] for i in (*a, *b)})
                yield Apart(
                    d.name,
                    group,
                    len(a) + len(b),
                    auc.value,
                    auc.low,
                    auc.high,
                    auc.p,
                    _words(own, others),
                    count,
                )


def _auc(a: Sequence[str], b: Sequence[str], sources: tuple[Sequence[int], Sequence[int]]) -> Auc | None:
    """Return the AUC of a logistic regression on words and word pairs that at least two texts have.

    None if there are no such words, or too few sources.
    """
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    words = TfidfVectorizer(
        sublinear_tf=True, max_features=FEATURES, ngram_range=(1, 2), token_pattern=WORDS, min_df=2
    )
    try:
        words.fit([*a, *b])
    except ValueError:  # no word that two texts have
        return None
    model = make_pipeline(
        words.set_params(min_df=1, vocabulary=words.vocabulary_),
        LogisticRegression(C=10, max_iter=1000, class_weight="balanced"),
    )
    texts, target = np.array([*b, *a], dtype=object), np.r_[np.zeros(len(b)), np.ones(len(a))]

    def score(seen: np.ndarray, unseen: np.ndarray) -> np.ndarray:
        return np.asarray(model.fit(texts[seen], target[seen]).decision_function(texts[unseen]))

    try:
        return held_out_auc(score, len(b), len(a), sources=(sources[1], sources[0]))
    except ValueError:  # fewer than five sources on a side
        return None


@lru_cache(maxsize=2)
def _masker(language: str) -> Callable[[str], str]:
    if language not in LANGUAGES:
        return str
    mask = load_mitigation("mask", {"mode": "mask"})
    assert isinstance(mask, Mask)
    own = mask.masker(MitigationContext("gender", [], [], tuple(map(load_pack, pack_names())), language))
    return lambda text: own(text)[0]


def _words(a: Sequence[str], b: Sequence[str], count: int = 5) -> tuple[str, ...]:
    from sklearn.feature_extraction.text import CountVectorizer

    count_words = CountVectorizer(binary=True, token_pattern=WORDS)
    table = count_words.fit_transform([*a, *b])
    first, second = (np.asarray(part.mean(0)).ravel() for part in (table[: len(a)], table[len(a) :]))
    order = np.argsort(-np.abs(first - second), kind="stable")[:count]
    return tuple(count_words.get_feature_names_out()[order])
