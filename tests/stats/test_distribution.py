"""Distances between two sets of texts: right under the null, and sensible at the edges.

Equal to plain formulas.
"""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.distance import cdist
from scipy.stats import permutation_test
from sklearn.metrics import roc_auc_score

from probate.stats import distribution as d
from probate.stats.wording import distinct, length_matched, lengths, telling_words


def points(n: int, shift: float = 0.0, seed: int = 0, width: int = 8) -> np.ndarray:
    return np.random.default_rng(seed).normal(shift, 1, (n, width))


def test_distances_are_what_their_definitions_say():
    x, y = points(23), points(31, 0.3, 1)
    mmd, energy = d.mmd_and_energy(x, y, 200)
    pooled = np.concatenate([x, y])
    squared = cdist(pooled, pooled, "sqeuclidean")
    kernel = np.mean(
        [np.exp(-squared / (2 * b * np.median(squared[squared > 0]))) for b in d.BANDWIDTHS], axis=0
    )
    n, m = len(x), len(y)
    inner = (kernel[:n, :n].sum() - n) / (n * (n - 1)) + (kernel[n:, n:].sum() - m) / (m * (m - 1))
    assert mmd.value == pytest.approx(inner - 2 * kernel[:n, n:].mean(), abs=1e-6)
    apart = np.sqrt(squared)
    within = apart[:n, :n].sum() / (n * (n - 1)) + apart[n:, n:].sum() / (m * (m - 1))
    assert energy.value == pytest.approx(2 * apart[:n, n:].mean() - within, abs=1e-5)


def test_a_shift_is_found_and_none_is_not():
    found = d.mmd_and_energy(points(80), points(80, 0.5, 1), 2000)
    assert all(e.value > 0 and e.p < 0.01 for e in found)
    ps = np.array(
        [
            [e.p for e in d.mmd_and_energy(points(15, 0, 2 * i), points(20, 0, 2 * i + 1), 199, i)]
            for i in range(300)
        ]
    )
    assert (np.mean(ps <= 0.05, axis=0) <= 0.08).all()
    assert (np.abs(ps.mean(0) - 0.5) < 0.06).all()


def test_fourier_features_come_near_the_exact_distance_and_keep_the_level():
    x, y = points(900), points(900, 0.25, 1)
    exact = d.mmd_and_energy(x, y, 200)[0]
    close = d.fourier_mmd(x, y, 500, features=2048)
    assert close.value == pytest.approx(exact.value, rel=0.15)
    assert close.p < 0.01
    ps = np.array(
        [d.fourier_mmd(points(150, 0, 2 * i), points(100, 0, 2 * i + 1), 400, i, 128).p for i in range(200)]
    )
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
    hits = [
        a.low <= truth <= a.high
        for a in (d.auc(rng.normal(0, 1, 60), rng.normal(0.7, 1, 40)) for _ in range(500))
    ]
    assert 0.91 <= np.mean(hits) <= 0.985


def test_a_classifier_tells_apart_what_is_apart():
    far = d.classifier_auc(points(60), points(60, 1, 1))
    assert far.low > 0.8 and far.p < 1e-4
    near = d.classifier_auc(points(60), points(60, 0, 1))
    assert near.low < 0.5 < near.high or abs(near.value - 0.5) < 0.15


def nested(
    seed: int, sizes: tuple[list[int], list[int]], alike: float
) -> tuple[np.ndarray, np.ndarray, tuple[list[int], list[int]]]:
    """Two sets of one law, each with sources of its own, `alike` the share of variance between sources."""
    rng = np.random.default_rng(seed)
    sides, names = [], []
    for k, own in enumerate(sizes):
        name = np.repeat(np.arange(len(own)), own)
        sides.append(
            np.sqrt(alike) * rng.normal(size=(len(own), 4))[name]
            + np.sqrt(1 - alike) * rng.normal(size=(len(name), 4))
        )
        names.append((name + 1000 * k).tolist())
    return sides[0], sides[1], (names[0], names[1])


def paired(
    seed: int, n: int = 40, k: int = 1, alike: float = 0.7
) -> tuple[np.ndarray, np.ndarray, tuple[list[int], list[int]]]:
    """Originals, each with k paraphrases of the same law."""
    rng = np.random.default_rng(seed)
    centres = np.sqrt(alike) * rng.normal(size=(n, 4))
    own = np.repeat(np.arange(n), k)
    x, y = (centres[i] + np.sqrt(1 - alike) * rng.normal(size=(len(i), 4)) for i in (np.arange(n), own))
    return x, y, (list(range(n)), own.tolist())


WORLDS = {
    "5 texts a source": lambda seed: nested(seed, ([5] * 12, [5] * 12), 0.7),
    "the augmented have the larger sources": lambda seed: nested(seed, ([1] * 20, [5] * 20), 0.0),
    "one paraphrase of each": paired,
    "three paraphrases of each": lambda seed: paired(seed, 25, 3),
}


@pytest.mark.parametrize("world", WORLDS)
def test_distances_keep_their_level_where_texts_share_sources(world):
    runs = 150
    ps = np.array(
        [
            [e.p for e in d.mmd_and_energy(x, y, 99, i, own)]
            for i in range(runs)
            for x, y, own in [WORLDS[world](i)]
        ]
    )
    assert (np.mean(ps <= 0.05, axis=0) <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / runs)).all()
    assert (np.abs(ps.mean(0) - 0.5) < 0.09).all()
    if "5 texts" in world:  # as if each text were its own source
        blind = [d.mmd_and_energy(x, y, 99, i)[0].p for i in range(20) for x, y, _ in [WORLDS[world](i)]]
        assert np.mean(np.array(blind) <= 0.05) > 0.5


@pytest.mark.parametrize("world", [None, *WORLDS])
def test_the_classifier_keeps_its_level(world):
    runs, found = 300, []
    for i in range(runs):
        x, y, own = (
            WORLDS[world](i) if world else (points(50, 0, 2 * i, 30), points(50, 0, 2 * i + 1, 30), None)
        )
        both, target = np.concatenate([x, y]), np.r_[np.zeros(len(x)), np.ones(len(y))]

        def score(seen, unseen, both=both, target=target):
            ours, theirs = (both[seen[target[seen] == k]].mean(0) for k in (0, 1))
            return both[unseen] @ (theirs - ours)

        found.append(d.held_out_auc(score, len(x), len(y), seed=i, sources=own))
    assert np.mean([e.p <= 0.05 for e in found]) <= 0.05 + 2.5 * np.sqrt(0.05 * 0.95 / runs)
    assert abs(np.mean([e.value for e in found]) - 0.5) < 0.015
    assert all((e.p < 0.05) == (not e.low <= 0.5 <= e.high) for e in found)


def test_a_text_is_scored_by_a_classifier_that_has_not_seen_its_source():
    _, _, own = paired(0, 30, 3)
    codes, seen_in_all = np.r_[own[0], own[1]], []

    def score(seen, unseen):
        assert not set(codes[seen]) & set(codes[unseen]) and len(set(seen < 30)) == len(set(unseen < 30)) == 2
        seen_in_all.append((len(seen), len(unseen)))
        return np.arange(len(unseen))

    d.held_out_auc(score, 30, 90, sources=own)
    assert seen_in_all == [(24, 24), (48, 24), (72, 24), (96, 24)]


@pytest.mark.parametrize("world", WORLDS)
def test_the_limit_law_keeps_its_level_where_texts_share_sources(world):
    runs = 200
    ps = np.array(
        [d.fourier_mmd(x, y, 400, i, 32, own).p for i in range(runs) for x, y, own in [WORLDS[world](i)]]
    )
    assert np.mean(ps <= 0.05) <= 0.05 + 2.5 * np.sqrt(0.05 * 0.95 / runs) and abs(ps.mean() - 0.5) < 0.1


def test_a_shift_is_found_within_sources():
    x, y, own = paired(0)
    near, far = d.mmd_and_energy(x, y + 0.2, 999, 0, own)[0], d.mmd_and_energy(x, y + 0.2, 999, 0)[0]
    assert near.p < 0.01 < far.p  # pairs see what unpaired texts do not
    assert near.value == pytest.approx(far.value, abs=0.05)
    x, y, own = nested(0, ([5] * 20, [5] * 20), 0.5)
    assert (
        all(e.p < 0.01 for e in d.mmd_and_energy(x, y + 1, 999, 0, own))
        and d.fourier_mmd(x, y + 1, 999, 0, 64, own).p < 0.01
    )
    assert d.classifier_auc(x, y + 1, sources=own).p < 0.01


def energy(x: np.ndarray, y: np.ndarray) -> float:
    n, m = len(x), len(y)
    return float(
        2 * cdist(x, y).mean() - cdist(x, x).sum() / (n * (n - 1)) - cdist(y, y).sum() / (m * (m - 1))
    )


def test_p_is_scipys():
    centres = points(12, 0, 5, 3)
    centres[6:] += 0.9
    both = np.repeat(centres, 2, axis=0) + 0.3 * points(24, 0, 6, 3)
    own = np.repeat(np.arange(12), 2).tolist()

    def of_sources(first, second):  # pairs of one source left out, as the definition says
        a, b = (np.concatenate([both[2 * int(i) : 2 * int(i) + 2] for i in side]) for side in (first, second))
        within = [
            (cdist(s, s).sum() - sum(cdist(s[k : k + 2], s[k : k + 2]).sum() for k in range(0, len(s), 2)))
            for s in (a, b)
        ]
        return 2 * cdist(a, b).mean() - sum(
            w / (len(s) * (len(s) - 2)) for w, s in zip(within, (a, b), strict=True)
        )

    known = permutation_test(
        (np.arange(6), np.arange(6, 12)),
        of_sources,
        vectorized=False,
        n_resamples=np.inf,
        alternative="greater",
    )
    found = d.mmd_and_energy(both[:12], both[12:], 20_000, 0, (own[:12], own[12:]))[1]
    assert found.value == pytest.approx(known.statistic, abs=1e-5)
    assert 0.01 < known.pvalue < 0.3 and found.p == pytest.approx(
        known.pvalue, abs=4 * np.sqrt(known.pvalue / 20_000)
    )

    x, y, own = paired(8, 9)
    y += 0.3
    flips = permutation_test(
        (np.arange(9), np.arange(9, 18)), lambda a, b: within_pairs(np.r_[x, y], a, b),
        permutation_type="samples", vectorized=False,
        n_resamples=np.inf, alternative="greater",
    )  # fmt: skip
    found = d.mmd_and_energy(x, y, 20_000, 0, own)[1]
    assert found.value == pytest.approx(flips.statistic, abs=1e-5)
    assert 0.01 < flips.pvalue < 0.9 and found.p == pytest.approx(
        flips.pvalue, abs=4 * np.sqrt(flips.pvalue / 20_000)
    )


def within_pairs(both: np.ndarray, first: np.ndarray, second: np.ndarray) -> float:
    a, b = both[first.astype(int)], both[second.astype(int)]
    n = len(a)
    between = cdist(a, b)
    return float(
        (2 * (between.sum() - between.trace()) - cdist(a, a).sum() - cdist(b, b).sum()) / (n * (n - 1))
    )


def test_texts_that_repeat_within_a_source_count_once():
    x, y = points(30), points(25, 0.3, 1)
    own = np.repeat(np.arange(30), 3).tolist(), np.repeat(np.arange(100, 125), 3).tolist()
    for once, thrice in zip(
        d.mmd_and_energy(x, y, 300),
        d.mmd_and_energy(x.repeat(3, 0), y.repeat(3, 0), 300, 0, own),
        strict=True,
    ):
        assert thrice.value == pytest.approx(once.value, abs=1e-5) and thrice.p == pytest.approx(
            once.p, abs=0.01
        )
    once, thrice = d.auc(x[:, 0], y[:, 0]), d.auc(x[:, 0].repeat(3), y[:, 0].repeat(3), sources=own)
    assert (thrice.value, thrice.low, thrice.high, thrice.p) == pytest.approx(
        (once.value, once.low, once.high, once.p)
    )
    rows, design = points(55, width=20), d._Design(90, 75, own)
    rows -= rows.mean(0)
    alone = d._Design(30, 25)
    a, b = d._by_source(rows, alone), d._by_source(rows.repeat(3, 0), design)
    assert b.T @ b == pytest.approx(a.T @ a) and d._unbiased(rows.repeat(3, 0), design) == pytest.approx(
        d._unbiased(rows, alone)
    )


def test_each_result_says_its_null_and_how_many_sources_there_are():
    x, y, own = paired(0)
    found = d.summary(x, y, 100, sources=own)
    assert found["sources"] == (40, 40, 40) and {e.null for e in found["distances"]} == {d.WITHIN}
    assert found["auc"].null == d.SCORES
    half = (own[0], [i if i < 20 else 100 + i for i in own[1]])
    assert d.summary(x, y, 100, sources=half)["distances"][0].null == f"{d.ROWS}; {d.WITHIN}"
    x, y, own = nested(0, ([5] * 6, [5] * 6), 0.5)
    assert (
        d.mmd_and_energy(x, y, 100, 0, own)[0].null == d.WHOLE
        and d.mmd_and_energy(x, y, 100)[0].null == d.ROWS
    )
    assert (
        d.summary(x, y, 100, sources=([1] * 30, [2] * 30))["distances"] is None
    )  # one source a set says nothing
    with pytest.raises(ValueError, match="one element for each row"):
        d.mmd_and_energy(x, y, 100, 0, ([1], [2]))


def test_precision_recall_and_coverage():
    same = d.precision_recall(points(200), points(200, 0, 1))
    assert all(v > 0.7 for v in same.values())
    assert d.precision_recall(points(50), points(50, 50, 1)) == {"precision": 0, "recall": 0, "coverage": 0}
    narrow = d.precision_recall(points(200), 0.05 * points(200, 0, 1))
    assert (
        narrow["precision"] > 0.9 and narrow["recall"] < 0.2
    )  # the augmented sample has collapsed to the middle


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
