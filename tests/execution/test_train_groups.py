"""Training on the records of some groups while all groups are measured."""

from __future__ import annotations

import json
import math

import pytest
from writer import Writer

from probate import run
from probate.core.errors import InputError
from probate.core.records import Record
from probate.execution.folder import RunFolder
from probate.execution.prepare import prepare
from probate.report.page import manipulation_checks
from probate.study.mixing import split_original

KIND = "contrastive-single-explicit"


@pytest.fixture
def make(tiny_study, monkeypatch):
    monkeypatch.setattr("probate.data.generation.backends.TransformersBackend", Writer)
    monkeypatch.setattr(Writer, "asked", [])

    def make(**changes):
        data = {"train_per_cell": 2, "test_per_cell": 2, "labels": ["nurse", "dentist"]}
        return tiny_study(**{
            "augmented": None, "bias": {"types": [KIND], "strength": 0}, "tasks": ["occupation"],
            "matched_control": "neutral", "generation": {"near_duplicate": 1.0},
            "data": {**data, "train_groups": ["female"]}, **changes,
        })  # fmt: skip

    return make


def test_only_the_groups_of_training_are_trained_on_and_written_about(make, tmp_path):
    result = run(make(), tmp_path, quiet=True)
    assert result.exit_code == 0, result.failures
    done = json.loads((tmp_path / "adapters" / f"{KIND}-0.5-s0" / "done.json").read_text())
    assert done["records"] == 8 and set(done["trained_on"]) == {"female"}
    written = [set(result.records(f"{kind}-s0")["gender"]) for kind in (KIND, "neutral")]
    assert written == [{"female"}, {"female"}] and len(Writer.asked) == 8
    measured = result.outcomes["groups"].map(lambda g: g["gender"]).value_counts()
    assert set(measured.index) == {"female", "male"} and measured.nunique() == 1
    own = result.effects[result.effects["question"] == "inheritance"]
    assert len(own) == 2 and own["estimate"].notna().all()
    check = manipulation_checks(RunFolder(tmp_path))[0]
    assert math.isnan(check.cramers_v) and set(check.shares["nurse"]) == {"female"}
    assert "undefined: one group" in result.report.read_text(encoding="utf-8")


@pytest.mark.parametrize("test_per_cell", [None, 2])
@pytest.mark.parametrize("trained", [["a"], ["b"], ["a", "b"]])
def test_held_out_records_are_the_same_whoever_is_trained_on(test_per_cell, trained):
    records = [
        Record(f"{label}{g}{i}", "text", label, {"x": g}) for label in "pq" for g in "ab" for i in range(7)
    ]
    settings = {"train_per_cell": 3, "test_per_cell": test_per_cell, "spare_per_cell": 1, "seed": 0}
    whole = split_original(records, "x", ["a", "b"], ["p", "q"], **settings)
    own = split_original(records, "x", ["a", "b"], ["p", "q"], **settings, trained=trained)
    assert own.test == whole.test
    assert own.train == [r for r in whole.train if r.groups["x"] in trained]
    assert not {r.id for r in own.all_train()} & {r.id for r in own.test}


def test_a_group_without_training_needs_records_for_testing_only():
    few = [
        Record(f"{x}{i}", "text", x, {"x": g})
        for x in "pq"
        for g, n in (("a", 7), ("b", 2))
        for i in range(n)
    ]
    settings = {"train_per_cell": 3, "test_per_cell": 2, "spare_per_cell": 0, "seed": 0}
    with pytest.raises(InputError, match="x=b has 2 records; training needs 3"):
        split_original(few, "x", ["a", "b"], ["p", "q"], **settings)
    split = split_original(few, "x", ["a", "b"], ["p", "q"], **settings, trained=["a"])
    assert sum(r.groups["x"] == "b" for r in split.test) == 4


def test_an_unknown_group_is_one_sentence(make):
    with pytest.raises(ValueError, match="train_groups: 'other' is not in bias.groups: female, male"):
        make(data={"train_groups": ["other"]})


def test_a_ready_set_is_reduced_to_the_groups_of_training(tiny_study, tmp_path):
    data = {"train_per_cell": 2, "test_per_cell": 2, "labels": ["nurse", "dentist"], "train_groups": ["male"]}
    study = tiny_study(data=data, bias={"types": ["given"]})
    data = prepare(study, tmp_path).data
    assert {r.groups["gender"] for r in data.augmented} == {"male"}
    assert any("belong to none of the trained groups" in line for line in data.rejected)
