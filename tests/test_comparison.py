"""Two sets of results: read from run folders, harness samples, inspect_ai logs and tables; paired by item; flips and what n could see."""

from __future__ import annotations

import json

import numpy as np
import pytest
from statsmodels.stats.contingency_tables import mcnemar
from typer.testing import CliRunner

from probate import run
from probate.cli import app
from probate.comparison.pair import compare_results
from probate.comparison.read import read_results
from probate.errors import InputError
from probate.study import Analysis

QUICK = Analysis(resamples=500)


def write(path, rows):
    path.write_text("".join(json.dumps(r) + "\n" for r in rows), encoding="utf-8")
    return path


def probate(*args):
    return CliRunner().invoke(app, ["compare", *map(str, args)])


def table(scores, **more):
    return [
        {"id": f"i{i}", "score": int(s), "prediction": "ab"[int(s)], **{k: v[i] for k, v in more.items()}}
        for i, s in enumerate(scores)
    ]


def test_paired_yes_or_no_is_mcnemars(tmp_path):
    rng = np.random.default_rng(0)
    a, b = rng.random(100) < 0.5, rng.random(100) < 0.7
    sex = [("m", "f")[i % 2] for i in range(100)]
    paths = [write(tmp_path / f"{n}.jsonl", table(s, group=sex)) for n, s in (("a", a), ("b", b))]
    found, flips, _ = compare_results(*(read_results(str(p))[0] for p in paths), QUICK)
    whole, gap = found
    cells = [[int((a & b).sum()), int((a & ~b).sum())], [int((~a & b).sum()), int((~a & ~b).sum())]]
    assert whole.test == "exact McNemar" and whole.p == pytest.approx(mcnemar(cells, exact=True).pvalue)
    assert (
        whole.change == pytest.approx(b.mean() - a.mean())
        and whole.flipped == (cells[1][0], cells[0][1])
        and len(flips) == sum(whole.flipped)
    )
    assert gap.what == "group: f − m" and gap.change == pytest.approx((gap.mean_b - gap.mean_a), abs=1e-9)
    assert whole.visible > abs(whole.high - whole.low) / 2 and whole.p_holm >= whole.p
    said = probate(*paths, "--show", 3, "--resamples", 500, "--out", tmp_path / "c.json").output
    assert "A: a table" in said and "rose" in said and "would be found four times in five" in said
    assert len(json.loads((tmp_path / "c.json").read_text())["flipped"]) == len(flips)


def test_run_folders_are_paired_by_arm_and_task(tiny_study, tmp_path):
    for name, rate in (("a", 1e-4), ("b", 5e-3)):
        study = tiny_study(tasks=["occupation"], training={"epochs": 2, "learning_rate": rate, "lora": {"r": 4, "alpha": 8}})
        run(study, tmp_path / name, quiet=True)
    found, _, _ = compare_results(read_results(str(tmp_path / "a"))[0], read_results(str(tmp_path / "b"))[0], QUICK)
    assert {c.set for c in found} == {"control-0-s0: occupation", "given-0.5-s0: occupation", "neutral-0.5-s0: occupation"}
    assert all(c.n == 18 for c in found) and {c.what for c in found} >= {"all", "gender: female − male"}


def test_scores_that_are_no_shares_and_items_on_one_side(tmp_path):
    a = write(tmp_path / "a.jsonl", [{"item": i, "value": 10.0 * i} for i in range(20)])
    b = write(tmp_path / "b.jsonl", [{"item": i, "value": 10.0 * i + 3} for i in range(5, 30)])
    (found,), _, _ = compare_results(read_results(str(a))[0], read_results(str(b))[0], QUICK)
    assert (found.n, found.only_a, found.only_b, found.share) == (15, 5, 10, False) and found.change == pytest.approx(3)


def test_harness_samples_are_read(tmp_path):
    rows = [
        {"doc_id": i, "doc": {"gender": "female"}, "target": "0", "resps": [], "filtered_resps": ["x"], "metrics": ["acc", "acc_norm"], "acc": float(i % 2), "acc_norm": 1.0, "doc_hash": f"h{i}", "filter": "none"}
        for i in range(6)
    ]  # fmt: skip
    folder = tmp_path / "model"
    folder.mkdir()
    write(folder / "samples_mine_2026-01-01T00-00-00.000000.jsonl", rows)
    found, kind = read_results(str(tmp_path))
    assert kind == "lm-evaluation-harness samples" and set(found["set"]) == {"mine: acc", "mine: acc_norm"} and len(found) == 12
    assert read_results(str(next(folder.iterdir())))[0].equals(found)


def test_an_inspect_log_is_read(tmp_path):
    pytest.importorskip("inspect_ai", reason="inspect_ai is not installed")
    from inspect_ai import Task, eval
    from inspect_ai.dataset import Sample
    from inspect_ai.model import ModelOutput
    from inspect_ai.scorer import match
    from inspect_ai.solver import solver

    @solver
    def says_yes():
        async def solve(state, generate):
            state.output = ModelOutput.from_content("none", "yes")
            return state

        return solve

    samples = [
        Sample(id=f"s{i}", input="Say.", target="yes" if i % 2 else "no", metadata={"group": "xy"[i % 2]}) for i in range(6)
    ]
    task = Task(dataset=samples, solver=says_yes(), scorer=match(), name="mine")
    (log,) = eval(task, model="mockllm/model", log_dir=str(tmp_path), display="none")
    found, kind = read_results(str(tmp_path))
    assert kind == "inspect_ai logs" and log.status == "success" and set(found["set"]) == {"mine: match"}
    assert found["score"].sum() == 3 and found["groups"].iloc[0] == {"group": "x"}
    assert read_results(log.location)[1] == "an inspect_ai log"


def test_bad_input_is_one_sentence(tmp_path):
    good = write(tmp_path / "good.jsonl", table([0, 1, 1]))
    cases = [
        (write(tmp_path / "a.jsonl", [{"id": 1, "scores": 2}]), "no column for the score"),
        (write(tmp_path / "b.jsonl", [{"id": 1, "score": 1}] * 2), "item '1' stands twice"),
        (write(tmp_path / "c.jsonl", [{"id": "z", "score": 1}]), "no item is in both"),
        (write(tmp_path / "d.jsonl", [{"id": "z", "score": "high"}]), "no item with a score"),
        (tmp_path / "none", "no such file or folder"),
        (tmp_path, "neither a run folder"),
    ]
    for path, said in cases:
        error = probate(good, path).exception
        assert isinstance(error, InputError) and said in str(error), error
    for pair, said in (("x", "must be A=B"), ("x=all", "A has no 'x'; it has: all")):
        assert said in str(probate(good, good, "--pair", pair).exception)
    other = write(tmp_path / "e.jsonl", [{**r, "task": t} for t in "xy" for r in table([0, 1, 1])])
    assert "nothing of one name in both" in str(probate(good, other).exception)
    assert probate(good, other, "--pair", "all=y", "--resamples", 200).exit_code == 0
