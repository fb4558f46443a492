"""`--json` on every command that prints a result, and no colour where none is wanted."""

from __future__ import annotations

import json

import pytest
import typer
from typer.testing import CliRunner

from probate import run
from probate.commands.app import app


def probate(*args, **more):
    result = CliRunner().invoke(app, [*map(str, args)], **more)
    assert result.exit_code in (0, 1, 4), (result.output, result.exception)
    return result.stdout


def commands(group, path=()):
    for name, command in group.commands.items():
        yield from (
            commands(command, (*path, name)) if hasattr(command, "commands") else [((*path, name), command)]
        )


def test_every_command_that_prints_a_result_prints_json():
    without = {
        path
        for path, c in commands(typer.main.get_command(app))
        if not any("--json" in p.opts for p in c.params)
    }
    assert without == {("card",)}  # a card is a text


@pytest.mark.parametrize("what", ["tasks", "probes", "identities", "mitigations", "presets", "models"])
def test_lists(what):
    found = json.loads(probate(what, "--json"))
    names = found["embedded"] if what == "models" else found
    assert len(names) >= 2 and all(name in probate(what) for name in names)


def test_a_run_and_what_follows_it(tiny_study, tmp_path):
    study = tiny_study(tasks=["occupation"])
    file = tmp_path / "study.yaml"
    file.write_text(study.model_dump_json(exclude_defaults=True), encoding="utf-8")
    plan = json.loads(probate("plan", file, "--json"))
    trained = plan["stages"][1]
    assert (
        len(plan["arms"]) == 3
        and (trained["stage"], trained["number"]) == ("train", 3)
        and trained["tokens"] > 1000
    )
    ran = json.loads(probate("run", file, "--out", tmp_path / "run", "--json"))
    assert ran["failures"] == [] and {e["task"] for e in ran["inheritance"]} == {"occupation"}
    again = run(study, tmp_path / "run", quiet=True)
    assert ran["report"] == str(again.folder / "report.html")
    verified = json.loads(probate("verify", tmp_path / "run", "--json"))
    assert verified["differences"] == [] and verified["checked"] >= 20
    assert json.loads(probate("report", tmp_path / "run", "--json"))["report"].endswith("report.html")
    compared = json.loads(probate("compare", tmp_path / "run", tmp_path / "run", "--json"))
    assert compared["flipped"] == [] and len(compared["compared"]) >= 3
    power = json.loads(probate("calibrate", file, "--runs", 100, "--items", 40, "--quiet", "--json"))
    (row,) = power["tasks"].values()
    assert row["design"]["n"] == 40 and row["effects"][0]["effect"] == 0 and power["plot"] is None


def test_no_colour(tiny_study, tmp_path, monkeypatch):
    from probate.core.progress import Reporter

    for name, value in (("FORCE_COLOR", "1"), ("NO_COLOR", "1")):
        monkeypatch.setenv(name, value)
    assert Reporter(quiet=False).console.no_color
