"""Surveys: chat turns in CultureLLM's style, and answer counts."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest
from conftest import SHARED

from probate.core.errors import InputError
from probate.data.readers import read_source
from probate.data.surveys import read_counts, survey_rows
from probate.execution.prepare import read_data
from probate.study.schema import Data, Study

FIVE = "1. Strongly agree 2. agree 3. Neither agree nor disagree 4. Disagree 5. Disagree strongly"


def turn(answer: str, question: str, scale: str = "1 to 5", system: str = "You are a China chatbot.") -> dict:
    user = f"Give me the answer from {scale}: {question} You can only choose one option."
    turns = (("system", system), ("user", user), ("assistant", answer))
    return {"messages": [{"role": role, "content": content} for role, content in turns]}


@pytest.mark.parametrize(
    ("answer", "options", "scale", "label"),
    [
        ("1", FIVE, "1 to 5", "agree"),
        ("3", FIVE, "1 to 5", "it depends"),
        ("5", FIVE, "1 to 5", "disagree"),
        ("0", "2. Agree 1. Hard to say 0. Disagree", "0 to 2", "disagree"),
        ("9", "1. Completely disagree 10. Completely agree .", "1 to 10", "agree"),
        ("5", "1. Completely disagree 10. Completely agree .", "1 to 10", "it depends"),
        ("2", "1. Completely agree 10. Completely disagree", "1 to 10", "agree"),
    ],
)
def test_an_answer_becomes_a_stance(answer, options, scale, label):
    ((_, row),) = survey_rows(
        [("f:1", turn(answer, f"Do you agree with Tea is better than coffee? {options}.", scale))]
    )
    assert (
        row["label"] == label
        and row["statement"] == "Tea is better than coffee"
        and row["culture"] == "chinese"
    )
    assert row["answer"] == int(answer) and "from China" in row["text"]


@pytest.mark.parametrize(
    ("row", "why"),
    [
        ({"text": "x"}, "not a list of chat turns"),
        (turn("1", "How often is it so? 1. Very often 2. Never.", "1 to 2"), "not about agreeing"),
        (turn("7", f"Do you agree with Tea? {FIVE}."), "the answer '7' is not a number from 1 to 5"),
        (turn("1", "What is tea?"), "not a numbered survey question"),
        (
            turn("1", f"Do you agree with Tea? {FIVE}.", system="You are kind."),
            "names no culture of the identity pack",
        ),
    ],
)
def test_a_turn_that_cannot_be_used_is_said(row, why):
    ((_, found),) = survey_rows([("f:1", row)])
    assert why in found


def test_several_files_by_a_star(tmp_path):
    for name in ("a", "b"):
        lines = (json.dumps(turn(str(n), f"Do you agree with Tea {name}? {FIVE}.")) for n in (1, 3, 5))
        (tmp_path / f"{name}-seed.jsonl").write_text("\n".join(lines))
    source = Data(
        source="*-seed.jsonl",
        format="survey",
        columns={"statement": "statement", "groups": {"culture": "culture"}},
    )
    found = read_source(source, tmp_path, "original").records
    assert (
        Counter(r.label for r in found) == {"agree": 2, "it depends": 2, "disagree": 2}
        and len({r.id for r in found}) == 6
    )
    with pytest.raises(InputError, match=r"no file matches this name"):
        read_source(source.model_copy(update={"source": "*.none"}), tmp_path, "original")


def test_counts(tmp_path):
    path = tmp_path / "counts.jsonl"
    rows = [
        {"culture": "c", "country": "X", "question": q, "counts": c}
        for q, c in (("Q1", {"1": 3, "2": 1}), ("Q2", {}))
    ]
    path.write_text("\n".join(map(json.dumps, rows)))
    (one,) = read_counts(path)
    assert one.n == 4 and one.share == {"1": 0.75, "2": 0.25}
    path.write_text(json.dumps({"culture": "c", "country": "X", "question": "Q1", "counts": {"1": "many"}}))
    with pytest.raises(InputError, match=r"counts.jsonl:1: 'counts' must map"):
        read_counts(path)


@pytest.mark.skipif(not (SHARED / "culturellm").exists(), reason="the shared data are not there")
def test_real_surveys_are_an_original_and_augmented_pair():
    columns = {"statement": "statement", "groups": {"culture": "culture"}}
    files = SHARED / "culturellm"
    study = Study(
        data={
            "source": str(files / "*-seed-50.jsonl"),
            "format": "survey",
            "columns": columns,
            "train_per_cell": 2,
        },
        augmented={"source": str(files / "*-augmented-1000.jsonl"), "format": "survey", "columns": columns},
        bias={
            "types": ["given"],
            "dimension": "culture",
            "groups": ["arabic", "chinese", "portuguese", "spanish"],
        },
    )
    data = read_data(study, Path())
    assert data.labels == ["agree", "disagree", "it depends"] and len(data.split.train) == 24
    assert len(data.augmented) == 4998 and "survey question" in data.context.prompt
    found = read_counts(SHARED / "wvs" / "answers.jsonl")
    assert len({a.country for a in found}) == 6 and all(
        sum(a.share.values()) == pytest.approx(1) for a in found
    )
