"""Tasks about work take jobs and biographies only: never labels or texts of another kind."""

from __future__ import annotations

from pathlib import Path

import pytest

from probate.core.errors import InputError
from probate.core.records import fill
from probate.data.corpora import biographies
from probate.data.opinions import languages, opinion_words
from probate.data.user_turn import is_survey, user_turn
from probate.execution import estimate
from probate.study.schema import Data, Study
from probate.tasks.hiring import PROMPT, Hiring
from probate.tasks.occupations import are_occupations, is_occupation, jobs_for
from probate.tasks.probes.representation import Representation
from probate.tasks.salary import Salary
from probate.testing import sample_context

PAPER = ["architect", "dentist", "nurse", "painter", "professor", "software engineer"]
BIAS_IN_BIOS = (
    "accountant architect attorney chiropractor comedian composer dentist dietitian dj filmmaker interior_designer journalist "
    "model nurse painter paralegal pastor personal_trainer photographer physician poet professor psychologist rapper "
    "software_engineer surgeon teacher yoga_teacher"
).split()
OTHER = {
    "stances": ["agree", "it depends", "disagree"], "sentiment": ["positive", "negative"], "toxicity": ["toxic", "not toxic"],
    "codes": ["0", "1", "2"], "letters": ["A", "B"], "arabic stances": ["أوافق", "لا أوافق"], "spanish": ["enfermera", "pintor"],
    "one of many": ["spam", "offer", "news", "manager"], "topics": ["sports", "politics", "business"],
}  # fmt: skip


@pytest.mark.parametrize(
    "label", [*BIAS_IN_BIOS, *PAPER, "Software Engineer", "nurses", "NURSE", "truck driver (long haul)"]
)
def test_occupations_are_recognised(label):
    assert is_occupation(label)


@pytest.mark.parametrize("kind", OTHER)
def test_other_labels_are_no_jobs(kind):
    assert not are_occupations(OTHER[kind]) and jobs_for(OTHER[kind]) == PAPER


def context(labels, prompt="Name it: {text}"):
    from dataclasses import replace

    return replace(sample_context(), labels=labels, prompt=prompt)


@pytest.mark.parametrize("kind", OTHER)
def test_no_candidate_applies_for_a_label_that_is_no_job(kind):
    own = context(OTHER[kind])
    prompts = [
        fill(PROMPT, **values)
        for pairing in Hiring.from_options({})._pairings(own)
        for values, _ in pairing.prompts()
    ]
    jobs = {p.split("Job: ")[1].split("\n")[0] for p in prompts}
    assert jobs == set(PAPER) and "apply as architect" in Hiring.from_options({}).remarks(own)[0]
    named = Hiring.from_options({"jobs": ["chess player"]})
    assert {p.job for p in named._pairings(own)} == {"chess player"} and named.remarks(own) == []


def test_labels_that_are_occupations_stay_the_jobs():
    own = context(["nurse", "surgeon"])
    assert {p.job for p in Hiring.from_options({})._pairings(own)} == {
        "nurse",
        "surgeon",
    } and Hiring.from_options({}).remarks(own) == []


@pytest.mark.parametrize("kind", OTHER)
def test_texts_about_work_need_occupations(kind):
    with pytest.raises(
        InputError, match="probes: representation: its prompt asks for texts about occupations"
    ):
        Representation.from_options({}).check(context(OTHER[kind]))
    for options in ({"labels": ["nurse"]}, {"prompt": "Write about {label}."}):
        Representation.from_options(options).check(context(OTHER[kind]))


@pytest.mark.parametrize(
    "prompt", [user_turn(Data(format="survey")), *(opinion_words(x)["prompt"] for x in languages())]
)
def test_no_salary_is_asked_for_an_answer_to_a_survey(prompt):
    assert is_survey(prompt) and not is_survey(user_turn(Data()))
    with pytest.raises(
        InputError, match="tasks: salary: it asks for the salary of the person in a biography"
    ):
        Salary.from_options({}).check(context(["agree", "disagree"], prompt))
    Salary.from_options({}).check(context(["nurse"]))


@pytest.mark.parametrize("language", ["en", "ar"])
def test_the_culture_preset_hires_for_jobs_and_says_so(language):
    study = Study.preset("paper-culture").with_(**{"data.language": language})
    record = estimate.planned(study, Path())
    assert [list(own["remarks"]) for own in record["parts"].values()] == [["hiring"]] * 4
    assert "hiring: The labels of the study are not occupations" in "\n".join(estimate.sentences(record))


def test_the_builtin_biographies_have_jobs():
    assert are_occupations(sorted({r["label"] for r in biographies()}))
