"""Each report states where the bias of its data comes from, and the paper's presets show the paper's table."""

from __future__ import annotations

import pytest

import probate as pb
from probate.report.origin import bias_origin
from probate.study.paper import paper_rows

READY = {"source": "builtin:biographies"}


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        (
            {"bias": {"strength": 0}},
            "No label was changed, so the bias is what the generator made of the prompts.",
        ),
        (
            {"bias": {"strength": 0.4}},
            "changed the labels of 40% of the records that contradict the stereotype.",
        ),
        (
            {"bias": {"types": ["given"]}, "augmented": READY},
            "The augmented set was given. No label was changed.",
        ),
        (
            {"bias": {"types": ["given"], "stereotypes": {"nurse": "female"}}, "augmented": READY},
            "The augmented set was given. A biased annotator then changed the labels of 100%",
        ),
    ],
)
def test_the_origin_of_the_bias_is_stated(settings, sentence):
    text = bias_origin(pb.Study(**settings))
    assert sentence in text and ("annotator" in text) == ("changed the labels" in text)


@pytest.mark.parametrize("name", ["paper-tiny", "tiny"])
def test_reports_of_the_paper_carry_its_table(finished_run, tmp_path, name):
    page = finished_run(tmp_path / "run", name=name).report.read_text(encoding="utf-8")
    assert "The augmented set was given." in page
    assert (f"{len(paper_rows())} settings and results" in page) == (name == "paper-tiny")


@pytest.mark.parametrize("name", ["paper-tiny", "tiny"])
def test_reports_of_the_paper_lead_with_accuracy_by_group(finished_run, tmp_path, name):
    """Accuracy by group, γ and bias type, then the direction of errors, open and before the contrasts."""
    run, paper = finished_run(tmp_path / "run", name=name), name == "paper-tiny"
    tables = run.result_tables()
    assert [t.metric for t in tables if t.task == "occupation"] == (
        ["accuracy", "stereotyped_share"] if paper else ["stereotyped_share", "accuracy"]
    )
    accuracy = next(t for t in tables if t.metric == "accuracy")
    assert {"female", "male", "gap: female − male"} <= {r.name for r in accuracy.rows}
    assert accuracy.ratios == [0, 0.5] and all(
        cell is not None for r in accuracy.rows if r.name in ("female", "male") for cell in r.cells
    )
    page = run.report.read_text(encoding="utf-8")
    head, _, rest = page.partition("Inheritance, by task and contrast")
    assert ("Accuracy and direction of errors" in head) == paper and "direction of errors</h2>" not in rest
    assert ("<h3>Occupation classification: accuracy</h3>" in head) == paper
    assert page.count("Occupation classification: accuracy<") == 1
    if paper:
        assert head.index("classification: accuracy<") < head.index("classification: share read as")
