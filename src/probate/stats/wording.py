"""Wording: the words and lengths that distinguish two sets of texts, and sets matched by length."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from probate.data.languages import words


@dataclass(frozen=True)
class Word:
    """A word that distinguishes two sets: `z` is above 0 if it is more frequent in the second. Counts in
    each.
    """

    word: str
    z: float
    first: int
    second: int


def telling_words(first: Sequence[str], second: Sequence[str], most: int = 12) -> list[Word]:
    """Return the words with the largest z on each side.

    z is the log-odds ratio with an informative Dirichlet prior over its standard error (Monroe et al. 2008).

    Parameters
    ----------
    first, second : sequence of str
        The two sets of texts.
    most : int
        Number of words on each side.

    Returns
    -------
    list of Word
        Ascending in z; above 0 is more frequent in the second set.
    """
    a, b = (Counter(w for text in texts for w in words(text)) for texts in (first, second))
    both = a + b
    n, m, total = sum(a.values()), sum(b.values()), sum(both.values())
    if not n or not m:
        return []
    prior = 500 / total  # as if 500 words had been seen before
    words_by_z = []
    for word, count in both.items():
        alpha, rest = prior * count, 500 - prior * count
        odds = np.log((b[word] + alpha) / (m - b[word] + rest)) - np.log(
            (a[word] + alpha) / (n - a[word] + rest)
        )
        words_by_z.append(
            Word(word, float(odds / np.sqrt(1 / (a[word] + alpha) + 1 / (b[word] + alpha))), a[word], b[word])
        )
    words_by_z.sort(key=lambda w: w.z)
    return [*words_by_z[:most], *words_by_z[max(most, len(words_by_z) - most) :]]


def evenly(count: int, most: int) -> np.ndarray:
    """Return at most `most` indices, evenly spaced over `count`."""
    return np.linspace(0, count - 1, min(count, most)).astype(int)


def lengths(texts: Sequence[str]) -> np.ndarray:
    """Return the number of words in each text."""
    return np.array([len(words(text)) for text in texts])


def distinct(texts: Sequence[str], n: int = 2) -> float:
    """Return the share of distinct word n-grams among all n-grams (Li et al. 2016), in (0, 1].

    Higher is more diverse. It falls with the amount of text, so only equal amounts are comparable.
    """
    grams = Counter(
        tuple(own[i : i + n]) for text in texts for own in [words(text)] for i in range(len(own) - n + 1)
    )
    return len(grams) / grams.total() if grams else 0.0


def length_matched(
    first: Sequence[str], second: Sequence[str], within: float = 0.1
) -> tuple[list[int], list[int]]:
    """Return the indices of pairs, one text of each set, whose lengths differ by at most the share `within`.

    Each text is in at most one pair. Both sets are processed in the order of length, which maximises the
    number of pairs.
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
