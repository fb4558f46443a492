"""Jobs are values: they hold no model, can be sent to another process, and give there what they give here."""

from __future__ import annotations

import pickle
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from probate.core.cache import Store
from probate.core.progress import Reporter
from probate.execution import arm_records
from probate.execution.folder import RunFolder
from probate.execution.jobs import ArmJob, GenerateJob
from probate.execution.prepare import prepare
from probate.execution.runner import Runner
from probate.execution.worker import Worker
from probate.mitigations.base import Mitigated
from probate.study.schema import Study

ELSEWHERE = """
import pickle, sys
from pathlib import Path
from probate.core.cache import Store
from probate.core.progress import Reporter
from probate.execution.worker import Worker

job, measurement = pickle.load(sys.stdin.buffer)
worker = Worker(Store(Path(sys.argv[1])), Reporter(quiet=True))
trained = worker.train(job)
worker.evaluate(job.evaluation(trained, measurement)).to_parquet(sys.argv[2])
"""


@pytest.fixture
def runner(tiny_study, tmp_path):
    prepared, reporter = prepare(tiny_study(), Path()), Reporter(quiet=True)
    return Runner(prepared, RunFolder(tmp_path), Worker(Store(tmp_path / "here"), reporter), reporter)


def arm_job(runner: Runner, role: str = "biased") -> ArmJob:
    prepared = runner.prepared
    arm = next(a for a in prepared.plan.arms if a.role == role)
    ready = arm_records.ready_set(prepared, arm.bias_type)
    ordered = arm_records.arm_order(prepared, arm, arm_records.drawn(prepared, arm, ready))
    records = arm_records.mix_arm(prepared, arm, ordered)
    return runner._arm_job(arm, Mitigated(records, [1.0] * len(records)))


def test_an_arm_job_gives_the_same_in_another_process(runner, tmp_path):
    job, measurement = arm_job(runner), runner.prepared.measurements[0]
    sent = pickle.dumps((job, measurement))
    assert b"torch" not in sent and len(sent) < 1_000_000
    there = tmp_path / "outcomes.parquet"
    subprocess.run(
        [sys.executable, "-c", ELSEWHERE, str(tmp_path / "there"), str(there)], input=sent, check=True
    )
    trained = runner.worker.train(job)
    here = runner.worker.evaluate(job.evaluation(trained, measurement))
    pd.testing.assert_frame_equal(here, pd.read_parquet(there))
    weights = [
        (tmp_path / place / "adapters" / job.arm / "adapter_model.safetensors").read_bytes()
        for place in ("here", "there")
    ]
    assert weights[0] == weights[1]


def test_the_key_of_a_job_is_made_of_all_its_inputs_that_change_the_adapter(runner):
    job = arm_job(runner)
    key = job.key("model")
    changed = {
        "records": job.records[1:],
        "seed": job.seed + 1,
        "training": job.training.model_copy(update={"epochs": job.training.epochs + 1}),
        "prompt": job.prompt + " ",
        "labels": job.labels[::-1],
        "weights": [2.0, *job.weights[1:]],
        "method": "dpo",
    }
    for name, value in changed.items():
        assert replace(job, **{name: value}).key("model") != key, name
    assert job.key("another model") != key
    for name, value in {"notice": {"text": "a"}, "columns": {}, "dimension": "age"}.items():
        assert replace(job, **{name: value}).key("model") == key, name


def test_jobs_hold_no_study(runner):
    """What is not an input of a stage cannot change its result."""
    for kind in (ArmJob, GenerateJob):
        assert not any("Study" in str(f.type) for f in kind.__dataclass_fields__.values())
    assert Study.__name__.encode() not in pickle.dumps(arm_job(runner))
