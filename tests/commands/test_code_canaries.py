"""A study names data, never code.

Whatever would run if it were trusted is read, or refused in one sentence, and leaves no canary.
"""

from __future__ import annotations

import json
import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
import yaml
from typer.testing import CliRunner

from probate.commands.app import app
from probate.core.consent import allow
from probate.core.errors import InputError, ProbateError
from probate.tasks.catalogue import load_task
from probate.testing import sample_context

CANARY = "canary"


class Bomb:
    """Leaves the canary when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = str(path)

    def __reduce__(self):
        return (open, (self.path, "w"))


def code(home: Path) -> str:
    """Python that leaves the canary."""
    return f"open({str(home / CANARY)!r}, 'w').close()\n"


def harness_folder(home: Path, extra: str) -> Path:
    """A folder with one harness task, `mine`, and the line that a test adds to it or changes in it."""
    folder = home / "harness"
    folder.mkdir()
    rows = [{"q": f"question {i}", "a": "yes"} for i in range(4)]
    (folder / "rows.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows), encoding="utf-8")
    config = {
        "task": "mine", "dataset_path": "json",
        "dataset_kwargs": {"data_files": {"test": str(folder / "rows.jsonl")}}, "test_split": "test",
        "output_type": "multiple_choice", "doc_to_text": "q", "doc_to_choice": ["yes", "no"],
        "doc_to_target": "a",
    }  # fmt: skip
    config.pop(extra.partition(":")[0], None)
    (folder / "mine.yaml").write_text(yaml.safe_dump(config) + extra, encoding="utf-8")
    (folder / "evil.py").write_text(
        code(home) + "def f(*a, **k): return ''\nclass T: pass\n", encoding="utf-8"
    )
    return folder


JINJA = "{{ cycler.__init__.__globals__.os.system('touch CANARY') }}"
HARNESS: dict[str, tuple[str, dict[str, str]]] = {
    "function": ("doc_to_text: !function evil.f\n", {}),
    "function of a split": ("process_docs: !function evil.f\n", {}),
    "class": ("class: !function evil.T\n", {}),
    "metric function": ("metric_list: [{metric: !function evil.f}]\n", {}),
    "included": ("include: more.yaml\n", {"more.yaml": "doc_to_text: !function evil.f\n"}),
    "included, no yaml": ("include: more.txt\n", {"more.txt": "doc_to_text: !function evil.f\n"}),
    "another task": ("", {"other.yaml": "task: other\nprocess_docs: !function evil.f\n"}),
    "python tag": ("x: !!python/object/apply:os.system ['touch CANARY']\n", {}),
    "fetched metric": ("metric_list: [{metric: FOLDER/evil.py}]\n", {}),
    "hub metric": ("metric_list: [{metric: acc, hf_evaluate: true}]\n", {}),
    "pickled table": ("dataset_path: pandas\n", {}),
    "script of a data set": ("dataset_path: FOLDER\n", {}),
    "unsafe code": ("unsafe_code: true\n", {}),
    "remote code": ("dataset_kwargs: {trust_remote_code: true}\n", {}),
    "no yaml": ("x: [\n", {}),
}


@pytest.mark.parametrize("name", HARNESS)
def test_a_folder_of_harness_tasks_runs_nothing(tmp_path: Path, name: str) -> None:
    pytest.importorskip("lm_eval")
    extra, also = HARNESS[name]
    extra = extra.replace("CANARY", str(tmp_path / CANARY)).replace("FOLDER", str(tmp_path / "harness"))
    folder = tmp_path / "harness"
    folder.mkdir()
    base = "task: mine\noutput_type: multiple_choice\n"
    (folder / "mine.yaml").write_text(base + extra, encoding="utf-8")
    (folder / "evil.py").write_text(
        code(tmp_path) + "def f(*a, **k): return ''\nclass T: pass\n", encoding="utf-8"
    )
    for file, text in also.items():
        (folder / file).write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=r"yaml: .*--allow-code") as caught:
        load_task("lm_eval:mine", {"path": str(folder)}).size(sample_context())
    assert "\n" not in str(caught.value)
    assert not (tmp_path / CANARY).exists()


def test_code_runs_where_the_user_allows_it(tmp_path: Path) -> None:
    """The table above would leave canaries: the same folder does, once it is allowed."""
    pytest.importorskip("lm_eval")
    folder = harness_folder(tmp_path, "process_docs: !function evil.f\n")
    (folder / "evil.py").write_text(code(tmp_path) + "def f(docs): return docs\n", encoding="utf-8")
    with allow(code=True):
        assert load_task("lm_eval:mine", {"path": str(folder)}).size(sample_context()) == 4
    assert (tmp_path / CANARY).exists()


def test_templates_reach_no_code(tmp_path: Path) -> None:
    pytest.importorskip("lm_eval")
    template = JINJA.replace("CANARY", str(tmp_path / CANARY))
    folder = harness_folder(tmp_path, f'doc_to_text: "{template}"\n')
    with pytest.raises(InputError, match="unsafe"):
        load_task("lm_eval:mine", {"path": str(folder)}).size(sample_context())
    assert not (tmp_path / CANARY).exists()


def _study(home: Path, model_dir: Path, **changes: object) -> Path:
    settings = {
        "name": "canaries", "model": str(model_dir), "seeds": [0], "ratios": [0, 0.5],
        "augmented": {"source": "builtin:biographies"},
        "data": {"train_per_cell": 1, "test_per_cell": 1, "labels": ["nurse", "architect"]},
        "bias": {"types": ["given"], "relabel": {"female": {"architect": "nurse"}}},
        "training": {"epochs": 1, "lora": {"r": 2, "alpha": 4}},
        "tasks": ["occupation"], "analysis": {"resamples": 400}, **changes,
    }  # fmt: skip
    path = home / "study.yaml"
    path.write_text(yaml.safe_dump(settings), encoding="utf-8")
    return path


def _tag(home: Path, model: Path) -> list[str]:
    path = _study(home, model)
    path.write_text(
        path.read_text() + f"x: !!python/object/apply:os.system ['touch {home / CANARY}']\n", encoding="utf-8"
    )
    return [str(path)]


def _pickled_weights(home: Path, model: Path) -> list[str]:
    own = Path(shutil.copytree(model, home / "model"))
    for file in own.glob("*.safetensors"):
        file.unlink()
    (own / "pytorch_model.bin").write_bytes(pickle.dumps(Bomb(home / CANARY)))
    return [str(_study(home, own))]


def _remote_code(home: Path, model: Path) -> list[str]:
    own = Path(shutil.copytree(model, home / "model"))
    for name, auto in (("config.json", "AutoConfig"), ("tokenizer_config.json", "AutoTokenizer")):
        found = json.loads((own / name).read_text())
        kinds = (
            {auto: "evil.T", "AutoModelForCausalLM": "evil.T"}
            if auto == "AutoConfig"
            else {auto: ["evil.T", "evil.T"]}
        )
        found |= {
            "auto_map": kinds,
            **({"model_type": "evil"} if auto == "AutoConfig" else {"tokenizer_class": "T"}),
        }
        (own / name).write_text(json.dumps(found))
    (own / "evil.py").write_text(code(home) + "class T: pass\n")
    return [str(_study(home, own))]


def _chat_template(home: Path, model: Path) -> list[str]:
    own = Path(shutil.copytree(model, home / "model"))
    (own / "chat_template.jinja").write_text(JINJA.replace("CANARY", str(home / CANARY)))
    return [str(_study(home, own))]


def _adapter(home: Path, model: Path) -> list[str]:
    own = home / "adapter"
    own.mkdir()
    (own / "adapter_config.json").write_text(
        json.dumps(
            {"peft_type": "LORA", "r": 2, "base_model_name_or_path": str(model), "target_modules": ["q_proj"]}
        )
    )
    (own / "adapter_model.bin").write_bytes(pickle.dumps(Bomb(home / CANARY)))
    return [str(_study(home, model, model={"name": str(model), "adapter": str(own)}))]


def _data_folder(home: Path, model: Path) -> list[str]:
    for name in ("conftest.py", "sitecustomize.py", "usercustomize.py", "yaml.py", "probate.py", "torch.py"):
        (home / name).write_text(code(home))
    return [str(_study(home, model))]


def _script(home: Path, model: Path) -> list[str]:
    own = home / "corpus"
    own.mkdir()
    (own / "corpus.py").write_text(code(home))
    return [str(_study(home, model, data={"source": str(own)}))]


def _pickled_data(suffix: str):
    def make(home: Path, model: Path) -> list[str]:
        path = home / f"rows{suffix}"
        if suffix == ".npz":
            np.savez(path, rows=np.array([Bomb(home / CANARY)], dtype=object))
        else:
            path.write_bytes(pickle.dumps(Bomb(home / CANARY)))
        return [str(_study(home, model, data={"source": str(path)}))]

    return make


BOMBS = {
    "yaml tag": _tag, "pickled weights": _pickled_weights, "remote code": _remote_code,
    "chat template": _chat_template, "adapter": _adapter,
    "modules beside the data": _data_folder, "script of a data set": _script,
    **{
        f"rows{s}": _pickled_data(s) for s in (
            ".pkl", ".npz", ".npy", ".jsonl", ".csv", ".parquet", ".arrow", ".joblib", ".pt", ".tar",
        )
    },
}  # fmt: skip


@pytest.mark.parametrize("command", ["plan", "run"])
@pytest.mark.parametrize("name", BOMBS)
def test_nothing_that_a_study_names_runs(
    tmp_path: Path, model_dir: Path, name: str, command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = BOMBS[name](tmp_path, model_dir)
    monkeypatch.chdir(tmp_path)
    out = ["--out", str(tmp_path / "out"), "--quiet"] if command == "run" else []
    done = CliRunner().invoke(app, [command, *arguments, *out])
    assert done.exception is None or isinstance(done.exception, (ProbateError, SystemExit)), repr(
        done.exception
    )
    assert not (tmp_path / CANARY).exists()


@pytest.mark.parametrize("suffix", [".pkl", ".npz", ".jsonl", ".csv", ".parquet", ".eval", ".json"])
@pytest.mark.parametrize("command", ["audit", "compare", "report"])
def test_no_file_of_data_or_results_runs(tmp_path: Path, suffix: str, command: str) -> None:
    path = tmp_path / f"samples_x{suffix}"
    path.write_bytes(pickle.dumps(Bomb(tmp_path / CANARY)))
    (tmp_path / "study.lock.yaml").write_text(
        f"study: !!python/object/apply:os.system ['touch {tmp_path / CANARY}']\n"
    )
    arguments = {
        "audit": ["audit", "--augmented", str(path), "--out", str(tmp_path / "o")],
        "compare": ["compare", str(path), str(path)], "report": ["report", str(tmp_path)],
    }  # fmt: skip
    done = CliRunner().invoke(app, arguments[command])
    assert done.exit_code
    assert not (tmp_path / CANARY).exists()


def test_the_bombs_are_live(tmp_path: Path) -> None:
    """Each kind leaves the canary where it is trusted, so that the tables above can fail."""
    for make, trust in (
        (lambda: pickle.dumps(Bomb(tmp_path / CANARY)), pickle.loads),
        (lambda: code(tmp_path), exec),
        (
            lambda: JINJA.replace("CANARY", str(tmp_path / CANARY)),
            lambda text: __import__("jinja2").Template(text).render(),
        ),
        (lambda: f"!!python/object/apply:os.system ['touch {tmp_path / CANARY}']", yaml.unsafe_load),
    ):
        trust(make())
        assert (tmp_path / CANARY).exists()
        (tmp_path / CANARY).unlink()
