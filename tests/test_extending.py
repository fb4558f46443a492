"""What a stranger's plug-in takes part in: made by `probate new`, put on the path with its metadata, and no edit of Probate."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from probate.commands.scaffold import write_skeleton
from probate.core.errors import InputError
from probate.data import packs
from probate.data.packs import Pack, audited_packs, dimension_columns, load_pack, with_given


def installed(folder: Path, kind: str, name: str) -> Path:
    """The package that `probate new` writes, with a dist-info beside it as an installer would write."""
    write_skeleton(kind, name, folder)
    package = folder / f"probate-{name}"
    project = tomllib.loads((package / "pyproject.toml").read_text())["project"]
    info = package / f"probate_{name}-{project['version']}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n"
    )
    points = [
        f"[{group}]\n" + "".join(f"{key} = {value}\n" for key, value in own.items())
        for group, own in project["entry-points"].items()
    ]
    (info / "entry_points.txt").write_text("\n".join(points))
    return package


def python(package: Path, *args: str) -> str:
    """The output of Python with the package on its path."""
    path = os.pathsep.join(filter(None, [str(package), os.environ.get("PYTHONPATH")]))
    done = subprocess.run(
        [sys.executable, *args], capture_output=True, text=True, cwd=package, env={**os.environ, "PYTHONPATH": path}
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


GUILD = """
import json, sys
from probate.audits.groups import dimensions_of
from probate.audits.read import read_set
from probate.data.shape.infer import infer_shape
rows = [{"text": f"A {g} of the trade who works at her bench number {i}.", "craft": g} for i in range(30) for g in ("smith", "baker")]
print(infer_shape(rows).groups)
with open("rows.jsonl", "w") as file:
    file.writelines(json.dumps({"text": r["text"]}) + "\\n" for r in rows)
print([(d.name, d.known) for d in dimensions_of(read_set("rows.jsonl"))])
"""


def test_a_pack_names_its_columns_and_is_looked_for_in_texts(tmp_path):
    package = installed(tmp_path, "identity", "guild")
    pack = package / "probate_guild" / "guild.yaml"
    text = (
        pack.read_text()
        .replace("titles: [first]", "titles: [smith]")
        .replace("titles: [second]", "titles: [baker]")
    )
    pack.write_text(text + "columns: [craft]\n")
    shape, dimensions = python(package, "-c", GUILD).splitlines()
    assert shape == "{'guild': 'craft'}"
    assert dimensions == "[('gender', False), ('guild', False)]"  # Probate's own come first
    pack.write_text(pack.read_text() + "audit: never\n")
    assert python(package, "-c", GUILD).splitlines()[1] == "[('gender', False)]"


def test_the_order_and_the_columns_of_the_packs_that_ship():
    assert [p.dimension for p in audited_packs()] == [
        "gender",
        "race",
        "culture",
        "religion",
        "disability",
        "age",
    ]
    assert dimension_columns() == {
        "gender": "gender", "sex": "gender", "race": "race", "ethnicity": "race", "race_ethnicity": "race", "culture": "culture",
        "religion": "religion", "disability": "disability", "age": "age", "age_group": "age", "ses": "ses",
    }  # fmt: skip


def test_two_packs_cannot_name_one_column(monkeypatch):
    gender, race = load_pack("gender"), load_pack("race").model_copy(update={"columns": ["sex"]})
    monkeypatch.setattr(packs, "_in_order", lambda: (gender, race))
    dimension_columns.cache_clear()
    with pytest.raises(InputError, match="'gender' and 'race': both name the column 'sex'"):
        dimension_columns()
    dimension_columns.cache_clear()


def test_how_a_file_is_read_is_in_no_key_and_is_not_lost():
    pack = load_pack("gender")
    reading = {"columns", "audit", "order", "letters", "letters_instead"}
    assert not reading & set(pack.model_dump())
    assert "spellings" not in pack.model_dump()["groups"]["female"]
    more = with_given(pack, "gender", ["female", "male", "other"])
    assert {n: getattr(more, n) for n in reading} == {n: getattr(pack, n) for n in reading}


def test_letters_must_mean_groups():
    settings = load_pack("gender").model_dump() | {"letters": {"z": "zebra"}}
    with pytest.raises(ValueError, match="letters name groups that do not exist: zebra"):
        Pack.model_validate(settings)
