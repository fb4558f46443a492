"""Arms in other processes: the same outcomes, and no arm is lost or done twice, whatever ends a process."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace

import pandas as pd
import pytest
import yaml

from probate import run
from probate.core.cache import Store
from probate.core.errors import InputError
from probate.core.progress import Reporter
from probate.execution.executors import local
from probate.execution.executors.base import Executor, Place, do_arm, executor_names
from probate.execution.executors.conformance import check_executor
from probate.execution.pace import Pace
from probate.execution.worker import Worker
from probate.study.schema import ModelSpec

ARMS = ["control-0-s0", "given-0.5-s0", "neutral-0.5-s0"]


@pytest.fixture(autouse=True)
def one_thread(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")


def outcomes(folder):
    return pd.read_parquet(folder / "outcomes.parquet")


def equal(one, other) -> bool:
    """Equal but for rounding: the numbers of threads differ."""
    numbers = ["score"]
    pd.testing.assert_frame_equal(one[numbers], other[numbers], rtol=1e-4, atol=1e-4)
    return one.drop(columns=[*numbers, "response"]).equals(other.drop(columns=[*numbers, "response"]))


def test_outcomes_are_those_of_one_process(tiny_study, finished_run, tmp_path):
    whole = finished_run(tmp_path / "one")
    result = run(tiny_study(), tmp_path / "two", jobs=2, quiet=True)
    assert not result.failures and result.exit_code == 0
    assert equal(outcomes(whole.folder), outcomes(tmp_path / "two"))
    columns = ["contrast", "metric", "estimate", "p"]
    pd.testing.assert_frame_equal(whole.effects[columns], result.effects[columns], rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("deadline", [None, 1e12])
def test_the_longest_arms_start_first_unless_time_is_limited(deadline, tiny_study, tmp_path, monkeypatch):
    order, plain = [], local.LocalExecutor.run

    def watched(self, tasks, site, may_start):
        order.extend(t.job.arm for t in tasks)
        return plain(self, tasks, site, may_start)

    monkeypatch.setattr(local.LocalExecutor, "run", watched)
    study = tiny_study(ratios=[0, 0.3, 0.5], tasks=["salary"])
    assert not run(study, tmp_path / "r", jobs=2, quiet=True, deadline=deadline).failures
    ratios = [float(arm.split("-")[1]) for arm in order]
    if deadline is None:
        assert ratios == [0.5, 0.5, 0.3, 0.3, 0]
    else:
        assert order[0] == "control-0-s0" and ratios != sorted(ratios, reverse=True)


def test_a_finished_run_starts_no_process(tiny_study, finished_run, tmp_path, monkeypatch):
    finished_run(tmp_path / "r")
    monkeypatch.setattr(local, "_start", lambda *_: pytest.fail("a process was started"))
    assert not run(tiny_study(), tmp_path / "r", jobs=2, quiet=True).failures


def test_later_rounds_and_missing_arms_are_done(tiny_study, finished_run, tmp_path):
    import shutil

    finished_run(tmp_path / "r")
    before = outcomes(tmp_path / "r")
    shutil.rmtree(tmp_path / "r/adapters/given-0.5-s0")
    shutil.rmtree(tmp_path / "r/stages/evaluate-control-0-s0-salary")
    kept = (tmp_path / "r/adapters/neutral-0.5-s0/done.json").stat().st_mtime_ns
    assert not run(tiny_study(), tmp_path / "r", executor="local", jobs=1, quiet=True).failures
    assert equal(before, outcomes(tmp_path / "r"))
    assert (tmp_path / "r/adapters/neutral-0.5-s0/done.json").stat().st_mtime_ns == kept


def test_a_process_that_is_killed_is_replaced(tiny_study, finished_run, tmp_path, monkeypatch):
    whole = finished_run(tmp_path / "one")
    started, killed = [], []
    start, wait = local._start, local.wait

    def watched(*args):
        started.append(start(*args))
        return started[-1]

    def waiting(connections):
        if len(killed) < 2:
            killed.append(started[-1].popen.pid)
            os.kill(killed[-1], signal.SIGKILL)
        return wait(connections)

    monkeypatch.setattr(local, "_start", watched)
    monkeypatch.setattr(local, "wait", waiting)
    result = run(tiny_study(), tmp_path / "two", jobs=2, quiet=True)
    assert not result.failures and len(started) == 4 and len(set(killed)) == 2
    assert equal(outcomes(whole.folder), outcomes(tmp_path / "two"))
    assert all(p.popen.returncode is not None for p in started)


def test_an_arm_that_ends_its_process_each_time_is_a_failure(tiny_study, tmp_path, monkeypatch):
    start = local._start

    def watched(place, site):
        process = start(place, site)
        send = process.send

        class Deadly(local._Process):
            def send(self, value):
                if value.job.arm == "given-0.5-s0":
                    self.popen.kill()
                    self.popen.wait()
                send(value)

        return Deadly(*process)

    monkeypatch.setattr(local, "_start", watched)
    result = run(tiny_study(tasks=["salary"]), tmp_path / "r", jobs=2, quiet=True)
    (failure,) = result.failures
    assert failure["stage"] == "train given-0.5-s0"
    assert failure["error"] == (
        "its process ended without a result, 3 times (signal 9); memory may have run out: try a smaller --jobs"
    )
    assert set(outcomes(tmp_path / "r")["arm"]) == {"control-0-s0", "neutral-0.5-s0"}


def test_an_error_in_a_process_is_that_arms_failure(tiny_study, tmp_path):
    study = tiny_study(tasks=["occupation"], training={"epochs": 1, "lora": {"layers": 7}})
    with pytest.raises(Exception, match=r"the model has 2 layers; lower it") as caught:
        run(study, tmp_path / "r", jobs=2, quiet=True)
    assert "no arm of the study finished" in str(caught.value)


def test_arms_that_would_end_too_late_are_left_out(tiny_study, tmp_path, monkeypatch):
    answers = iter([True] * 3)
    monkeypatch.setattr(Pace, "allows", lambda self: next(answers, False))
    study = tiny_study(tasks=["salary"], seeds=list(range(8)))
    result = run(study, tmp_path / "r", jobs=2, quiet=True, deadline=time.monotonic() + 3600)
    left = [f for f in result.failures if f["error"] == "left out: the time budget is spent"]
    done = set(outcomes(tmp_path / "r")["arm"])
    assert len(done) == 3 and len(left) == 21
    assert not done & {f["arm"] for f in left}


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_no_process_outlives_a_killed_run(tiny_study, tmp_path):
    file = tmp_path / "s.yaml"
    file.write_text(
        yaml.safe_dump(tiny_study(seeds=list(range(30))).model_dump(mode="json", exclude_unset=True))
    )
    program = [sys.executable, "-m", "probate", "run", str(file), "--out", str(tmp_path / "r"), "--jobs", "2"]
    whole = subprocess.Popen(program, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    own: list[int] = []
    try:
        end = time.monotonic() + 60
        while len(own) < 2 and time.monotonic() < end:
            children = subprocess.run(["pgrep", "-P", str(whole.pid)], capture_output=True, text=True).stdout
            own = [int(x) for x in children.split()]
            time.sleep(0.2)
        assert len(own) == 2
    finally:
        whole.kill()
        whole.wait()
    end = time.monotonic() + 60  # a process that still imports ends after that
    while any(os.path.exists(f"/proc/{x}") for x in own) and time.monotonic() < end:
        time.sleep(0.2)
    assert not [x for x in own if os.path.exists(f"/proc/{x}")]


def test_names_and_numbers(tiny_study, tmp_path):
    assert {"inline", "local"} <= set(executor_names()) and Place().load() is None
    with pytest.raises(InputError, match="no executor 'locl' .did you mean 'local'"):
        run(tiny_study(), tmp_path / "r", executor="locl")
    with pytest.raises(InputError, match="jobs.* 0: must be at least 1"):
        run(tiny_study(), tmp_path / "r", jobs=0)
    assert not (tmp_path / "r").exists()


@pytest.mark.parametrize(
    ("gpus", "cores", "count", "own", "expected"),
    [
        ([], 8, 4, None, [{"OMP_NUM_THREADS": "2", "MKL_NUM_THREADS": "2"}] * 4),
        ([], 2, 4, None, [{"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}] * 4),
        (["2", "5"], 8, 2, "3", [{"CUDA_VISIBLE_DEVICES": "2"}, {"CUDA_VISIBLE_DEVICES": "5"}]),
        (["2"], 8, 2, "3", [{"CUDA_VISIBLE_DEVICES": "2"}] * 2),
        ([], 8, 4, "8", [{}] * 4),
    ],
)
def test_each_process_has_a_gpu_or_a_share_of_the_cores(monkeypatch, gpus, cores, count, own, expected):
    monkeypatch.delenv("OMP_NUM_THREADS") if own is None else monkeypatch.setenv("OMP_NUM_THREADS", own)
    assert [local._environment(i, count, gpus, cores) for i in range(count)] == expected


class Broken(Executor):
    """Does arms here, and breaks its contract in the way of `what`."""

    name = "broken"
    what = ""

    def run(self, tasks, site, may_start):
        worker = (
            Worker(Store(site.root / "elsewhere"), Reporter(quiet=True))
            if self.what == "place"
            else (site.worker())
        )
        for task in tasks:
            if self.what != "start" and not may_start():
                return
            if self.what == "lost" and task.job.arm == "two":
                continue
            result = do_arm(worker, task)
            if self.what == "silent":
                result = replace(result, errors={})
            yield result
            if self.what == "twice" and task.job.arm == "two":
                yield result


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("lost", "yield one result for each arm"),
        ("twice", "yield one result for each arm"),
        ("silent", "an arm that cannot be trained is a result with its error"),
        ("place", "the adapter of one is not finished in the run folder"),
        ("start", "an arm was started although none may start"),
    ],
)
def test_an_executor_that_breaks_the_contract_fails(what, message, model_dir, tmp_path, monkeypatch):
    monkeypatch.setattr(Broken, "what", what)
    with pytest.raises(AssertionError, match=message):
        check_executor(Broken(), ModelSpec(name=str(model_dir)), tmp_path)


def test_the_local_executor_passes_its_suite(model_dir, tmp_path):
    check_executor(Place(jobs=2).load(), ModelSpec(name=str(model_dir)), tmp_path)
