from __future__ import annotations

import subprocess
import sys
import time
from importlib.metadata import version

import pytest

import probate


def probate_command(*args, **kwargs):
    return subprocess.run(
        [sys.executable, "-m", "probate", *map(str, args)], capture_output=True, text=True, **kwargs
    )


def test_import_and_help_are_fast_and_load_no_torch():
    code = "import sys, probate, probate.commands.app; heavy = {'torch','transformers','pandas','matplotlib'} & set(sys.modules); sys.exit(str(heavy) if heavy else 0)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stderr == ""
    best = min(timed() for _ in range(3))
    assert best < 0.5


def timed() -> float:
    start = time.monotonic()
    assert probate_command("--help").returncode == 0
    return time.monotonic() - start


def test_public_names():
    assert {"Run", "Study", "audit", "check", "compare", "mitigate", "run"} < set(probate.__all__)
    assert all(getattr(probate, name) for name in probate.__all__)
    with pytest.raises(AttributeError):
        probate.nothing  # noqa: B018


def test_the_version_is_said_and_the_package_runs_as_a_module():
    done = probate_command("--version")
    assert (done.returncode, done.stdout) == (0, f"probate {version('probate')}\n")


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["run", "nothing.yaml"], "nothing.yaml: no such file"),
        (["plan", "quickstart", "--set", "ratios=[0, 1]"], "γ must be at least 0 and below 1"),
        (["plan", "quickstart", "--set", "tasks=[occupaton]"], "did you mean 'occupation'"),
        (["plan", "quickstart", "--set", "data.train_per_cell=30"], "lower data.train_per_cell"),
        (["plan", "quickstart", "--set", "data.labels=[nurse, pilot]"], "no record has the label 'pilot'"),
        (["run", "quickstart", "--model", "./no-such-folder"], "no folder with a config.json there"),
        (["run", "quickstart", "--model", "embedded-embeddings"], "makes sentence embeddings"),
        (["report", "."], "no run folder"),
    ],
)
def test_bad_input_is_one_sentence_and_exit_2(args, message, tmp_path):
    done = probate_command(*args, cwd=tmp_path)
    assert done.returncode == 2, done.stderr
    assert message in done.stderr and "Traceback" not in done.stderr


def test_plan_shows_everything_before_it_runs(tmp_path):
    done = probate_command("plan", "paper-gender", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    for needed in (
        "87 arms on meta-llama/Llama-3.1-8B-Instruct",
        "control-0-s2",
        "contrastive-single-implicit-0.5-s1",
        "tokens",
        "time: about",
        "disk: about",
    ):
        assert needed in done.stdout


def test_lists():
    assert "embedded-embeddings" in probate_command("models").stdout
    tasks = probate_command("tasks").stdout
    assert all(name in tasks for name in ("occupation", "salary", "hiring")) and "broken" not in tasks
    assert "paper-gender" in probate_command("presets").stdout


def test_run_and_report(model_dir, tmp_path):
    overrides = ["data.train_per_cell=2", "data.test_per_cell=2", "data.labels=[nurse, dentist]", "augmented.source=builtin:biographies",
                 "bias.types=[given]", "ratios=[0, 0.5]", "control_ratios=[0.5]", "tasks=[occupation]", "training.epochs=1",
                 "analysis.resamples=300", "seeds=[0]", "training.lora.layers=null"]  # fmt: skip
    flags = [x for o in overrides for x in ("--set", o)]
    done = probate_command("run", "quickstart", "--model", model_dir, "--out", tmp_path / "r", *flags)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == f"report: {tmp_path / 'r' / 'report.html'}"
    assert "train control-0-s0" in done.stderr
    again = probate_command("report", tmp_path / "r")
    assert again.returncode == 0 and "report:" in again.stdout
