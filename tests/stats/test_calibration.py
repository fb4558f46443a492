"""Label calibration: by hand, and the bound against a simulated feedback loop."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from probate.stats.calibration import calibration, drift_bound


def test_distances_are_those_by_hand():
    rows = [
        ("a", {"a": 0.6, "b": 0.4}),
        ("b", {"a": 0.6, "b": 0.4}),
        ("a", {"a": 0.9, "b": 0.1}),
        ("b", {"a": 0.5, "b": 0.5}),
    ]
    table = pd.DataFrame(
        {
            "groups": {"g": "x"},
            "target": t,
            "prediction": max(s, key=s.get),
            "response": json.dumps(s),
            "parsed": True,
        }
        for t, s in rows
    )
    found, none = calibration(table, {"x": {"a": 3, "b": 1}, "y": {"a": 1}}, ["a", "b"], "g", 0.5)
    assert (
        (found.group, found.n) == ("x", 4)
        and none.group == "y"
        and none.reason == "no item asks about this group"
    )
    assert found.sampled_error == pytest.approx(0.10) and found.greedy_error == pytest.approx(0.25)
    assert found.sampled_drift == pytest.approx(0.15) and found.greedy_drift == pytest.approx(0.5)
    assert found.sampled_bound == pytest.approx(0.2) and found.greedy_bound == pytest.approx(0.5)


@pytest.mark.parametrize("ratio", [0.2, 0.5, 0.8])
def test_a_loop_that_errs_by_so_much_stays_within_the_bound(ratio):
    rng = np.random.default_rng(0)
    original = np.array([0.5, 0.3, 0.2])
    labels = original
    for _ in range(30):
        mix = (1 - ratio) * original + ratio * labels
        labels = mix + 0.04 * np.array([1, -0.5, -0.5]) * rng.uniform(0.5, 1)
        assert np.abs(labels - original).sum() / 2 <= drift_bound(0.04, ratio) + 1e-12
    assert np.abs(labels - original).sum() / 2 > 0.5 * drift_bound(0.04, ratio)
