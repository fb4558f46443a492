"""The interface from Python: public names, frames as data, errors in its own words.

One result for each function.
"""

from __future__ import annotations

import doctest
import json
import pkgutil
import re
import shutil
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from types import FunctionType
from xml.etree import ElementTree

import pandas as pd
import pytest
import yaml
from typer.testing import CliRunner

import probate as pb
from probate.commands.app import app
from probate.core.frames import frames_folder, table_file
from probate.data.corpora import biographies
from probate.data.rows import source_rows

LABELS = ["nurse", "architect", "dentist"]
TINY = {
    "name": "tiny", "seeds": [0], "data.train_per_cell": 3, "data.test_per_cell": 3,
    "bias.relabel": {"female": {"architect": "nurse", "dentist": "nurse"}, "male": {"nurse": "dentist"}},
    "ratios": [0, 0.5],
    "training": {"epochs": 2, "learning_rate": 1e-3, "lora": {"r": 4, "alpha": 8, "layers": None}},
    "tasks": ["occupation", "salary", {"name": "hiring", "options": {"jobs": ["nurse"]}}],
    "analysis.resamples": 400,
}  # fmt: skip


@pytest.fixture(scope="module")
def frame():
    """Biographies as a user would have them in a frame: columns of other names, group codes."""
    rows = [r for r in biographies() if r["label"] in LABELS]
    found = pd.DataFrame(rows).rename(columns={"text": "bio", "label": "occupation", "gender": "sex"})
    found["sex"] = found["sex"].map({"female": "F", "male": "M"}).astype("category")
    return found[["bio", "occupation", "sex"]].assign(year=range(1900, 1900 + len(found)))


@pytest.fixture
def study(frame, model_dir):
    return pb.Study.preset("self-written").with_(model=str(model_dir), data=frame, augmented=frame, **TINY)


# Public names


def test_the_public_names_are_listed_and_found():
    assert set(pb.__all__) == {
        "Audit", "Calibration", "Comparison", "Decision", "Figure", "InputError", "PlanSummary",
        "ProbateError", "Run", "StageError", "Study", "__version__",
        "audit", "calibrate", "check", "compare", "load_builtin", "merge", "mitigate", "plan", "run",
    }  # fmt: skip
    assert set(pb.__all__) <= set(dir(pb))
    assert all(getattr(pb, name) for name in pb.__all__)
    assert re.fullmatch(r"\d+\.\d+.*", pb.__version__)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        pb.nothing  # noqa: B018


def test_no_module_hides_a_public_name():
    code = (
        "import pkgutil, importlib, probate\n"
        "for m in pkgutil.walk_packages(probate.__path__, 'probate.'):\n"
        "    if not m.name.endswith('__main__'): importlib.import_module(m.name)\n"
        "import types\n"
        "print([n for n in probate.__all__ if isinstance(getattr(probate, n), types.ModuleType)])\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stdout.strip()) == (0, "[]"), done.stderr
    kinds = {name: type(getattr(pb, name)) for name in pb.__all__ if name != "__version__"}
    assert {k for n, k in kinds.items() if n.islower()} == {FunctionType}
    assert all(isinstance(getattr(pb, n), type) for n in kinds if not n.islower())


def test_public_names_have_docstrings_in_one_shape():
    for name in set(pb.__all__) - {"__version__", "InputError", "ProbateError", "StageError"}:
        own = getattr(pb, name)
        assert own.__doc__ and "Examples\n" in own.__doc__, name
        for member in [own] if isinstance(own, FunctionType) else []:
            documented = set(re.findall(r"^ {4}(\w[\w, ]*) :|^ {4}(\w[\w, ]*)$", member.__doc__, re.M))
            named = {n.strip() for pair in documented for part in pair for n in part.split(",")}
            given = member.__code__.co_varnames[
                : member.__code__.co_argcount + member.__code__.co_kwonlyargcount
            ]
            assert set(given) <= named, (name, set(given) - named)
            assert "Returns\n" in member.__doc__ and "Raises\n" in member.__doc__


def examples():
    """Every docstring with an example of a public name or one of its methods."""
    finder = doctest.DocTestFinder(recurse=False)
    for name in sorted(set(pb.__all__) - {"__version__"}):
        own = getattr(pb, name)
        members = {name: own} | {
            f"{name}.{k}": v
            for k, v in (vars(own).items() if isinstance(own, type) else ())
            if not k.startswith("_") and getattr(getattr(v, "__func__", v), "__doc__", None)
        }
        for full, member in members.items():
            member = getattr(member, "__func__", member)
            yield from (t for t in finder.find(member, full, module=False) if t.examples)


@pytest.mark.parametrize("example", list(examples()), ids=lambda t: t.name)
def test_examples_of_the_docstrings_run(example, finished_run, tiny_study, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    finished_run(Path("runs/self-written"))
    study = tiny_study(tasks=["occupation"], training={"epochs": 1}).model_dump(mode="json")
    Path("study.yaml").write_text(yaml.safe_dump(study), encoding="utf-8")
    rows = [r for r in biographies() if r["label"] in LABELS]
    table = pd.DataFrame(rows)[["text", "label", "gender"]]
    example.globs = {"frame": table[60:], "generated": table[:60]}
    said: list[str] = []
    doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE).run(example, out=said.append)
    assert not said, "".join(said)


# Studies


def test_with_takes_any_key_and_leaves_the_study_as_it_was():
    before = pb.Study.preset("self-written")
    after = before.with_(
        ratios=[0.5, 0], training={"epochs": 1}, tasks=["salary"], **{"training.lora.r": 4, "model": "other"}
    )
    assert (after.ratios, after.training.epochs, after.training.lora.r) == ([0, 0.5], 1, 4)
    assert (after.training.lora.alpha, after.model.name, after.tasks[0].name) == (32, "other", "salary")
    assert before.training.epochs == 3 and before.model.name == "embedded"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"ratis": [0]}, "Study.with_: unknown key 'ratis' (did you mean 'ratios'?)"),
        ({"training": {"epoch": 1}}, "Study.with_: unknown key 'training.epoch' (did you mean 'epochs'?)"),
        ({"ratios": [0, 1]}, "Study.with_: ratios: γ must be at least 0 and below 1"),
        ({"method": "dp"}, "Study.with_: method: must be one of sft, dpo; got 'dp'"),
        ({"name.short": "x"}, "Study.with_: name.short: 'name' is not a section"),
        ({"data": 3}, "Study.with_: data: must be a path, a pandas.DataFrame"),
        ({"data": [1]}, "Study.with_: data: row 1 is a int, not a dictionary"),
        ({"data": []}, "Study.with_: data: the table has no rows"),
        ({"data": pd.DataFrame({0: ["x"]})}, "the name of column 0 is not a string"),
        ({"data": pd.DataFrame([["x", "y"]], columns=["a", "a"])}, "column 'a' is duplicated"),
        ({"data": [{"text": object()}]}, "row 1, column 'text': a object cannot be written as JSON"),
        ({"data": [{"text": "a\ud800"}]}, "half a character"),
        ({"data": [{"text": b"\xff"}]}, "not UTF-8; decode the bytes"),
    ],
)
def test_wrong_changes_are_one_sentence(changes, message):
    with pytest.raises(pb.InputError, match=re.escape(message)) as error:
        pb.Study.preset("self-written").with_(**changes)
    assert "\n" not in str(error.value)


def test_a_preset_that_is_none():
    with pytest.raises(pb.InputError, match="no such preset.*presets: .*self-written"):
        pb.Study.preset("self-writen")


def test_paths_start_from_the_study_file_and_changed_ones_from_the_working_folder(tmp_path, monkeypatch):
    (tmp_path / "studies").mkdir()
    (tmp_path / "studies" / "own.yaml").write_text("name: own\ndata: {source: d.csv}\n", encoding="utf-8")
    rows = "".join(f"A text of person {i},{'ab'[i % 2]},{'FM'[i // 2 % 2]}\n" for i in range(80))
    (tmp_path / "studies" / "d.csv").write_text(f"text,label,gender\n{rows}", encoding="utf-8")
    shutil.copy(tmp_path / "studies" / "d.csv", tmp_path / "other.csv")
    monkeypatch.chdir(tmp_path)
    study = pb.Study.load("studies/own.yaml").with_(
        **{"data.train_per_cell": 2, "data.test_per_cell": 2, "tasks": ["occupation"]},
        **{"bias.stereotypes": {"a": "female", "b": "male"}},
        augmented="other.csv",
    )
    assert study.augmented.source == str(tmp_path / "other.csv") and study.data.source == "d.csv"
    assert pb.plan(study).record["originals"] == 8
    with pytest.raises(pb.InputError, match="d.csv: no such file"):
        pb.plan(study, base=tmp_path / "nowhere")


# Tables in memory


def test_a_frame_is_written_once_by_its_content(frame):
    path = table_file(frame, "here")
    before = path.stat()
    assert path.parent == frames_folder() and len(path.stem) == 64
    assert before.st_mode & 0o077 == 0, "only the user may read it"
    assert table_file(frame.copy(), "here") == path and path.stat().st_mtime_ns == before.st_mtime_ns
    assert table_file(frame[::-1], "here") != path
    path.write_text("spoilt", encoding="utf-8")
    assert table_file(frame, "here") == path and path.read_text(encoding="utf-8").count("\n") == len(frame)


def test_cells_are_read_back_as_they_mean():
    import datetime

    import numpy as np

    cells = {
        "text": "a\nb", "none": None, "nan": float("nan"), "na": pd.NA, "nat": pd.NaT, "integer": np.int64(3),
        "float": np.float32(0.5), "flag": np.bool_(True),
        "date": pd.Timestamp("2020-01-02"), "day": datetime.date(2020, 1, 2), "bytes": b"x",
        "list": np.array([1, 2]), "chat": [{"role": "user", "content": "é"}], "set": {"b", "a"},
    }  # fmt: skip
    (_, row), *rest = source_rows(str(table_file(pd.DataFrame([cells]), "here")), "train", Path())
    assert not rest and row == {
        "text": "a\nb", "none": None, "nan": None, "na": None, "nat": None, "integer": 3, "float": 0.5,
        "flag": True, "date": "2020-01-02T00:00:00", "day": "2020-01-02",
        "bytes": "x", "list": [1, 2], "chat": [{"role": "user", "content": "é"}], "set": ["a", "b"],
    }  # fmt: skip


def test_data_sets_and_lists_are_tables_too(frame):
    from datasets import Dataset, DatasetDict

    rows = frame.astype({"sex": str}).to_dict("records")
    expected = table_file(rows, "here")
    data = Dataset.from_list(rows)
    assert table_file(frame, "here") == table_file(data, "here") == expected
    both = DatasetDict({"train": data, "test": data.select(range(3))})
    assert table_file(both, "here") == expected
    study = pb.Study.preset("self-written").with_(data=both, **{"data.split": "test"})
    assert Path(study.data.source).read_text(encoding="utf-8").count("\n") == 3
    with pytest.raises(
        pb.InputError, match=r"data: no split 'tset' \(did you mean 'test'\?\); it has: train, test"
    ):
        pb.Study.preset("self-written").with_(data=both, **{"data.split": "tset"})


def test_new_data_leaves_nothing_of_what_described_the_old(frame):
    own = {
        "data.labels": LABELS,
        "data.split": "test",
        "data.columns": {"text": "bio"},
        "data.train_per_cell": 4,
    }
    before = pb.Study.preset("self-written").with_(**own)
    after = before.with_(data=frame, augmented=frame, bias={"strength": 0})
    assert (after.data.labels, after.data.split, after.data.columns.text) == (None, "train", None)
    assert (after.data.train_per_cell, after.bias.types, after.bias.strength) == (4, ["given"], 0)
    named = before.with_(data=frame, **{"data.labels": LABELS[:2]})
    assert named.data.labels == LABELS[:2] and named.data.source == after.data.source
    with pytest.raises(pb.InputError, match=r"bias.types: must be \[given\]"):
        before.with_(augmented=frame, **{"bias.types": before.bias.types})
    assert before.with_(data={"train_per_cell": 7}).data.labels == LABELS


# Runs


def test_a_run_from_frames_and_its_results(study, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run = pb.run(study, "runs/x", quiet=True)
    assert run.exit_code == 0 and not run.failures and run.report == Path("runs/x/report.html")
    page = run.report.read_text(encoding="utf-8")
    assert len(run.findings) == 3 and all(f.split(". ")[0] in page for f in run.findings)
    assert (
        set(run.outcomes["task"]) == {"occupation", "salary", "hiring"} == set(run.effects["task"]) - {"all"}
    )
    assert isinstance(run.outcomes["groups"].iloc[0], dict)
    lock = yaml.safe_load(Path("runs/x/study.lock.yaml").read_text(encoding="utf-8"))
    assert re.fullmatch(r"[0-9a-f]{64}\.jsonl", Path(lock["study"]["data"]["source"]).name)
    again = pb.Run("runs/x")
    assert again.outcomes.equals(run.outcomes) and again.study.with_() == again.study
    assert set(run.records("held-out")["label"]) == set(LABELS) and "held-out" in run.sets
    assert repr(run).startswith("<Run tiny in runs/x: 3 arms on ") and all(
        f in repr(run) for f in run.findings
    )
    stamps = {p: p.stat().st_mtime_ns for p in Path("runs/x/adapters").rglob("*.safetensors")}
    pb.run(study, "runs/x", quiet=True)
    assert stamps == {p: p.stat().st_mtime_ns for p in Path("runs/x/adapters").rglob("*.safetensors")}


def test_a_run_stays_as_it_was_when_its_folder_is_run_again(tiny_study, tmp_path):
    study = tiny_study(tasks=["occupation"], training={"epochs": 1})
    before = pb.run(study, tmp_path / "r", quiet=True)
    after = pb.run(study.with_(tasks=["salary"]), tmp_path / "r", quiet=True)
    assert set(before.outcomes["task"]) == {"occupation"} and set(after.outcomes["task"]) == {"salary"}
    assert "occupation" in set(before.effects["task"]) and "occupation" not in set(after.effects["task"])
    frame = before.effects
    frame["mine"] = 1
    assert "mine" not in before.effects


def test_figures_show_themselves(finished_run, tmp_path):
    run = finished_run(tmp_path / "r")
    assert run.figures == [
        *("dose", "dose-occupation", "dose-salary", "dose-hiring"),
        *("forest", "forest-occupation", "forest-salary", "forest-hiring"),
        "shares",
    ]
    for name in run.figures:
        figure = run.plot(name)
        root = ElementTree.fromstring(figure._repr_svg_())
        assert root.tag.endswith("}svg") and "var(--" not in figure.svg, name
        ids = re.findall(r' id="([^"]+)"', figure.svg)
        assert len(ids) == len(set(ids)), name
    charts = run.plot("dose").svg.count('role="img"')
    assert charts == 6 and run.plot("dose-salary").svg.count('role="img"') == 2
    assert run.plot("shares").save(tmp_path / "s.svg").read_text(encoding="utf-8").startswith("<?xml")
    with pytest.raises(pb.InputError, match="must end in .svg"):
        run.plot("shares").save(tmp_path / "s.png")
    with pytest.raises(
        pb.InputError, match=r"plot: no figure 'doze' \(did you mean 'dose'\?\); available: dose"
    ):
        run.plot("doze")
    with pytest.raises(pb.InputError, match="no such set 'held'.*held-out"):
        run.records("held")


def test_results_escape_what_models_wrote(finished_run, tmp_path):
    run = finished_run(tmp_path / "r")
    failures = [{"stage": "evaluate <b>x</b>", "arm": "", "error": "<script>alert(1)</script>"}]
    (tmp_path / "r" / "failures.json").write_text(json.dumps(failures), encoding="utf-8")
    assert run.exit_code == 3 and "! evaluate <b>x</b>: <script>" in repr(run)
    html = run._repr_html_()
    assert "<script>" not in html and "<b>" not in html and "&lt;script&gt;" in html and "<table" in html


def test_a_grid_is_a_run(tiny_study, model_dir, tmp_path):
    other = tmp_path / "other"
    shutil.copytree(model_dir, other)
    study = tiny_study(tasks=["occupation"], axes={"model": [str(model_dir), str(other)]})
    run = pb.run(study, tmp_path / "grid", quiet=True)
    assert run.exit_code == 0 and run.report.name == "grid.html" and len(run.pairs) == 2
    assert {m.name for m in run.study.axes.model} == {str(model_dir), str(other)}
    assert set(run.effects["learner"]) == {str(model_dir), str(other)} == set(run.outcomes["learner"])
    assert len(run.findings) == 2 and "learner" in run.findings[0]
    assert all("/" in name for name in [*run.sets, *run.figures])
    assert len(run.records(run.sets[0])) and run.plot(run.figures[0]).svg
    before, effects = run.report.read_text(encoding="utf-8"), run.effects
    run.report.unlink()
    again = pb.Run(tmp_path / "grid")
    assert again.rebuild().read_text(encoding="utf-8") == before and again.effects.equals(effects)
    assert "6 arms" in repr(again) and "learner" in again._repr_html_()
    with pytest.raises(pb.InputError, match="is a grid; check each of its runs"):
        pb.check(again)
    assert pb.check(next(iter(again.pairs.values()))).verdict == "cannot tell"


def test_an_unfinished_run_shows_what_is_missing(finished_run, tmp_path):
    run = finished_run(tmp_path / "r")
    (tmp_path / "r" / "outcomes.parquet").unlink()
    assert "outcomes.parquet is missing; finish the run" in repr(run) and run._repr_html_() is None


def test_a_grid_file_that_was_changed(tmp_path):
    for text, said in (("[]", "must name a folder inside it"),
                       ('[{"folder": "x"}]', "key 'generator' is missing"), ("{}", "grid.json"),
                       ('[{"generator": "a", "learner": "b", "folder": "../x"}]',
                        "must name a folder inside it")):  # fmt: skip
        (tmp_path / "grid.json").write_text(text, encoding="utf-8")
        with pytest.raises(pb.InputError, match=said):
            pb.Run(tmp_path)


# The other functions


def test_audit_and_its_gate(frame, tmp_path):
    audit = pb.audit(frame, original=frame[::2], groups={"gender": "sex"}, quiet=True)
    assert (audit.verdict, audit.exit_code) == (audit.record["verdict"], audit.record["exit"])
    assert audit.coverage["texts"] == len(frame) and audit.coverage["label"] == "occupation"
    assert len(audit.findings) == len(audit.record["findings"]) and audit.conclusion in repr(audit)
    page = audit.save(tmp_path / "a")
    assert page.name == "audit.html" and (tmp_path / "a" / "audit.json").is_file()
    for given in (audit, tmp_path / "a"):
        decision = pb.check(given)
        assert decision.exit_code == audit.exit_code and bool(decision) == (audit.exit_code == 0)
        assert decision.conclusion == f"verdict: {audit.verdict}: {audit.conclusion}"
    table = tmp_path / "d.jsonl"
    shutil.copy(table_file(frame, "here"), table)
    done = CliRunner().invoke(
        app,
        [
            "audit", "--augmented", str(table), "--group", "gender=sex", "--json", "--quiet",
            "--out", str(tmp_path / "b"),
        ]
    )  # fmt: skip
    alone = pb.audit(frame, groups={"gender": "sex"}, quiet=True)
    assert [f["sentence"] for f in json.loads(done.output)["findings"]] == [
        f["sentence"] for f in alone.record["findings"]
    ]
    with pytest.raises(pb.InputError, match="this is a file; name a folder"):
        audit.save(table)


def test_evaluation_items_may_be_tables(frame):
    items = [{"text": frame["bio"].iloc[0]}]
    for given in (items, [items], pd.DataFrame(items)):
        assert any("contain" in f and "item" in f for f in pb.audit(frame, items=given, quiet=True).findings)


@pytest.mark.parametrize("unsure", ["stop", "fail", "pass"])
def test_a_decision_is_true_only_for_pass(finished_run, tmp_path, unsure):
    run = finished_run(tmp_path / "r")
    decision = pb.check(run, unsure=unsure)
    assert decision.verdict == "cannot tell" and not decision
    assert decision.exit_code == {"stop": 4, "fail": 1, "pass": 0}[unsure]
    assert len(decision.effects) == len(decision.sentences) and set(decision.effects["verdict"]) == {
        "cannot tell"
    }
    done = CliRunner().invoke(app, ["check", str(tmp_path / "r"), "--unsure", unsure, "--json"])
    assert json.loads(done.output)["verdict"] == decision.verdict and done.exit_code == decision.exit_code


def test_a_decision_passes_and_fails():
    from probate.report.gate.decide import Decision

    assert Decision("pass", [], "", 0, {})
    assert not Decision("fail", [], "", 1, {}) and not Decision("cannot tell", [], "", 0, {})


def test_limits_of_tasks(finished_run, tmp_path):
    run = finished_run(tmp_path / "r")
    decision = pb.check(run, tasks={"salary": 500.0, "occupation": 0.1})
    assert dict(zip(decision.effects["task"], decision.effects["limit"], strict=True)) == {
        "salary": 500.0,
        "occupation": 0.1,
    }


def test_compare_takes_runs_and_frames(finished_run, tmp_path):
    run = finished_run(tmp_path / "r")
    same = pb.compare(run, tmp_path / "r")
    assert (same.effects["change"] == 0).all() and same.flipped.empty and len(same.sentences) > 3
    before = pd.DataFrame({"item": range(40), "score": [0, 1] * 20, "sex": ["F", "M"] * 20})
    found = pb.compare(before, before.assign(score=1), groups={"gender": "sex"})
    assert found.effects["what"].iloc[0] == "all" and found.effects["change"].iloc[0] == 0.5
    assert any(w.startswith("gender: ") for w in found.effects["what"]) and len(found.flipped) == 20
    assert "<table" in found._repr_html_() and found.record["compared"]


def test_mitigate_gives_a_frame_like_the_one_given(frame):
    given = frame[:12].set_index(pd.Index(range(100, 112)))
    kept = given.copy(deep=True)
    masked = pb.mitigate(given, "mask", quiet=True)
    pd.testing.assert_frame_equal(given, kept)
    assert list(masked.columns) == list(given.columns) and list(masked.index) == list(given.index)
    assert (masked.dtypes == given.dtypes).all() and (masked["bio"] != given["bio"]).all()
    pd.testing.assert_frame_equal(masked.drop(columns="bio"), given.drop(columns="bio"))
    changes = pd.read_json(masked.attrs["changes"], lines=True)
    assert (
        list(changes["row"]) == list(range(1, 13)) and "12 rows read, 12 changed" in masked.attrs["summary"]
    )
    doubled = pb.mitigate(given, ["counterfactual"], groups={"gender": "sex"}, quiet=True)
    assert len(doubled) == 24 and doubled.index.value_counts().eq(2).all()
    assert doubled["sex"].value_counts().to_dict() == {"F": 12, "M": 12}
    assert (
        isinstance(doubled["sex"].dtype, pd.CategoricalDtype) and doubled["year"].dtype == given["year"].dtype
    )
    weighted = pb.mitigate(given, "reweight", groups={"gender": "sex"}, quiet=True)
    assert list(weighted.columns) == [*given.columns, "weight"]
    other = pb.mitigate(given, "mask", packs=["gender"], quiet=True)
    assert other.attrs["changes"] != masked.attrs["changes"]


def test_mitigate_writes_what_the_command_writes(frame, tmp_path):
    path = tmp_path / "d.csv"
    frame[:12].to_csv(path, index=False)
    assert pb.mitigate(path, "mask", out=tmp_path / "a.csv", quiet=True) == tmp_path / "a.csv"
    words = ["mitigate", "--strategy", "mask", "--in", str(path), "--out", str(tmp_path / "b.csv"), "--quiet"]
    assert CliRunner().invoke(app, words).exit_code == 0
    assert (tmp_path / "a.csv").read_bytes() == (tmp_path / "b.csv").read_bytes()
    assert (tmp_path / "a.csv.changes.jsonl").read_bytes() == (tmp_path / "b.csv.changes.jsonl").read_bytes()
    with pytest.raises(pb.InputError, match="the file is there already"):
        pb.mitigate(frame, "mask", out=tmp_path / "a.csv", quiet=True)


def test_plan_and_calibrate_say_what_the_commands_say(tiny_study, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    study = tiny_study()
    Path("study.yaml").write_text(yaml.safe_dump(study.model_dump(mode="json")), encoding="utf-8")
    plan = pb.plan(study)
    said = json.loads(CliRunner().invoke(app, ["plan", "study.yaml", "--json"]).output)
    assert said["arms"] == plan.arms.to_dict("records") and said["stages"] == plan.stages.to_dict("records")
    assert "<table" in plan._repr_html_() and "3 arms" in repr(plan)
    found = pb.calibrate("study.yaml", runs=100, gap=0.1, plot="p.svg", quiet=True)
    words = ["calibrate", "study.yaml", "--runs", "100", "--gap", "0.1", "--json", "--quiet"]
    said = json.loads(CliRunner().invoke(app, words).output)
    assert said["tasks"] == json.loads(json.dumps(found.record["tasks"])) and Path("p.svg").stat().st_size
    assert set(found.frame["task"]) == set(said["tasks"]) and "<li>" in found._repr_html_()


@pytest.mark.parametrize(
    ("work", "message"),
    [
        (lambda f: pb.audit(f, text="boi"), "`text`: no column 'boi'"),
        (lambda f: pb.audit(f, language="xx"), "`language` xx: this language is not supported"),
        (lambda f: pb.audit(f, train="30m"), "name it with `out`"),
        (lambda f: pb.audit(7), "audit: data: must be a path"),
        (lambda f: pb.mitigate("x.csv", "mask"), "name it with `out`"),
        (lambda f: pb.mitigate(f, "maks"), "no mitigation 'maks' (did you mean 'mask'?)"),
        (lambda f: pb.mitigate(f, "mask", options={"token": {}}), "`options` token: no such mitigation"),
        (lambda f: pb.compare(f, f), "a: row 1: no column for the item"),
        (lambda f: pb.compare(f, f, confidence=95), "confidence must be above 0.5 and below 1; got 95"),
        (lambda f: pb.check("nowhere"), "nowhere: not a run folder"),
        (lambda f: pb.check(3), "check: `run` must be a run, an audit or the folder of one; got int"),
        (lambda f: pb.check("x", max_gap=0), "check: max_gap: input should be greater than 0"),
        (lambda f: pb.check("x", unsure="no"), "check: unsure: must be one of stop, fail, pass"),
        (
            lambda f: pb.run(f, "x"),
            "study: must be a Study, a study file or the name of a preset; got DataFrame",
        ),
        (lambda f: pb.run("self-written", "x", servers=["a b"]), "`servers`: must be HOST"),
        (lambda f: pb.plan("self-writen"), "did you mean 'self-written'"),
        (
            lambda f: pb.calibrate("self-written", rate=2),
            "calibrate: rate must be at least 0.01 and at most 0.99; got 2",
        ),
        (lambda f: pb.calibrate("self-written", plot="p.png"), "must end in .svg"),
        (
            lambda f: pb.plan(pb.Study.preset("self-written").with_(data=f[["bio", "year"]])),
            "data: no column 'gender'",
        ),
        (lambda f: pb.Run("nowhere"), "nowhere: not a run folder"),
    ],
)  # fmt: skip
def test_bad_input_is_one_sentence_in_the_words_of_the_function(work, message, frame, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(pb.InputError, match=re.escape(message)) as error:
        work(frame)
    assert "\n" not in str(error.value) and " --" not in str(error.value)
    assert not list(tmp_path.iterdir())


def test_every_module_is_walked():
    """So that the test of hidden names looks at all of them."""
    names = [m.name for m in pkgutil.iter_modules(import_module("probate").__path__)]
    assert {"interface", "report", "audits"} <= set(names)


def test_builtin_corpora_are_loaded_by_name():
    bios = pb.load_builtin("biographies")
    assert bios.columns.tolist() == ["id", "pair", "text", "label", "gender"] and len(bios) == 360
    assert bios.groupby("pair")["label"].nunique().eq(1).all()
    arabic = pb.load_builtin("opinions", language="ar")
    assert len(arabic) == 240 and set(arabic["label"]).isdisjoint(pb.load_builtin("opinions")["label"])
    for arguments, sentence in [
        ({"name": "novels"}, "no corpus 'novels'; use one of biographies, opinions"),
        ({"name": "biographies", "language": "ar"}, "English (en) only, not in 'ar'"),
        ({"name": "opinions", "language": "xx"}, "xx"),
    ]:
        with pytest.raises(pb.InputError, match=re.escape(sentence)):
            pb.load_builtin(**arguments)
