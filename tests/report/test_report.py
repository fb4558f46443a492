from __future__ import annotations

import json
import re
import shutil

import pytest

from probate import Run, run
from probate.core.errors import InputError
from probate.report.charts import Bar, Point, Series, dose_chart, forest_chart
from probate.report.words import number


@pytest.fixture(scope="module")
def reported(tiny_study, tmp_path_factory):
    rows, tmp_path = [], tmp_path_factory.mktemp("reported")
    for label in ("nurse", "architect", "dentist"):
        for gender in ("female", "male"):
            for i in range(9):
                text = f"<script>alert({i})</script> & <b>{label}</b> {gender} person {i}"
                rows.append({"id": f"{label}{gender}{i}", "text": text, "label": label, "gender": gender})
    (tmp_path / "d.jsonl").write_text("\n".join(map(json.dumps, rows)) + "\n{broken <img src=x>\n")
    source = {"source": str(tmp_path / "d.jsonl"), "columns": {"id": "id"}}
    study = tiny_study(
        data={**source, "train_per_cell": 2, "test_per_cell": 3}, augmented=source, description="<i>x</i>"
    )
    run(study, tmp_path / "run", quiet=True)
    return tmp_path / "run"


@pytest.fixture
def page(reported, tmp_path):
    shutil.copytree(reported, tmp_path / "run")
    return (tmp_path / "run" / "report.html").read_text(encoding="utf-8")


def test_report_is_one_safe_file(page, tmp_path):
    assert len(page.encode()) < 5_000_000
    assert "<script" not in page and "&lt;script&gt;alert" in page and "<i>x</i>" not in page
    assert not re.search(r"""(src|href)\s*=\s*["']?(https?:)?//""", page)
    assert "d.jsonl:55: not JSON" in page and "<img src=x>" not in page
    # accessible figures, both schemes, print, phone
    figures = re.findall(r"<svg[^>]*>", page)
    assert len(figures) >= 9 and all('role="img"' in f and "aria-label=" in f for f in figures)
    for needed in (
        "prefers-color-scheme:dark",
        "@media print",
        'name="viewport"',
        "What this model inherits",
        "Manipulation check",
    ):
        assert needed in page
    ids = re.findall(r' id="([^"]+)"', page)
    assert len(ids) == len(set(ids))
    assert set(re.findall(r"url\(#([^)]+)\)", page)) | set(re.findall(r'href="#([^"]+)"', page)) <= {*ids}


def test_report_names_the_shortcuts_that_were_compared(page):
    assert "each compared with the plain forward pass:" in page
    assert "step after a shared prefix: equals the model" in page
    assert "option tree after a shared prefix: equals the model" in page


def test_report_is_rebuilt_without_a_model(page, tmp_path, monkeypatch):
    folder = tmp_path / "run"
    (folder / "report.html").unlink()
    (folder / "effects.parquet").unlink()
    shutil.rmtree(folder / "adapters")
    Run(folder).rebuild()
    again = (folder / "report.html").read_text(encoding="utf-8")
    assert strip(again) == strip(page)


def strip(page: str) -> str:
    """Without what only the adapters' own reports tell."""
    return re.sub(r"cut at the left: \d+", "", page)


def test_a_folder_without_a_run(tmp_path):
    with pytest.raises(InputError, match="not a run folder"):
        Run(tmp_path)


def test_charts_escape_and_show_intervals():
    points = [Point(0, 0.1, 0.0, 0.2), Point(0.5, 0.4, float("nan"), float("nan"))]
    svg = dose_chart(
        [Series("a<b", "#d55e00", points)],
        unit="share",
        title="t",
        alt='say "x"',
        limits=(0, 1),
        zero=True,
        salt="s",
    )
    assert (
        'aria-label="say &quot;x&quot;"' in svg
        and "a&lt;b" in svg
        and "var(--g0)" in svg
        and "#d55e00" not in svg.lower()
    )
    forest = forest_chart([Bar("row", 1200, 100, 2000, True)], unit="US$", title="t", alt="a", salt="s")
    assert "$1.0k" in forest and forest.startswith("<svg")


@pytest.mark.parametrize(
    ("value", "unit", "shown"),
    [
        (1104.3, "", "+1,104"),
        (999.7, "", "+1,000"),
        (-0.12241, "", "−0.122"),
        (0.042, "share", "+4.2 points"),
        (-2480.6, "US$", "−$2,481"),
        (1e-9, "share", "0.0 points"),
        (float("nan"), "", "–"),
    ],
)
def test_numbers_read_without_exponents(value, unit, shown):
    assert number(value, unit, signed=True) == shown
