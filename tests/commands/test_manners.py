"""Probate as a guest: exit codes, the caller's process left as it was, names that stand for one thing."""

from __future__ import annotations

import csv
import json
import logging
import os
import random
import signal
import subprocess
import sys
import warnings
from importlib.metadata import EntryPoint
from pathlib import Path

import numpy as np
import pytest

import probate.commands.app
from probate import Run, run
from probate.core import plugins
from probate.core.errors import InputError, StageError
from probate.data.packs import load_pack, pack_names
from probate.mitigations import catalogue as mitigations
from probate.tasks import catalogue as tasks


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (RuntimeError("boom"), 70, "unforeseen error"),
        (KeyError("x"), 70, "(KeyError); traceback: "),
        (AssertionError(), 70, "(AssertionError)"),
        (RecursionError(), 70, "(RecursionError)"),
        (InputError("wrong"), 2, "wrong"),
        (StageError("failed"), 3, "failed"),
        (PermissionError(13, "Permission denied", "x"), 3, "Permission denied: x"),
        (KeyboardInterrupt(), 130, "stopped"),
        (EOFError(), 70, "(EOFError)"),
        (BrokenPipeError(32, "Broken pipe"), 141, ""),
    ],
)
def test_exit_codes(error, code, said, monkeypatch, capsys):
    def fail(*_):
        raise error

    monkeypatch.setattr(probate.commands.plan, "load_study", fail)  # what `probate plan` begins with
    monkeypatch.setattr(sys, "argv", ["probate", "plan", "self-written"])
    out = sys.stdout
    with pytest.raises(SystemExit) as stopped:
        probate.commands.app.main()
    monkeypatch.setattr(sys, "stdout", out)
    printed = capsys.readouterr().err
    assert stopped.value.code == code and said in printed and "Traceback" not in printed
    assert printed.count("\n") == bool(said)
    if code == 70:
        log = Path(printed.split("traceback: ")[1].strip())
        text = log.read_text(encoding="utf-8")
        log.unlink()
        assert "Traceback" in text and type(error).__name__ in text


@pytest.mark.parametrize("args", [["--help"], ["presets", "--json"]])
def test_a_reader_that_has_gone_is_no_error_of_the_gate(args):
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(
        [sys.executable, "-m", "probate", *args], stdout=write, stderr=subprocess.PIPE, text=True
    )
    os.close(write)
    assert (done.returncode, done.stderr) == (141, "")


def test_a_traceback_that_cannot_be_written_is_said(monkeypatch):
    import tempfile

    from probate.core.errors import write_traceback

    monkeypatch.setattr(tempfile, "tempdir", "/nowhere/at/all")
    assert write_traceback(ValueError()).startswith("not written (No such file")


def point(name: str, value: str, group: str, distribution: str) -> EntryPoint:
    found = EntryPoint(name, value, group)

    class Distribution:
        pass

    Distribution.name = distribution
    vars(found)["dist"] = Distribution
    return found


KINDS = {
    "tasks": (tasks.task_names, tasks.load_task, "occupation", "hate"),
    "probes": (tasks.probe_names, tasks.load_probe, "bbq", None),
    "mitigations": (mitigations.mitigation_names, mitigations.load_mitigation, "mask", None),
    "identities": (pack_names, load_pack, None, "gender"),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("place", ["own entry point", "own file", "two plug-ins"])
def test_a_name_that_is_taken_is_an_error_that_names_both(kind, place, monkeypatch):
    listed, load, own, file = KINDS[kind]
    group = f"probate.{kind}"
    name = {"own entry point": own, "own file": file, "two plug-ins": "mine"}[place]
    if name is None:
        pytest.skip("this kind has no such names")
    added = [point(name, "their:Thing", group, "theirs")]
    if place == "two plug-ins":
        added.append(point(name, "other:Thing", group, "others"))
    real = plugins.entry_points
    load_pack.cache_clear()
    pack_names.cache_clear()
    monkeypatch.setattr(
        plugins,
        "entry_points",
        lambda group: [*real(group=group), *(added if group == f"probate.{kind}" else [])],
    )
    for use in (listed, lambda: load(name)):
        with pytest.raises(InputError, match=f"'{name}' is duplicated") as said:
            use()
        assert "their:Thing of theirs" in str(said.value)
        assert "other:Thing of others" in str(said.value) or "of probate" in str(said.value)
    other = {"tasks": "salary", "probes": "knowledge", "mitigations": "token", "identities": "age"}[kind]
    load(other)  # the others can be used
    load_pack.cache_clear()
    pack_names.cache_clear()


def test_a_distribution_that_is_on_the_path_twice_is_one(monkeypatch):
    real = plugins.entry_points
    monkeypatch.setattr(plugins, "entry_points", lambda group: [*real(group=group), *real(group=group)])
    assert "occupation" in tasks.task_names()


def test_run_treats_axes_as_the_command_does(tiny_study, model_dir, tmp_path):
    study = tiny_study(axes={"model": [str(model_dir)]}, tasks=["occupation"], ratios=[0],
                       matched_control="none",
                       training={"epochs": 1, "lora": {"r": 4, "alpha": 8}})  # fmt: skip
    result = run(study, tmp_path / "run", quiet=True)
    assert (tmp_path / "run" / "grid.html").exists() and set(result.outcomes["learner"]) == {str(model_dir)}


SEPARATORS = "one\u2028two\u0085three\x0bfour\x1cfive"


def test_a_line_ends_at_a_line_feed_only(tmp_path):
    from probate.data.generation.augment import _raw_line, _read_raw
    from probate.execution.evaluation import outcome_rows

    row = {"item_id": SEPARATORS, "groups": {}, "response": SEPARATORS}
    (tmp_path / "o.jsonl").write_text(json.dumps(row, ensure_ascii=False) + "\n", encoding="utf-8")
    found = outcome_rows({"arm": "given-0.5-s0"}, tmp_path / "o.jsonl")
    assert found["response"].tolist() == [SEPARATORS]
    raw = tmp_path / "raw.jsonl"
    whole = _raw_line(SEPARATORS, SEPARATORS)
    raw.write_text(whole + '{"id": "cut', encoding="utf-8")
    assert _read_raw(raw) == {SEPARATORS: SEPARATORS}
    assert raw.read_text(encoding="utf-8") == whole
    raw.write_text(whole + '{"id": "x", "text": "no line end"}', encoding="utf-8")
    assert list(_read_raw(raw)) == [SEPARATORS]


def state() -> dict[str, object]:
    """What belongs to the whole process."""
    import matplotlib
    import torch

    return {
        "warnings": list(warnings.filters),
        "root": logging.getLogger().level,
        "levels": {
            n: logging.getLogger(n).level for n in ("transformers", "probate", "torch", "peft", "matplotlib")
        },
        "threads": torch.get_num_threads(),
        "torch": torch.get_rng_state().tolist(),
        "grad": torch.is_grad_enabled(),
        "dtype": torch.get_default_dtype(),
        "numpy": [x.tolist() if isinstance(x, np.ndarray) else x for x in np.random.get_state()],
        "random": random.getstate(),
        "environ": dict(os.environ),
        "field size": csv.field_size_limit(),
        "signals": [signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM, signal.SIGPIPE)],
        "cwd": Path.cwd(),
        "matplotlib": dict(matplotlib.rcParams.copy()),
        "hook": sys.excepthook,
    }


def test_the_callers_process_stays_as_it_was(tiny_study, tmp_path, monkeypatch):
    import matplotlib
    import peft  # noqa: F401 - third parties have their own manners when they are first loaded
    import sklearn.linear_model  # noqa: F401
    import torch
    import transformers.utils.logging as loud

    from probate.execution.estimate import planned

    csv_limit, level = csv.field_size_limit(), loud.get_verbosity()
    rows = "".join(f"text {i},{'ab'[i % 2]},{'fm'[i % 2]}\n" for i in range(8))
    (tmp_path / "d.csv").write_text(f"text,label,gender\n{rows}")
    try:
        with (
            warnings.catch_warnings(),
            matplotlib.rc_context({"font.family": "serif", "axes.grid": True, "svg.hashsalt": "mine"}),
        ):
            warnings.filterwarnings("error", message="a filter of the caller")
            csv.field_size_limit(4321)
            loud.set_verbosity(31)
            torch.manual_seed(123)
            monkeypatch.chdir(tmp_path)
            before = state()
            planned(tiny_study(), tmp_path)
            run(tiny_study(), tmp_path / "run", quiet=True)
            Run(tmp_path / "run").rebuild()
            from probate.data.rows import source_rows

            assert len(list(source_rows("d.csv", "train", tmp_path))) == 8
            after = state()
    finally:
        csv.field_size_limit(csv_limit)
        loud.set_verbosity(level)
    assert {k: (v, after[k]) for k, v in before.items() if v != after[k]} == {}


def test_charts_do_not_depend_on_the_callers_style():
    import matplotlib

    from probate.report.charts import Bar, forest_chart

    def chart():
        return forest_chart([Bar("a", 0.1, 0.0, 0.2, True)], unit="share", title="t", alt="a", salt="s")

    code = (
        "import sys, probate.report.charts as c; "
        "c.forest_chart([c.Bar('a', 0.1, 0.0, 0.2, True)], unit='share', title='t', alt='a', salt='s');"
        "import matplotlib; sys.exit('matplotlib.pyplot' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
    plain = chart()
    with matplotlib.rc_context(
        {"font.family": "serif", "svg.fonttype": "path", "axes.facecolor": "#123456", "lines.linewidth": 9}
    ):
        assert chart() == plain
