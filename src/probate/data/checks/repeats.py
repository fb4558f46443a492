"""Texts that stand there twice, nearly twice, or in another file: exact hashes, MinHash, n-grams of words."""

from __future__ import annotations

import hashlib
import re
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

WORD = re.compile(r"[\u4e00-\u9fff]|[^\W\u4e00-\u9fff]+")
"""A word or a number; of Chinese, which writes no spaces, a character."""
SHINGLE = 5
"""Words of a shingle."""
BANDS, ROWS = 8, 4
"""MinHash: two texts are compared if all `ROWS` minima of one of `BANDS` bands agree; at a similarity of 0.7 that happens with chance 0.9."""
NEAR = 0.7
"""Jaccard similarity of shingles from which two texts are nearly the same."""
LONG = 13
"""Words of an n-gram that is no coincidence."""
TEMPLATE = 5
"""Different texts from which an n-gram that they share is a template's."""
BLOCK = 2000


@dataclass(frozen=True)
class Repeats:
    """`exact` and `near`: place of a text → place of the first that it repeats."""

    exact: dict[int, int]
    near: dict[int, int]


def find_repeats(texts: Sequence[str]) -> Repeats:
    """Exact repeats (case and spaces set aside), and near ones by MinHash with the similarity then counted."""
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


def words(text: str) -> list[str]:
    """Lower-case words and numbers of a text."""
    return WORD.findall(text.lower())


def _hashes(text: str) -> np.ndarray:
    return np.array([_hash(w) for w in words(text)], dtype=np.uint64)


@lru_cache(maxsize=1 << 20)
def _hash(word: str) -> int:
    return zlib.crc32(word.encode())


def shingles(text: str, size: int = SHINGLE) -> np.ndarray:
    """Hashes of the runs of `size` words, of shape (runs,), different ones only; of a shorter text the hash of it all."""
    return _runs(_hashes(text), size)


def long_grams(text: str) -> np.ndarray:
    """Hashes of the runs of `LONG` words; none of a text that has fewer words."""
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
    """Jaccard similarity of shingles, in [0, 1]."""
    x, y = shingles(a), shingles(b)
    shared = len(np.intersect1d(x, y, assume_unique=True))
    return shared / max(1, len(x) + len(y) - shared)


def _signatures(texts: Sequence[str]) -> list[np.ndarray | None]:
    rng = np.random.default_rng(0)
    factor = rng.integers(1, 2**63, BANDS * ROWS, dtype=np.uint64) | np.uint64(1)
    shift = rng.integers(0, 2**63, BANDS * ROWS, dtype=np.uint64)
    found: list[np.ndarray | None] = []
    for text in texts:
        own = shingles(text)
        if not len(own):
            found.append(None)
            continue
        mixed = own[:, None] * factor + shift
        found.append(((mixed ^ (mixed >> np.uint64(29))) * np.uint64(0x9E3779B97F4A7C15)).min(0))
    return found


class Index:
    """Long n-grams of texts that others are searched for. A text that stands there twice counts once; n-grams that `TEMPLATE` different texts or
    more have are set aside; of a text that has no other those that the fewest have.

    `short`: different texts of fewer than `LONG` words, which are not searched for.
    """

    def __init__(self, texts: Iterable[str]) -> None:
        different = {tuple(words(text)): text for text in texts}
        own = [grams for text in different.values() if len(grams := long_grams(text))]
        self.short = len(different) - len(own)
        grams, counts = (
            np.unique(np.concatenate(own), return_counts=True)
            if own
            else (np.zeros(0, np.uint64), np.zeros(0, int))
        )
        found = [grams[counts < TEMPLATE]]
        for text in own:  # one whose every n-gram is shared keeps those that the fewest share, if these are no template of most
            shared = counts[np.searchsorted(grams, text)]
            if TEMPLATE <= shared.min() < len(different) / 2:
                found.append(text[shared == shared.min()])
        self.grams = np.unique(np.concatenate(found))

    def holds(self, grams: np.ndarray) -> bool:
        """Whether one of a text's `long_grams` is among them."""
        if not len(self.grams) or not len(grams):
            return False
        place = np.searchsorted(self.grams, grams)
        return bool((self.grams[np.minimum(place, len(self.grams) - 1)] == grams).any())


def held(texts: Sequence[str], indices: Sequence[Index]) -> list[list[int]]:
    """For each index, the places of the texts that hold one of its n-grams."""
    found: list[list[int]] = [[] for _ in indices]
    for i, text in enumerate(texts):
        grams = long_grams(text)
        for places, index in zip(found, indices, strict=True):
            if index.holds(grams):
                places.append(i)
    return found
