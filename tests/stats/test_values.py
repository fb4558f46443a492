"""Answer shares of a model against people: scales, distances, countries.

The published distributions are an oracle.
"""

from __future__ import annotations

import json

import numpy as np
import pytest
from conftest import SHARED
from scipy.spatial.distance import jensenshannon
from scipy.stats import ttest_1samp, wasserstein_distance

from probate.stats.scales import ordered, substantive
from probate.stats.values import (
    Question,
    ShareComparison,
    agreement,
    by_country,
    changes,
    compare_shares,
    question_error,
)

SCALES = [
    ["A great deal", "Quite a lot", "Not very much", "None at all"],
    ["Very good", "Somewhat good", "Somewhat bad", "Very bad"],
    ["Never justifiable", "2", "3", "4", "5", "6", "7", "8", "9", "Always justifiable"],
    ["Very favorable", "Somewhat favorable", "Somewhat unfavorable", "Very unfavorable"],
    ["Very big problem", "Moderately big problem", "Small problem", "Not a problem at all"],
    ["Completely agree", "Mostly agree", "Mostly disagree", "Completely disagree"],
    ["A lot of confidence", "Some confidence", "Not too much confidence", "No confidence at all"],
    ["Not important at all", "1.0", "2.0", "3.0", "Very important"],
    ["Trust completely", "Trust somewhat", "Do not trust very much", "Do not trust at all"],
    ["Agree strongly", "Agree", "Neither agree nor disagree", "Disagree", "Disagree strongly"],
    ["Very well", "Somewhat well", "Not too well", "Not well at all"],
    ["Very often", "Fairly often", "Not often", "Not at all often"],
    ["A great danger", "Moderate danger", "Small danger", "No danger at all"],
    ["Yes", "No"],
]
NO_SCALES = [
    ["Morally acceptable", "Morally unacceptable", "Not a moral issue", "Depends on the situation (VOL)"],
    ["Better", "Worse", "Has not changed"],
    ["Work", "Leisure", "Family"],
]


def test_scales_are_told_from_lists():
    assert [ordered(s) for s in SCALES] == [True] * len(SCALES)
    assert [ordered(s[::-1]) for s in SCALES] == [True] * len(SCALES)
    assert [ordered(s) for s in NO_SCALES] == [False] * len(NO_SCALES)


def test_what_is_no_answer():
    options = [
        "Yes",
        "No",
        "Don't know",
        "No answer",
        "Other missing; Multiple answers Mail (EVS)",
        "DK/Refused",
        "None at all",
        "Refused",
        "Not important",
    ]
    assert [options[i] for i in substantive(options)] == ["Yes", "No", "None at all", "Not important"]


def question(shares, options=("Yes", "No", "Don't know"), country="X", text="q"):
    return Question(country, text, tuple(options), tuple(shares))


def test_bad_questions_say_what_is_wrong():
    assert question_error(question((0.5, 0.4, 0.1))) == ""
    assert question_error(question((0.5, 0.4, 0.4))) == "its shares sum to 1.300, not to 1"
    assert (
        question_error(question((0.6, 0.4), ("Yes", "Refused")))
        == "fewer than two of its options are answers"
    )
    assert question_error(question((0, 0, 1))) == "no respondent gave an answer"
    assert question_error(question((0.5, 0.5))) == "3 options but 2 shares"


def test_one_question():
    found = compare_shares(question((0.8, 0.1, 0.1)), (0.0, 1.0, 0.0))
    assert found.unanswered == pytest.approx(0.1) and found.collapsed
    assert found.moved == pytest.approx(8 / 9)
    assert found.entropy[0] == 0 and 0 < found.entropy[1] < 1
    assert compare_shares(question((1, 0, 0)), (1, 0, 0)).distance == 0


def test_non_answers_are_set_aside_unless_they_are_to_count():
    asked = question((0.4, 0.4, 0.2))
    assert compare_shares(asked, (0.5, 0.5, 0.0)).distance == 0
    kept = compare_shares(asked, (0.5, 0.5, 0.0), non_answers=True)
    assert kept.distance == pytest.approx(jensenshannon([0.4, 0.4, 0.2], [0.5, 0.5, 0], base=2))
    assert np.isnan(kept.moved) and kept.unanswered == pytest.approx(0.2)


def test_few_questions_have_no_interval_and_a_change_is_paired():
    def one(text, distance):
        return ShareComparison("X", text, distance, np.nan, (1, 1), 0, False)

    (two,) = by_country([one("a", 0.1), one("b", 0.3)])
    assert two.value == pytest.approx(0.2) and np.isnan(two.low)
    pairs = changes([one(str(i), 0.1 * i) for i in range(6)], [one(str(i), 0.1 * i + 0.05) for i in range(5)])
    (moved,) = by_country(pairs, lowest=-1.0)
    ends = ttest_1samp([0.1, 0.3, 0.35], 0).confidence_interval()
    (three,) = by_country([one("a", 0.1), one("b", 0.3), one("c", 0.35)])
    assert three.low == max(0, ends.low) and three.high == pytest.approx(ends.high)
    assert moved.n == 5 and (moved.low, moved.value, moved.high) == pytest.approx((0.05,) * 3)


@pytest.mark.skipif(
    not (SHARED / "globalopinionqa").is_dir(), reason="GlobalOpinionQA is not here (shared/data)"
)
def test_published_distributions_agree_with_scipy():
    found: dict[str, list[ShareComparison]] = {}
    for line in (SHARED / "globalopinionqa" / "llm_distributions.jsonl").open(encoding="utf-8"):
        row = json.loads(line)
        q = Question(row["country"], row["question"], tuple(map(str, row["options"])), tuple(row["human"]))
        if question_error(q) or len(row["llm_distribution"]) != len(q.options):
            continue
        own = compare_shares(q, row["llm_distribution"])
        keep = substantive(q.options)
        p, m = ([side[i] for i in keep] for side in (q.shares, row["llm_distribution"]))
        if sum(m) > 0:
            assert own.distance == pytest.approx(float(np.nan_to_num(jensenshannon(p, m, base=2))), abs=1e-9)
            if own.moved == own.moved:
                scale = np.arange(len(keep)) / (len(keep) - 1)
                assert own.moved == pytest.approx(wasserstein_distance(scale, scale, m, p), abs=1e-9)
        found.setdefault(row["model"], []).append(own)
    assert len(found) == 3 and all(len(rows) > 500 for rows in found.values())
    orders = [by_country(rows) for rows in found.values()]
    assert all(len(order) == 6 for order in orders)
    assert all(agreement(a, b) > 0 for a in orders for b in orders)
