"""Tables of group x γ x bias type: every estimate of the effects is in its cell, in each format."""

from __future__ import annotations

import csv
import io
import re
import shutil
import subprocess

import numpy as np
import pandas as pd
import pytest
from command import probate as command

from probate.core.errors import InputError
from probate.report.tables import LATEX, as_csv, latex, latex_text, markdown, notes_of, tables_of
from probate.stats.measure import Measure, by_group, frame

GROUPS = ["female", "male"]
MEASURE = Measure(
    name="selected", title="share selected", unit="share", sides=tuple(GROUPS),
    values=lambda o: frame(o, by_group("gender", GROUPS)(o), o["score"]),
    toward=lambda a, b: f"{a} over {b}", primary=True, better="higher",
)  # fmt: skip


def effect(question, contrast, kind, ratio, estimate, p=np.nan, comparison="female − male", **more):
    return {
        "question": question, "task": "hiring", "metric": "selected", "contrast": contrast, "bias_type": kind,
        "ratio": ratio, "mitigation": "none", "round": 1, "estimate": estimate, "ci_low": estimate - 0.1,
        "ci_high": estimate + 0.1, "p_adjusted": p, "n": 40, "seeds": 3, "comparison": comparison, "reason": "",
        **more,
    }  # fmt: skip


def study(**more):
    """Effects of two doses of one bias type with their control."""
    rows = []
    for kind, ratios in (("none", [0.0]), ("biased", [0.2, 0.5]), ("neutral", [0.2, 0.5])):
        for ratio in ratios:
            rows += [effect("level", g, kind, ratio, 0.4 + ratio / 10, comparison=g) for g in GROUPS]
            rows.append(effect("gap", "female − male", kind, ratio, 0.0, p=1e-9))
    for ratio, p in ((0.2, 0.2), (0.5, 0.004)):
        rows.append(effect("inheritance", "against matched control", "biased", ratio, ratio, p=p))
    return pd.DataFrame([{**row, **more} for row in rows])


def made(effects, **more):
    return tables_of(effects, {"hiring": [MEASURE]}, {"hiring": "Hiring"}, **more)


def test_cells_are_the_effects_of_their_row_and_column():
    (table,) = made(study())
    assert table.ratios == [0, 0.2, 0.5] and {r.data for r in table.rows} == {
        "biased",
        "neutral (matched control)",
    }
    names = [r.name for r in table.rows if r.data == "biased"]
    assert names == [
        "female",
        "male",
        "gap: female − male",
        "change of female − male, against matched control",
    ]
    change = table.rows[3]
    assert change.cells[0] is None and [c.estimate for c in change.cells[1:]] == [0.2, 0.5]
    assert [c.estimate for c in table.rows[0].cells] == pytest.approx([0.4, 0.42, 0.45])


def test_only_changes_have_stars_and_only_by_adjusted_p():
    (table,) = made(study())
    text = markdown([table])
    assert "+50.0\\*\\* [+40.0, +60.0]" in text and "+20.0 [+10.0, +30.0]" in text
    rows = [line for line in text.splitlines() if line.startswith("|") and "change" not in line]
    assert rows and not any("*" in line for line in rows)  # a gap with p = 1e-9 has none


@pytest.mark.parametrize(
    ("p", "mark"), [(0.05, ""), (0.0499, "*"), (0.0099, "**"), (0.00099, "***"), (np.nan, "")]
)
def test_stars_by_limit(p, mark):
    effects = study()
    effects.loc[effects["question"] == "inheritance", "p_adjusted"] = p
    rows = list(csv.DictReader(io.StringIO(as_csv(made(effects)))))
    assert {r["stars"] for r in rows if r["group_or_change"].startswith("change")} == {mark}


def test_an_undefined_effect_is_said_with_its_reason():
    effects = study()
    last = effects["question"] == "inheritance"
    effects.loc[last, ["estimate", "ci_low", "ci_high"]] = np.nan
    effects.loc[last, "reason"] = "arm 'x' failed"
    (table,) = made(effects)
    assert markdown([table]).count("undefined") == 2 and "Undefined: arm 'x' failed." in notes_of(table)
    assert "–: no such effect." in notes_of(table)


def test_csv_has_every_number_unrounded():
    effects = study()
    effects["estimate"] += 1 / 3
    rows = list(csv.DictReader(io.StringIO(as_csv(made(effects)))))
    assert {float(r["estimate"]) for r in rows} == set(effects["estimate"])
    assert {(r["n"], r["seeds"], r["unit"]) for r in rows} == {("40", "3", "share")}


def test_rounds_and_mitigations_are_blocks_of_their_own():
    effects = pd.concat([study(), study(mitigation="mask")[6:12], study(round=2)])
    data = list(dict.fromkeys(r.data for r in made(effects)[0].rows))
    assert (
        data[0] == "biased, round 1"
        and "biased, round 2" in data
        and "neutral (matched control), mask, round 1" in data
    )


NASTY = [
    "a & b",
    "50% of $1",
    "x_y^z~",
    "#1 {b}",
    "\\input{/etc/passwd}",
    "a | b",
    "line\nbreak",
    "\x1b[31mred",
    "<b>*",
]


@pytest.mark.parametrize("name", NASTY)
def test_names_are_text_in_every_format(name):
    effects = study().replace({"contrast": {"female": name}, "comparison": {"female": name}})
    tables = made(effects)
    body = latex(tables)
    assert "\x1b" not in body and latex_text(name) in body
    bare = re.sub(r"\\(textbackslash|textasciicircum|textasciitilde)\{\}|\\[{}$&#%_]", "", latex_text(name))
    assert not re.search(r"[\\{}&#%_^~]", re.sub(r"\$[^$]*\$", "", bare))
    lines = [line for line in markdown(tables).splitlines() if line.startswith("|")]
    assert {len(re.findall(r"(?<!\\)\|", line)) for line in lines} == {6}
    assert name in {r["group_or_change"] for r in csv.DictReader(io.StringIO(as_csv(tables)))}


def test_a_metric_that_is_none_is_refused():
    with pytest.raises(InputError, match="--metric odd: no task has this measure; use one of selected"):
        made(study(), metrics=["odd"])


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="needs LaTeX")
def test_latex_compiles(tmp_path):
    effects = study().replace(
        {"contrast": {"female": "".join(LATEX) + "".join(n for n in NASTY if n.isprintable())}}
    )
    (tmp_path / "t.tex").write_text(
        "\\documentclass{article}\\usepackage{booktabs,graphicx}\\begin{document}"
        + latex(made(effects))
        + "\\end{document}"
    )
    done = subprocess.run(
        ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "t.tex"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-2000:]


def test_the_command_writes_all_formats_of_a_real_run(finished_run, tmp_path):
    run = finished_run(tmp_path / "run")
    printed = command("tables", run.folder)
    command("tables", run.folder, "--out", tmp_path / "t")
    for form in ("md", "tex", "csv"):
        assert (tmp_path / "t" / f"tables.{form}").read_text(encoding="utf-8") == run.tables(form)
    assert printed == run.tables() + "\n"
    rows = pd.read_csv(tmp_path / "t" / "tables.csv")
    levels = run.effects.query("question == 'level' and metric == 'accuracy' and ratio == 0.5")
    shown = rows.query("metric == 'accuracy' and ratio == 0.5 and not group_or_change.str.contains(' ')")
    assert sorted(shown["estimate"]) == pytest.approx(sorted(levels["estimate"]))
    assert "<summary>Occupation" in (run.rebuild()).read_text(encoding="utf-8")
    with pytest.raises(InputError, match="unknown form 'pdf'"):
        run.tables("pdf")
