"""The docs cannot rot: the reference equals the code, examples run, every option stands there once."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from probate.commands.app import app
from probate.commands.reference import study_reference

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
    assert namespace["handed_over"].num_rows == len(namespace["records"]) > 0


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
