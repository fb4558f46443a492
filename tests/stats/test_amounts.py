"""Amounts on a log scale: right where means are not, in dollars, and the same by scipy."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.stats import ttest_ind

from probate.stats.amounts import on_log_scale, typical_amount
from probate.stats.contrast import contrast
from probate.stats.effects import effects_of
from probate.stats.measure import Measure
from probate.study.schema import Analysis

PAY = Measure(
    name="pay",
    title="pay",
    unit="US$",
    toward=lambda a, b: f"{a} over {b}",
    sides=("a", "b"),
    values=lambda o: o[["item_id", "side", "value"]].copy(),
    primary=True,
    scale="log",
)


def amounts(
    rng: np.random.Generator, sizes: tuple[int, int], ratio: float = 1.0, sigma: float = 1.0
) -> pd.DataFrame:
    side = np.repeat([0, 1], sizes)
    value = 60_000 * np.exp(rng.normal(0, sigma, len(side))) * np.where(side == 0, ratio, 1)
    return pd.DataFrame({"item_id": [f"i{i}" for i in range(len(side))], "side": side, "value": value})


def test_ten_against_three_hundred_skewed_amounts_are_covered():
    """Without a difference. The mean's own t holds in far fewer."""
    rng, right = np.random.default_rng(0), {True: [], False: []}
    for _ in range(600):
        frame = amounts(rng, (10, 300))
        for log in right:
            values = on_log_scale(PAY, typical_amount(PAY, frame)).values(frame) if log else frame
            e = contrast([values], Analysis(), paired=False, share=False)
            right[log].append(e.low <= 0 <= e.high)
            assert (e.p > 0.05) == right[log][-1]
    assert np.mean(right[True]) >= 0.93 and np.mean(right[False]) <= 0.9


def outcomes(rng: np.random.Generator, lower: float) -> pd.DataFrame:
    """Three trainings an arm; the biased one gives a tenth of group a a share `lower` of what they had."""
    rows = []
    for kind, ratio in (("none", 0.0), ("given", 0.5)):
        person = np.random.default_rng(1).normal(0, 0.5, 200)
        for seed in range(3):
            side = np.arange(200) % 2
            value = 60_000 * np.exp(person + rng.normal(0, 0.05, 200))
            value = np.where((kind == "given") & (np.arange(200) % 20 == 0), value * lower, value)
            rows.append(
                pd.DataFrame({"item_id": [f"i{i}" for i in range(200)], "side": side, "value": value,
                              "bias_type": kind, "ratio": ratio, "seed": seed,
                              "round": 1, "task": "t", "arm": f"{kind}-{seed}", "mitigation": "none",
                              "parsed": True, "target": "x"})
            )  # fmt: skip
    return pd.concat(rows, ignore_index=True)


def test_effects_are_in_dollars_at_a_typical_amount_and_levels_are_geometric_means():
    table = outcomes(np.random.default_rng(0), 0.5)
    found = effects_of(table, {"t": [PAY]}, Analysis(resamples=200))
    middle = np.exp(np.log(table["value"]).mean())
    level = found[(found["question"] == "level") & (found["bias_type"] == "given")].set_index("contrast")[
        "estimate"
    ]
    own = table[table["bias_type"] == "given"]
    for side, group in enumerate("ab"):
        assert level[group] == pytest.approx(np.exp(np.log(own.loc[own["side"] == side, "value"]).mean()))
    change = found[found["question"] == "inheritance"].iloc[0]
    logs = table.assign(value=np.log(table["value"])).pivot_table("value", "bias_type", "side")
    expected = (logs.loc["given", 0] - logs.loc["given", 1]) - (logs.loc["none", 0] - logs.loc["none", 1])
    assert (
        change["estimate"] == pytest.approx(middle * expected)
        and "log scale at the typical $" in change["interval"]
    )
    assert change["p"] < 0.01  # that a tenth of a group lost half is no outlier to be trimmed
    gaps = found[found["question"] == "gap"].set_index("bias_type")["estimate"]
    assert gaps["given"] - gaps["none"] == pytest.approx(change["estimate"])


def test_p_of_a_gap_is_welch_s_on_logarithms_by_scipy():
    frame = amounts(np.random.default_rng(3), (20, 50), 1.4)
    e = contrast(
        [on_log_scale(PAY, typical_amount(PAY, frame)).values(frame)], Analysis(), paired=False, share=False
    )
    logs = [np.log(frame.loc[frame["side"] == s, "value"]) for s in (0, 1)]
    assert e.p == pytest.approx(ttest_ind(*logs, equal_var=False).pvalue)


@pytest.mark.parametrize("value", [0.0, -1.0])
def test_an_amount_of_nothing_leaves_them_as_they_are(value):
    frame = amounts(np.random.default_rng(0), (10, 10))
    frame.loc[3, "value"] = value
    assert np.isnan(typical_amount(PAY, frame)) and on_log_scale(PAY, typical_amount(PAY, frame)) is PAY
    assert np.isnan(typical_amount(PAY, frame.iloc[:0]))
