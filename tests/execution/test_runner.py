"""The whole pipeline on a tiny random model: contracts, resuming, failures, locks. No network."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
import yaml

from probate import Run, run
from probate.core.errors import InputError
from probate.execution.folder import RunFolder

CONTRACT = (
    "study arm bias_type ratio mitigation method round seed task "
    "metric item_id groups target prediction response score parsed"
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
        ({"name": "hate", "options": {"data": "set.csv"}}, "the task has no label 'odd'"),
        ({"name": "hate", "options": {"data": "none.csv"}}, "no such file"),
        ({"name": "lm_eval:nothing_such"}, "has no task 'nothing_such'"),
    ],
)
def test_a_task_that_cannot_work_is_said_before_anything_is_trained(tiny_study, tmp_path, task, message):
    (tmp_path / "set.csv").write_text("text,label\na,odd\n", encoding="utf-8")
    with pytest.raises(InputError, match=message):
        run(tiny_study(tasks=["occupation", task]), tmp_path / "r", base=tmp_path, quiet=True)
    assert not (tmp_path / "r" / "adapters").exists()


def test_a_second_run_does_only_what_changed(finished_run, tiny_study, tmp_path):
    finished_run(tmp_path)
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


def killing(study: Path) -> tuple[subprocess.Popen[str], Callable[..., tuple[int, list[str]]]]:
    """The program `killing.py`, and `go(folder, at)`.

    `go` is a run of the study that kills itself at the event `at`; it gives its exit code and events.
    """
    process = subprocess.Popen(
        [sys.executable, str(Path(__file__).parents[1] / "killing.py"), str(study)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip

    def go(folder: Path, at: str | None = None) -> tuple[int, list[str]]:
        process.stdin.write(json.dumps({"out": str(folder), "at": at}) + "\n")
        process.stdin.flush()
        answer = json.loads(process.stdout.readline())
        return answer["code"], answer["events"]

    return process, go


KINDS = ("stages/generate", "stages/distribution", "stages/mitigate", "adapters", "stages/evaluate")
LAST = ("effects.parquet", "report.html", "checksums.json")
"""What the analysis, the report and the checksums write."""


def moments(events: list[str]) -> list[str]:
    """Where a run with these events is killed, in order.

    For each kind of stage: as its work begins, in the middle of it, and as its record is written. In training
    also as a checkpoint and the adapter are written. Kinds with several stages are interrupted in several.
    """
    chosen = {
        f"write {name}"
        for name in ("study.lock.yaml", "data/original.jsonl", "provenance.jsonl", "outcomes.parquet", *LAST)
    }  # fmt: skip
    for kind in KINDS:
        stages = [e.removeprefix("begun ") for e in events if e.startswith(f"begun {kind}")]
        files = ["checkpoint/state.safetensors", "adapter_model.safetensors"] if kind == "adapters" else []
        chosen.add(f"begun {stages[0]}")
        steps = steps_of(events, stages[-1])
        if steps:
            chosen.add(steps[len(steps) // 2])
        chosen |= {f"write {stages[i % len(stages)]}/{name}" for i, name in enumerate((*files, "done.json"))}
    assert chosen <= set(events)
    return sorted(chosen, key=events.index)


def steps_of(events: list[str], stage: str) -> list[str]:
    return [e for e in events if e.startswith(f"step {stage} ")]


def test_killed_in_every_kind_of_stage_and_continued(tiny_study, tmp_path):
    study = tiny_study(
        data={"train_per_cell": 3, "test_per_cell": 2, "labels": ["nurse", "dentist"]},
        augmented=None,
        bias={"types": ["contextual-single-explicit"]},
        generation={
            "near_duplicate": 1.0,
            "min_words": 3,
            "max_new_tokens": 24,
            "batch_size": 4,
            "budget": 30,
        },
        training={"epochs": 3, "learning_rate": 1e-3, "batch_size": 4, "lora": {"r": 4, "alpha": 8}},
        mitigations=[{"name": "select", "options": {"by": "gradient"}}],
        distribution=["model"],
        tasks=["occupation", "salary"],
    )
    file, whole, killed = tmp_path / "s.yaml", tmp_path / "whole", tmp_path / "killed"
    file.write_text(yaml.safe_dump(study.model_dump(mode="json")))
    process, go = killing(file)
    try:
        code, events = go(whole)
        assert code == 0
        done: set[str] = set()
        attempts = {}
        for at in [*moments(events), None]:
            code, attempt = attempts[at] = go(killed, at)
            begun = [e.removeprefix("begun ") for e in attempt if e.startswith("begun ")]
            assert not done & set(begun), "a finished stage was done again"
            done |= {stage for stage in begun if f"write {stage}/done.json" in attempt}
            if at is None:
                assert code == 0
                continue
            assert code == -signal.SIGKILL and attempt[-1] == at
            what = at.split(" ")[1]
            if what.startswith(KINDS):  # inside of a stage, which is not finished
                assert what.startswith(begun[-1])
                done.discard(begun[-1])
                assert (killed / begun[-1] / "started.json").exists()
                assert not (killed / begun[-1] / "done.json").exists()
            else:
                assert not (killed / what).exists()
    finally:
        process.stdin.close()
        process.wait()
    order = list(attempts)
    for kind in ("stages/generate", "adapters"):  # what was done in the middle of a stage is kept
        at = next(at for at in order if at and at.startswith(f"step {kind}"))
        stage = at.split(" ")[1]
        after = attempts[order[order.index(at) + 1]][1]
        whole_steps, again = len(steps_of(events, stage)), len(steps_of(after, stage))
        before = len(steps_of(attempts[at][1], stage))
        kept = (
            before if kind == "stages/generate" else whole_steps // 3
        )  # the checkpoint of the first of three epochs
        assert 0 < kept <= before < whole_steps and again == whole_steps - kept
    for name in ("outcomes.parquet", "effects.parquet"):
        pd.testing.assert_frame_equal(pd.read_parquet(whole / name), pd.read_parquet(killed / name))


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
        StageError, match=r"no arm of the study finished; the first failure: training: the loss is"
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
    with pytest.raises(InputError, match="has schema 99, but this version of Probate reads schemas up to 1"):
        run(tiny_study(), tmp_path, quiet=True)


def test_an_output_folder_that_cannot_be_written(tiny_study, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot be written to"):
        run(tiny_study(), tmp_path / "file" / "out", quiet=True)


def test_more_than_the_ready_set_has(tiny_study, tmp_path):
    study = tiny_study(augmented={"source": "builtin:biographies", "limit": 4})
    with pytest.raises(InputError, match=r"needs 18 augmented records, but the set has only 4 usable ones"):
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
    assert any("budget exhausted after" in e and "rejected: " in e for e in errors)
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
    assert re.search(r"cut at the left: [1-9]", (tmp_path / "report.html").read_text())


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
