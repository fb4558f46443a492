"""The docs cannot rot: the reference equals the code, examples run, every option stands there once."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from probate.reference import study_reference

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def test_study_reference_is_up_to_date():
    assert (ROOT / "docs" / "study.md").read_text(encoding="utf-8") == study_reference(), "run make docs"


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_links_between_pages(page):
    for target in re.findall(r"\]\(([^)#]+)\)", page.read_text(encoding="utf-8")):
        if not target.startswith("http"):
            assert (page.parent / target).exists(), target


def test_python_examples_run(model_dir, tmp_path, monkeypatch):
    text = (ROOT / "docs" / "python.md").read_text(encoding="utf-8")
    code = "\n".join(re.findall(r"```python\n(.*?)```", text, re.S))
    assert "from probate import" in code
    monkeypatch.chdir(tmp_path)
    namespace: dict[str, object] = {"MODEL": str(model_dir)}
    exec(code, namespace)
    assert len(namespace["result"].effects)


def test_the_picture_is_small():
    picture = ROOT / "docs" / "report.png"
    assert picture.stat().st_size < 200_000
