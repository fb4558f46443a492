"""Variants: a study for each value of an axis, one page over all, stages in common done once."""

from __future__ import annotations

import json

import pytest
from command import probate as command
from writer import Writer

import probate as pb
from probate.core.errors import InputError, StageError
from probate.execution import estimate
from probate.report import pipeline
from probate.report.pipeline import run_grid

KIND = "contextual-single-explicit"
POLICIES = {"policy": {"fresh": {"round_policy": "fresh"}, "continued": {"round_policy": "continued"}}}
EPOCHS = {"epochs": {"one": {"training.epochs": 1}, "two": {"training": {"epochs": 2}}}}


@pytest.fixture
def make(tiny_study, monkeypatch):
    monkeypatch.setattr("probate.data.generation.backends.TransformersBackend", Writer)
    monkeypatch.setattr(Writer, "asked", [])

    def make(variants, **changes):
        return tiny_study(**{
            "augmented": None, "bias": {"types": [KIND]}, "tasks": ["occupation"],
            "matched_control": "neutral", "generation": {"near_duplicate": 1.0},
            "data": {"train_per_cell": 2, "test_per_cell": 2, "labels": ["nurse", "dentist"]},
            "axes": {"variants": variants}, **changes,
        })  # fmt: skip

    return make


def test_each_variant_is_a_study(make):
    study = make({**POLICIES, **EPOCHS})
    own = study.variants()
    assert list(own) == ["fresh--one", "fresh--two", "continued--one", "continued--two"]
    assert [(s.round_policy, s.training.epochs) for s in own.values()] == [
        ("fresh", 1), ("fresh", 2), ("continued", 1), ("continued", 2)
    ]  # fmt: skip
    assert own["fresh--one"].name == "tiny-fresh--one" and not own["fresh--one"].axes.parts
    assert study.variant("fresh--two") == own["fresh--two"]
    with pytest.raises(
        InputError, match="--variant fresh--tow: .*no such variant .did you mean 'fresh--two'"
    ):
        study.variant("fresh--tow")


@pytest.mark.parametrize(
    ("variants", "message"),
    [
        ({"a": {}}, "variants.a: names no variant"),
        ({"a": {"x": {}}, "b": {"x": {}}}, "the name 'x' is duplicated"),
        ({"a": {"x/y": {}}}, "'x/y' must consist of letters"),
        ({"a": {"..": {}}}, "'..' must consist of letters"),
        ({"a": {"x--y": {}}}, "'x--y' must consist of letters"),
        ({"a": {"x": {"trainig": {}}}}, "axes.variants.x: unknown key 'trainig' .did you mean 'training'"),
        ({"a": {"x": {"training.epoch": 1}}}, "axes.variants.x: unknown key 'training.epoch'"),
        ({"a": {"x": {"seeds": [-1]}}}, "axes.variants.x: seeds: seeds must be distinct"),
        ({"a": {"x": {"axes": {"model": ["m"]}}}}, "axes.variants.x: a variant cannot set name or axes"),
        ({"a": {"x": {"name": "n"}}}, "axes.variants.x: a variant cannot set name or axes"),
    ],
)
def test_a_wrong_variant_is_an_error(make, variants, message):
    with pytest.raises(ValueError, match=message):
        make(variants)


def test_variants_and_models_are_not_combined(make):
    with pytest.raises(ValueError, match="variants cannot be combined with generator or model"):
        make({}, axes={"variants": EPOCHS, "model": ["a"]})


def test_a_page_over_all_variants_and_stages_in_common_once(make, tmp_path):
    study = make(POLICIES, rounds=2, probes=["knowledge"])
    result = run_grid(study, tmp_path / "grid", quiet=True)
    assert result.exit_code == 0, result.failures
    assert set(result.variants) == {"fresh", "continued"} and not result.pairs
    assert result.outcomes["variant"].value_counts().nunique() == 1
    written = [r for r in Writer.asked]
    grid = tmp_path / "grid"
    sets = {v: (grid / v / "data" / f"{KIND}-s0.jsonl").read_text() for v in ("fresh", "continued")}
    assert sets["fresh"] == sets["continued"]
    first = {
        v: json.loads((grid / v / "adapters" / f"{KIND}-0.5-s0" / "done.json").read_text())
        for v in ("fresh", "continued")
    }
    assert first["fresh"] == first["continued"]  # with the seconds that it took: a copy
    page = (grid / "grid.html").read_text(encoding="utf-8")
    for text in (
        "variant fresh",
        "variant continued",
        "in the last round",
        "fresh/report.html",
        "knowledge: ",
        "rest on one training seed",
    ):
        assert text in page
    assert result.sets[0].startswith("fresh/") and len(result.records(result.sets[0]))
    again = pb.Run(grid)
    assert again.findings == result.findings and again.findings[0].startswith("variant fresh: ")
    assert again.outcomes.equals(result.outcomes)
    run_grid(study, grid, quiet=True)
    assert Writer.asked == written
    again.rebuild()
    assert (grid / "grid.html").read_text(encoding="utf-8") == page


def test_variants_that_differ_in_training_share_their_texts_only(make, tmp_path):
    result = run_grid(make(EPOCHS), tmp_path / "grid", quiet=True)
    assert result.exit_code == 0, result.failures
    assert len(Writer.asked) == 20  # 12 biased and 8 neutral ones
    done = [
        json.loads((tmp_path / "grid" / v / "adapters" / "control-0-s0" / "done.json").read_text())
        for v in ("one", "two")
    ]
    assert done[0]["steps"] * 2 == done[1]["steps"]


def test_a_variant_that_fails_is_recorded(make, tmp_path, monkeypatch):
    before = pipeline.run_study

    def run(one, own, **more):
        if own.name == "one":
            raise StageError("lost")
        return before(one, own, **more)

    monkeypatch.setattr(pipeline, "run_study", run)
    result = run_grid(make(EPOCHS), tmp_path / "grid", quiet=True)
    assert result.exit_code == 3 and [f["stage"] for f in result.failures] == ["one"]
    assert "one: lost" in (tmp_path / "grid" / "grid.html").read_text(encoding="utf-8")
    assert set(result.outcomes["variant"]) == {"two"}


def test_the_plan_adds_its_parts(make, tmp_path):
    study = make(EPOCHS)
    record = estimate.planned(study, tmp_path)
    single = [estimate.planned(s, tmp_path) for s in study.variants().values()]
    assert len(record["arms"]) == sum(len(r["arms"]) for r in single) == 6
    assert [s["tokens"] for s in record["stages"]] == [
        sum(r["stages"][i]["tokens"] for r in single) for i in range(3)
    ]
    said = "\n".join(estimate.sentences(record))
    assert "variant one" in said and "variant two" in said and "6 arms in 2 parts" in said


def test_the_command_selects_a_variant(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own.yaml").write_text(
        "name: own\nmodel: embedded\naxes: {variants: {epochs: {one: {training.epochs: 1}, two: {}}}}\n"
    )
    assert "own-one: " in command("plan", "own.yaml", "--variant", "one")
    assert "in 2 parts" in command("plan", "own.yaml")
    assert command("plan", "own.yaml", "--variant", "three", error="its variants: one, two") == ""
    assert command("plan", "self-written", "--variant", "three", error="it has none") == ""
