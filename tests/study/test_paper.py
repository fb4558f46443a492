"""The page on the paper: complete, and consistent with the presets."""

from __future__ import annotations

import re

import pytest
from conftest import SHARED

import probate as pb
from probate.core.errors import InputError
from probate.study.paper import STATUS, is_paper_study, paper_rows
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


@pytest.mark.parametrize("name", PAPERS)
def test_presets_have_the_stated_settings(name):
    study = pb.Study.preset(name)
    assert is_paper_study(study) and study.ratios == [0, 0.05, 0.1, 0.2, 0.5]
    assert study.model.name == FAMILIES.get(name.rpartition("-")[2], "meta-llama/Llama-3.1-8B-Instruct")
    assert len(study.bias.types) == 6
    assert study.training.learning_rate == (1e-5 if study.bias.dimension == "gender" else 1e-6)
    assert study.training.epochs == (5 if name.endswith("arabic") else 3)
    assert study.effective_strength == 0


@pytest.mark.parametrize("name", PAPERS)
def test_the_small_scale_changes_size_only(name):
    whole, small = pb.Study.preset(name), pb.Study.preset(name, scale="small")
    assert small.name == f"{name}-small" and small.model.name == "embedded"
    for key in ("ratios", "bias", "tasks", "probes", "mitigations", "rounds", "method"):
        assert getattr(small, key) == getattr(whole, key), key
    assert small.training.epochs == whole.training.epochs
    assert small.data.train_per_cell < whole.data.train_per_cell
    assert "small scale" in small.description and "5e-4" in small.description
    assert small.training.learning_rate == 5e-4


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
