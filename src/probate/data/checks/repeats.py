"""Duplicate texts: exact ones by hashes, near ones by MinHash, overlap with other files by word n-grams."""

from __future__ import annotations

import hashlib
import re
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

WORD = re.compile(r"[\u4e00-\u9fff]|[^\W\u4e00-\u9fff]+")
"""A word, a number, or a Chinese character."""
SHINGLE = 5
"""Number of words of a shingle."""
BANDS, ROWS = 8, 4
"""MinHash: two texts are compared if all `ROWS` minima of one of the `BANDS` bands agree.

At a similarity of 0.7 that has the probability 0.9.
"""
NEAR = 0.7
"""Minimum Jaccard similarity of the shingles of near duplicates."""
LONG = 13
"""Number of words of an n-gram that two texts do not share by chance."""
TEMPLATE = 5
"""Minimum number of different texts with an n-gram for the n-gram to count as a template."""
BLOCK = 2000
"""Number of texts that are hashed at a time."""


@dataclass(frozen=True)
class Repeats:
    """Duplicates in a list of texts.

    Attributes
    ----------
    exact : dict
        Index of a text → index of the first text that it duplicates exactly.
    near : dict
        Index of a text → index of an earlier text that it nearly duplicates.
    """

    exact: dict[int, int]
    near: dict[int, int]


def find_repeats(texts: Sequence[str]) -> Repeats:
    """Find exact and near duplicates.

    Exact duplicates are equal up to case and spaces. Candidates for near duplicates are found by MinHash
    (Broder 1997) and then compared by the Jaccard similarity of their shingles.

    Parameters
    ----------
    texts : sequence of str
        Texts to compare with one another.

    Returns
    -------
    Repeats
        The exact duplicates, and the near duplicates with a similarity of at least `NEAR`.
    """
    first: dict[bytes, int] = {}
    exact: dict[int, int] = {}
    for i, text in enumerate(texts):
        key = hashlib.sha256(" ".join(text.lower().split()).encode()).digest()
        if key in first:
            exact[i] = first[key]
        else:
            first[key] = i
    near: dict[int, int] = {}
    buckets: list[dict[bytes, int]] = [{} for _ in range(BANDS)]
    alone = [i for i in range(len(texts)) if i not in exact]
    for start in range(0, len(alone), BLOCK):
        block = alone[start : start + BLOCK]
        for i, signature in zip(block, _signatures([texts[i] for i in block]), strict=True):
            if signature is None:
                continue
            for band, bucket in enumerate(buckets):
                key = signature[band * ROWS : (band + 1) * ROWS].tobytes()
                other = bucket.setdefault(key, i)
                if other != i and i not in near and similarity(texts[i], texts[other]) >= NEAR:
                    near[i] = other
    return Repeats(exact, near)


def word_tokens(text: str) -> list[str]:
    """Return the lower-case words and numbers of a text; each Chinese character is a word."""
    return WORD.findall(text.lower())


def _hashes(text: str) -> np.ndarray:
    return np.array([_hash(w) for w in word_tokens(text)], dtype=np.uint64)


@lru_cache(maxsize=1 << 20)
def _hash(word: str) -> int:
    return zlib.crc32(word.encode())


def shingles(text: str, size: int = SHINGLE) -> np.ndarray:
    """Hash the shingles of a text.

    Parameters
    ----------
    text : str
        Text to hash.
    size : int
        Number of words of a shingle.

    Returns
    -------
    ndarray of shape (n_shingles,)
        Unique hashes, sorted. A text of fewer than `size` words is one shingle.
    """
    return _runs(_hashes(text), size)


def long_grams(text: str) -> np.ndarray:
    """Return the hashes of the n-grams of `LONG` words; an empty array for a text with fewer words."""
    own = _hashes(text)
    return _runs(own, LONG) if len(own) >= LONG else own[:0]


def _runs(array: np.ndarray, size: int) -> np.ndarray:
    size = min(size, len(array))
    if not size:
        return array
    mixed = np.zeros(len(array) - size + 1, dtype=np.uint64)
    for k in range(size):
        mixed = mixed * np.uint64(1_000_003) + array[k : len(array) - size + 1 + k]
    return np.unique(mixed)


def similarity(a: str, b: str) -> float:
    """Return the Jaccard similarity of the shingles of two texts, in [0, 1]; higher is more similar."""
    x, y = shingles(a), shingles(b)
    shared = len(np.intersect1d(x, y, assume_unique=True))
    return shared / max(1, len(x) + len(y) - shared)


def _signatures(texts: Sequence[str]) -> list[np.ndarray | None]:
    rng = np.random.default_rng(0)
    factor = rng.integers(1, 2**63, BANDS * ROWS, dtype=np.uint64) | np.uint64(1)
    shift = rng.integers(0, 2**63, BANDS * ROWS, dtype=np.uint64)
    signatures: list[np.ndarray | None] = []
    for text in texts:
        own = shingles(text)
        if not len(own):
            signatures.append(None)
            continue
        mixed = own[:, None] * factor + shift
        signatures.append(((mixed ^ (mixed >> np.uint64(29))) * np.uint64(0x9E3779B97F4A7C15)).min(0))
    return signatures


class Index:
    """Index of the long n-grams of texts, in which other texts are looked up.

    Duplicates count once. N-grams of at least `TEMPLATE` different texts are left out, because they belong to
    a template. A text that has only such n-grams keeps its rarest ones.

    Parameters
    ----------
    texts : iterable of str
        Texts to index.

    Attributes
    ----------
    grams : ndarray of shape (n_grams,)
        Sorted hashes of the n-grams of `LONG` words.
    short : int
        Number of different texts with fewer than `LONG` words. They are not indexed.
    """

    def __init__(self, texts: Iterable[str]) -> None:
        different = {tuple(word_tokens(text)): text for text in texts}
        own = [grams for text in different.values() if len(grams := long_grams(text))]
        self.short = len(different) - len(own)
        grams, counts = (
            np.unique(np.concatenate(own), return_counts=True)
            if own
            else (np.zeros(0, np.uint64), np.zeros(0, int))
        )
        kept = [grams[counts < TEMPLATE]]
        # A text whose n-grams all belong to a template keeps the rarest, unless most texts have them.
        for text in own:
            shared = counts[np.searchsorted(grams, text)]
            if TEMPLATE <= shared.min() < len(different) / 2:
                kept.append(text[shared == shared.min()])
        self.grams = np.unique(np.concatenate(kept))

    def holds(self, grams: np.ndarray) -> bool:
        """Check whether the index contains one of the `long_grams` of a text."""
        if not len(self.grams) or not len(grams):
            return False
        place = np.searchsorted(self.grams, grams)
        return bool((self.grams[np.minimum(place, len(self.grams) - 1)] == grams).any())


def matching_texts(texts: Sequence[str], indices: Sequence[Index]) -> list[list[int]]:
    """Find the texts that share a long n-gram with an index.

    Parameters
    ----------
    texts : sequence of str
        Texts to look up.
    indices : sequence of Index
        Indices of other texts.

    Returns
    -------
    list of list of int
        For each index, the positions of the matching `texts`.
    """
    matches: list[list[int]] = [[] for _ in indices]
    for i, text in enumerate(texts):
        grams = long_grams(text)
        for places, index in zip(matches, indices, strict=True):
            if index.holds(grams):
                places.append(i)
    return matches
