"""Rounds: each arm writes for its own successor, and what moves is followed."""

from __future__ import annotations

import json

import pytest
from writer import Writer

from probate import run
from probate.core.errors import InputError
from probate.execution.worker import Worker
from probate.study.plan import make_plan
from probate.train import sft, trainer

KIND = "contextual-single-explicit"


@pytest.fixture
def rounds(tiny_study, monkeypatch):
    """A study of three rounds whose generator is a stand-in that notes which adapter it wears."""

    class Noted(Writer):
        worn: list[str | None] = []  # noqa: RUF012

        def __init__(self, lm):
            self.worn.append(lm.spec.adapter)

    monkeypatch.setattr("probate.data.generation.backends.TransformersBackend", Noted)
    monkeypatch.setattr(Noted, "asked", [])

    def make(**changes):
        return tiny_study(**{
            "augmented": None, "bias": {"types": [KIND]}, "tasks": ["occupation"],
            "matched_control": "neutral", "rounds": 3,
            "generation": {"near_duplicate": 1.0},
            "data": {"train_per_cell": 2, "test_per_cell": 2, "labels": ["nurse", "dentist"]}, **changes,
        })  # fmt: skip

    return make, Noted


def sets(folder):
    return [json.loads(line) for line in (folder / "provenance.jsonl").read_text().splitlines()]


def test_every_arm_writes_for_its_successor(rounds, tmp_path):
    make, noted = rounds
    result = run(make(), tmp_path, quiet=True)
    assert result.exit_code == 0, result.failures
    arms = [f"{k}-0.5-s0" for k in (KIND, "neutral")]
    assert noted.worn == [None, None, *arms, *(f"{a}-r2" for a in arms)]
    assert set(result.outcomes["round"]) == {1, 2, 3}
    assert set(result.outcomes[result.outcomes["arm"] == "control-0-s0"]["round"]) == {1}
    for arm in arms:
        ids = [
            {r["id"] for r in sets(tmp_path) if r["set"] == name}
            for name in (arm.replace("-0.5", ""), f"{arm}-r2", f"{arm}-r3")
        ]
        assert all(ids) and not ids[0] & ids[1] and all(i.startswith("r3:") for i in ids[2])
    effects = result.effects
    later = effects[effects["question"] == "round"]
    assert set(later["round"]) == {2, 3} and set(later["bias_type"]) == {KIND, "neutral"}
    own = effects[(effects["question"] == "inheritance") & (effects["contrast"] == "against matched control")]
    assert list(own["round"]) == [1, 2, 3]
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "Over rounds" in page and "changes against round 1" in page
    assert (
        "Calibration of labels" in page
        and "Groups, round by round" in page
        and "No ability probe was run" in page
    )
    assert page.count("writes the next") >= 4
    asked = len(noted.asked)
    again = run(make(), tmp_path, quiet=True)
    assert again.outcomes.equals(result.outcomes) and len(noted.asked) == asked


def test_accumulation_keeps_what_was_written_before(rounds, tmp_path):
    make, _ = rounds
    run(make(round_policy="accumulation"), tmp_path, quiet=True)
    counts = [
        json.loads((tmp_path / "adapters" / f"neutral-0.5-s0{r}" / "done.json").read_text())["records"]
        for r in ("", "-r2", "-r3")
    ]
    assert counts == [16, 24, 32]


@pytest.mark.parametrize("share", [0.0, 0.5])
def test_preservation_replaces_the_rest_of_the_originals(rounds, tmp_path, share):
    make, _ = rounds
    result = run(make(round_policy="preservation", preserved=share), tmp_path, quiet=True)
    assert result.exit_code == 0, result.failures
    done = [
        json.loads((tmp_path / "adapters" / f"{KIND}-0.5-s0{r}" / "done.json").read_text())
        for r in ("", "-r2", "-r3")
    ]
    assert [d["records"] for d in done] == [16, 16, 16]
    assert all(sum(g.values()) == 8 for d in done for g in d["trained_on"].values())
    ids = {r["id"] for r in sets(tmp_path) if r["set"] == f"{KIND}-0.5-s0-r3"}
    assert len(ids) == 8 + 8 * (1 - share)


def test_misalignments_are_followed_over_rounds(rounds, tmp_path):
    make, _ = rounds
    study = make(distribution=["model"], probes=["knowledge"], rounds=4, ratios=[0, 0.4, 0.5])
    result = run(study, tmp_path, quiet=True)
    assert result.exit_code == 0, result.failures
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "Augmented texts against D_o" in page and f"<td>{KIND}-0.5-s0-r4</td>" in page
    assert "Over the 16 arms with augmented data" in page and "distance of the augmented texts" in page
    assert "It is unknown what changes first" in page and "one training seed" in page


def test_a_round_that_fails_ends_its_own_line_only(rounds, tmp_path, monkeypatch):
    make, _ = rounds
    before = Worker._fine_tune

    def train(self, job, *rest):
        if job.arm == f"{KIND}-0.5-s0-r2":
            raise RuntimeError("lost")
        return before(self, job, *rest)

    monkeypatch.setattr(Worker, "_fine_tune", train)
    result = run(make(), tmp_path, quiet=True)
    assert [f["stage"] for f in result.failures] == [f"train {KIND}-0.5-s0-r2", f"generate {KIND}-0.5-s0-r3"]
    assert "round 2 of" in result.failures[1]["error"] and "did not finish" in result.failures[1]["error"]
    assert set(result.outcomes[result.outcomes["bias_type"] == "neutral"]["round"]) == {1, 2, 3}


def test_rounds_need_a_generator(tiny_study):
    with pytest.raises(ValueError, match="later rounds generate their records"):
        tiny_study(rounds=2)
    with pytest.raises(ValueError, match="matched control must be generated, too"):
        tiny_study(rounds=2, augmented=None, bias={"types": [KIND]}, matched_control="original")


def test_the_plan_has_a_line_for_each_round(rounds):
    make, _ = rounds
    names = [a.name for a in make_plan(make(ratios=[0, 0.2, 0.5]), 4).arms]
    assert len(names) == 1 + 3 * 4 and len(set(names)) == len(names)
    assert names.index("neutral-0.5-s0-r2") > names.index(f"{KIND}-0.5-s0")


@pytest.mark.parametrize("method", ["sft", "dpo"])
def test_continued_training_begins_with_the_predecessor(rounds, tmp_path, monkeypatch, method):
    make, writer = rounds
    before, begun = sft.train, {}

    def train(*args, start=None, **more):
        begun[args[4].name] = start.name if start else None
        return before(*args, start=start, **more)

    monkeypatch.setattr(sft, "train", train)
    result = run(make(round_policy="continued", method=method), tmp_path, quiet=True)
    assert result.exit_code == 0, result.failures
    for arm in (f"{KIND}-0.5-s0", "neutral-0.5-s0"):
        assert [begun[arm], begun[f"{arm}-r2"], begun[f"{arm}-r3"]] == [None, arm, f"{arm}-r2"]
    writer.asked.clear()  # it numbers its texts
    again = run(make(round_policy="fresh", method=method), tmp_path / "fresh", quiet=True)
    own, other = (r.outcomes[r.outcomes["round"] == 1]["response"].tolist() for r in (result, again))
    assert own == other
    own, other = (r.outcomes[r.outcomes["round"] == 2]["response"].tolist() for r in (result, again))
    assert own != other


def test_continued_training_needs_a_trainer_that_can(rounds, tmp_path, monkeypatch):
    make, _ = rounds
    monkeypatch.setattr(sft.LoraTrainer, "continues", False)
    monkeypatch.setitem(trainer.TRAINERS, "own", trainer.TRAINERS["lora"])
    with pytest.raises(InputError, match="round_policy: the trainer 'lora' cannot continue"):
        run(make(round_policy="continued", training={"trainer": "own"}), tmp_path, quiet=True)


def test_neutral_texts_are_studied_alone(rounds, tmp_path):
    make, _ = rounds
    study = make(bias={"types": ["neutral-synthetic"], "strength": 1.0}, matched_control="auto")
    assert study.control == "none" and study.effective_strength == 0
    result = run(study, tmp_path, quiet=True)
    assert result.exit_code == 0, result.failures
    arm = "neutral-synthetic-0.5-s0"
    assert set(result.outcomes["arm"]) == {"control-0-s0", arm, f"{arm}-r2", f"{arm}-r3"}
    own = result.effects[result.effects["question"] == "inheritance"]
    assert set(own["contrast"]) == {"against γ = 0"} and list(own["round"]) == [1, 2, 3]
    records = [json.loads(line) for line in (tmp_path / "provenance.jsonl").read_text().splitlines()]
    assert not any("label_before" in str(r) for r in records)
    page = result.report.read_text(encoding="utf-8")
    assert "prompts without a bias, and no label was changed" in page and "biased prompts" not in page


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"bias": {"types": ["neutral-synthetic", KIND]}}, "must be the only bias type"),
        ({"bias": {"types": ["neutral-synthetic"]}, "matched_control": "neutral"}, "has the same data"),
        ({"bias": {"types": ["neutral"]}}, r"use \[neutral-synthetic\] to study neutral texts alone"),
    ],
)
def test_neutral_texts_that_contradict_the_study(tiny_study, changes, message):
    with pytest.raises(ValueError, match=message):
        tiny_study(**{"augmented": None, **changes})
