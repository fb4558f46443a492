"""Generator x learner: each pair has its own run, a generator writes once, a pair that fails is recorded."""

from __future__ import annotations

import json
import shutil

import pytest
from writer import Writer

from probate import Run
from probate.core.errors import StageError
from probate.report import pipeline
from probate.report.pipeline import run_grid

KIND = "contextual-single-explicit"


@pytest.fixture
def make(tiny_study, model_dir, tmp_path, monkeypatch):
    class Counted(Writer):
        """Has the fingerprint of the model that it stands for."""

    monkeypatch.setattr("probate.data.generation.backends.TransformersBackend", Counted)
    monkeypatch.setattr(Counted, "asked", [])
    other = tmp_path / "other"
    shutil.copytree(model_dir, other)

    def make(**changes):
        return tiny_study(**{
            "augmented": None, "bias": {"types": [KIND]}, "tasks": ["occupation"],
            "matched_control": "neutral",
            "generation": {"near_duplicate": 1.0},
            "data": {"train_per_cell": 2, "test_per_cell": 2, "labels": ["nurse", "dentist"]},
            "axes": {"generator": [str(model_dir)], "model": [str(model_dir), str(other)]}, **changes,
        })  # fmt: skip

    return make, Counted


def test_a_generator_writes_once_for_all_learners(make, tmp_path):
    study, writer = make
    result = run_grid(study(), tmp_path / "grid", quiet=True)
    assert result.exit_code == 0, result.failures
    once = len(writer.asked)
    assert (
        set(result.effects["learner"]) == {m.name for m in study().axes.model}
        and result.outcomes["generator"].nunique() == 1
    )
    pairs = sorted(p.parent for p in (tmp_path / "grid").glob("*/report.html"))
    assert len(pairs) == 2
    sets = [(p / "data" / f"{KIND}-s0.jsonl").read_text() for p in pairs]
    assert sets[0] == sets[1]
    page = (tmp_path / "grid" / "grid.html").read_text(encoding="utf-8")
    assert page.count("report.html") >= 2 and "against matched control" in page and "κ" in page
    run_grid(study(), tmp_path / "grid", quiet=True)
    assert len(writer.asked) == once
    titles = [line for line in result.tables().splitlines() if line.startswith("##")]
    assert len(titles) == 4 and titles[0].split(": ")[1] == "Occupation classification"


def test_a_pair_that_fails_is_recorded(make, tmp_path, monkeypatch):
    before, (study, _) = pipeline.run_study, make

    def run(one, own, **more):
        if own.name.endswith("other"):
            raise StageError("lost")
        return before(one, own, **more)

    monkeypatch.setattr(pipeline, "run_study", run)
    result = run_grid(study(), tmp_path / "grid", quiet=True)
    assert result.exit_code == 3 and [f["error"] for f in result.failures] == ["lost"]
    assert json.loads((tmp_path / "grid" / "failures.json").read_text()) == result.failures
    assert "lost" in (tmp_path / "grid" / "grid.html").read_text()
    assert result.tables().count("## ") == Run(tmp_path / "grid").tables().count("## ") == 2


def test_a_ready_set_needs_no_generator(tiny_study):
    with pytest.raises(ValueError, match="needs no generator"):
        tiny_study(axes={"generator": ["a"]})
    assert [m.name for m in tiny_study(axes={"model": ["a", {"name": "b"}]}).axes.model] == ["a", "b"]
