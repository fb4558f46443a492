"""How far a run is, while it runs, when it was stopped, and when it is finished."""

from __future__ import annotations

import json
import shutil

import pytest
from command import probate

from probate import run
from probate.core.cache import Store
from probate.core.errors import InputError
from probate.execution.folder import RunFolder
from probate.execution.status import run_status
from probate.execution.worker import Worker


def test_a_finished_run(finished_run, tmp_path):
    finished_run(tmp_path / "r")
    own = run_status(tmp_path / "r")
    assert own.counts == {"finished": 3, "running": 0, "stopped": 0, "failed": 0, "waiting": 0}
    assert [a.arm for a in own.arms] == ["control-0-s0", "given-0.5-s0", "neutral-0.5-s0"]
    assert not own.active and not own.other
    lines = probate("status", tmp_path / "r").splitlines()
    assert lines[0].split() == ["control-0-s0", "finished"]
    assert lines[-1].startswith("3 arms: 3 finished") and "continues it" not in lines[-1]


def test_while_it_runs_and_after_it_was_stopped(tiny_study, tmp_path, monkeypatch):
    seen, tune = [], Worker._fine_tune

    def watched(self, job, base, folder):
        seen.append((run_status(tmp_path / "r"), probate("status", tmp_path / "r")))
        if job.arm == "given-0.5-s0":
            raise KeyboardInterrupt
        return tune(self, job, base, folder)

    monkeypatch.setattr(Worker, "_fine_tune", watched)
    with pytest.raises(KeyboardInterrupt):
        run(tiny_study(tasks=["salary"]), tmp_path / "r", quiet=True)
    own, said = seen[1]
    assert own.active and [a.state for a in own.arms] == ["finished", "running", "waiting"]
    assert own.arms[1].stage.name == "train" and ", process " in own.arms[1].stage.where
    assert "running: train on " in said and said.splitlines()[-1].startswith(
        "3 arms: 1 finished, 1 running, 1 waiting"
    )
    later = run_status(tmp_path / "r")
    assert not later.active and [a.state for a in later.arms] == ["finished", "stopped", "waiting"]
    assert "no run writes to this folder now" in probate("status", tmp_path / "r")
    assert "a run writes to this folder; it loads the model" not in said and "begun" in said


def test_generation_is_shown(finished_run, tmp_path):
    finished_run(tmp_path / "r")

    def work(folder):
        (stage,) = run_status(tmp_path / "r").other
        assert stage.name == "generate neutral" and stage.seconds >= 0
        return {}

    Store(tmp_path / "r").run("stages/generate-neutral", "key", work)
    assert not run_status(tmp_path / "r").other


def test_failures_and_rate(finished_run, tmp_path):
    import os

    finished_run(tmp_path / "r")
    shutil.rmtree(tmp_path / "r/adapters/neutral-0.5-s0")
    failure = {"stage": "train neutral-0.5-s0", "arm": "neutral-0.5-s0", "error": "memory ran out"}
    RunFolder(tmp_path / "r").write_failures([failure])
    for number, arm in enumerate(("control-0-s0", "given-0.5-s0")):
        for done in (tmp_path / "r").glob(f"*/*{arm}*/done.json"):
            os.utime(done, (10_000 + 1800 * number,) * 2)
    own = run_status(tmp_path / "r")
    assert own.arms[2].state == "failed" and own.arms[2].error == "memory ran out"
    assert own.hourly != own.hourly
    with RunFolder(tmp_path / "r").locked():
        own = run_status(tmp_path / "r")
        assert own.hourly == pytest.approx(2.0) and own.hours_left == pytest.approx(0.5)
        assert "2 arms an hour, about 30 minutes left" in probate("status", tmp_path / "r")
        assert "a run writes to this folder; it loads the model" in probate("status", tmp_path / "r")
    record = json.loads(probate("status", tmp_path / "r", "--json"))
    assert record["counts"]["failed"] == 1 and record["arms"][2]["error"] == "memory ran out"


def test_a_shard_has_its_own_arms(tiny_study, tmp_path):
    run(tiny_study(tasks=["salary"]), tmp_path / "s", shard="2/3", quiet=True)
    own = run_status(tmp_path / "s")
    assert len(own.arms) == 1 and own.arms[0].state == "finished" and own.shard == "2/3"
    lines = probate("status", tmp_path / "s").splitlines()
    assert lines[0] == "shard 2/3" and lines[-2] == "1 arm: 1 finished"
    assert lines[-1] == "when all shards are finished: probate merge DIR DIR … --out DIR"


def test_no_run_folder(tmp_path):
    with pytest.raises(InputError, match="not a run folder"):
        run_status(tmp_path)
