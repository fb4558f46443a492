"""`probate calibrate`: what is said of a design before and after a run, and the plot."""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree

import pytest

from probate.errors import InputError
from probate.power import calibrate, lines

ASSUMED = {"rate": 0.5, "agreement": 0.7, "seed_sd": 0.05, "items": None, "goal": None, "runs": 200}


def test_an_assumed_design_is_described(tiny_study, tmp_path):
    study = tiny_study(
        data={"train_per_cell": 3, "test_per_cell": 10, "labels": ["nurse", "architect", "dentist"]}, seeds=[0, 1, 2]
    )
    said = "\n".join(lines(calibrate(study, Path(), source=None, **{**ASSUMED, "goal": 0.3}, plot=tmp_path / "p.svg")))
    assert "held-out items: 60 items, 3 seeds, rate 0.50" in said and "smallest change found four times in five" in said
    power = [int(m) for m in re.findall(r"a change of \d+ points: found in (\d+)%", said)]
    assert power == sorted(power) and len(power) == 4
    assert "to find 30 points four times in five:" in said
    svg = (tmp_path / "p.svg").read_text(encoding="utf-8")
    assert ElementTree.fromstring(svg).tag.endswith("svg") and "+1.00 planted" in svg


def test_a_finished_run_gives_items_and_rates(tiny_study, finished_run, tmp_path):
    finished_run(tmp_path)
    said = "\n".join(lines(calibrate(tiny_study(), Path(), source=tmp_path, **ASSUMED)))
    assert re.search(r"occupation: 18 items, 1 seed, rate 0\.\d\d, agreement", said)


def test_bad_input_is_one_sentence(tiny_study, tmp_path):
    with pytest.raises(InputError, match=r"must end in \.svg"):
        calibrate(tiny_study(), Path(), source=None, **ASSUMED, plot=tmp_path / "p.png")
    few = tiny_study(data={"train_per_cell": 3, "test_per_cell": 1, "labels": ["nurse", "architect", "dentist"]})
    with pytest.raises(InputError, match="held-out items has 6 items; at least 8"):
        calibrate(few, Path(), source=None, **ASSUMED)
