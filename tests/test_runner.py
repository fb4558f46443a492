"""The whole pipeline on a tiny random model: contracts, resuming, failures, locks. No network."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest
import yaml

from probate import Run, run
from probate.core.errors import InputError
from probate.execution.folder import RunFolder

CONTRACT = (
    "study arm bias_type ratio mitigation method round seed task metric item_id groups target prediction response score parsed"
).split()


def same_rows(a: Path, b: Path) -> bool:
    return pd.read_parquet(a / "outcomes.parquet").equals(pd.read_parquet(b / "outcomes.parquet"))


def test_contracts_of_the_run_folder(finished_run, tmp_path):
    from peft import PeftConfig

    result = finished_run(tmp_path / "r")
    folder = tmp_path / "r"
    assert not result.failures
    outcomes = pd.read_parquet(folder / "outcomes.parquet")
    assert set(outcomes.columns) == {*CONTRACT, "scoring"}
    assert set(outcomes["arm"]) == {"control-0-s0", "given-0.5-s0", "neutral-0.5-s0"}
    assert set(outcomes["task"]) == {"occupation", "salary", "hiring"}
    assert outcomes["parsed"].all() and json.loads(outcomes["groups"].iloc[0])["gender"] in ("female", "male")
    assert outcomes.groupby(["arm", "task"]).size().unstack().to_numpy().tolist() == [[56, 18, 18]] * 3
    for name in ("study.lock.yaml", "provenance.jsonl", "effects.parquet", "report.html"):
        assert (folder / name).stat().st_size
    model = yaml.safe_load((folder / "study.lock.yaml").read_text(encoding="utf-8"))["model"]
    assert model["template"]["after an answer"] == "<|end|>" and model["template"]["system turn"] == "its own"
    assert model["template"]["date"] is None and model["warnings"] == [] and model["parameters"] > 1000
    PeftConfig.from_pretrained(str(folder / "adapters" / "given-0.5-s0"))
    loose = [p for p in folder.rglob("*") if p.suffix in (".pkl", ".pt", ".bin", ".pickle")]
    assert not loose
    lines = [json.loads(line) for line in (folder / "provenance.jsonl").read_text().splitlines()]
    biased = [x for x in lines if x["set"] == "given-s0"]
    assert biased and all("strength" in x and "source" in x for x in biased)
    # The matched control holds the same records in the same order, labels before the annotator.
    control = [x for x in lines if x["set"] == "neutral-s0"]
    assert [x["id"] for x in biased] == [x["id"] for x in control]
    assert [x.get("label_before", x["label"]) for x in biased] == [x["label"] for x in control]
    report = Run(folder)
    assert report.study.name == "tiny" and len(report.effects) and not report.failures


def test_augmented_records_of_held_out_items_never_train(finished_run, tmp_path):
    finished_run(tmp_path, tasks=["occupation"])
    held_out = {
        json.loads(x)["id"].split(":")[1]
        for x in (tmp_path / "data" / "held-out.jsonl").read_text().splitlines()
    }
    trained = {
        json.loads(x)["id"].split(":")[1] for x in (tmp_path / "provenance.jsonl").read_text().splitlines()
    }
    assert held_out and not held_out & trained


@pytest.mark.parametrize(
    ("task", "message"),
    [
        ({"name": "story", "options": {"language": "sw"}}, "'sw' has no part-of-speech tagger"),
        ({"name": "hate", "options": {"data": "set.csv"}}, "the label 'odd' is not declared"),
        ({"name": "hate", "options": {"data": "none.csv"}}, "no such file"),
        ({"name": "lm_eval:nothing_such"}, "has no task 'nothing_such'"),
    ],
)
def test_a_task_that_cannot_work_is_said_before_anything_is_trained(tiny_study, tmp_path, task, message):
    (tmp_path / "set.csv").write_text("text,label\na,odd\n", encoding="utf-8")
    with pytest.raises(InputError, match=message):
        run(tiny_study(tasks=["occupation", task]), tmp_path / "r", base=tmp_path, quiet=True)
    assert not (tmp_path / "r" / "adapters").exists()


def test_a_second_run_does_only_what_changed(tiny_study, tmp_path):
    run(tiny_study(), tmp_path, quiet=True)
    stamps = {p: p.stat().st_mtime_ns for p in tmp_path.glob("**/done.json")}
    run(tiny_study(), tmp_path, quiet=True)
    assert stamps == {p: p.stat().st_mtime_ns for p in tmp_path.glob("**/done.json")}
    run(
        tiny_study(tasks=["occupation", {"name": "salary", "options": {"bands": [30, 60]}}]),
        tmp_path,
        quiet=True,
    )
    changed = {p.parent.name for p in tmp_path.glob("**/done.json") if stamps.get(p) != p.stat().st_mtime_ns}
    assert changed == {f"evaluate-{arm}-salary" for arm in ("control-0-s0", "given-0.5-s0", "neutral-0.5-s0")}


SCRIPT = """
import sys
from probate import Study, run
run(Study.load(sys.argv[1]), sys.argv[2], quiet=True)
"""


def test_killed_at_any_moment_and_continued(tiny_study, tmp_path):
    import yaml

    study = tiny_study(
        tasks=["occupation", "salary"],
        training={"epochs": 4, "learning_rate": 1e-3, "lora": {"r": 4, "alpha": 8}},
    )
    file = tmp_path / "s.yaml"
    file.write_text(yaml.safe_dump(study.model_dump(mode="json")))
    command = [sys.executable, "-c", SCRIPT, str(file)]
    start = time.monotonic()
    subprocess.run([*command, str(tmp_path / "whole")], check=True)
    duration = time.monotonic() - start
    for share in (0.5, 0.65, 0.8, 0.9):
        process = subprocess.Popen([*command, str(tmp_path / "killed")])
        time.sleep(duration * share)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    subprocess.run([*command, str(tmp_path / "killed")], check=True)
    assert same_rows(tmp_path / "whole", tmp_path / "killed")


def test_a_bad_arm_is_recorded_and_the_others_finish(tiny_study, tmp_path, monkeypatch):
    import probate.train.sft as sft

    real = sft.train

    def full_disk(base, examples, training, seed, out, **kwargs):
        if "given" in out.name:
            raise OSError(28, "No space left on device", str(out))
        return real(base, examples, training, seed, out, **kwargs)

    monkeypatch.setattr(sft, "train", full_disk)
    result = run(tiny_study(), tmp_path, quiet=True)
    assert result.exit_code == 3
    assert result.failures == [
        {
            "stage": "train given-0.5-s0",
            "arm": "given-0.5-s0",
            "error": f"No space left on device ({tmp_path}/adapters/given-0.5-s0)",
        }
    ]
    assert set(result.outcomes["arm"]) == {"control-0-s0", "neutral-0.5-s0"}
    page = (tmp_path / "report.html").read_text()
    assert "1 stage failed" in page and "No space left on device" in page
    monkeypatch.setattr(sft, "train", real)
    assert run(tiny_study(), tmp_path, quiet=True).exit_code == 0


def test_a_loss_that_diverges_fails_its_arm_only(tiny_study, tmp_path):
    training = {"epochs": 3, "learning_rate": 1e30, "clip": 1e30, "lora": {"r": 4, "alpha": 8}}
    from probate.core.errors import StageError

    with pytest.raises(
        StageError, match=r"no arm of the study finished; first failure: training: the loss is"
    ):
        run(tiny_study(training=training), tmp_path, quiet=True)
    assert len(json.loads((tmp_path / "failures.json").read_text())) == 3


def test_two_runs_into_one_folder(tiny_study, tmp_path):
    with (
        RunFolder(tmp_path).locked(),
        pytest.raises(InputError, match="another run is writing to this folder"),
    ):
        run(tiny_study(), tmp_path, quiet=True)


def test_a_newer_schema(tiny_study, tmp_path):
    (tmp_path / "run.json").write_text('{"schema": 99}')
    with pytest.raises(InputError, match="written with schema 99, this version of Probate reads up to 1"):
        run(tiny_study(), tmp_path, quiet=True)


def test_an_output_folder_that_cannot_be_written(tiny_study, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot be written to"):
        run(tiny_study(), tmp_path / "file" / "out", quiet=True)


def test_more_than_the_ready_set_has(tiny_study, tmp_path):
    study = tiny_study(augmented={"source": "builtin:biographies", "limit": 4})
    with pytest.raises(InputError, match=r"wants 18 augmented records, the set has 4 that can be used"):
        run(study, tmp_path, quiet=True)


def test_generation_from_a_model_that_cannot_write(tiny_study, tmp_path):
    """A random model writes nonsense: the budget is spent, the yield is reported, γ = 0 still finishes."""
    study = tiny_study(
        augmented=None,
        bias={"types": ["contextual-single-explicit"]},
        generation={"max_new_tokens": 8, "budget": 1},
        tasks=["occupation"],
    )
    result = run(study, tmp_path, quiet=True)
    errors = [f["error"] for f in result.failures]
    assert result.exit_code == 3 and set(result.outcomes["arm"]) == {"control-0-s0"}
    assert any("budget spent after" in e and "rejected: " in e for e in errors)
    rejects = (tmp_path / "stages" / "generate-neutral" / "rejects.jsonl").read_text().splitlines()
    assert rejects and all(json.loads(line)["reason"] for line in rejects)


def test_long_records_keep_their_label(tiny_study, tmp_path):
    study = tiny_study(
        tasks=["occupation"], training={"epochs": 1, "max_length": 48, "lora": {"r": 4, "alpha": 8}}
    )
    result = run(study, tmp_path, quiet=True)
    assert result.exit_code == 0
    done = json.loads((tmp_path / "adapters" / "control-0-s0" / "done.json").read_text())
    assert done["truncated"] == 18
    assert "too long: " in (tmp_path / "report.html").read_text()


def test_a_column_without_a_pack_is_a_dimension(tiny_study, tmp_path):
    from probate.data.corpora import biographies

    rows = [
        {"text": r["text"], "label": r["label"], "region": "North" if i % 2 else "South", "id": str(i)}
        for i, r in enumerate(x for x in biographies() if x["label"] in ("dentist", "nurse"))
    ]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows), encoding="utf-8")
    columns = {"id": "id", "groups": {"region": "region"}}
    data = {
        "source": str(tmp_path / "rows.jsonl"),
        "labels": None,
        "columns": columns,
        "train_per_cell": 4,
        "test_per_cell": 4,
    }
    own = {
        "data": data,
        "augmented": {"source": str(tmp_path / "rows.jsonl"), "columns": columns},
        "tasks": ["occupation"],
    }
    bias = {"types": ["given"], "dimension": "region", "groups": ["South", "North"]}
    result = run(tiny_study(**own, bias=bias), tmp_path / "run", quiet=True)
    assert result.exit_code == 0
    changes = result.effects[
        (result.effects["question"] == "inheritance") & (result.effects["task"] == "occupation")
    ]
    assert set(changes["comparison"]) == {"South − North"} and changes["estimate"].notna().all()
    with pytest.raises(InputError, match=r"bias\.groups: 'West' is not in the data; it has: North, South"):
        run(tiny_study(**own, bias={**bias, "groups": ["South", "West"]}), tmp_path / "none", quiet=True)
