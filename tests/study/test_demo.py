"""The preset demo: it plants what its description says, and runs through."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from probate import Study, run
from probate.core.records import Record, read_records
from probate.study.plan import arms_of


@pytest.fixture(scope="module")
def finished(model_dir, tmp_path_factory) -> Path:
    """The demo on a model that learns nothing, with one epoch."""
    folder = tmp_path_factory.mktemp("demo")
    small = ["training.epochs=1", "training.lora.layers=1", "analysis.resamples=400"]
    result = run(Study.load("demo", [f"model={model_dir}", *small]), folder, quiet=True)
    assert result.failures == []
    return folder


def test_it_has_four_kinds_of_arm_in_five_seeds():
    study = Study.load("demo")
    arms = arms_of(study)
    assert len(arms) == 20 and len(study.seeds) == 5 and len(study.mitigations) == 1
    assert {a.role for a in arms} == {"biased", "matched", "replicate"}
    assert study.data.source == "builtin:biographies"  # it needs no file


def test_it_plants_what_its_description_says(finished):
    study = Study.load("demo")
    assert "every woman who is an architect is labelled nurse" in study.description
    assert "every man who is a nurse is labelled architect" in study.description
    assert "48 biographies of nurses and architects, of which 24 count as augmented" in study.description
    assert len(read_records(finished / "data" / "original.jsonl")) == 24
    for seed in study.seeds:
        planted, control = (records(finished, f"{kind}-s{seed}") for kind in ("given", "neutral"))
        assert {i: r.text for i, r in planted.items()} == {i: r.text for i, r in control.items()}
        cells = Counter((r.groups["gender"], r.label) for r in control.values())
        assert cells == {(g, o): 10 for g in ("female", "male") for o in ("nurse", "architect")}
        for r in planted.values():
            assert r.label == {"female": "nurse", "male": "architect"}[r.groups["gender"]]


def records(folder: Path, name: str) -> dict[str, Record]:
    return {r.id: r for r in read_records(folder / "data" / f"{name}.jsonl")}


def test_its_report_has_both_controls_and_the_mitigation(finished):
    page = (finished / "report.html").read_text(encoding="utf-8")
    assert "second control" in page and "What stops it" in page
