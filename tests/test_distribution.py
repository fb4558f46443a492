"""Distances between two sets of texts: equal to plain formulas, right under the null, and sensible at the edges."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.distance import cdist
from sklearn.metrics import roc_auc_score

from probate.analyze import distribution as d
from probate.analyze.wording import distinct, length_matched, lengths, telling_words


def points(n: int, shift: float = 0.0, seed: int = 0, width: int = 8) -> np.ndarray:
    return np.random.default_rng(seed).normal(shift, 1, (n, width))


def test_distances_are_what_their_definitions_say():
    x, y = points(23), points(31, 0.3, 1)
    mmd, energy = d.mmd_and_energy(x, y, 200)
    pooled = np.concatenate([x, y])
    squared = cdist(pooled, pooled, "sqeuclidean")
    kernel = np.mean([np.exp(-squared / (2 * b * np.median(squared[squared > 0]))) for b in d.BANDWIDTHS], axis=0)
    n, m = len(x), len(y)
    inner = (kernel[:n, :n].sum() - n) / (n * (n - 1)) + (kernel[n:, n:].sum() - m) / (m * (m - 1))
    assert mmd.value == pytest.approx(inner - 2 * kernel[:n, n:].mean(), abs=1e-6)
    apart = np.sqrt(squared)
    within = apart[:n, :n].sum() / (n * (n - 1)) + apart[n:, n:].sum() / (m * (m - 1))
    assert energy.value == pytest.approx(2 * apart[:n, n:].mean() - within, abs=1e-5)


def test_a_shift_is_found_and_none_is_not():
    found = d.mmd_and_energy(points(80), points(80, 0.5, 1), 2000)
    assert all(e.value > 0 and e.p < 0.01 for e in found)
    ps = np.array([[e.p for e in d.mmd_and_energy(points(15, 0, 2 * i), points(20, 0, 2 * i + 1), 199, i)] for i in range(300)])
    assert (np.mean(ps <= 0.05, axis=0) <= 0.08).all()
    assert (np.abs(ps.mean(0) - 0.5) < 0.06).all()


def test_fourier_features_come_near_the_exact_distance_and_keep_the_level():
    x, y = points(900), points(900, 0.25, 1)
    exact = d.mmd_and_energy(x, y, 200)[0]
    close = d.fourier_mmd(x, y, 500, features=2048)
    assert close.value == pytest.approx(exact.value, rel=0.15)
    assert close.p < 0.01
    ps = np.array([d.fourier_mmd(points(150, 0, 2 * i), points(100, 0, 2 * i + 1), 400, i, 128).p for i in range(200)])
    assert np.mean(ps <= 0.05) <= 0.1 and abs(ps.mean() - 0.5) < 0.08


def test_many_points_take_the_approximation(monkeypatch):
    monkeypatch.setattr(d, "EXACT", 50)
    (found,) = d.mmd_and_energy(points(40), points(40, 1, 1), 300)
    assert "random Fourier features" in found.method and found.p < 0.01


def test_auc_is_scikit_learns_and_its_interval_covers():
    rng = np.random.default_rng(0)
    low, high = np.round(rng.normal(0, 1, 60), 1), np.round(rng.normal(0.7, 1, 40), 1)
    found = d.auc(low, high)
    assert found.value == pytest.approx(roc_auc_score([0] * 60 + [1] * 40, np.r_[low, high]))
    truth = 0.6897  # P(N(0.7, 2) > 0)
    hits = [a.low <= truth <= a.high for a in (d.auc(rng.normal(0, 1, 60), rng.normal(0.7, 1, 40)) for _ in range(500))]
    assert 0.91 <= np.mean(hits) <= 0.985


def test_a_classifier_tells_apart_what_is_apart():
    far = d.classifier_auc(points(60), points(60, 1, 1))
    assert far.low > 0.8 and far.p < 1e-6
    near = d.classifier_auc(points(60), points(60, 0, 1))
    assert near.low < 0.5 < near.high or abs(near.value - 0.5) < 0.15


def test_precision_recall_and_coverage():
    same = d.precision_recall(points(200), points(200, 0, 1))
    assert all(v > 0.7 for v in same.values())
    assert d.precision_recall(points(50), points(50, 50, 1)) == {"precision": 0, "recall": 0, "coverage": 0}
    narrow = d.precision_recall(points(200), 0.05 * points(200, 0, 1))
    assert narrow["precision"] > 0.9 and narrow["recall"] < 0.2  # the augmented sample has collapsed to the middle


def test_vendi_counts_what_differs():
    assert d.vendi(np.eye(6)) == pytest.approx(6)
    assert d.vendi(np.ones((50, 3))) == pytest.approx(1)
    assert d.vendi(np.repeat(np.eye(3), 4, axis=0)) == pytest.approx(3)


def test_the_map_keeps_the_largest_direction():
    x, y = points(30), points(30, 0, 1) + np.r_[20, np.zeros(7)]
    a, b, share = d.principal_map(x, y)
    assert a.shape == b.shape == (30, 2)
    assert abs(a[:, 0].mean() - b[:, 0].mean()) == pytest.approx(20, rel=0.05)
    assert share[0] > share[1] > 0


def test_edges_are_none_or_zero_and_never_a_crash():
    flat = np.ones((8, 4))
    found = d.summary(flat, flat, 100)
    assert [e.value for e in found["distances"]] == [0, 0] and all(e.p == 1 for e in found["distances"])
    assert found["auc"].value == 0.5 and found["vendi"] == (pytest.approx(1), pytest.approx(1))
    tiny = d.summary(points(1), points(8), 100)
    assert tiny["distances"] is None and tiny["auc"] is None and tiny["manifold"] is None


def test_words_that_tell_apart_and_lengths():
    first = ["the cat sat on the mat"] * 20
    second = ["the dog sat on the old mat today"] * 20
    found = telling_words(first, second, 3)
    assert found[0].word == "cat" and found[0].z < 0 and (found[0].first, found[0].second) == (20, 0)
    assert {w.word for w in found[-3:]} == {"dog", "old", "today"} and found[-1].z > 0
    assert lengths(first[:1]).tolist() == [6]
    assert telling_words([], first) == []
    assert distinct(["a b c", "a b d"]) == pytest.approx(3 / 4)


def test_matched_sets_are_alike_in_length():
    rng = np.random.default_rng(0)
    first = ["w " * int(n) for n in rng.integers(5, 40, 60)]
    second = ["w " * int(n) for n in rng.integers(20, 80, 60)]
    a, b = length_matched(first, second)
    assert len(a) == len(b) == len(set(a)) == len(set(b)) > 10
    one, other = lengths([first[i] for i in a]), lengths([second[i] for i in b])
    assert abs(one.mean() - other.mean()) < 0.1 * one.mean()
