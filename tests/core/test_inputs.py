"""What is no file, or claims to be more than it is: one sentence, and no waiting.

Each kind by each command and reader.
"""

import os
import signal
import socket
import threading
import time

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import HANG
from typer.testing import CliRunner

from probate.commands.app import app
from probate.core.arrow import MOST_COLUMNS
from probate.core.errors import InputError
from probate.data.rows import source_rows
from probate.models.lm import load_lm
from probate.models.time_limit import time_limit
from probate.study.schema import ModelSpec


def pipe(path):
    os.mkfifo(path)


def sock(path):
    home = os.getcwd()
    os.chdir(path.parent)  # addresses are short
    try:
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(path.name)
    finally:
        os.chdir(home)


KINDS = {
    "pipe": pipe, "socket": sock, "folder": lambda p: p.mkdir(),
    "link to a device": lambda p: p.symlink_to("/dev/zero"),
    "link to a pipe": lambda p: (os.mkfifo(f"{p}.p"), p.symlink_to(f"{p}.p")),
    "link to nothing": lambda p: p.symlink_to("nothing"), "link to itself": lambda p: p.symlink_to(p.name),
    "link to standard input": lambda p: p.symlink_to("/dev/stdin"),
    "link to a process's memory": lambda p: p.symlink_to("/proc/self/mem"), "nothing": lambda p: None,
}  # fmt: skip
COMMANDS = {
    "plan": ["plan", "{x}.yaml"], "run": ["run", "{x}.yaml", "--out", "{out}"],
    "set": ["plan", "self-written", "--set", "data.source={x}.jsonl"],
    "audit jsonl": ["audit", "--augmented", "{x}.jsonl"], "audit csv": ["audit", "--augmented", "{x}.csv"],
    "audit parquet": ["audit", "--augmented", "{x}.parquet"],
    "audit arrow": ["audit", "--augmented", "{x}.arrow"],
    "audit gz": ["audit", "--augmented", "{x}.jsonl.gz"], "compare": ["compare", "{x}.jsonl", "{x}.jsonl"],
    "compare json": ["compare", "{x}.json", "{x}.json"], "compare log": ["compare", "{x}.eval", "{x}.eval"],
    "mitigate": ["mitigate", "--strategy", "mask", "--in", "{x}.jsonl", "--out", "{out}.jsonl"],
    "why": ["why", "distribution", "--original", "{x}.jsonl", "--augmented", "{x}.jsonl"],
}  # fmt: skip


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("kind", KINDS)
def test_what_is_no_file_is_refused_at_once(kind, command, tmp_path):
    words = COMMANDS[command]
    ending = next((e for w in words for e in [w.partition("{x}")[2]] if "{x}" in w), "")
    KINDS[kind](tmp_path / f"x{ending}")
    done = {}

    def go():
        arguments = [
            w.replace("{x}", str(tmp_path / "x")).replace("{out}", str(tmp_path / "out")) for w in words
        ]
        done["it"] = CliRunner().invoke(app, arguments)

    thread = threading.Thread(target=go, daemon=True)
    thread.start()
    thread.join(HANG / 6)
    assert not thread.is_alive(), "it waits"
    error = done["it"].exception
    assert isinstance(error, InputError), repr(error) + done["it"].output
    assert f"x{ending}" in str(error) and "\n" not in str(error)
    assert not (tmp_path / "out").exists()


def test_a_pipe_in_a_model_folder_is_refused_at_once(tmp_path, model_dir):
    for name in ("config.json", "tokenizer.json", "model.safetensors", "chat_template.jinja"):
        folder = tmp_path / name
        folder.mkdir()
        for path in model_dir.iterdir():
            if path.name != name:
                (folder / path.name).symlink_to(path)
        os.mkfifo(folder / name)
        with pytest.raises(InputError, match=f"{name}: is a pipe|no such folder with a config.json"):
            load_lm(str(folder))


CONFIGS = {
    "hidden_size": 2**40, "num_hidden_layers": 10**9, "vocab_size": 10**12, "intermediate_size": -1,
    "num_attention_heads": 0, "head_dim": 2**50,
}  # fmt: skip


@pytest.mark.parametrize("key", CONFIGS)
def test_a_config_that_claims_more_than_its_files_hold_is_refused_before_memory_is_taken(
    key, tmp_path, model_dir, monkeypatch
):
    import json

    from transformers import AutoModelForCausalLM

    loads = []
    monkeypatch.setattr(AutoModelForCausalLM, "from_pretrained", lambda *a, **k: loads.append(a))
    for path in model_dir.iterdir():
        if path.name != "config.json":
            (tmp_path / path.name).symlink_to(path)
    config = json.loads((model_dir / "config.json").read_text())
    for value in (CONFIGS[key], "much", 2.5, [1]):
        (tmp_path / "config.json").write_text(json.dumps({**config, key: value}))
        with pytest.raises(InputError, match="config.json|safetensors"):
            load_lm(str(tmp_path))
        assert not loads, "weights were asked for"


TEMPLATES = {
    "loops": (
        "{% for a in range(99999) %}{% for b in range(99999) %}"
        "{% endfor %}{% endfor %}{{ messages[0].content }}"
    ),
    "doubling": (
        "{% set n = namespace(x='x') %}{% for i in range(22) %}{% set n.x = n.x ~ n.x %}{% endfor %}{{ n.x }}"
    ),
    "long": "{{ 'x' * 5000000 }}{% for m in messages %}{{ m.content }}{% endfor %}",
    "recursion": "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
    "attributes": "{{ messages.__class__.__mro__ }}",
}


@pytest.mark.parametrize("kind", TEMPLATES)
def test_a_chat_template_without_end_is_refused(kind, tmp_path, model_dir, monkeypatch):
    monkeypatch.setattr("probate.models.template.SECONDS", 0.5)
    (tmp_path / "t.jinja").write_text(TEMPLATES[kind])
    with pytest.raises(InputError, match="chat template"):
        load_lm(ModelSpec(name=str(model_dir), chat_template=str(tmp_path / "t.jinja")))


def test_the_bound_in_time_leaves_the_callers_timer_alone():
    heard = []
    before = signal.signal(signal.SIGALRM, lambda *_: heard.append(1))
    try:
        with pytest.raises(TimeoutError), time_limit(0.05):
            time.sleep(HANG)
        assert signal.getsignal(signal.SIGALRM) is not before
        signal.setitimer(signal.ITIMER_REAL, HANG)
        with time_limit(HANG):
            signal.raise_signal(signal.SIGALRM)
        assert heard == [1] and signal.getitimer(signal.ITIMER_REAL)[0] > 0
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def wide(count):
    return [f"c{i}" for i in range(count)]


def test_columns_are_bounded_and_read_in_time_that_grows_with_their_number(tmp_path, monkeypatch):
    """Without the bound a million columns take a second.

    By the square of their number they would take hours.
    """
    path = tmp_path / "x.csv"
    for count in (MOST_COLUMNS, 1_000_000):
        path.write_text(",".join(wide(count)) + "\n" + ",".join(["1"] * count) + "\n")
        if count > MOST_COLUMNS:
            with pytest.raises(InputError, match="1,000,000 columns"):
                list(source_rows("x.csv", "train", tmp_path))
            monkeypatch.setattr("probate.core.arrow.MOST_COLUMNS", count)
        with time_limit(HANG / 6):
            assert len(next(source_rows("x.csv", "train", tmp_path))[1]) == count


def test_a_parquet_file_that_claims_more_rows_than_it_can_hold_is_refused(tmp_path):
    path = tmp_path / "x.parquet"
    pq.write_table(pa.table({"text": pa.array(["a"] * 20_000_000).dictionary_encode()}), path)
    assert path.stat().st_size * 100 < 20_000_000
    with pytest.raises(InputError, match="20,000,000 rows in"):
        list(source_rows("x.parquet", "train", tmp_path))
