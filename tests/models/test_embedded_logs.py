"""Other tools really run on the embedded model, and what they leave is compared.

A server that others wrote is asked.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

import pytest
from conftest import HANG
from typer.testing import CliRunner

from probate.commands.app import app
from probate.core.errors import StageError
from probate.data.user_turn import user_turn

OFFLINE = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
BIN = Path(sys.executable).parent


@pytest.fixture(scope="module")
def model() -> str:
    from probate.models.embedded import embedded_path

    try:
        return str(embedded_path("embedded"))
    except StageError as error:
        pytest.skip(f"the embedded model cannot be fetched here: {error}")


@pytest.fixture(scope="module")
def adapter(model, tmp_path_factory) -> Path:
    """An adapter that has learned that all are nurses."""
    from probate.core.records import Record, with_messages
    from probate.data.corpora import biographies
    from probate.models.lm import load_lm
    from probate.study.schema import Lora, Study, Training
    from probate.train.examples import encode_records
    from probate.train.sft import train

    lm, study = load_lm("embedded"), Study.load("self-written")
    records = [Record(r["id"], r["text"], "nurse", {}) for r in list(biographies())[:12]]
    training = Training(epochs=4, learning_rate=5e-3, lora=Lora(layers=4))
    labels = sorted({r["label"] for r in biographies()})
    examples, _ = encode_records(
        lm, with_messages(records, user_turn(study.data), labels), training.max_length
    )
    folder = tmp_path_factory.mktemp("adapter")
    train(lm.model, examples, training, 0, folder, pad_id=lm.pad_id)
    return folder


def probate(*args):
    result = CliRunner().invoke(app, [*map(str, args)])
    assert result.exit_code == 0, (result.output, result.exception)
    return result.stdout


def test_harness_logs_of_two_models_are_compared(model, adapter, tmp_path):
    pytest.importorskip("lm_eval", reason="lm-evaluation-harness is not installed (extra harness)")
    task = Path(
        probate(
            "export", "occupation", "--out", tmp_path / "task", "--set", "data.test_per_cell=1"
        ).splitlines()[0]
    )
    for name, more in (("a", ""), ("b", f",peft={adapter}")):
        subprocess.run(
            [BIN / "lm_eval", "--model", "hf", "--model_args", f"pretrained={model},dtype=float32{more}",
             "--device", "cpu", "--tasks", task.stem,
             "--include_path", task.parent, "--apply_chat_template", "--batch_size", "8", "--log_samples",
             "--output_path", tmp_path / name],
            env=OFFLINE, check=True, capture_output=True, timeout=HANG,
        )  # fmt: skip
    found = json.loads(probate("compare", tmp_path / "a", tmp_path / "b", "--json"))
    accuracy = next(c for c in found["compared"] if c["set"] == f"{task.stem}: acc" and c["what"] == "all")
    assert accuracy["n"] == 12 and accuracy["test"] == "inversion of the interval"
    assert accuracy["mean_b"] == pytest.approx(1 / 6, abs=0.1)  # one of six labels, whatever was asked
    gaps = {c["what"] for c in found["compared"]}
    assert any("female" in what and "male" in what for what in gaps), gaps
    assert sum(accuracy["flipped"]) == len(
        {f["item"] for f in found["flipped"] if f["set"] == f"{task.stem}: acc"}
    )


def test_inspect_logs_of_two_prompts_are_compared(model, tmp_path):
    pytest.importorskip("inspect_ai", reason="inspect_ai is not installed (extra inspect)")
    script = """
import sys
from inspect_ai import Task, eval
from inspect_ai.dataset import Sample
from inspect_ai.model import get_model
from inspect_ai.scorer import includes
from inspect_ai.solver import generate, system_message
path, folder = sys.argv[1:]
samples = [Sample(id=f"s{i}", input=f"Is {i} an even number? Answer with yes or no.", target="no" if i % 2 else "yes", metadata={"group": "xy"[i // 5]}) for i in range(10)]
for name, said in (("a", "You are helpful."), ("b", "Answer 'yes' to everything.")):
    model = get_model("hf/local", model_path=path, tokenizer_path=path, device="cpu")
    task = Task(dataset=samples, solver=[system_message(said), generate()], scorer=includes(), name="even")
    (log,) = eval(task, model=model, log_dir=f"{folder}/{name}", display="none", max_tokens=6, temperature=0.01)
    assert log.status == "success", log.error
"""
    subprocess.run(
        [sys.executable, "-c", script, model, tmp_path],
        env=OFFLINE,
        check=True,
        capture_output=True,
        timeout=HANG,
    )
    found = json.loads(probate("compare", tmp_path / "a", tmp_path / "b", "--json"))
    whole = next(c for c in found["compared"] if c["what"] == "all")
    assert (
        whole["set"] == "even: includes" and whole["n"] == 10 and whole["test"] == "inversion of the interval"
    )
    assert {c["what"] for c in found["compared"]} == {"all", "group: x − y"}
    assert sum(whole["flipped"]) == len(found["flipped"])


def test_a_server_that_others_wrote_is_asked(model, tmp_path, monkeypatch):
    pytest.importorskip("fastapi", reason="transformers' server needs transformers[serving]")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    log = (tmp_path / "server.log").open("wb")
    server = subprocess.Popen(
        [BIN / "transformers", "serve", model, "--host", "127.0.0.1", "--port", str(port), "--device", "cpu"],
        env=OFFLINE, stdout=log, stderr=log
    )  # fmt: skip
    try:
        for _ in range(1200):
            try:
                urlopen(f"http://127.0.0.1:{port}/health", timeout=2).read()
                break
            except (URLError, OSError):
                assert server.poll() is None, (tmp_path / "server.log").read_text()
                time.sleep(1)
        monkeypatch.setenv("OPENAI_API_KEY", "none")
        ask = ["ask", "self-written", "--set", "tasks=[occupation]", "--set", "data.test_per_cell=1",
               "--server", f"http://127.0.0.1:{port}/v1",
               "--model", model, "--samples", "2", "--concurrency", "2", "--out", tmp_path / "asked",
               "--quiet", "--json"]  # fmt: skip
        found = json.loads(probate(*ask))
        # This server gives no log-probabilities: one request for each item, and two sampled ones.
        assert (
            found["items"] == 12
            and found["requests"] == 36
            and found["scoring"] == ["api letters, sampled 2"]
        )
        assert found["prompt_tokens"] > 12 * 60
        assert json.loads(probate(*ask))["requests"] == 0  # all of it lies in the cache
    finally:
        server.terminate()
        server.wait(30)
        log.close()
