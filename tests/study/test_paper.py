"""The page on the paper: complete, and consistent with the presets."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from command import probate as command
from conftest import SHARED
from hub import CODES, hub

import probate as pb
from probate.core.errors import InputError
from probate.execution.prepare import prepare
from probate.study.paper import STATUS, is_paper_study, paper_rows
from probate.study.plan import arms_of
from probate.study.presets import presets

FACTS = SHARED.parent / "paper.md"
PAPERS = [name for name in presets() if name.startswith("paper-")]

FAMILIES = {"qwen": "Qwen/Qwen2.5-7B-Instruct", "deepseek": "deepseek-ai/DeepSeek-R1-Distill-Llama-8B"}


def facts() -> list[str]:
    """Items, paragraphs and table rows of the list of facts, without headings."""
    text = FACTS.read_text(encoding="utf-8")
    blocks = re.split(r"\n(?=- |\||#)|\n\n", text)
    own = [" ".join(b.split()) for b in blocks]
    headers = ("#", "|---", "| dimension |", "| work |", "Setting")
    return [b for b in own if b and not b.startswith(headers)]


@pytest.mark.skipif(not FACTS.is_file(), reason="the list of facts is not here")
def test_every_fact_has_a_row_and_every_row_a_fact():
    known, rows = facts(), paper_rows()
    assert len(known) >= 20
    missing = [fact for fact in known if not any(r.cites in fact for r in rows)]
    assert not missing, missing
    stale = [r.cites for r in rows if not any(r.cites in fact for fact in known)]
    assert not stale, stale


def test_rows_are_whole():
    for row in paper_rows():
        assert row.status in STATUS and min(map(len, (row.section, row.paper, row.probate, row.why))) > 3


GENDER = ("paper-gender", "paper-rounds", "paper-mitigations", "paper-api", "paper-gender-qwen")


@pytest.fixture(autouse=True)
def data_sets():
    with hub():
        yield


def parts(study):
    return list(study.variants().values()) or [study]


@pytest.mark.parametrize("name", PAPERS)
def test_presets_have_the_stated_settings(name):
    for study in parts(pb.Study.preset(name)):
        assert is_paper_study(study) and study.effective_strength == 0
        if study.model.api is None:
            assert study.model.name.split("/")[0] in ("meta-llama", "Qwen", "deepseek-ai")
        learning_rate = 1e-5 if study.bias.dimension == "gender" else 1e-6
        assert study.training.learning_rate == learning_rate
        assert study.training.epochs == (5 if study.train_groups == ["arabic"] else 3)
        two = study.rounds > 1 or study.name.startswith("paper-values")
        assert study.ratios == ([0, 0.5] if two else [0, 0.05, 0.1, 0.2, 0.5])
        assert len(study.bias.types) == (1 if study.rounds > 1 else 6)


def test_each_culture_has_a_model_of_its_own():
    own = pb.Study.preset("paper-culture").variants()
    assert {name: s.train_groups for name, s in own.items()} == {
        name: [name] for name in ("arabic", "chinese", "portuguese", "spanish")
    }
    assert {len(s.bias.groups) for s in own.values()} == {4}


def test_rounds_have_both_policies():
    own = pb.Study.preset("paper-rounds").variants()
    assert [(s.round_policy, s.rounds, s.bias.types) for s in own.values()] == [
        ("fresh", 3, ["neutral-synthetic"]),
        ("continued", 3, ["neutral-synthetic"]),
    ]


@pytest.mark.parametrize("name", GENDER)
def test_gender_presets_read_biasinbios(name):
    study = parts(pb.Study.preset(name))[0]
    data = prepare(study, Path()).data
    assert data.labels == list(CODES) and {r.groups["gender"] for r in data.split.train} == {"female", "male"}
    codes = {label: i for label, i in CODES.items()}
    assert all(r.text.endswith(f"{1950 + codes[r.label]}.") for r in data.split.test)
    assert all(
        r.text.startswith({"male": "He", "female": "She"}[r.groups["gender"]]) for r in data.split.test
    )
    assert len(data.split.train) == (3600 if name == "paper-rounds" else 216)
    assert len(data.split.test) == 60 * 12


def test_every_mitigation_is_run_at_each_ratio_and_type():
    arms = arms_of(pb.Study.preset("paper-mitigations"))
    for mitigation in ("token", "mask", "loss"):
        assert len({(a.bias_type, a.ratio) for a in arms if a.mitigation == mitigation}) == 24


@pytest.mark.parametrize("name", PAPERS)
def test_the_small_scale_changes_size_only(name):
    whole, small = pb.Study.preset(name), pb.Study.preset(name, scale="small")
    assert small.name == f"{name}-small" and small.model.name == "embedded"
    for key in ("ratios", "bias", "mitigations", "rounds", "method", "axes"):
        assert getattr(small, key) == getattr(whole, key), key
    for key in ("tasks", "probes"):
        assert [t.key for t in getattr(small, key)] == [t.key for t in getattr(whole, key)], key
    assert small.training.epochs == whole.training.epochs
    assert small.data.train_per_cell < whole.data.train_per_cell
    assert "small scale" in small.description and "5e-4" in small.description
    assert small.training.learning_rate == 5e-4
    for study in parts(small):
        prepare(study, Path())


@pytest.mark.parametrize("family", FAMILIES)
def test_a_family_changes_the_model_only(family):
    other, own = pb.Study.preset("paper-gender"), pb.Study.preset(f"paper-gender-{family}")
    assert own.with_(model=other.model.model_dump(), name=other.name, description=other.description) == other


SCALED = """
name: own
data: {train_per_cell: 9}
scales:
  tiny: {data: {train_per_cell: 2}, seeds: [7]}
"""


def test_a_study_has_scales_of_its_own(tmp_path):
    path = tmp_path / "own.yaml"
    path.write_text(SCALED)
    study = pb.Study.load(path)
    assert (study.name, study.data.train_per_cell) == ("own", 9)
    tiny = pb.Study.load(path, ["seeds=[8]"], "tiny")
    assert (tiny.name, tiny.data.train_per_cell, tiny.seeds) == ("own-tiny", 2, [8])
    (tmp_path / "child.yaml").write_text("extends: own.yaml\nname: child\n")
    assert pb.Study.load(tmp_path / "child.yaml", scale="tiny").name == "child-tiny"


@pytest.mark.parametrize(
    ("text", "scale", "message"),
    [
        (SCALED, "tinny", "--scale tinny: the study .*own.yaml has no such scale .did you mean 'tiny'"),
        ("name: own\n", "tiny", "has no such scale; it has none"),
        ("name: own\nscales: [tiny]\n", None, "own.yaml:2: scales: must map the name of each scale"),
        ("name: own\nscales: {tiny: 3}\n", "tiny", "own.yaml:2: scales: must map the name of each scale"),
        (SCALED.replace("seeds:", "sedes:"), "tiny", "own.yaml:5: unknown key 'sedes' .did you mean 'seeds'"),
    ],
)
def test_a_wrong_scale_is_one_sentence(tmp_path, text, scale, message):
    path = tmp_path / "own.yaml"
    path.write_text(text)
    with pytest.raises(InputError, match=message) as caught:
        pb.Study.load(path, scale=scale)
    assert len(str(caught.value).splitlines()) == 1


def test_the_plan_shows_the_scales_too():
    whole = command("plan", "paper-rounds")
    assert "24 arms in 2 parts" in whole
    small = command("plan", "paper-rounds", "--scale", "small")
    line = next(x for x in whole.splitlines() if x.startswith("--scale small: "))
    assert "16 arms on embedded" in line and "16 arms in 2 parts" in small
    assert not any(x.startswith("--scale") for x in small.splitlines())
    record = json.loads(command("plan", "paper-rounds", "--json"))
    assert len(record["scales"]["small"]["arms"]) == 16
    assert json.loads(command("plan", "self-written", "--json"))["scales"] == {}


def test_a_scale_that_does_not_fit_the_options_is_named():
    own = [
        "--set",
        "model.api.price_in=1",
        "--set",
        "model.api.price_out=1",
        "--set",
        "model.api.fine_tune.price=3",
    ]
    said = command("plan", "paper-api", *own)
    assert "87 jobs" in said or "87 arms" in said
    line = next(x for x in said.splitlines() if x.startswith("--scale small: "))
    assert "cannot be planned with these options: " in line and "model.api" in line
    assert "--scale small: 29 arms" in command("plan", "paper-api")
