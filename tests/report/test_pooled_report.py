"""What the report says of pooled effects."""

from __future__ import annotations

import csv
import io
import itertools

import numpy as np
import pandas as pd
import pytest

from probate import run
from probate.report.pooled import mitigations, pooled_tables, verdict, verdict_over_tasks
from probate.report.tables import as_csv, latex, markdown, tables_of
from probate.stats.measure import Measure

MEASURE = Measure(
    name="m", title="share", unit="share", sides=("a", "b"), values=lambda o: o,
    toward=lambda a, b: f"{a} over {b}", primary=True,
)  # fmt: skip


def effect(estimate, half=0.05, p=0.001, **more):
    return {
        "question": "pooled-mitigation", "task": "t", "metric": "m", "contrast": "against the arm without it",
        "bias_type": "all", "ratio": 0.5, "mitigation": "mask", "round": 1, "estimate": estimate,
        "ci_low": estimate - half, "ci_high": estimate + half, "p": p, "p_adjusted": p, "n": 40, "seeds": 3,
        "comparison": "a − b", "reason": "", "note": "mean over 4 conditions", "unit": "item and seed",
        "test": "t over items and seeds", "interval": "t", **more,
    }  # fmt: skip


def inherited(estimate, **more):
    return effect(
        estimate, question="pooled-inheritance", contrast="against matched control", mitigation="none", **more
    )


LOST = {"note": "mean over 3 conditions; 1 of 4 conditions left out (no arm)"}
GONE = {"reason": "no arm", "ci_low": np.nan, "ci_high": np.nan, "p_adjusted": np.nan}
ONE = {"seeds": 1, "p_adjusted": np.nan}
OF_A_TASK = {
    "helps": (inherited(0.4), effect(-0.3)),
    "helps, the other sign": (inherited(-0.4), effect(0.3)),
    "harms": (inherited(0.4), effect(0.3)),
    "overshoots": (inherited(0.2), effect(-0.5)),
    "not shown: p": (inherited(0.4), effect(-0.3, p=0.06)),
    "not shown: interval": (inherited(0.4), effect(-0.3, half=0.31)),
    "changes the gap, inheritance not shown: p": (inherited(0.4, p=0.3), effect(-0.3)),
    "changes the gap, inheritance not shown: interval": (inherited(0.4, half=0.5), effect(-0.3)),
    "changes the gap, inheritance not shown: none": (None, effect(-0.3)),
    "changes the gap, inheritance not shown: one seed": (inherited(0.4, p=np.nan, **ONE), effect(-0.3)),
    "changes the gap, inheritance not shown: undefined": (inherited(np.nan, p=np.nan, **GONE), effect(-0.3)),
    "cannot tell: conditions left out": (inherited(0.4), effect(-0.3, **LOST)),
    "cannot tell: conditions left out, of the bias": (inherited(0.4, **LOST), effect(-0.3)),
    "cannot tell: no arm": (inherited(0.4), effect(np.nan, p=np.nan, **GONE)),
    "cannot tell: one training seed": (inherited(0.4), effect(-0.3, p=np.nan, **ONE)),
    "harms, with conditions left out": (inherited(0.4), effect(0.3, **LOST)),
}


@pytest.mark.parametrize("name", OF_A_TASK)
def test_a_mitigation_in_a_task_is_judged_by_the_rule(name):
    said = verdict(*OF_A_TASK[name])
    assert name.startswith(said) and said != ""


OVER_TASKS = {
    "closer to the control": effect(0.3),
    "farther from the control": effect(-0.3),
    "farther from the control, with conditions left out": effect(-0.3, **LOST),
    "not shown": effect(0.3, p=0.051),
    "not shown: the interval holds 0": effect(0.3, half=0.3),
    "cannot tell: conditions left out": effect(0.3, **LOST),
    "cannot tell: no arm": effect(np.nan, p=np.nan, **GONE),
    "cannot tell: one training seed": effect(0.3, p=np.nan, **ONE),
}


@pytest.mark.parametrize("name", OVER_TASKS)
def test_a_mitigation_over_all_tasks_is_judged_by_the_rule(name):
    said = verdict_over_tasks(OVER_TASKS[name])
    assert name.startswith(said) and said != ""


@pytest.mark.parametrize(("sign", "half", "p"), itertools.product((-1, 1), (0.29, 0.31), (0.04, 0.06)))
def test_no_effect_is_stated_where_the_interval_holds_0(sign, half, p):
    row = effect(0.3 * sign, half=half, p=p)
    for said in (verdict_over_tasks(row), verdict(inherited(-0.5 * sign), row)):
        assert (said == "not shown") == (half > 0.3 or p > 0.05)


def table(*rows):
    return pd.DataFrame([*rows])


def test_rows_are_over_all_tasks_first_and_use_the_control_of_every_condition():
    over = effect(0.5, task="all", metric="all", comparison="all", contrast="toward the matched control")
    some = {"note": "mean over 2 conditions; 2 of 4 conditions have no such control"}
    base = inherited(0.2) | {"contrast": "against γ = 0"}
    rows = mitigations(table(effect(-0.1), over, inherited(0.4), base), {"t": "Task"}, {"t": [MEASURE]})
    assert [(r.task, r.inherited, r.verdict) for r in rows] == [
        ("all tasks", "–", "closer to the control"), ("Task", "+40.0 points ●", "helps"),
    ]  # fmt: skip
    assert rows[0].change == "+0.5" and rows[1].change == "−10.0 points" and rows[0].sure
    (row,) = mitigations(table(effect(-0.1), inherited(0.4, **some), base), {"t": "Task"}, {"t": [MEASURE]})
    assert row.inherited == "+20.0 points ●"


def test_pooled_tables_hold_every_pooled_row_in_each_format():
    over = effect(0.5, task="all", metric="all", comparison="all", contrast="toward the matched control")
    relation = inherited(0.1, p=0.2) | {"question": "pooled-relation", "task": "all", "metric": "macro_f1"}
    undefined = effect(np.nan, p=np.nan, mitigation="token", **GONE)
    single = effect(0.7, question="inheritance", mitigation="none")
    effects = table(inherited(0.4), effect(-0.3), undefined, over, relation, single)
    made = pooled_tables(effects, {"t": [MEASURE]}, {"t": "Task"})
    assert [(t.task, t.metric, len(t.rows)) for t in made] == [
        ("t", "m", 3), ("all", "all", 1), ("all", "macro_f1", 1),
    ]  # fmt: skip
    lines = list(csv.DictReader(io.StringIO(as_csv(made))))
    assert [float(r["estimate"]) for r in lines if r["estimate"] != "nan"] == [0.4, -0.3, 0.5, 0.1]
    assert all(r["ratio"] == "" for r in lines) and lines[0]["stars"] == "**" and lines[4]["stars"] == ""
    text, tex = markdown(made), latex(made)
    for shown in (text, tex):
        assert "all conditions" in shown and "undefined" in shown and "over all pooled tests" in shown
    assert "+40.0\\*\\* [+35.0, +45.0]" in text and "+0.5\\*\\* [+0.45, +0.55]" in text
    labels = [line for line in tex.splitlines() if "label{" in line]
    assert len(labels) == len(set(labels)) == 3 and all("pooled" in label for label in labels)
    assert pooled_tables(effects, {"t": [MEASURE]}, {"t": "Task"}, metrics=["m"])[0].title == made[0].title
    # tables by γ do not hold them
    plain = tables_of(effects.assign(question="pooled-inheritance"), {"t": [MEASURE]}, {"t": "Task"})
    assert plain == []


@pytest.fixture(scope="module")
def pooled_run(tiny_study, tmp_path_factory):
    study = tiny_study(
        ratios=[0, 0.3, 0.5],
        seeds=[0, 1],
        mitigations=["mask"],
        tasks=["occupation"],
        replicate_control=False,
    )
    return run(study, tmp_path_factory.mktemp("pooled") / "run", quiet=True)


def test_a_run_shows_its_pooled_effects(pooled_run):
    effects = pooled_run.effects
    rows = effects[effects["question"].str.startswith("pooled-")]
    assert len(rows) == 4 and (rows["bias_type"] == "all").all()
    page = pooled_run.report.read_text(encoding="utf-8")
    assert page.count("<h3>Pooled over all conditions</h3>") == 2
    (estimate,) = rows[rows["task"] == "all"]["estimate"]
    section = page.split('id="stopping"')[1].split("What it costs")[0]
    assert "all tasks" in section and f"{abs(estimate):.3g}" in section
    assert ">closer to the control<" not in section and ">not shown<" in section
    assert "pooled 4" in page
    assert "pooled" in pooled_run.tables("md")
