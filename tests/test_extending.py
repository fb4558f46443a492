"""What a stranger's plug-in takes part in, with no edit of Probate.

It is made by `probate new`, and put on the path with its metadata.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tomllib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from probate.commands.scaffold import KINDS, write_skeleton
from probate.core.errors import InputError
from probate.data import packs
from probate.data.generation.api_backend import ApiBackend
from probate.data.generation.backends import generation_backend
from probate.data.packs import Pack, audited_packs, dimension_columns, load_pack, with_given
from probate.models.lm import load_backend, load_lm
from probate.models.transformers_backend import Transformers
from probate.study.schema import ModelSpec
from probate.study.server import ApiSpec
from probate.tasks.choice import ChoiceOptions
from probate.tasks.probes.ability import Knowledge
from probate.testing import check_backend, check_probe, check_trainer, sample_context
from probate.train.sft import LoraTrainer
from probate.train.trainer import load_trainer


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


def python(folder: Path, *args: str, packages: Sequence[Path] = ()) -> str:
    """The output of Python in a package's folder, with the package (or `packages`) on its path."""
    path = os.pathsep.join(filter(None, [*map(str, packages or [folder]), os.environ.get("PYTHONPATH")]))
    done = subprocess.run(
        [sys.executable, *args], capture_output=True, text=True, cwd=folder,
        env={**os.environ, "PYTHONPATH": path}
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_written_is_one_file_that_passes_its_suite(kind, tmp_path, model_dir):
    package = installed(tmp_path, kind, "mine")
    files = {
        str(p.relative_to(package)) for p in package.rglob("*") if p.is_file() and ".dist-info" not in str(p)
    }
    data = {"probate_mine/mine.yaml"} if KINDS[kind].data else set()
    assert files == {"pyproject.toml", "probate_mine/__init__.py", "tests/test_mine.py", *data}
    test = package / "tests" / "test_mine.py"
    test.write_text(
        test.read_text().replace('"embedded"', repr(str(model_dir)))
    )  # a tiny model in place of the embedded one
    assert " passed" in python(package, "-m", "pytest", "-p", "no:cacheprovider", "tests")


def test_a_study_takes_the_plug_ins_by_their_names(tmp_path, tiny_study):
    """Two runs of one study: by Probate's own backend and trainer, and by a stranger's.

    The second has a stranger's mitigation and probe, too.
    """
    kinds = {"backend": "plainly", "trainer": "sgd", "mitigation": "softly", "probe": "facts"}
    packages = [installed(tmp_path, kind, name) for kind, name in kinds.items()]
    settings = tiny_study().model_dump(mode="json")
    assert "backend" not in settings["model"] and "trainer" not in settings["training"]
    settings["model"]["backend"], settings["training"]["trainer"] = "plainly", "sgd"
    settings |= {"mitigations": ["softly"], "probes": ["facts"], "tasks": ["occupation"]}
    (tmp_path / "study.yaml").write_text(json.dumps(settings))
    python(tmp_path, "-m", "probate", "run", "study.yaml", "--out", "run", "--quiet", packages=packages)
    outcomes = pd.read_parquet(tmp_path / "run" / "outcomes.parquet")
    assert set(outcomes["mitigation"]) == {"none", "softly"} and set(outcomes["task"]) == {
        "occupation",
        "facts",
    }
    lock = (tmp_path / "run" / "study.lock.yaml").read_text()
    assert "backend: plainly" in lock and "trainer: sgd" in lock


def test_the_backend_of_another_gives_another_fingerprint(lm, model_dir, monkeypatch):
    class Other(Transformers):
        name, title = "other", "Other"

    monkeypatch.setattr(
        "probate.models.lm.load_backend", lambda name: Other() if name == "other" else Transformers()
    )
    other = load_lm(ModelSpec(name=str(model_dir), dtype="float32", backend="other"))
    assert other.fingerprint != lm.fingerprint == load_lm(lm.spec).fingerprint


@pytest.mark.parametrize(("kind", "load"), [("backend", load_backend), ("trainer", load_trainer)])
def test_an_unknown_backend_or_trainer_is_said(kind, load):
    known = {"backend": "transformers", "trainer": "lora"}[kind]
    with pytest.raises(InputError, match=f"no {kind} '{known}s' .did you mean '{known}'.*available: {known}"):
        load(f"{known}s")


def test_the_built_in_backend_and_trainer_pass_their_suites(lm, tmp_path):
    check_backend(Transformers(), lm.spec)
    check_trainer(load_trainer("lora"), lm, tmp_path)


class Shifted(Transformers):
    def score_choices(self, *args, **kwargs):
        return [s - np.arange(len(s)) for s in super().score_choices(*args, **kwargs)]


class Loud(Transformers):
    def generate(self, model, prompts, seeds, **more):
        return [[*a[:7], more["stop_ids"][0]] for a in super().generate(model, prompts, seeds, **more)]


class Careless(Transformers):
    def generate(self, model, prompts, seeds, **more):
        return super().generate(
            model, prompts, [np.random.default_rng().integers(2**31) for _ in seeds], **more
        )


class Late(Transformers):
    def generate(self, model, prompts, seeds, *, done=None, **more):
        return super().generate(model, prompts, seeds, **more)


@pytest.mark.parametrize(
    ("backend", "message"),
    [
        (Shifted, "not the sum of its tokens"), (Loud, "ended it"), (Careless, "same seeds"),
        (Late, "called once for each prompt"),
    ],
)  # fmt: skip
def test_a_backend_that_breaks_the_contract_fails(backend, message, lm):
    with pytest.raises(AssertionError, match=message):
        check_backend(backend(), lm.spec)


class Forgetful(LoraTrainer):
    def train(self, base, examples, training, seed, out, **more):
        found = super().train(base, examples, training, seed, out, **more)
        (out / "adapter_model.safetensors").unlink()
        return found


class Restless(LoraTrainer):
    def train(self, base, examples, training, seed, out, **more):
        return super().train(base, examples, training, seed + (out.name == "two"), out, **more)


class Harsh(LoraTrainer):
    def train(self, base, examples, training, seed, out, **more):
        found = super().train(base, examples, training, seed, out, **more)
        if out.name == "one":
            base.lm_head.weight.data.mul_(2)
        return found


@pytest.mark.parametrize(
    ("trainer", "message"),
    [(Forgetful, "must contain"), (Restless, "write different adapters"), (Harsh, "changed the base model")],
)
def test_a_trainer_that_breaks_the_contract_fails(trainer, message, model_dir, tmp_path):
    with pytest.raises(AssertionError, match=message):
        check_trainer(trainer(), load_lm(ModelSpec(name=str(model_dir), dtype="float32")), tmp_path)


def test_a_probe_that_reads_the_stereotypes_of_the_study_fails(lm):
    class Leaning(Knowledge):
        def items(self, context):
            return [
                replace(i, id=f"{i.id}-{len(context.stereotypes['nurse'])}") for i in super().items(context)
            ]

    check_probe(Knowledge(ChoiceOptions()), lm, sample_context())
    with pytest.raises(AssertionError, match="items of its own"):
        check_probe(Leaning(ChoiceOptions()), lm, sample_context())


def test_a_generator_is_the_server_or_the_loaded_model(lm, tmp_path):
    spec = ModelSpec(name="s", api=ApiSpec(model="m", base_url="http://localhost:1/v1"))
    assert isinstance(generation_backend(spec, None, tmp_path), ApiBackend)
    assert generation_backend(lm.spec, lm, tmp_path).describe() == lm.describe()


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
        "gender": "gender", "sex": "gender", "race": "race", "ethnicity": "race", "race_ethnicity": "race",
        "culture": "culture",
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
