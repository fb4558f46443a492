"""The gate: three answers with three exit codes, decided on intervals.

Also what a pipeline reads, and one sentence for bad input.
"""

from __future__ import annotations

import json
import shutil
from xml.etree import ElementTree

import pandas as pd
import pytest
from typer.testing import CliRunner

from probate import run
from probate.commands.app import app
from probate.core.errors import InputError
from probate.execution.folder import RunFolder
from probate.report.gate.api import CannotTell, assert_no_inheritance
from probate.report.gate.decide import judge, verdict
from probate.report.page import rebuild


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (-0.04, 0.04, "pass"), (-0.05, 0.05, "pass"), (0.06, 0.2, "fail"), (-0.2, -0.06, "fail"),
        (-0.2, 0.2, "cannot tell"),
        (0.01, 0.06, "cannot tell"), (float("nan"), float("nan"), "cannot tell"),
    ],
)  # fmt: skip
def test_the_interval_decides(low, high, expected):
    assert judge(low, high, 0.05) == expected


@pytest.fixture(scope="module")
def finished(tmp_path_factory, model_dir):
    from probate.study.schema import Study

    study = {
        "name": "tiny", "model": str(model_dir),
        "data": {"train_per_cell": 3, "test_per_cell": 6, "labels": ["nurse", "architect"]},
        "augmented": {"source": "builtin:biographies"},
        "bias": {"types": ["given"], "stereotypes": {"nurse": "female", "architect": "male"}},
        "ratios": [0, 0.5], "training": {"epochs": 1, "lora": {"r": 4, "alpha": 8}},
        "tasks": ["occupation", "salary"],
        "analysis": {"resamples": 400}, "seeds": [0],
    }  # fmt: skip
    folder = tmp_path_factory.mktemp("gate")
    run(Study.model_validate(study), folder, quiet=True)
    return folder


@pytest.fixture
def folder(finished):
    """The run with its occupation effect set to an interval."""
    path = finished / "effects.parquet"
    before = path.read_bytes()

    def make(low, high, seeds=3, p=0.001):
        effects = pd.read_parquet(path)
        own = (effects["question"] == "inheritance") & (effects["task"] == "occupation")
        effects.loc[own, ["estimate", "ci_low", "ci_high"]] = [(low + high) / 2, low, high]
        effects.loc[effects["question"] == "inheritance", ["seeds", "p_adjusted"]] = [seeds, p]
        effects.to_parquet(path)
        return str(finished)

    yield make
    path.write_bytes(before)


def probate(*args):
    return CliRunner().invoke(app, ["check", *map(str, args)])


@pytest.mark.parametrize(
    ("ends", "code", "word"),
    [((-0.02, 0.03), 0, "pass"), ((0.1, 0.3), 1, "fail"), ((-0.1, 0.3), 4, "cannot tell")],
)
def test_three_answers(folder, tmp_path, ends, code, word):
    junit = tmp_path / "gate.xml"
    result = probate(folder(*ends), "--max-gap", 0.05, "--junit", junit, "--github")
    assert result.exit_code == code and f"verdict: {word}" in result.output
    suite = ElementTree.parse(junit).getroot()
    assert [suite.get(k) for k in ("tests", "failures", "skipped")] == [
        "1",
        str(int(code == 1)),
        str(int(code == 4)),
    ]
    level = {"pass": "notice", "fail": "error", "cannot tell": "warning"}[word]
    assert f"::{level} title=probate occupation::occupation, female − male" in result.output
    found = json.loads(probate(folder(*ends), "--json").output)
    assert found["verdict"] == word and found["decisions"][0]["limit"] == 0.05
    if word == "pass":
        assert_no_inheritance(folder(*ends))
    else:
        with pytest.raises(CannotTell if code == 4 else AssertionError, match=word):
            assert_no_inheritance(folder(*ends), tasks=["occupation"])


def test_it_fails_on_what_is_sure_among_all_that_the_run_tests(folder):
    result = probate(folder(0.1, 0.3, p=0.2), "--max-gap", 0.05)
    assert (
        result.exit_code == 4
        and "over all tests of the run this is not significant (adjusted p = 0.200)" in result.output
    )


@pytest.mark.parametrize("ends", [(-0.001, 0.001), (0.4, 0.6)])
def test_one_seed_passes_nothing_and_fails_nothing(folder, ends):
    result = probate(folder(*ends, seeds=1))
    assert (
        result.exit_code == 4
        and "one training seed" in result.output
        and "verdict: cannot tell" in result.output
    )


def test_what_cannot_be_told_follows_the_rule(folder, tmp_path):
    path = folder(-0.1, 0.3)
    assert (
        probate(path, "--unsure", "fail").exit_code == 1 and probate(path, "--unsure", "pass").exit_code == 0
    )
    gate = tmp_path / "gate.yaml"
    gate.write_text("max_gap: 0.5\ntasks: {occupation: {max_gap: 0.4}, salary: {max_gap: 100000}}\n")
    result = probate(path, "--config", gate)
    assert result.exit_code == 0 and "within ±0.4" in result.output and "within ±100000" in result.output
    assert probate(path, "--config", gate, "--task", "occupation", "--max-gap", 0.2).exit_code == 4
    assert_no_inheritance(path, unsure="pass")
    with pytest.raises(AssertionError):
        assert_no_inheritance(path, unsure="fail")


def test_a_task_that_was_not_measured_cannot_be_told(finished, folder):
    folder(-0.02, 0.03)
    path = finished / "effects.parquet"
    effects = pd.read_parquet(path)
    effects[effects["task"] != "occupation"].to_parquet(path)
    result = probate(finished)
    assert result.exit_code == 4 and "no such effect in the run" in result.output
    assert verdict([]) == "cannot tell"


def test_bad_input_is_one_sentence(finished, tmp_path):
    gate = tmp_path / "gate.yaml"
    gate.write_text("max_gaps: 0.1\n")
    for args, said in (
        ((finished, "--task", "ocupation"), "has no task 'ocupation' (did you mean 'occupation'?)"),
        ((finished, "--mitigation", "mask"), "has no mitigation 'mask'"),
        ((finished, "--unsure", "maybe"), "unsure: must be one of stop, fail, pass"),
        ((finished, "--max-gap", 0), "max_gap: input should be greater than 0"),
        ((finished, "--config", gate), "unknown key 'max_gaps' (did you mean 'max_gap'?)"),
        ((finished, "--config", tmp_path / "no.yaml"), "no such file"),
        ((tmp_path,), "not a run folder"),
    ):
        error = probate(*args).exception
        assert isinstance(error, InputError) and said in str(error), error


def test_the_fixture_is_there_and_skips(pytester_run, folder):
    path = folder(-0.1, 0.3)
    text = (
        f"def test_a(assert_no_inheritance):\n    assert_no_inheritance({path!r}, max_gap=0.5)\n\n"
        f"def test_b(assert_no_inheritance):\n    assert_no_inheritance({path!r})\n"
    )
    assert "1 passed, 1 skipped" in pytester_run(text)


@pytest.fixture
def pytester_run(tmp_path):
    import subprocess
    import sys

    def go(text):
        (tmp_path / "test_it.py").write_text(text)
        return subprocess.run(
            [sys.executable, "-m", "pytest", "-q", tmp_path], capture_output=True, text=True, cwd=tmp_path
        ).stdout

    return go


def test_unusable_answers_of_one_group_end_in_cannot_tell(finished, tmp_path):
    """A run as it lies on disk, analysed anew.

    The command, its JSON and its JUnit file name what is missing, and no number stands for it.
    """
    folder, junit = tmp_path / "run", tmp_path / "gate.xml"
    shutil.copytree(finished, folder)
    outcomes = pd.read_parquet(folder / "outcomes.parquet")
    arm = outcomes.loc[outcomes["bias_type"] == "given", "arm"].iloc[0]
    lost = (
        (outcomes["arm"] == arm)
        & (outcomes["task"] == "occupation")
        & outcomes["groups"].str.contains('"female"')
    )
    assert lost.any()
    outcomes.loc[lost, ["parsed", "score"]] = [False, 0.0]
    outcomes.to_parquet(folder / "outcomes.parquet")
    rebuild(RunFolder(folder))
    result = probate(folder, "--task", "occupation", "--max-gap", "1", "--junit", junit)
    reason = f"undefined: no usable answer of group 'female' in arm '{arm}' (0 of {lost.sum()})"
    assert result.exit_code == 4 and reason in result.output and "nan" not in result.output
    found = json.loads(probate(folder, "--task", "occupation", "--max-gap", "1", "--json").output)
    assert (
        found["verdict"] == "cannot tell"
        and found["decisions"][0]["estimate"] is None
        and reason.removeprefix("undefined: ") in str(found)
    )
    assert [e for e in ElementTree.parse(junit).iter("skipped") if reason in str(e.attrib) + str(e.text)]
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert "undefined: no usable answer of group" in page and 'class="n undefined"' in page
    assert (
        probate(folder, "--task", "salary", "--max-gap", "1e9").exit_code
        == probate(finished, "--task", "salary", "--max-gap", "1e9").exit_code
    )
