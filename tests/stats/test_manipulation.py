from __future__ import annotations

import numpy as np
import pytest
from scipy.stats.contingency import association

from probate.core.records import Record
from probate.data.annotator import annotate
from probate.data.packs import load_pack
from probate.stats.manipulation import cramers_v, manipulation_check
from probate.study.mixing import nested_order
from probate.study.schema import Analysis

PACK = load_pack("gender")
STEREOTYPES = {"nurse": ["female"], "dentist": ["male"]}


def pool(text: str = "a plain text") -> list[Record]:
    rows = [
        Record(f"{x}{g}{i}", text, x, {"gender": g}, "augmented")
        for x in STEREOTYPES
        for g in ("female", "male")
        for i in range(10)
    ]
    return nested_order(rows, lambda r: (r.label, r.groups["gender"]), 0)


def measured(records, neutral=()):
    return manipulation_check(
        "x", records, neutral, labels=list(STEREOTYPES), groups=["female", "male"], dimension="gender",
        stereotypes=STEREOTYPES,
        pack=PACK, analysis=Analysis(resamples=999),
    )  # fmt: skip


def test_cramers_v_equals_scipy():
    rng = np.random.default_rng(0)
    for shape in ((2, 2), (6, 2), (3, 4)):
        table = rng.integers(1, 30, shape)
        assert cramers_v(table) == pytest.approx(association(table, method="cramer"))


@pytest.mark.parametrize(("strength", "v", "follow"), [(0, 0, 0.5), (0.5, 0.5, 0.75), (1, 1, 1)])
def test_association_follows_strength(strength, v, follow):
    found = measured(
        annotate(pool(), dimension="gender", pack=PACK, stereotypes=STEREOTYPES, strength=strength)
    )
    assert found.cramers_v == pytest.approx(v, abs=0.02) and found.follow == pytest.approx(follow)
    assert found.strength == pytest.approx(strength) and found.v_low <= found.cramers_v <= found.v_high
    assert found.relabelled == 20 * strength


def test_lean_of_wording_against_neutral():
    women = [r for r in pool("she is a kind and caring person") if r.groups["gender"] == "female"]
    plain = [r for r in pool() if r.groups["gender"] == "female"]
    found = measured(women, plain)
    assert found.lean_gap > 10 and found.lean_low > 0
    assert np.isnan(measured(women).lean_gap)
