"""Two sets of results: paired by item; flips and what n could see.

They are read from run folders, harness samples, inspect_ai logs and tables.
"""

from __future__ import annotations

import json
import re

import numpy as np
import pytest
from scipy.stats import ttest_rel
from statsmodels.stats.contingency_tables import mcnemar
from typer.testing import CliRunner

from probate import run
from probate.commands.app import app
from probate.core.errors import InputError
from probate.report.comparison.pair import compare_results
from probate.report.comparison.read import read_results
from probate.study.schema import Analysis

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


def test_paired_yes_or_no_counts_by_pairs(tmp_path):
    rng = np.random.default_rng(0)
    a, b = rng.random(100) < 0.5, rng.random(100) < 0.7
    sex = [("m", "f")[i % 2] for i in range(100)]
    paths = [write(tmp_path / f"{n}.jsonl", table(s, group=sex)) for n, s in (("a", a), ("b", b))]
    found, flips, _ = compare_results(*(read_results(str(p))[0] for p in paths), QUICK)
    whole, gap = found
    cells = [[int((a & b).sum()), int((a & ~b).sum())], [int((~a & b).sum()), int((~a & ~b).sum())]]
    assert whole.p == pytest.approx(ttest_rel(b.astype(float), a.astype(float)).pvalue)
    assert whole.p == pytest.approx(
        mcnemar(cells, exact=True).pvalue, rel=0.5
    )  # another test of the same null
    assert (
        whole.change == pytest.approx(b.mean() - a.mean())
        and whole.flipped == (cells[1][0], cells[0][1])
        and len(flips) == sum(whole.flipped)
    )
    assert gap.what == "group: f − m" and gap.change == pytest.approx((gap.mean_b - gap.mean_a), abs=1e-9)
    assert whole.visible > abs(whole.high - whole.low) / 2 and whole.p_holm >= whole.p
    assert whole.visible_low < whole.visible < whole.visible_high
    said = probate(*paths, "--show", 3, "--out", tmp_path / "c.json").output
    assert "A: a table" in said and "rose" in said and "would be detected with 80% power" in said
    assert len(json.loads((tmp_path / "c.json").read_text())["flipped"]) == len(flips)


def test_run_folders_are_paired_by_arm_and_task(tiny_study, tmp_path):
    for name, rate in (("a", 1e-4), ("b", 5e-3)):
        study = tiny_study(
            tasks=["occupation"], training={"epochs": 2, "learning_rate": rate, "lora": {"r": 4, "alpha": 8}}
        )
        run(study, tmp_path / name, quiet=True)
    found, _, _ = compare_results(
        read_results(str(tmp_path / "a"))[0], read_results(str(tmp_path / "b"))[0], QUICK
    )
    assert {c.set for c in found} == {
        "control-0-s0: occupation",
        "given-0.5-s0: occupation",
        "neutral-0.5-s0: occupation",
    }
    assert all(c.n == 18 for c in found) and {c.what for c in found} >= {"all", "gender: female − male"}


def test_scores_that_are_no_shares_and_items_on_one_side(tmp_path):
    a = write(tmp_path / "a.jsonl", [{"item": i, "value": 10.0 * i} for i in range(20)])
    b = write(tmp_path / "b.jsonl", [{"item": i, "value": 10.0 * i + 3} for i in range(5, 30)])
    (found,), _, _ = compare_results(read_results(str(a))[0], read_results(str(b))[0], QUICK)
    assert (found.n, found.only_a, found.only_b, found.share) == (
        15,
        5,
        10,
        False,
    ) and found.change == pytest.approx(3)


def test_harness_samples_are_read(tmp_path):
    rows = [
        {
            "doc_id": i, "doc": {"gender": "female"}, "target": "0", "resps": [], "filtered_resps": ["x"],
            "metrics": ["acc", "acc_norm"], "acc": float(i % 2), "acc_norm": 1.0, "doc_hash": f"h{i}",
            "filter": "none",
        }
        for i in range(6)
    ]  # fmt: skip
    folder = tmp_path / "model"
    folder.mkdir()
    write(folder / "samples_mine_2026-01-01T00-00-00.000000.jsonl", rows)
    found, kind = read_results(str(tmp_path))
    assert (
        kind == "lm-evaluation-harness samples"
        and set(found["set"]) == {"mine: acc", "mine: acc_norm"}
        and len(found) == 12
    )
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
        Sample(id=f"s{i}", input="Say.", target="yes" if i % 2 else "no", metadata={"group": "xy"[i % 2]})
        for i in range(6)
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
        (write(tmp_path / "b.jsonl", [{"id": 1, "score": 1}] * 2), "item '1' is duplicated"),
        (write(tmp_path / "c.jsonl", [{"id": "z", "score": 1}]), "no item is in both"),
        (write(tmp_path / "d.jsonl", [{"id": "z", "score": "high"}]), "no item has a score"),
        (tmp_path / "none", "no such file or folder"),
        (tmp_path, "neither a run folder"),
    ]
    for path, said in cases:
        error = probate(good, path).exception
        assert isinstance(error, InputError) and said in str(error), error
    for pair, said in (("x", "must be A=B"), ("x=all", "A has no 'x'; it has: all")):
        assert said in str(probate(good, good, "--pair", pair).exception)
    other = write(tmp_path / "e.jsonl", [{**r, "task": t} for t in "xy" for r in table([0, 1, 1])])
    assert "no set has the same name in both" in str(probate(good, other).exception)
    assert probate(good, other, "--pair", "all=y").exit_code == 0


SCORES = [
    (True, 1), (False, 0), (0, 0), (1.0, 1), ("yes", 1), ("No", 0), ("C", 1), ("I", 0), ("P", 0.5),
    ("1/1", 1), ("3/4", 0.75), ("85%", 0.85),
    ("0.5 ", 0.5), ({"score": 1}, 1), ({"value": False}, 0), ([0], 0), ('{"score": 1}', 1),
    (np.float32(0.5), 0.5), (np.bool_(False), 0),
    (np.array([1]), 1), (None, "empty"), ("", "empty"), ("NaN", "empty"), (float("nan"), "empty"),
    ("N", "empty"), ([], "empty"),
    ("error", "text"), ("0,5", "a decimal comma"), (float("inf"), "not finite"), ("1/0", "not finite"),
    ([1, 0], "several values"),
    ({"other": 1}, "no score in an object"),
]  # fmt: skip


@pytest.mark.parametrize(("value", "right"), SCORES)
def test_a_score_is_read_or_has_a_reason(value, right):
    from probate.report.comparison.scores import read_score

    score, why = read_score(value)
    assert why == right and np.isnan(score) if isinstance(right, str) else (score, why) == (right, "")


@pytest.mark.parametrize("form", ["jsonl", "csv", "parquet"])
def test_what_is_not_read_is_counted_by_reason_and_group(tmp_path, form):
    import pandas as pd

    frame = pd.DataFrame(
        {"item": range(100), "score": ["1", "0", "1", "0,5", "error"] * 20, "group": ["x", "y"] * 50}
    )
    path = tmp_path / f"a.{form}"
    if form == "parquet":
        frame.to_parquet(path)
    elif form == "csv":
        frame.to_csv(path, index=False)
    else:
        frame.to_json(path, orient="records", lines=True)
    result = probate(path, path, "--out", tmp_path / "c.json")
    assert (
        "A: 20 of 100 items in both have no readable score (a decimal comma); of group: x 10, y 10"
        in result.output
    )
    left = json.loads((tmp_path / "c.json").read_text())["left_out"]
    assert [(m["side"], m["reason"], m["n"]) for m in left] == [
        (s, r, 20) for s in "AB" for r in ("a decimal comma", "text")
    ]
    assert "n 60," in result.output


def test_other_questions_or_targets_are_refused(tmp_path):
    for column in ("question", "target"):
        a = write(tmp_path / "a.jsonl", [{"id": i, "score": 1, column: f"q{i}"} for i in range(9)])
        b = write(tmp_path / "b.jsonl", [{"id": i, "score": 0, column: f"q{i % 8}"} for i in range(9)])
        assert f"1 of 9 shared ids have another {column}" in str(probate(a, b).exception)


def test_a_missing_group_is_no_group(tmp_path):
    rows = [{"item": i, "score": i % 2, "group": [float("nan"), None, 0, 1][i % 4]} for i in range(40)]
    path = str(write(tmp_path / "a.jsonl", rows))
    table, _ = read_results(path)
    assert {g.get("group") for g in table["groups"]} == {None, "0", "1"}
    assert "20 of 40 items in both have no group" in probate(path, path).output


def test_a_side_without_any_readable_score_in_common_is_undefined(tmp_path):
    a = write(tmp_path / "a.jsonl", [{"item": i, "score": 1 if i < 5 else "error"} for i in range(10)])
    b = write(tmp_path / "b.jsonl", [{"item": i, "score": "error" if i < 5 else 1} for i in range(10)])
    found, _, _ = compare_results(read_results(str(a))[0], read_results(str(b))[0], QUICK)
    assert found[0].n == 0 and np.isnan(found[0].change) and probate(a, b).exit_code == 0


def test_harness_documents_that_repeat_are_paired_by_doc_id(tmp_path):
    rows = [
        {
            "doc_id": i,
            "doc": {},
            "target": "1",
            "resps": [],
            "doc_hash": f"h{i // 2}",
            "metrics": ["acc"],
            "acc": 1.0,
        }
        for i in range(6)
    ]
    path = write(tmp_path / "samples_sums_2026-01-01.jsonl", rows)
    assert list(read_results(str(path))[0]["item"]) == [str(i) for i in range(6)]


def test_groups_of_columns_are_joined_by_spelling_and_named_where_not_compared(tmp_path):
    rng = np.random.default_rng(0)
    for name, sexes in (("a", ("F", "male", "X", "W")), ("b", ("female", "M", "nonbinary", "Woman"))):
        rows = [
            {
                "id": i,
                "score": int(rng.integers(2)),
                "sex": sexes[min(i // 20, 2) if i != 5 else 3],
                "who": f"p{i}",
                "site": "s",
            }
            for i in range(41)
        ]
        write(tmp_path / f"{name}.jsonl", rows)
    paths = [str(tmp_path / f"{n}.jsonl") for n in "ab"]
    groups = [x for c in ("gender=sex", "who=who", "site=site") for x in ("--group", c)]
    said = probate(*paths, *groups, "--show", 0).output
    assert "all; gender: female − male: B − A" in said and "W − " not in said
    for left_out in (
        "1 of 41 items in both have the gender 'nonbinary', a group of fewer than 2",
        "the site 's', which cannot be compared",
        "a who with 41 groups",
    ):
        assert left_out in said
    assert "no column 'sexx'" in str(probate(*paths, "--group", "gender=sexx").exception)
    assert "must be NAME=COLUMN" in str(probate(*paths, "--group", "sex").exception)


@pytest.mark.parametrize("groups", [2, 3])
def test_a_group_without_a_readable_score_has_an_undefined_row(tmp_path, groups):
    rows = [{"id": i, "score": 1 if i % groups else "n/a", "group": "xyz"[i % groups]} for i in range(30)]
    path = str(write(tmp_path / "a.jsonl", rows))
    result = probate(path, path, "--json")
    found = [c for c in json.loads(result.output)["compared"] if c["what"] != "all"]
    assert len(found) == (1 if groups == 2 else 3)
    for row in found:
        assert (
            row["change"] is None
            and row["p"] is None
            and row["test"] == "undefined: no item of group 'x' has a readable score in both"
        )
    assert "nan" not in probate(path, path).output


def test_items_of_one_side_are_counted_by_group_and_other_scales_are_said(tmp_path):
    a = [{"item": str(i), "score": i % 2, "group": "fm"[i // 2 % 2]} for i in range(40)]
    half = [r for r in a if r["group"] == "m" or int(r["item"]) < 8]
    whole, part, hundred = (
        str(write(tmp_path / n, rows))
        for n, rows in (
            ("a.jsonl", a),
            ("b.jsonl", half),
            ("c.jsonl", [{**r, "score": 100 * r["score"]} for r in a]),
        )
    )
    assert (
        f"A: {40 - len(half)} of 40 items are not in B; of group: f {40 - len(half)}: left out"
        in probate(whole, part).stdout
    )
    assert (
        "up to 1 in A and up to 100 in B, which are probably different scales"
        in probate(whole, hundred).stdout
    )
    said = probate(whole, whole).stdout
    assert "nan" not in said and "not in" not in said and "one scale" not in said


def test_no_change_at_all_has_no_interval_and_says_so(tmp_path):
    path = str(write(tmp_path / "a.jsonl", [{"item": str(i), "score": i % 2} for i in range(30)]))
    said = probate(path, path).stdout
    assert (
        "B − A +0 points (no interval: all changes are the same)" in said
        and "nan" not in said
        and "would be detected" not in said
    )


@pytest.mark.parametrize("size", [1, 1e3, 1e6])
def test_large_scores_are_printed_without_an_exponent(tmp_path, size):
    rng = np.random.default_rng(0)
    a, b = (
        [{"item": str(i), "score": float(size * s)} for i, s in enumerate(rng.normal(50, 9, 40))]
        for _ in "ab"
    )
    output = probate(write(tmp_path / "a.jsonl", a), write(tmp_path / "b.jsonl", b), "--show", 3).output
    assert "would be detected" in output and not re.search(r"\d[eE][+-]?\d", output), output
