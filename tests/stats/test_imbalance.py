"""Shares of groups in generated texts, and the correction for the detector's errors."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binomtest
from statsmodels.stats.proportion import proportion_confint

from probate.data.corpora import biographies
from probate.data.packs import load_pack
from probate.stats.imbalance import UNCLEAR, confusion, detect, group_shares

GROUPS = ["female", "male"]


def test_the_corpus_is_detected():
    rows = biographies()
    found = detect([r["text"] for r in rows], load_pack("gender"))
    table = confusion([r["gender"] for r in rows], found, GROUPS)
    assert (
        table.sum() == len(rows) and table[0, 1] == table[1, 0] == 0 and table[:, 2].sum() < 0.05 * len(rows)
    )
    assert detect(["The work went on."], load_pack("gender")) == [UNCLEAR]


def test_shares_are_exact_and_p_is_the_intervals_inversion():
    found = ["female"] * 18 + ["male"] * 6 + [UNCLEAR] * 3
    own = group_shares(["nurse"] * 27, found, GROUPS)
    assert [s.label for s in own] == ["nurse", "nurse", "", ""]
    test = binomtest(18, 24, 0.5)
    assert own[0].share == 0.75 and own[0].n == 24 and own[0].p == pytest.approx(test.pvalue)
    assert (own[0].low, own[0].high) == pytest.approx(tuple(test.proportion_ci(method="exact")))
    assert np.isnan(own[0].corrected)
    against = group_shares(["nurse"] * 27, found, GROUPS, reference={"female": 0.75, "male": 0.25})
    assert against[0].p == pytest.approx(1.0)


def test_a_label_without_a_determined_text_is_as_wide_as_can_be():
    (one, _, *_rest) = group_shares(["nurse"], [UNCLEAR], GROUPS)
    assert one.n == 0 and (one.low, one.high) == (0.0, 1.0) and np.isnan(one.p)


def test_the_correction_finds_the_truth_and_covers_it():
    """Simulated: a detector that misses more of one group than of the other makes a gap that is not there."""
    rng = np.random.default_rng(0)
    truth, chances = 0.5, np.array([[0.6, 0.02, 0.38], [0.05, 0.9, 0.05]])
    plain, fixed, covered = [], [], []
    for _ in range(120):
        errors = np.stack([rng.multinomial(150, row) for row in chances])
        people = rng.random(300) < truth
        found = [[*GROUPS, UNCLEAR][rng.choice(3, p=chances[0 if f else 1])] for f in people]
        own = group_shares(["x"] * 300, found, GROUPS, errors={"x": errors})[0]
        plain.append(own.share)
        fixed.append(own.corrected)
        covered.append(own.corrected_low <= truth <= own.corrected_high)
    assert abs(np.mean(plain) - truth) > 0.08
    assert abs(np.mean(fixed) - truth) < 0.01
    assert np.mean(covered) >= 0.9


def test_twelve_texts_have_an_interval_that_covers():
    """A bootstrap of twelve texts that nearly all show one group holds the truth in about 70% of samples."""
    rng = np.random.default_rng(3)
    chances = np.array([[0.6, 0.02, 0.38], [0.05, 0.9, 0.05]])
    covered = []
    for _ in range(80):
        errors = np.stack([rng.multinomial(150, row) for row in chances])
        found = list(rng.choice([*GROUPS, UNCLEAR], 12, p=0.1 * chances[0] + 0.9 * chances[1]))
        own = group_shares([""] * 12, found, GROUPS, errors={"": errors})[0]
        covered.append(own.corrected_low <= 0.1 <= own.corrected_high)
        assert (own.corrected_p < 0.05) == (not own.corrected_low <= 0.5 <= own.corrected_high)
    assert np.mean(covered) >= 0.9


def test_a_detector_without_error_leaves_wilsons_interval():
    found = ["female"] * 9 + ["male"] * 3
    own = group_shares([""] * 12, found, GROUPS, errors={"": np.array([[10**7, 0, 0], [0, 10**7, 0]])})[0]
    assert own.corrected == pytest.approx(0.75, abs=1e-3)
    assert (own.corrected_low, own.corrected_high) == pytest.approx(
        proportion_confint(9, 12, method="wilson"), abs=2e-3
    )
