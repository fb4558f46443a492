"""`probate calibrate`: what is said of a design before and after a run, and the plot."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest

import probate as pb
from probate.core.errors import InputError
from probate.execution.calibrate import Planned, _design, calibrate, sentences, table
from probate.report.recovery import recovery_plot
from probate.stats.measure import Measure
from probate.stats.simulate import Design, judge, simulate
from probate.study.schema import Analysis

ANALYSIS = Analysis(resamples=400)

ASSUMED = {"rate": 0.5, "agreement": 0.7, "seed_sd": 0.05, "items": None, "goal": None, "runs": 200}


def test_an_assumed_design_is_described(tiny_study, tmp_path):
    study = tiny_study(
        data={"train_per_cell": 3, "test_per_cell": 10, "labels": ["nurse", "architect", "dentist"]},
        seeds=[0, 1, 2],
    )
    simulated = calibrate(study, Path(), source=None, **{**ASSUMED, "goal": 0.3})
    said = "\n".join(sentences(simulated))
    assert (
        "held-out items: 60 items, 3 seeds, rate 0.50" in said
        and "smallest change found four times in five" in said
    )
    power = [int(m) for m in re.findall(r"a change of \d+ points: found in (\d+)%", said)]
    assert power == sorted(power) and len(power) == 4
    assert "to find 30 points four times in five:" in said
    svg = recovery_plot(simulated["designs"], ANALYSIS, 200)
    assert ElementTree.fromstring(svg).tag.endswith("svg") and re.search(r"\+0\.9\d planted", svg)


def test_a_finished_run_gives_items_and_rates(tiny_study, finished_run, tmp_path):
    finished_run(tmp_path)
    said = "\n".join(sentences(calibrate(tiny_study(), Path(), source=tmp_path, **ASSUMED)))
    items = re.search(r"occupation: (\d+) items, 1 seed, rate 0\.\d\d, agreement", said)
    assert items and 8 <= int(items[1]) <= 18  # nine pairs of twins, by how much twins have in common


def outcomes(spread: float, seeds: int, rng, n: int = 200) -> pd.DataFrame:
    """A control, its biased arm, its matched control without an effect: each training with its own error."""
    side, luck = np.repeat([0, 1], n // 2), rng.random(n)
    frames = []
    for bias_type, ratio in (("none", 0.0), ("given", 0.5), ("neutral", 0.5)):
        for s in range(seeds):
            own = np.where(rng.random(n) < np.sqrt(0.7), luck, rng.random(n))
            value = (own < 0.5 + rng.normal(0, spread) / 2 * np.where(side == 0, 1, -1)).astype(float)
            frames.append(
                pd.DataFrame({"item_id": [f"i{i}" for i in range(n)], "side": side, "value": value,
                              "bias_type": bias_type, "ratio": ratio,
                              "seed": s, "arm": f"{bias_type}-{s}", "task": "t", "mitigation": "none",
                              "round": 1, "parsed": True})
            )  # fmt: skip
    return pd.concat(frames, ignore_index=True)


MEASURE = Measure(
    name="m",
    title="share",
    unit="share",
    sides=("a", "b"),
    values=lambda o: o[["item_id", "side", "value"]].copy(),
    primary=True,
)


def test_the_spread_of_a_change_is_that_of_both_its_arms():
    """√2 times one arm's, and the power that is promised is that of studies drawn like the pilot."""
    rng = np.random.default_rng(0)
    found = _design(outcomes(0.1, 25, rng, 100), MEASURE, 5, 0.0)
    assert found.design.seed_sd**2 == pytest.approx(2 * 0.1**2, rel=0.35)
    assert found.freedom == 72 and found.sd_low < 0.1 * 2**0.5 < found.sd_high
    known = replace(found.design, seed_sd=0.1 * 2**0.5, rate=0.5, agreement=0.7)
    promised = simulate(known, 0.3, ANALYSIS, 1000).rejected
    side, luck = np.where(np.arange(100) < 50, 1, -1), rng.random((100, 1000))
    gaps = np.array([0.0, 0.3])[:, None, None, None] + rng.normal(0, 0.1, (2, 5, 1, 1000))
    own = np.where(rng.random((2, 5, 100, 1000)) < np.sqrt(0.7), luck, rng.random((2, 5, 100, 1000)))
    control, arm = (own < 0.5 + side[:, None] * gaps / 2).view(np.int8)
    real = np.mean(judge(np.stack([arm, control]), Design(100, 0.5, 5), ANALYSIS)[3] <= 0.05)
    assert promised == pytest.approx(real, abs=0.05) and 0.3 < real < 0.9


def test_without_a_second_seed_the_spread_is_assumed():
    one = _design(outcomes(0.1, 1, np.random.default_rng(0)), MEASURE, 3, 0.04)
    assert (one.design.seed_sd, one.sd_low, one.sd_high, one.freedom) == (0.04, 0.04, 0.04, 0)
    said = "\n".join(sentences({"runs": 100, "tasks": table({"t": one}, ANALYSIS, None, 100)}))
    assert "sd of a change between seeds 0.040 (assumed)" in said
    two = _design(outcomes(0.1, 2, np.random.default_rng(0)), MEASURE, 3, 0.04)
    said = "\n".join(sentences({"runs": 100, "tasks": table({"t": two}, ANALYSIS, None, 100)}))
    assert re.search(r"\(3 degrees of freedom\)", said)
    assert re.search(
        (
            r"smallest change found four times in five: [\d.]+ points "
            r"\[[\d.]+, (more than \d+|[\d.]+)\]|no change is found"
        ),
        said,
    )


def test_the_interval_of_the_smallest_change_contains_it():
    """With 32 seeds, more spread can make a change easier to find in the simulation, and its ends turn round."""
    plan = Planned(Design(180, 0.31, 32, 0.57, 0.0), 0.0, 0.05, 14)
    row = table({"t": plan}, ANALYSIS, None, 100)["t"]
    low, high = row["smallest_interval"]
    assert low <= row["smallest"] <= high


def test_bad_input_is_one_sentence(tiny_study, tmp_path):
    with pytest.raises(InputError, match=r"must end in \.svg"):
        pb.calibrate(tiny_study(), plot=tmp_path / "p.png")
    few = tiny_study(
        data={"train_per_cell": 3, "test_per_cell": 1, "labels": ["nurse", "architect", "dentist"]}
    )
    with pytest.raises(InputError, match="held-out items has 6 items; at least 8"):
        calibrate(few, Path(), source=None, **ASSUMED)
