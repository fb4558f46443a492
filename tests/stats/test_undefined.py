"""What cannot be measured is named.

No group skipped, no share of nothing, no cost of 0 that nobody measured.
"""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from probate.core.errors import InputError
from probate.execution.calibrate import _design
from probate.report import figures
from probate.report.stopping import Entry, recommendation
from probate.stats import spread
from probate.stats.calibration import calibration
from probate.stats.groups import parse_rates
from probate.stats.information import information
from probate.stats.measure import Measure
from probate.stats.values import Question, compare_shares
from probate.study.schema import Analysis
from probate.tasks import values_report as why_values

QUICK = Analysis(resamples=200)


def choices(rows) -> pd.DataFrame:
    """(arm, group, target, response, parsed); the answer is the likeliest option."""
    return pd.DataFrame([
        {"task": "t", "arm": arm, "item_id": f"i{i}", "groups": {"g": group}, "target": target,
         "parsed": parsed, "scoring": "likelihood",
         "response": json.dumps(shares), "prediction": max(shares, key=shares.get) if parsed else "",
         "score": float(parsed and max(shares, key=shares.get) == target)}
        for i, (arm, group, target, shares, parsed) in enumerate(rows)
    ])  # fmt: skip


def test_calibration_names_a_group_that_has_none():
    sure, none = {"a": 1.0, "b": 0.0}, {"a": 0.0, "b": 0.0}
    table = choices([("m", "x", "a", sure, True), ("m", "y", "a", sure, False), ("m", "z", "a", none, True)])
    trained = {g: {"a": 2} for g in "xyzw"} | {"v": {}}
    found = {c.group: c for c in calibration(table, trained, ["a", "b"], "g", 0.5)}
    assert set(found) == set("xyzwv") and found["x"].sampled_error == 0 and found["x"].reason == ""
    for group, said in (("y", "0 of 1"), ("z", "no probability"), ("w", "no item asks")):
        assert (
            said in found[group].reason
            and np.isnan([found[group].sampled_error, found[group].greedy_bound]).all()
        )


def test_information_shows_what_was_asked_and_names_lost_labels():
    sure = {"a": 1.0, "b": 0.0}
    table = choices(
        [("m", "x", t, sure, t == "a") for t in "aabb"] + [("n", "x", t, sure, False) for t in "ab"]
    )
    one, none = information(table, "g", QUICK)
    assert (one.n, one.asked, none.n, none.asked) == (2, 4, 0, 2)
    assert (
        np.isnan([one.recall, none.recall]).all() and none.verdict == "cannot tell: no usable answer (0 of 2)"
    )
    mixed = choices(
        [
            ("m", "x", "a", {"a": 1.0, "b": 0.0}, True),
            ("m", "x", "a", {"a": 0.0, "b": 1.0}, True),
            ("m", "x", "b", sure, False),
        ]
    )
    assert (
        information(mixed, "g", QUICK)[0].verdict
        == "cannot tell: no item with the target b has a usable answer"
    )


def test_parse_rates_name_the_worst_arm():
    (row,) = parse_rates(
        choices([("m", "x", "a", {"a": 1.0}, True), ("n", "x", "a", {"a": 1.0}, False)]), "g"
    ).to_dict("records")
    assert (row["mean"], row["size"], row["least"], row["arm"]) == (0.5, 2, 0.0, "n")


def test_a_model_without_a_share_on_any_answer_has_no_distance():
    question = Question("X", "q", ("Yes", "No", "Don't know"), (0.5, 0.5, 0.0))
    none = compare_shares(question, (0.0, 0.0, 1.0))
    assert np.isnan([none.distance, none.entropy[0]]).all() and not none.collapsed
    found = why_values.report([none, compare_shares(question, (0.5, 0.5, 0.0))], [])
    assert (
        found["undefined"] == 1
        and found["countries"][0]["n"] == 1
        and "1 comparisons left out" in "\n".join(why_values.sentences(found))
    )
    with pytest.raises(InputError, match="no probability to any option that is an answer"):
        why_values.report([none], [])


def test_a_cost_that_nobody_measured_is_not_0():
    entry = Entry("mask", "t", "given", 0.5, 0.3, True, -0.2, -0.3, -0.1, 0.01, 0.1, 0.0, 0.2, "helps")
    said = recommendation([entry], {})
    assert (
        said.startswith("No mitigation can be recommended.")
        and "mask: shown to help, but the cost in accuracy is unknown" in said
    )
    assert recommendation([entry], {"mask": pd.Series({"estimate": -0.01})}).startswith(
        "mask: it helps in 1 of 1"
    )


def test_a_draw_without_a_group_is_no_draw_of_fewer_groups():
    frame = pd.DataFrame(
        {"item_id": ["a", "b", "c", "d"], "side": [0, 0, 1, 2], "value": [0.0, 0.0, 0.0, 1.0]}
    )
    e = spread.level([frame], 3, spread.distance, QUICK)
    assert (e.value, e.low, e.high) == (1.0, 1.0, 1.0)  # over fewer groups some draws would have been 0


def test_power_needs_usable_answers_of_each_group():
    arm = {"bias_type": "none", "ratio": 0.0, "seed": 0}
    outcomes = pd.DataFrame({"task": "t", **arm, "item_id": ["a", "b"], "side": [0, 0], "value": [1.0, 0.0]})
    measure = Measure(
        name="m", title="m", unit="share", sides=("x", "y"), values=lambda o: o[["item_id", "side", "value"]]
    )
    with pytest.raises(InputError, match="no arm of 't' has a usable answer of each group"):
        _design(outcomes, measure, 1, 0.05)


def test_shares_of_an_arm_without_answers_are_named():
    rows = [
        {
            "question": "level", "metric": f"predicted[{x}]", "task": "t", "bias_type": kind, "ratio": r,
            "contrast": g, "estimate": v,
        }
        for kind, r, v in (("none", 0.0, 0.5), ("given", 0.5, np.nan)) for x in "ab" for g in ("f", "m")
    ]  # fmt: skip
    chart = figures.shares(pd.DataFrame(rows), ["a", "b"], ["f", "m"])
    assert "γ = 0.5: undefined" in " ".join(chart.split()) and "nan" not in chart
    assert figures.shares(pd.DataFrame(rows[4:]), ["a", "b"], ["f", "m"]) == ""
