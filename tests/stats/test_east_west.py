"""East against West: scipy's interval, the questions that count, and when there is no difference."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from conftest import SHARED
from scipy.stats import ttest_1samp, ttest_ind

from probate.stats.east_west import SIDE_OF, SIDES, east_west, side
from probate.stats.values import Distance, Question, by_region, changes, over_questions, regions
from probate.tasks.survey_rows import published
from probate.tasks.values_report import gap_said, report, sentences

EAST, WEST, NEITHER = (
    ("Egypt", "China", "India (Old national sample)", "Turkey"),
    ("France", "Canada"),
    "Kenya",
)


def test_every_region_is_on_a_side_or_on_neither():
    assert set(SIDE_OF) < set(regions()) and set(SIDE_OF.values()) == set(SIDES)
    assert [side(c) for c in EAST] == ["East"] * 4 and [side(c) for c in WEST] == ["West"] * 2
    assert [side(c) for c in (NEITHER, "Brazil", "Poland", "Atlantis")] == [""] * 4


def rows(n, seed=0):
    rng = np.random.default_rng(seed)
    table = rng.uniform(0, 1, (n, len(EAST) + len(WEST)))
    found = [
        Distance(c, f"q{i}", float(d))
        for i, own in enumerate(table)
        for c, d in zip((*EAST, *WEST), own, strict=True)
    ]
    return found, table[:, :4].mean(1) - table[:, 4:].mean(1)


@pytest.mark.parametrize("n", [3, 4, 20])
def test_the_interval_is_students_over_questions(n):
    found, gaps = rows(n)
    gap = east_west(found)
    ends = ttest_1samp(gaps, 0).confidence_interval()
    assert gap.n == n and gap.value == pytest.approx(gaps.mean()) == pytest.approx(gap.east - gap.west)
    assert (gap.low, gap.high) == pytest.approx((max(-1, ends.low), min(1, ends.high)))
    more = [
        Distance(NEITHER, "q0", 0.9), Distance("Egypt", "only east", 1.0), Distance("France", "only west", 0.0)
    ]  # fmt: skip
    wider = east_west([*more, *found])
    assert (wider.value, wider.low, wider.n) == (gap.value, gap.low, n), (
        "a question of one side, or of neither, does not count"
    )
    assert (gap.east_n, gap.west_n, wider.east_n, wider.west_n) == (n, n, n + 1, n + 1)


def test_the_unpaired_difference_is_welchs():
    found, _ = rows(7)
    found = [d for d in found if side(d.country) == "East" or d.text > "q2"]
    gap = east_west(found)
    east, west = (
        [
            np.mean([d.distance for d in found if side(d.country) == s and d.text == t])
            for t in sorted({d.text for d in found if side(d.country) == s})
        ]
        for s in SIDES
    )
    own = ttest_ind(east, west, equal_var=False).confidence_interval()
    assert (gap.n, gap.east_n, gap.west_n) == (4, 7, 4)
    assert gap.unpaired == pytest.approx(np.mean(east) - np.mean(west)) and gap.unpaired != pytest.approx(
        gap.value
    )
    assert (gap.unpaired_low, gap.unpaired_high) == pytest.approx((max(-1, own.low), min(1, own.high)))
    few = east_west([d for d in found if side(d.country) == "East" or d.text in ("q3", "q4")])
    assert np.isnan(few.unpaired) and few.reason


def test_the_sides_swapped_change_the_sign():
    found, _ = rows(9)
    swapped = dict(zip((*EAST, *WEST), ("France", "Canada", "Spain", "Italy", "Egypt", "China"), strict=True))
    own, other = east_west(found), east_west([replace(d, country=swapped[d.country]) for d in found])
    assert other.value == pytest.approx(-own.value) and other.low == pytest.approx(-own.high)


@pytest.mark.parametrize(
    ("kept", "reason"),
    [
        (lambda d: side(d.country) == "East", "in a country of the West"),
        (lambda d: side(d.country) == "West", "in a country of the East"),
        (lambda d: False, "in a country of the East or the West"),
        (lambda d: d.text in ("q0", "q1"), "answered 2 of the questions, and at least 3 are needed"),
        (lambda d: (side(d.country) == "East") == (d.text < "q4"), "answered 0 of the questions"),
    ],
)
def test_few_questions_give_a_reason_and_no_number(kept, reason):
    gap = east_west([d for d in rows(8)[0] if kept(d)])
    assert reason in gap.reason and all(np.isnan([gap.value, gap.low, gap.high, gap.east, gap.west]))
    assert reason in gap_said(gap)[0]


def test_a_change_is_paired_by_question_and_country():
    before, gaps = rows(12)
    after, moved = rows(12, seed=1)
    pairs = changes(before[2:], after[:-2])
    assert {(p.country, p.text) for p in pairs} == {(d.country, d.text) for d in before[2:-2]}
    pairs = changes(before, after)
    gap = east_west(pairs, most=2.0)
    ends = ttest_1samp(moved - gaps, 0).confidence_interval()
    assert gap.value == pytest.approx((moved - gaps).mean()) and gap.low == pytest.approx(ends.low)
    everywhere = over_questions("all", pairs, lowest=-1.0)
    by_text = [np.mean([p.distance for p in pairs if p.text == f"q{i}"]) for i in range(12)]
    assert everywhere.value == pytest.approx(np.mean(by_text)) and everywhere.n == 12
    falling = by_region([replace(p, distance=-abs(p.distance)) for p in pairs], lowest=-1.0)
    assert [m.value for m in falling] == sorted(m.value for m in falling) and all(m.high < 1 for m in falling)
    assert min(m.low for m in falling) < 0
    opposite = east_west(
        [Distance(c, f"q{i}", 1.0 if c in EAST else -1.0) for c in (*EAST, *WEST) for i in range(3)], most=2.0
    )
    assert (opposite.value, opposite.low, opposite.high) == (2.0, 2.0, 2.0)


@pytest.mark.skipif(
    not (SHARED / "globalopinionqa").is_dir(), reason="GlobalOpinionQA is not here (shared/data)"
)
def test_published_models_have_the_row():
    path = SHARED / "globalopinionqa" / "llm_distributions.jsonl"
    compared, rejected = published(str(path), "llm_distribution", "model")
    assert len(compared) == 3 and rejected
    for own in compared.values():
        record = report(own, [])
        texts = {name: {c.text for c in own if side(c.country) == name} for name in SIDES}
        gap = record["east_west"]
        assert gap["n"] == len(texts["East"] & texts["West"]) >= 10
        assert gap["low"] <= gap["value"] <= gap["high"] and gap["reason"] == ""
        assert f"East minus West: {gap['value']:+.3f}" in sentences(record)[-2]
    assert json.dumps(record)


def test_a_share_that_is_no_number_is_not_used():
    from probate.stats.values import question_error

    assert "sum to nan" in question_error(Question("X", "q", ("a", "b"), (float("nan"), 1.0)))
