"""Contrasts of arms on the same items, without joins, are those with joins."""

from __future__ import annotations

from dataclasses import astuple

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from probate.core.records import MEMBER
from probate.stats import comparisons
from probate.stats.aligned import align, align_pairs, difference, stacked
from probate.stats.contrast import before_after, contrast, paired_difference
from probate.stats.measure import Measure
from probate.study.schema import Analysis

ANALYSIS = Analysis(resamples=200)
KINDS = ("items", "pairs", "clusters", "dyads")


def ids_of(kind: str, count: int) -> list[tuple[str, int]]:
    """Item and side of each row."""
    if kind == "items":
        return [(f"i{n}", n % 2) for n in range(count)]
    if kind == "clusters":
        return [(f"c{n // 3}#{n}", (n // 2) % 2) for n in range(count)]
    if kind == "dyads":
        people = [f"p{n}" for n in range(max(2, count // 4))]
        pairs = [(a, b) for a in people[::2] for b in people[1::2]]
        return [(f"x{MEMBER}{a}{MEMBER}{b}#{side}", side) for a, b in pairs for side in (0, 1)]
    return [(f"i{n // 2}", n % 2) for n in range(2 * (count // 2))]


@st.composite
def arms(draw):
    """(after, before) of some seeds, on the same items in the same order."""
    rows = ids_of(draw(st.sampled_from(KINDS)), draw(st.integers(4, 24)))
    share, seeds = draw(st.booleans()), draw(st.integers(1, 4))
    random = np.random.default_rng(draw(st.integers(0, 10**6)))

    def one() -> pd.DataFrame:
        shift = random.normal()
        value = random.random(len(rows)) < 0.5 if share else random.normal(shift, 1, len(rows))
        frame = pd.DataFrame(rows, columns=["item_id", "side"])
        return frame.assign(value=np.asarray(value, dtype=float))

    return share, [(one(), one()) for _ in range(seeds)]


def same(one, other) -> None:
    for a, b in zip(astuple(one), astuple(other), strict=True):
        assert a == b if isinstance(a, str) else np.allclose(a, b, rtol=1e-9, atol=1e-12, equal_nan=True)


@settings(deadline=None, max_examples=150)
@given(arms())
def test_arrays_and_tables_give_the_same(made):
    share, pairs = made
    after = [a for a, _ in pairs]
    own = align(after)
    assert own is not None
    same(
        contrast(own, ANALYSIS, paired=False, share=share),
        contrast(after, ANALYSIS, paired=False, share=share),
    )
    for side in (0, 1):
        tables = [f[f["side"] == side].assign(side=0) for f in after]
        same(
            contrast(own.of_side(side), ANALYSIS, paired=False, share=share, sides=1),
            contrast(tables, ANALYSIS, paired=False, share=share, sides=1),
        )
    both = align_pairs(pairs)
    assert both is not None
    same(
        contrast(difference(*both), ANALYSIS, paired=True, share=share),
        contrast([paired_difference(a, b) for a, b in pairs], ANALYSIS, paired=True, share=share),
    )
    level = [(a[a["side"] == 0], b[b["side"] == 0]) for a, b in pairs]
    both = align_pairs(level)
    assert both is not None
    same(
        contrast(stacked(*both), ANALYSIS, paired=False, share=share),
        contrast([before_after(a, b) for a, b in level], ANALYSIS, paired=False, share=share),
    )


FRAME = pd.DataFrame(ids_of("pairs", 8), columns=["item_id", "side"]).assign(value=[1.0, 0, 1, 1, 0, 0, 1, 0])


@pytest.mark.parametrize(
    ("what", "other"),
    [
        ("an item is missing", FRAME.iloc[1:]),
        ("another order", FRAME.iloc[::-1]),
        ("another side", FRAME.assign(side=1 - FRAME["side"])),
        ("another item", FRAME.replace({"item_id": {"i0": "x"}})),
        ("an item twice", pd.concat([FRAME, FRAME.iloc[:1]])),
        ("no item", FRAME.iloc[:0]),
    ],
)
def test_other_items_are_joined(what, other):
    assert align([FRAME, other]) is None and align_pairs([(FRAME, other)]) is None
    measure = Measure(name="m", title="m", unit="share", sides=("a", "b"), values=lambda o: o, primary=True)
    ((_, e),) = comparisons.changes([(FRAME, other)], measure, ANALYSIS)
    same(e, contrast([paired_difference(FRAME, other)], ANALYSIS, paired=True, share=True))


@pytest.mark.parametrize(
    "frames", [[], [FRAME.iloc[:0]], [FRAME.assign(side=2)], [pd.concat([FRAME, FRAME])]]
)
def test_what_has_no_arrays(frames):
    assert align(frames) is None


def test_values_stay_as_they_are():
    frame = FRAME.copy()
    own = align([frame, frame])
    contrast(own, ANALYSIS, paired=False, share=True)
    pd.testing.assert_frame_equal(frame, FRAME)
