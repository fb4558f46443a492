from __future__ import annotations

from pathlib import Path

import pytest

from probate.core.errors import InputError
from probate.execution.estimate import adapter_bytes
from probate.study.loading import study_folder
from probate.study.presets import presets
from probate.study.schema import Study


def load(tmp_path, text, *overrides):
    path = tmp_path / "s.yaml"
    path.write_text(text, encoding="utf-8")
    return Study.load(path, list(overrides))


def test_presets_load():
    assert {"self-written", "paper-gender"} <= set(presets())
    paper = Study.load("paper-gender")
    assert paper.ratios == [0, 0.05, 0.1, 0.2, 0.5] and len(paper.bias.types) == 6
    assert paper.training.epochs == 3 and paper.training.learning_rate == 1e-5
    assert paper.model.name == "meta-llama/Llama-3.1-8B-Instruct"


def test_all_errors_of_a_file_at_once_with_line_and_spelling(tmp_path):
    text = (
        "name: a\ntraning:\n  epochs: 2\ntraining:\n  epochs: many\n"
        "  lora: {rank: 4}\nbias:\n  types: [contextual-singel-explicit]\n"
    )
    with pytest.raises(InputError) as caught:
        load(tmp_path, text)
    lines = str(caught.value).splitlines()
    assert len(lines) == 4
    found = "\n".join(sorted(lines))
    assert "s.yaml:2: unknown key 'traning' (did you mean 'training'?); allowed: analysis, augmented" in found
    assert "s.yaml:5: training.epochs: input should be a valid integer" in found and "(got 'many')" in found
    assert "s.yaml:6: unknown key 'training.lora.rank'; allowed: alpha, dropout, layers, r, targets" in found
    assert (
        "s.yaml:8: bias.types: 'contextual-singel-explicit' is not "
        "a bias type (did you mean 'contextual-single-explicit'?)"
    ) in found


@pytest.mark.parametrize("ratio", ["1", "1.0", "-0.2"])
def test_gamma_is_checked_before_anything_runs(tmp_path, ratio):
    with pytest.raises(InputError, match=r"s\.yaml:2: ratios: γ must be at least 0 and below 1"):
        load(tmp_path, f"name: a\nratios: [0, {ratio}]\n")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the file is empty"),
        ("- a\n", "must be a mapping"),
        ("name: [\n", "not valid YAML"),
        ("name: a\nname: b\n", r"s\.yaml:2: not valid YAML: key 'name' is duplicated; remove one"),
        ("name: a b\n", "name: string should match"),
        ("model: {device: gpu}\n", r"model\.device: must be one of auto, cpu, cuda, mps; got 'gpu'"),
        ("bias: {types: [given]}\n", "no 'augmented' section"),
        ("augmented: {}\n", r"bias\.types: must be \[given\]"),
        ("bias: {groups: [female, female]}\n", "the groups must differ"),
        ("data: {prompt: no slot}\n", r"data\.prompt: must contain \{text\}"),
        ("bias: {types: [neutral]}\n", "matched control"),
        ("seeds: [0, 0]\n", "seeds must be distinct"),
        ("x: !!python/object/apply:os.system [id]\n", "not valid YAML"),
    ],
)
def test_bad_files(tmp_path, text, message):
    with pytest.raises(InputError, match=message):
        load(tmp_path, text)


def test_overrides(tmp_path):
    study = load(
        tmp_path,
        "name: a\nmodel: embedded\n",
        "training.lora.r=4",
        "model.dtype=bfloat16",
        "ratios=[0, 0.1]",
        "training.learning_rate=1e-5",
    )
    assert study.training.lora.r == 4 and study.model.dtype == "bfloat16" and study.model.name == "embedded"
    assert study.ratios == [0, 0.1] and study.training.learning_rate == 1e-5
    with pytest.raises(InputError, match="must be key=value"):
        load(tmp_path, "name: a\n", "training")
    with pytest.raises(InputError, match=r"--set: training\.epochs"):
        load(tmp_path, "name: a\n", "training.epochs=0")


def test_a_study_extends_another(tmp_path):
    (tmp_path / "below.yaml").write_text(
        "extends: self-written\nname: below\ntraining: {epochs: 7}\n", encoding="utf-8"
    )
    study = load(tmp_path, "extends: below.yaml\nname: above\nratios: [0, 0.1, 0.5]\n", "training.lora.r=4")
    whole = Study.load("self-written")
    assert (study.name, study.ratios, study.training.epochs, study.training.lora.r) == (
        "above",
        [0, 0.1, 0.5],
        7,
        4,
    )
    assert study.training.learning_rate == whole.training.learning_rate and study.tasks == whole.tasks


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "name: a\nextends: self-writen\n",
            r"s\.yaml:2: extends: study 'self-writen': .*did you mean 'self-written'",
        ),
        ("extends: none.yaml\n", r"s\.yaml:1: extends: .*none\.yaml: no such file"),
        ("extends: s.yaml\n", "the study extends itself"),
        ("extends: [a]\n", "must be the name of a preset or a study file"),
        ("extends: bad.yaml\nname: a\n", r"bad\.yaml:1: seeds: "),
    ],
)
def test_extending_what_is_wrong(tmp_path, text, message):
    (tmp_path / "bad.yaml").write_text("seeds: [0, 0]\n", encoding="utf-8")
    with pytest.raises(InputError, match=message):
        load(tmp_path, text)


def test_labels_that_yaml_takes_for_booleans(tmp_path):
    text = (
        "replicate_control: yes\ntasks: [{name: offensive, options: {labels: {OFF: offensive, NO: fine}}}]\n"
    )
    study = load(tmp_path, text)
    assert study.replicate_control is True and study.tasks[0].options["labels"] == {
        "OFF": "offensive",
        "NO": "fine",
    }


def test_unknown_preset():
    with pytest.raises(InputError, match=r"no such preset \(did you mean 'self-written'\?\)"):
        Study.load("self-writen")


def test_not_utf8(tmp_path):
    (tmp_path / "s.yaml").write_bytes(b"name: \xff\n")
    with pytest.raises(InputError, match="not UTF-8 at byte 6"):
        Study.load(tmp_path / "s.yaml")


def test_null_resets_a_key_to_its_default(tmp_path):
    (tmp_path / "below.yaml").write_text("name: b\nratios: [0, 0.1]\ntraining: {epochs: 7, beta: 0.3}\n")
    study = load(tmp_path, "extends: below.yaml\nname: a\nratios: null\ntraining: {epochs: null}\n")
    assert study.ratios == Study().ratios and study.training.epochs == Study().training.epochs
    assert study.training.beta == 0.3
    assert study.with_(training={"beta": None}).training.beta == Study().training.beta
    assert study.with_(training=None).training == Study().training


def test_a_folder_does_not_hide_a_preset(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("self-written", "own"):
        (tmp_path / name).mkdir()
    assert Study.load("self-written").name == "self-written"
    assert study_folder("self-written") == Path(".")
    assert load(tmp_path, "extends: self-written\nname: a\n").tasks == Study.preset("self-written").tasks
    with pytest.raises(InputError, match="own: is a folder, not a file"):
        Study.load("own")


@pytest.mark.parametrize(
    ("size", "parameters"), [(134.5e6, 4.88e6), (1.24e9, 11.3e6), (8.03e9, 41.9e6), (70.6e9, 207e6)]
)  # of rank-16 adapters on all linear layers of SmolLM2-135M and of Llama 3 at 1B, 8B and 70B
def test_adapters_of_known_models_have_their_size(size, parameters):
    assert parameters / 1.7 < adapter_bytes(size, 16) / 4 < parameters * 1.7
    assert adapter_bytes(size, 8) == adapter_bytes(size, 16) / 2
