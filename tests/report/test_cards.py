"""Cards and checksums: what changed is named, and no text becomes markup.

The Croissant file is valid, Hugging Face reads the metadata.
"""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import yaml
from huggingface_hub import DatasetCard, ModelCard
from typer.testing import CliRunner

from probate import run
from probate.commands.app import app
from probate.core.errors import InputError
from probate.execution.checksums import Difference, verify, write_checksums
from probate.execution.folder import RunFolder
from probate.report.cards.data_card import plain
from probate.report.gate.decide import Gate, decide


@pytest.fixture(scope="module")
def finished(tmp_path_factory, model_dir):
    from probate.study.schema import Study

    study = {
        "name": "tiny", "model": str(model_dir),
        "data": {"train_per_cell": 3, "test_per_cell": 3, "labels": ["nurse", "architect"]},
        "augmented": {"source": "builtin:biographies"},
        "bias": {"types": ["given"], "stereotypes": {"nurse": "female", "architect": "male"}},
        "ratios": [0, 0.5], "seeds": [0], "training": {"epochs": 1, "lora": {"r": 4, "alpha": 8}},
        "tasks": ["occupation"], "analysis": {"resamples": 400},
    }  # fmt: skip
    folder = tmp_path_factory.mktemp("cards")
    run(Study.model_validate(study), folder, quiet=True)
    return folder


def probate(*args):
    return CliRunner().invoke(app, [str(a) for a in args])


def test_a_changed_byte_is_named(finished, tmp_path):
    assert verify(finished)[1] == [] and probate("verify", finished).exit_code == 0
    path = finished / "data" / "original.jsonl"
    before = path.read_bytes()
    path.write_bytes(before.replace(b"nurse", b"nursf", 1))
    (finished / "extra.txt").write_text("x")
    held = (finished / "data" / "held-out.jsonl").rename(tmp_path / "held-out.jsonl")
    try:
        found = verify(finished)[1]
        assert found == [
            Difference("data/held-out.jsonl", "missing"), Difference("data/original.jsonl", "changed"),
            Difference("extra.txt", "new")
        ]  # fmt: skip
        result = probate("verify", finished)
        assert result.exit_code == 1 and "changed  data/original.jsonl" in result.output
    finally:
        path.write_bytes(before)
        (finished / "extra.txt").unlink()
        held.rename(finished / "data" / "held-out.jsonl")


def test_a_report_made_again_does_not_hide_what_else_changed(finished):
    path = finished / "provenance.jsonl"
    before = path.read_bytes()
    path.write_bytes(before + b"\n")
    try:
        assert probate("report", finished).exit_code == 0
        assert verify(finished)[1] == [Difference("provenance.jsonl", "changed")]
    finally:
        path.write_bytes(before)


def test_without_checksums_nothing_can_be_verified(tmp_path):
    with pytest.raises(InputError, match=r"checksums\.json is missing"):
        verify(tmp_path)
    (tmp_path / "a").write_text("1")
    write_checksums(tmp_path)
    (tmp_path / "checksums.json").write_text("{")
    with pytest.raises(InputError, match="not valid JSON"):
        verify(tmp_path)


def test_the_data_card_counts_what_is_there(finished):
    card = (finished / "data-card.md").read_text(encoding="utf-8")
    assert "| `data/original.jsonl` | original training records D\\_o | 12 |" in card
    assert "| nurse | 3 | 3 |" in card and "Do not train a model for use on them" in card
    assert "## Results" in card and probate("card", finished).output == card
    assert plain("<b>a|b</b> `x`\n# y [l](u)") == "\\<b\\>a\\|b\\</b\\> \\`x\\` \\# y \\[l\\](u)"


def test_croissant_is_valid_and_reads_the_records(finished):
    mlc = pytest.importorskip("mlcroissant", reason="mlcroissant is not installed")
    found = mlc.Dataset(str(finished / "croissant.json"))
    assert not found.metadata.ctx.issues.errors
    rows = list(found.records("original"))
    assert len(rows) == 12 and {r["original/label"] for r in rows} == {b"nurse", b"architect"}
    whole = json.loads((finished / "croissant.json").read_text(encoding="utf-8"))
    assert any("Made on purpose" in line for line in whole["rai:dataBiases"])


def test_the_hubs_own_reader_keeps_all_of_a_card(finished, monkeypatch):
    said = probate("card", finished, "--hf").output
    card = DatasetCard(said)
    assert card.content == said and card.data.pretty_name == "tiny" and card.data.language == ["en"]
    (decision,) = decide(RunFolder(finished), Gate.model_validate({}))
    both = [decision, replace(decision, task="salary", estimate=0.1234567)]
    monkeypatch.setattr("probate.report.cards.hugging_face.decide", lambda *_: both)
    said = probate("card", finished, "--hf", "--arm", "given-0.5-s0").output
    card = ModelCard(said)
    assert card.content == said and card.data.base_model and card.data.model_name == "tiny-given-0.5-s0"
    assert [(r.metric_type, r.metric_name, r.metric_value) for r in card.data.eval_results] == [
        (
            f"inheritance{kind}", f"{d.task}: inherited gap, {d.comparison}, {d.contrast}{which}",
            round(value, 6),
        )
        for d in both
        for kind, which, value in (
            ("", "", d.estimate), ("_ci_low", ": lower end", d.low), ("_ci_high", ": upper end", d.high)
        )
    ]  # fmt: skip
    control = ModelCard(probate("card", finished, "--hf", "--arm", "control-0-s0").output)
    assert not control.data.eval_results and "model-index" not in control.data.to_dict()


def test_cards_for_the_hub(finished, tmp_path):
    _, head, body = probate("card", finished, "--hf").output.split("---\n", 2)
    meta = yaml.safe_load(head)
    assert {d["path"] for d in meta["configs"][0]["data_files"]} >= {
        "data/original.jsonl",
        "data/held-out.jsonl",
    }
    assert body.startswith("# Data card")
    out = tmp_path / "README.md"
    assert probate("card", finished, "--hf", "--arm", "given-0.5-s0", "--out", out).exit_code == 0
    meta = yaml.safe_load(out.read_text(encoding="utf-8").split("---\n", 2)[1])
    metric = meta["model-index"][0]["results"][0]["metrics"][0]
    assert metric["type"] == "inheritance" and -2 <= metric["value"] <= 2 and meta["library_name"] == "peft"
    assert "not one of them" in probate("card", finished, "--hf", "--arm", "control-0-s0").output
    assert "has no arm 'x'" in str(probate("card", finished, "--hf", "--arm", "x").exception)
    assert "--arm needs --hf" in str(probate("card", finished, "--arm", "x").exception)
