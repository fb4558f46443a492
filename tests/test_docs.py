"""The docs cannot rot: the reference equals the code, examples run, every option stands there once."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import typer
from typer.testing import CliRunner

import probate
from probate.commands.app import app
from probate.commands.reference import KINDS, names_reference, paper_reference, study_reference
from probate.data.corpora import biographies

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def test_study_reference_is_up_to_date():
    assert (ROOT / "docs" / "study.md").read_text(encoding="utf-8") == study_reference(), "run make docs"


def test_page_on_the_paper_is_up_to_date():
    assert (ROOT / "docs" / "paper.md").read_text(encoding="utf-8") == paper_reference(), "run make docs"


def test_reference_of_the_names_is_up_to_date():
    assert (ROOT / "docs" / "reference.md").read_text(encoding="utf-8") == names_reference(), "run make docs"
    named = [name for names in KINDS.values() for name in names]
    assert sorted(named) == sorted(set(probate.__all__) - {"__version__"})


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_links_between_pages(page):
    for target in re.findall(r"\]\(([^)#]+)\)", page.read_text(encoding="utf-8")):
        if not target.startswith("http"):
            assert (page.parent / target).exists(), target


def test_what_new_plugins_import_is_public():
    """Each name that a package from `probate new` imports is in the table of docs/python.md."""
    scaffold = (ROOT / "src" / "probate" / "commands" / "scaffold.py").read_text(encoding="utf-8")
    table = (ROOT / "docs" / "python.md").read_text(encoding="utf-8").split("## What is public")[1]
    templates = re.findall(r"^from (probate\.[a-z_.]+) import ([\w, ]+)$", scaffold, re.M)
    own = [(module, names) for module, names in templates if not module.startswith("probate.commands")]
    assert len(own) > 10
    for module, names in own:
        assert f"`{module}`" in table, module
        assert all(f"`{name}`" in table for name in names.split(", ")), (module, names)


def test_python_examples_run(model_dir, tmp_path, monkeypatch):
    text = (ROOT / "docs" / "python.md").read_text(encoding="utf-8")
    code = "\n".join(re.findall(r"```python\n(.*?)```", text, re.S))
    monkeypatch.chdir(tmp_path)
    rows = [r for r in biographies() if r["label"] in ("nurse", "architect")]
    table = pd.DataFrame(rows)[["text", "label", "gender"]].sample(frac=1, random_state=0)
    namespace: dict[str, object] = {"MODEL": str(model_dir), "frame": table[:60], "generated": table[60:]}
    exec(code, namespace)
    assert len(namespace["run"].effects) and namespace["decision"].verdict == "cannot tell"
    assert namespace["handed_over"].num_rows == len(namespace["records"]) > 0
    used = set(re.findall(r"\bpb\.(\w+)", code))
    assert used >= {n for n in probate.__all__ if n.islower() and n.isalpha()}, (
        "a function without an example"
    )


CELLS = """
import ast, sys
namespace = {}
for number, source in enumerate(open(sys.argv[1], encoding="utf-8").read().split("\\f")):
    tree = ast.parse(source)
    last = ast.Expression(tree.body.pop().value) if tree.body and isinstance(tree.body[-1], ast.Expr) else None
    exec(compile(tree, f"cell {number}", "exec"), namespace)
    value = eval(compile(last, f"cell {number}", "eval"), namespace) if last else None
    shown = next((getattr(value, kind) for kind in ("_repr_html_", "_repr_svg_") if hasattr(value, kind)), None)
    print(f"[{number}]", value if shown is None else shown())
"""


def test_the_notebook_runs(model_dir, tmp_path):
    import nbformat

    path = ROOT / "docs" / "notebook.ipynb"
    nbformat.validate(nbformat.read(path, as_version=4))
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    assert not any(cell.get("outputs") for cell in cells), "it is kept without outputs"
    code = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    assert sum('model = "embedded"' in source for source in code) == 1
    (tmp_path / "cells").write_text(
        "\f".join(code).replace('"embedded"', repr(str(model_dir))), encoding="utf-8"
    )
    done = subprocess.run(
        [sys.executable, "-c", CELLS, "cells"], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    said = dict(re.findall(r"^\[(\d+)\] (.*?)(?=^\[\d+\] |\Z)", done.stdout, re.M | re.S))
    assert len(said) == len(code)
    assert any(text.startswith("<svg") for text in said.values())
    assert "('stop', 60)" in done.stdout and "do not ship it: cannot tell" in done.stdout
    assert sum("<strong>" in text for text in said.values()) >= 4


def command_lines(page):
    """Each `probate …` line of a page's sh blocks, without its comment."""
    for block in re.findall(r"```sh\n(.*?)```", page.read_text(encoding="utf-8"), re.S):
        for line in block.replace("\\\n", " ").splitlines():
            if line.strip().startswith("probate "):
                yield shlex.split(line, comments=True)[1:]


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_commands_and_options_in_examples_exist(page):
    for words in command_lines(page):
        command = typer.main.get_command(app)
        rest = list(words)
        while hasattr(command, "commands"):
            assert rest[0] in command.commands, words
            command = command.commands[rest.pop(0)]
        command.make_context(command.name, rest, resilient_parsing=False).close()


def test_the_tutorial_runs(model_dir, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    text = (ROOT / "docs" / "tutorial.md").read_text(encoding="utf-8")
    said = {}
    for kind, block in re.findall(r"```(python|yaml|sh)\n(.*?)```", text, re.S):
        if kind == "python":
            exec(block, {})
        elif kind == "yaml":
            Path("study.yaml").write_text(
                block.replace("model: embedded", f"model: {model_dir}"), encoding="utf-8"
            )
        else:
            for line in block.splitlines():
                words = shlex.split(line)[1:]
                result = CliRunner().invoke(app, words)
                assert result.exit_code == (4 if words[0] == "check" else 0), (
                    line,
                    result.output,
                    result.exception,
                )
                said[" ".join(words[:2]) + (" mended" if "mended" in line else "")] = result.output
    assert "Do not train on this as it is" in said["audit --augmented"]
    assert "Do not train on this as it is" not in said["audit --augmented mended"]
    assert "verdict: cannot tell" in said["check runs/mended mended"]


def test_the_picture_is_small():
    picture = ROOT / "docs" / "report.png"
    assert picture.stat().st_size < 200_000
