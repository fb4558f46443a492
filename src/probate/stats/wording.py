"""Which words and lengths tell two sets of texts apart, and sets that are alike in length."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from probate.data.languages import words


@dataclass(frozen=True)
class Word:
    """A word that tells two sets apart: `z` above 0 where it is commoner in the second; counts in each."""

    word: str
    z: float
    first: int
    second: int


def telling_words(first: Sequence[str], second: Sequence[str], most: int = 12) -> list[Word]:
    """The `most` words on each side with the largest z: log-odds ratio with an informative Dirichlet prior (Monroe et al. 2008)."""
    a, b = (Counter(w for text in texts for w in words(text)) for texts in (first, second))
    both = a + b
    n, m, total = sum(a.values()), sum(b.values()), sum(both.values())
    if not n or not m:
        return []
    prior = 500 / total  # as if 500 words had been seen before
    found = []
    for word, count in both.items():
        alpha, rest = prior * count, 500 - prior * count
        odds = np.log((b[word] + alpha) / (m - b[word] + rest)) - np.log(
            (a[word] + alpha) / (n - a[word] + rest)
        )
        found.append(
            Word(word, float(odds / np.sqrt(1 / (a[word] + alpha) + 1 / (b[word] + alpha))), a[word], b[word])
        )
    found.sort(key=lambda w: w.z)
    return [*found[:most], *found[max(most, len(found) - most) :]]


def evenly(count: int, most: int) -> np.ndarray:
    """At most `most` places, evenly over `count`."""
    return np.linspace(0, count - 1, min(count, most)).astype(int)


def lengths(texts: Sequence[str]) -> np.ndarray:
    """Words in each text."""
    return np.array([len(words(text)) for text in texts])


def distinct(texts: Sequence[str], n: int = 2) -> float:
    """Share of different n-grams of words among all (Li et al. 2016), in (0, 1]; falls with the amount of text, so compare equal amounts."""
    grams = Counter(
        tuple(own[i : i + n]) for text in texts for own in [words(text)] for i in range(len(own) - n + 1)
    )
    return len(grams) / grams.total() if grams else 0.0


def length_matched(
    first: Sequence[str], second: Sequence[str], within: float = 0.1
) -> tuple[list[int], list[int]]:
    """Indices of pairs, one of each set, whose lengths differ by at most the share `within`; each text in one pair at most.

    Both sets are walked in the order of length, so that as many pairs as possible are found.
    """
    a, b = lengths(first), lengths(second)
    left, right = np.argsort(a, kind="stable").tolist(), np.argsort(b, kind="stable").tolist()
    pairs: list[tuple[int, int]] = []
    i = j = 0
    while i < len(left) and j < len(right):
        one, other = a[left[i]], b[right[j]]
        if abs(one - other) <= within * max(one, other):
            pairs.append((left[i], right[j]))
            i, j = i + 1, j + 1
        elif one < other:
            i += 1
        else:
            j += 1
    pairs.sort()
    return [p for p, _ in pairs], [q for _, q in pairs]
