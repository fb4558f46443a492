"""Stage two of the audit: a study that fits the budget.

It is planned by measured speed, and ended in time with what it has.
"""

from __future__ import annotations

import json
import math
import random
import time
from collections import Counter
from types import SimpleNamespace

import pandas as pd
import pytest
from typer.testing import CliRunner

from probate.audits.read import read_set
from probate.audits.stage_one import audit
from probate.audits.train import (
    EPOCHS,
    ITEM_VARIANCE,
    LEAST,
    MOST,
    SEED_VARIANCE,
    TEST,
    Speed,
    _told,
    plan,
    seconds_of,
    train,
)
from probate.commands.app import app
from probate.core.errors import InputError, StageError
from probate.data.corpora import biographies
from probate.execution.folder import RunFolder
from probate.execution.pace import Pace
from probate.execution.runner import Runner
from probate.models.inference import scoring
from probate.study.schema import Study
from probate.train import sft

LABELS, GROUPS = ["dentist", "nurse"], ["female", "male"]


def cells(original: int, augmented: int):
    return {
        side: Counter({(x, g): n for x in LABELS for g in GROUPS})
        for side, n in (("original", original), ("augmented", augmented))
    }


def planned(tmp_path, budget, original=200, augmented=200, slow=1.0):
    files = {side: tmp_path / f"{side}.jsonl" for side in ("original", "augmented")}
    speed = Speed(
        {"original": 0.2 * slow, "augmented": 1.0 * slow},
        {"original": 0.1 * slow, "augmented": 0.5 * slow},
        0.05 * slow,
    )
    return plan(files, LABELS, GROUPS, "gender", cells(original, augmented), speed, budget, "embedded")


def test_budgets():
    assert [seconds_of(x) for x in ("15m", "1.5h", "90s", "600", " 2 h")] == [900, 5400, 90, 600, 7200]
    for wrong in ("", "soon", "30", "-5m", "5d", "15 minutes"):
        with pytest.raises(InputError, match="--budget"):
            seconds_of(wrong)


def test_more_time_is_a_larger_study_and_eight_seeds_fit(tmp_path):
    found = [planned(tmp_path, minutes * 60) for minutes in (20, 60, 600)]
    sizes = [p.train_per_cell for p in found]
    assert LEAST < sizes[0] < sizes[1] <= sizes[2] == MOST and all(p.test_per_cell >= TEST for p in found)
    for p, minutes in zip(found, (20, 60, 600), strict=True):
        assert (
            8 * p.seconds <= minutes * 60 and len(p.study.seeds) >= 10 and p.study.training.epochs == EPOCHS
        )
    assert "seeds fit" in found[0].said[1] and "ms per prompt" in found[0].said[1]


@pytest.mark.parametrize(("fill", "prompt"), [(0.01, 0.005), (0.2, 0.05), (3.0, 1.0)])
def test_time_is_divided_between_items_and_seeds_by_cost_and_spread(tmp_path, fill, prompt):
    files = {side: tmp_path / f"{side}.jsonl" for side in ("original", "augmented")}
    speed = Speed({"original": fill, "augmented": fill}, {"original": 0.1, "augmented": 0.1}, prompt)
    found = plan(files, LABELS, GROUPS, "gender", cells(2000, 2000), speed, 1800, "embedded")
    items, models = 4 * found.test_per_cell, 2 * 8 * 4 * EPOCHS * 2 * found.train_per_cell * 0.1

    def variance(items):
        seeds = (models + found.test_per_cell * 4 * (fill + 16 * prompt) - items * fill) / (
            models / 8 + 2 * items * prompt
        )
        return ITEM_VARIANCE / items + SEED_VARIANCE / seeds if seeds > 0 else math.inf

    assert variance(items) <= 1.1 * min(map(variance, range(4, 8000, 4)))


@pytest.mark.parametrize("original", [12, 40, 100])
def test_much_time_leaves_records_for_the_test(tmp_path, original):
    much = planned(tmp_path, 10**6, original=original)
    assert much.test_per_cell >= min(TEST, original // 3)
    assert 2 * much.train_per_cell + much.test_per_cell <= original


def test_little_time_is_fewer_seeds_and_too_little_is_said(tmp_path):
    few = planned(tmp_path, 240)
    assert few.train_per_cell == LEAST and "about 2 seeds fit" in few.said[1]
    with pytest.raises(StageError, match="the smallest study .* give more time or more data"):
        planned(tmp_path, 60)
    with pytest.raises(StageError, match=r"needs 16 augmented records \(there are 4\)"):
        planned(tmp_path, 6000, augmented=1)


def test_few_originals_are_shared_between_training_and_test(tmp_path):
    found = planned(tmp_path, 6000, original=20)
    assert 2 * found.train_per_cell + found.test_per_cell <= 20 and found.test_per_cell >= LEAST


def turned(row, i):
    wrong = {"female": "nurse", "male": "software engineer"}
    return wrong[row["gender"]] if random.Random(i).random() < 0.6 else row["label"]


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("audit")
    rows = [r for r in biographies() if r["label"] in ("nurse", "software engineer")]
    for name, label in (("original", lambda r, i: r["label"]), ("augmented", turned)):
        lines = [
            json.dumps({"text": r["text"], "label": label(r, i), "gender": r["gender"]})
            for i, r in enumerate(rows)
        ]
        (folder / f"{name}.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder


class Clock:
    """Time that passes by counted work.

    20 ms for each record of an epoch, 5 ms for each prompt, 10 s for the effects.
    """

    def __init__(self, patch):
        self.now, self.slower = 1000.0, 1.0
        for module, name, cost in (
            (sft, "train", lambda base, examples, training, *_: 0.02 * training.epochs * len(examples)),
            (scoring, "score_choices", lambda model, prompts, *_: 0.005 * len(prompts)),
            (RunFolder, "write_effects", lambda *_: 10),
        ):
            patch.setattr(module, name, self.costing(getattr(module, name), cost))
        patch.setattr(time, "monotonic", lambda: self.now)

    def costing(self, real, cost):
        def run(*args, **kwargs):
            self.now += self.slower * cost(*args)
            return real(*args, **kwargs)

        return run


@pytest.mark.parametrize("slower", [1.0, 2.0])
def test_a_study_is_run_and_ends_within_its_budget(files, model_dir, tmp_path, monkeypatch, slower):
    """`slower`: than the pilot has measured."""
    found = audit(read_set(str(files / "augmented.jsonl")), read_set(str(files / "original.jsonl")), {})
    clock, budget, begun = Clock(monkeypatch), 45.0, 1000.0

    def planning(*args):
        clock.slower = slower
        return plan(*args)

    monkeypatch.setattr("probate.audits.train.plan", planning)
    told = train(found, tmp_path, budget, str(model_dir), quiet=True)
    left = int(told["sentences"][-1].split(";")[1].split()[0])
    assert begun + budget / 2 < clock.now <= begun + budget
    assert told["arms"] >= 3 and left > 0 and (tmp_path / told["report"]).is_file()
    if slower > 1:
        return
    inherited = next(f for f in found.findings if f.kind == "inherited")
    assert "changes its gap in the labels that it chooses by" in inherited.sentence and 0 <= inherited.p <= 1
    assert any(
        "the smallest change that this study would detect with 80% power" in line
        for line in told["sentences"]
    )
    assert f"{told['arms']} models trained" in told["sentences"][-1]


@pytest.mark.parametrize(
    ("spent", "fits"), [([], True), ([20, 1, 1], True), ([1, 1, 20], False), ([20, 20, 1], False)], ids=str
)
def test_an_arm_is_left_out_where_the_mean_or_the_latest_would_pass_the_deadline(spent, fits, monkeypatch):
    failed = []
    monkeypatch.setattr(time, "monotonic", lambda: 1000.0)
    pace = Pace(1010.0)
    for seconds in spent:
        pace.add(seconds)
    run = SimpleNamespace(pace=pace, _fail=lambda *why: failed.append(why))
    assert Runner._in_time(run, SimpleNamespace(name="given-0.5-s3")) == fits
    assert [arm for _, arm, _ in failed] == ([] if fits else ["given-0.5-s3"])


def test_an_undefined_change_is_cannot_tell(files, tmp_path):
    """A budget that ends before the matched control is trained: no number, no verdict that reassures."""
    found = audit(read_set(str(files / "original.jsonl")), read_set(str(files / "original.jsonl")), {})
    missing = [float("nan")] * 5
    effects = pd.DataFrame(
        [("occupation", "against matched control", q, m, "female − male",
          "arm 'neutral-0.5-s0' has no answers of this task", *missing, 0, 0)
         for q, m in (("inheritance", "gap"), ("inheritance-detail", "accuracy"))],
        columns=(
            "task contrast question metric comparison reason estimate ci_low ci_high p p_adjusted n seeds"
        ).split(),
    )  # fmt: skip
    result = SimpleNamespace(effects=effects, outcomes=pd.DataFrame({"arm": ["given-0.5-s0"]}), failures=[])
    told = _told(
        found,
        SimpleNamespace(said=[], train_per_cell=1, test_per_cell=1, study=Study()),
        result,
        tmp_path,
        "gender",
    )
    assert "nan" not in "\n".join([*told["sentences"], *(f.sentence for f in found.findings)])
    assert sum("undefined: arm 'neutral-0.5-s0' has no answers" in line for line in told["sentences"]) == 2
    (row,) = [f for f in found.findings if f.kind == "inherited"]
    assert row.weight == "cannot tell" and "cannot tell whether" in row.sentence


def test_what_stage_one_found_outlives_a_budget_that_is_too_small(files, model_dir, tmp_path, monkeypatch):
    monkeypatch.setattr(
        "probate.audits.train._speed",
        lambda *_: Speed({"original": 9, "augmented": 9}, {"original": 9, "augmented": 9}, 9),
    )
    out = tmp_path / "out"
    result = CliRunner().invoke(
        app, ["audit", "--augmented", str(files / "augmented.jsonl"),
              "--original", str(files / "original.jsonl"),
              "--train", "--budget", "60s", "--model", str(model_dir), "--out", str(out), "--quiet"]
    )  # fmt: skip
    assert result.exit_code == 3 and "stage two: --budget: the smallest study" in result.output
    assert "verdict:" in result.output and (out / "audit.html").is_file()


def test_what_cannot_be_trained_on_leaves_no_folder(files, tmp_path):
    out = tmp_path / "out"
    for more, said in (
        ([], "needs --original"),
        (["--original", str(files / "original.jsonl"), "--dimension", "age"], "dimension 'age'"),
    ):
        result = CliRunner().invoke(
            app,
            [
                "audit",
                "--augmented",
                str(files / "augmented.jsonl"),
                "--train",
                "--out",
                str(out),
                "--quiet",
                *more,
            ],
        )
        assert isinstance(result.exception, InputError) and said in str(result.exception) and not out.exists()
