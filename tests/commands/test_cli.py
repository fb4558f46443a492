from __future__ import annotations

import subprocess
import sys
from importlib.metadata import version
from types import SimpleNamespace

import pytest

import probate
from probate.commands.app import main


def probate_command(*args, **kwargs):
    return subprocess.run(
        [sys.executable, "-m", "probate", *map(str, args)], capture_output=True, text=True, **kwargs
    )


@pytest.fixture
def here(monkeypatch, tmp_path, capsys):
    """The command in this process, in an empty folder; its exit code and what it printed."""

    def go(*args):
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(sys, "argv", ["probate", *map(str, args)])
        try:
            code = main()
        except SystemExit as end:
            code = end.code
        out, err = capsys.readouterr()
        return SimpleNamespace(returncode=code or 0, stdout=out, stderr=err)

    return go


HEAVY = (
    "torch transformers peft pandas numpy scipy sklearn matplotlib pyarrow safetensors pydantic openai"
).split()
LOADED = f"""
import sys
from probate.commands.app import main
sys.argv = ["probate", *sys.argv[1:]]
try:
    main()
finally:
    print(len(sys.modules), *(m for m in {HEAVY} if m in sys.modules), file=sys.stderr)
"""


@pytest.mark.parametrize("argument", ["--help", "--version"])
def test_help_loads_few_modules_and_no_heavy_one(argument):
    done = subprocess.run([sys.executable, "-c", LOADED, argument], capture_output=True, text=True)
    count, *heavy = done.stderr.split()
    assert done.returncode == 0 and done.stdout and heavy == []
    assert int(count) < 500, "about 400 are loaded, the standard library's included"


def test_import_loads_nothing_but_the_package():
    code = "import sys; before = set(sys.modules); import probate; print(len(set(sys.modules) - before))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert 0 < int(done.stdout) < 60, "about 30 are loaded, the standard library's included"


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
        (["plan", "self-written", "--set", "ratios=[0, 1]"], "γ must be at least 0 and below 1"),
        (["plan", "self-written", "--set", "tasks=[occupaton]"], "did you mean 'occupation'"),
        (["plan", "self-written", "--set", "data.train_per_cell=30"], "lower data.train_per_cell"),
        (["plan", "self-written", "--set", "data.labels=[nurse, pilot]"], "no record has the label 'pilot'"),
        (["run", "self-written", "--model", "./no-such-folder"], "no such folder with a config.json"),
        (["run", "self-written", "--model", "embedded-embeddings"], "computes sentence embeddings"),
        (["report", "."], "not a run folder"),
    ],
)
def test_bad_input_is_one_sentence_and_exit_2(args, message, here):
    done = here(*args)
    assert done.returncode == 2, done.stderr
    assert message in done.stderr and "Traceback" not in done.stderr


def test_plan_shows_everything_before_it_runs(here):
    own = ["data.source=builtin:biographies", "data.test_per_cell=null"]
    done = here("plan", "paper-gender", *(part for o in own for part in ("--set", o)))
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


def test_lists(here):
    assert "embedded-embeddings" in here("models").stdout
    tasks = here("tasks").stdout
    assert all(name in tasks for name in ("occupation", "salary", "hiring")) and "broken" not in tasks
    assert "paper-gender" in here("presets").stdout


def test_run_and_report(model_dir, tmp_path, here):
    overrides = ["data.train_per_cell=2", "data.test_per_cell=2", "data.labels=[nurse, dentist]",
                 "augmented.source=builtin:biographies",
                 "bias.types=[given]", "ratios=[0, 0.5]", "control_ratios=[0.5]", "tasks=[occupation]",
                 "training.epochs=1",
                 "analysis.resamples=300", "seeds=[0]", "training.lora.layers=null"]  # fmt: skip
    flags = [x for o in overrides for x in ("--set", o)]
    done = probate_command("run", "self-written", "--model", model_dir, "--out", tmp_path / "r", *flags)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == f"report: {tmp_path / 'r' / 'report.html'}"
    assert "train control-0-s0" in done.stderr
    again = here("report", tmp_path / "r")
    assert again.returncode == 0 and "report:" in again.stdout
