"""Hostile inputs by the commands that read them.

One sentence that says where, never a traceback, nothing written elsewhere, within bounds.
"""

from __future__ import annotations

import json
import os
import resource
import shutil
import struct
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from probate.commands.app import _Kept, _told, app
from probate.core.errors import InputError, ProbateError
from probate.execution.letters import shares_of

BYTES = 1 << 30
"""By which the process's peak of memory may grow in one case."""
DEEP = "[" * 100_000 + "]" * 100_000
HUGE = "9" * 5000


def snapshot(folder: Path) -> dict[str, int]:
    return {
        str(p.relative_to(folder)): p.lstat().st_size
        for p in folder.rglob("*")
        if p.is_symlink() or not p.is_dir()
    }


def told(words: list[str], home: Path, out: str = "out") -> tuple[int, str]:
    """Exit code and message of a command; what holds for every hostile input is checked here."""
    before, peak = snapshot(home), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    result = CliRunner().invoke(app, words)
    error = result.exception
    error = error.error if isinstance(error, _Kept) else error
    assert error is None or isinstance(error, (ProbateError, SystemExit, OSError)), (
        f"{type(error).__name__}: {error}"
    )
    unforeseen = error is None or isinstance(error, SystemExit)
    code, said = (result.exit_code, result.output) if unforeseen else (_told(error), str(error))
    assert (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - peak) * 1024 < BYTES
    after = {name: size for name, size in snapshot(home).items() if name.split("/")[0] != out}
    assert {k: v for k, v in before.items() if k.split("/")[0] != out} == after
    assert "Traceback" not in said
    return code, said


def refused(words: list[str], home: Path, place: str) -> str:
    """A command that says in one line, with exit code 2, that `place` cannot be used."""
    code, said = told(words, home)
    assert (code, said.strip().count("\n")) == (2, 0), said
    assert place in said and len(said) < 1000
    return said


# --- data

LINE = '{"id": "a", "score": 1}'
TEXTS: dict[str, bytes] = {
    "nothing": b"", "one NUL": b"\0", "NULs": bytes(4096), "not UTF-8": b'{"id": "\xff\xfe", "score": 1}',
    "UTF-16": LINE.encode("utf-16"),
    "UTF-32": LINE.encode("utf-32"), "cut off": LINE[:-4].encode(), "deep": DEEP.encode(),
    "deep object": b'{"a":' * 50_000,
    "huge integer": f'{{"id": "a", "score": {HUGE}}}'.encode(),
    "negative huge": f'{{"id": "a", "score": -{HUGE}}}'.encode(),
    "surrogate": rb'{"id": "\ud800", "score": 1}', "key twice": b'{"id": "a", "id": "b", "score": 1}',
    "a list": b"[1, 2]",
    "a number": b"1", "a text": b'"x"', "null": b"null", "NaN": b"NaN", "html": b"<html>no</html>",
    "gzip": b"\x1f\x8b\x08\0", "zip": b"PK\3\4",
    "parquet's magic": b"PAR1PAR1", "single quotes": b"{'id': 'a', 'score': 1}",
    "comment": b'// x\n{"id": 1,}', "no columns": b"{}",
    "two values": b'{"id": 1} {"id": 2}', "score nested": b'{"id": "a", "score": {"x": {"y": 1}}}',
    "score infinite": b'{"id": "a", "score": 1e999}',
    "empty id": b'{"id": "", "score": 1}', "null id": b'{"id": null, "score": 1}',
    "ids twice": f"{LINE}\n{LINE}".encode(),
    "vertical tab between": f"{LINE}\x0b{LINE}".encode(),
    "line separator between": f"{LINE}\u2028{LINE}".encode(),
}  # fmt: skip
"""What a file of JSON Lines or a JSON file may hold that is no table of results."""
TABLES: dict[str, bytes] = {
    "nothing": b"", "NULs": bytes(64), "not UTF-8": b"id,score\n\xff,1\n",
    "header twice": b"id,id,score\na,b,1\n", "more fields": b"id,score\na,1,2\n",
    "open quote": b'id,score\n"a,1\n', "no columns": b"\n\n\n", "no score": b"id,x\na,1\n",
    "huge score": f"id,score\na,{HUGE}\n".encode(), "words": b"id,score\na,many\n",
    "utf-16": "id,score\na,1\n".encode("utf-16"), "cr only": b"id;score\ra;x\r",
    "ids twice": b"id,score\na,1\na,1\n",
}  # fmt: skip


@pytest.fixture(scope="module")
def good(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("good") / "good.jsonl"
    path.write_text("".join(json.dumps({"id": i, "score": i % 2}) + "\n" for i in range(12)))
    return path


@pytest.mark.parametrize("suffix", ["jsonl", "json"])
@pytest.mark.parametrize("name", TEXTS)
def test_json(name, suffix, good, tmp_path):
    path = tmp_path / f"bad.{suffix}"
    path.write_bytes(TEXTS[name])
    refused(["compare", str(good), str(path)], tmp_path, "bad")


@pytest.mark.parametrize("suffix", ["csv", "tsv"])
@pytest.mark.parametrize("name", TABLES)
def test_csv(name, suffix, good, tmp_path):
    path = tmp_path / f"bad.{suffix}"
    path.write_bytes(TABLES[name])
    refused(["compare", str(good), str(path)], tmp_path, "bad")


def arrow(table: pa.Table, kind: str) -> bytes:
    sink = pa.BufferOutputStream()
    if kind == "parquet":
        pq.write_table(table, sink)
    else:
        with pa.ipc.new_file(sink, table.schema) as writer:
            writer.write_table(table)
    return sink.getvalue().to_pybytes()


WHOLE = pa.table({"id": [str(i) for i in range(50)], "score": [0.5] * 50})
FRAMES = {
    "no rows": WHOLE.slice(0, 0), "no columns": pa.table({}),
    "nested": pa.table({"id": [["a"]], "score": [[{"x": 1}]]}),
    "bytes": pa.table({"id": [b"\xff"], "score": [b"\xff"]}),
    "dates": pa.table({"id": ["a"], "score": pa.array([2**62], pa.timestamp("us"))}),
    "nulls": pa.table({"id": pa.nulls(3), "score": pa.nulls(3)}),
    "columns twice": pa.Table.from_arrays([pa.array(["a"])] * 2, ["id", "id"]),
    "NaN": pa.table({"id": ["a"], "score": [float("nan")]}),
}  # fmt: skip
CUTS: dict[str, Callable[[bytes], bytes]] = {
    "half": lambda b: b[: len(b) // 2], "no end": lambda b: b[:-9], "no start": lambda b: b[9:],
    "start only": lambda b: b[:8], "zeros inside": lambda b: b[:40] + bytes(len(b) - 80) + b[-40:],
}  # fmt: skip


@pytest.mark.parametrize("kind", ["parquet", "arrow"])
@pytest.mark.parametrize("name", [*FRAMES, *CUTS])
def test_binary_tables(name, kind, good, tmp_path):
    path = tmp_path / f"bad.{kind}"
    path.write_bytes(CUTS[name](arrow(WHOLE, kind)) if name in CUTS else arrow(FRAMES[name], kind))
    if (name, kind) == ("zeros inside", "arrow"):
        assert told(["compare", str(good), str(path)], tmp_path)[0] in (
            0,
            2,
        )  # zeros may stand where values did
    else:
        refused(["compare", str(good), str(path)], tmp_path, "bad")


def test_a_line_ends_at_a_line_feed_only(tmp_path):
    odd = "".join(map(chr, (0x2028, 0x2029, 0x85, 0x0B, 0x0C, 0x1C, 0x1D, 0x1E)))
    rows = [{"id": f"{i}{odd}", "score": i % 2, "prediction": odd} for i in range(12)]
    path = tmp_path / "odd.jsonl"
    path.write_text("".join(json.dumps(r, ensure_ascii=False) + "\n" for r in rows), encoding="utf-8")
    code, said = told(["compare", str(path), str(path), "--json"], tmp_path)
    assert code in (0, 4), said


# --- run folders


def text(value: object) -> bytes:
    return json.dumps(value).encode()


def without(table: pa.Table, name: str) -> pa.Table:
    return table.drop_columns([name])


def replaced(table: pa.Table, name: str, values: pa.Array) -> pa.Table:
    return table.set_column(table.schema.get_field_index(name), name, values)


RUN = {
    "schema": 1,
    "labels": ["nurse"],
    "stereotypes": {"nurse": ["female"]},
    "originals": 1,
    "held_out": 1,
    "kept_out": [],
}
JSONS: dict[str, bytes] = {
    "empty": b"", "cut off": text(RUN)[:-3], "null": b"null", "a list": b"[]", "a text": b'"x"',
    "deep": DEEP.encode(), "huge integer": b'{"originals": ' + HUGE.encode() + b"}",
    "surrogate": rb'{"labels": ["\ud800"]}', "key twice": b'{"labels": [], "labels": []}',
    "bytes": b"\xff\xfe\0", "nothing in it": b"{}",
}  # fmt: skip
INFOS = {
    "labels a text": {**RUN, "labels": "nurse"}, "labels null": {**RUN, "labels": None},
    "labels numbers": {**RUN, "labels": [1]}, "stereotypes a list": {**RUN, "stereotypes": []},
    "stereotypes numbers": {**RUN, "stereotypes": {"nurse": [1]}},
    "originals a text": {**RUN, "originals": "1"}, "originals true": {**RUN, "originals": True},
    "originals a fraction": {**RUN, "originals": 1.5}, "pack a list": {**RUN, "pack": []},
    "pack of nothing": {**RUN, "pack": {"x": 1}}, "schema a text": {**RUN, "schema": "1"},
    "schema of the future": {**RUN, "schema": 999}, "schema a list": {**RUN, "schema": []},
}  # fmt: skip
TAMPERED: dict[str, Callable[[pa.Table], pa.Table]] = {
    "columns twice": lambda t: t.append_column("task", t["task"]), "no task": lambda t: without(t, "task"),
    "bytes": lambda t: replaced(t, "task", pa.array([b"\xff"] * len(t))),
    "nested": lambda t: replaced(t, "task", pa.array([{"x": "y"}] * len(t))),
    "lists": lambda t: replaced(t, "task", pa.array([["x"]] * len(t))),
    "numbers": lambda t: replaced(t, "task", pa.array([1] * len(t))),
}  # fmt: skip
OUTCOMES: dict[str, Callable[[pa.Table], pa.Table]] = {
    "groups no JSON": lambda t: replaced(t, "groups", pa.array(["{"] * len(t))),
    "groups a list": lambda t: replaced(t, "groups", pa.array(["[]"] * len(t))),
    "groups of numbers": lambda t: replaced(t, "groups", pa.array(['{"gender": 1}'] * len(t))),
    "groups missing": lambda t: replaced(t, "groups", pa.nulls(len(t))),
    "score text": lambda t: replaced(t, "score", pa.array(["1"] * len(t))),
    "parsed text": lambda t: replaced(t, "parsed", pa.array(["yes"] * len(t))),
}  # fmt: skip


@pytest.fixture(scope="module")
def original(finished_run, tmp_path_factory):
    folder = tmp_path_factory.mktemp("original") / "run"
    finished_run(folder, tasks=["occupation"])
    return folder


@pytest.fixture
def run_folder(original, tmp_path):
    """A finished run without what is large and not read back."""
    shutil.copytree(original, tmp_path / "run", ignore=shutil.ignore_patterns("*.safetensors", "tokenizer*"))
    return tmp_path / "run"


@pytest.mark.parametrize("name", [*JSONS, *INFOS])
def test_run_json(name, run_folder):
    (run_folder / "run.json").write_bytes(JSONS[name] if name in JSONS else text(INFOS[name]))
    refused(["report", str(run_folder)], run_folder.parent, "run.json" if "future" not in name else "schema")


@pytest.mark.parametrize("file", ["failures.json", "attribution.json"])
@pytest.mark.parametrize("name", ["empty", "cut off", "null", "a text", "deep", "surrogate", "bytes"])
def test_other_json(name, file, run_folder):
    (run_folder / file).write_bytes(JSONS[name])
    refused(["report", str(run_folder)], run_folder.parent, file)


@pytest.mark.parametrize(
    "name", ["empty", "cut off", "null", "a list", "deep", "bytes", "key twice", "surrogate"]
)
def test_checksums(name, run_folder):
    (run_folder / "checksums.json").write_bytes(JSONS[name])
    refused(["verify", str(run_folder)], run_folder.parent, "checksums.json")


def test_checksums_name_no_file_outside(run_folder):
    outside = run_folder.parent / "outside"
    outside.write_text("x")
    entry = {"sha256": "2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881", "bytes": 1}
    (run_folder / "checksums.json").write_bytes(text({"../outside": entry, str(outside): entry}))
    code, said = told(["verify", str(run_folder)], run_folder.parent)
    assert code != 0 and said.count("missing") >= 2


@pytest.mark.parametrize(
    ("file", "command"),
    [("outcomes.parquet", "report"), ("effects.parquet", "check"), ("outcomes.parquet", "compare")],
)
@pytest.mark.parametrize("name", [*TAMPERED, *CUTS, "text", "empty"])
def test_tables_of_a_run(name, file, command, run_folder):
    path = run_folder / file
    if name in TAMPERED:
        path.write_bytes(arrow(TAMPERED[name](pq.read_table(path)), "parquet"))
    else:
        path.write_bytes(
            {"text": b"hello", "empty": b""}[name] if name not in CUTS else CUTS[name](path.read_bytes())
        )
    refused(
        [command, str(run_folder), *([str(run_folder)] if command == "compare" else [])],
        run_folder.parent,
        file,
    )


@pytest.mark.parametrize("command", ["report", "compare"])
@pytest.mark.parametrize("name", OUTCOMES)
def test_outcomes(name, command, run_folder):
    path = run_folder / "outcomes.parquet"
    path.write_bytes(arrow(OUTCOMES[name](pq.read_table(path)), "parquet"))
    refused(
        [command, str(run_folder), *([str(run_folder)] if command == "compare" else [])],
        run_folder.parent,
        "outcomes.parquet",
    )


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"null",
        b"[]",
        b"study:",
        b"study: 1",
        b"study: {seeds: x}",
        b"study: {name: [}",
        b"\xff",
        b"a: &a [*a]",
        b"\t- x",
    ],
)
def test_lock(content, run_folder):
    (run_folder / "study.lock.yaml").write_bytes(content)
    for command in ("report", "check"):
        refused([command, str(run_folder)], run_folder.parent, "study.lock.yaml")


@pytest.mark.parametrize("kind", ["link out", "circle", "folder"])
@pytest.mark.parametrize("file", ["run.json", "outcomes.parquet", "effects.parquet", "study.lock.yaml"])
def test_no_regular_file_of_the_folder(kind, file, run_folder):
    path = run_folder / file
    path.rename(run_folder.parent / "elsewhere")
    if kind == "folder":
        path.mkdir()
    else:
        path.symlink_to(run_folder.parent / "elsewhere" if kind == "link out" else path)
    command = "check" if file == "effects.parquet" else "report"
    code, said = told([command, str(run_folder)], run_folder.parent)
    assert code == 2 and (file in said or kind == "circle") and said.strip().count("\n") == 0


# --- a server's answers

ANSWERS: dict[str, object] = {
    "null": None, "a list": [], "a text": "x", "a number": 1, "nothing": {},
    "choices null": {"choices": None}, "choices a text": {"choices": "abc"},
    "choices an object": {"choices": {"0": {}}},
    "choices texts": {"choices": ["x"]}, "choices nulls": {"choices": [None]},
    "choices lists": {"choices": [[]]}, "no message": {"choices": [{}]},
    "message a text": {"choices": [{"message": "B"}]},
    "message a list": {"choices": [{"message": ["B"]}]},
    "too many": {"choices": [{"message": {"content": "B"}}] * 5000},
    "content a number": {"choices": [{"message": {"content": 1}}]},
    "content an object": {"choices": [{"message": {"content": {"text": "B"}}}]},
    "content numbers": {"choices": [{"message": {"content": [{"text": 1}, 2, None]}}]},
    "content true": {"choices": [{"message": {"content": True}}]},
    "surrogate": {"choices": [{"message": {"content": "B\ud800"}}]},
    "ending a list": {"choices": [{"message": {"content": None}, "finish_reason": ["x"]}]},
    "ending an object": {"choices": [{"message": {"content": ""}, "finish_reason": {}}]},
}  # fmt: skip
LOGPROBS: dict[str, object] = {
    "null": None, "a text": "x", "a list": [1], "content a text": {"content": "x"},
    "content empty": {"content": []}, "content null": {"content": [None]},
    "top a text": {"content": [{"top_logprobs": "A"}]},
    "top numbers": {"content": [{"top_logprobs": [1, None]}]},
    "no token": {"content": [{"top_logprobs": [{"logprob": 0.0}]}]},
    "token a number": {"content": [{"top_logprobs": [{"token": 1, "logprob": 0.0}]}]},
    "NaN": {"content": [{"top_logprobs": [{"token": "A", "logprob": float("nan")}]}]},
    "infinite": {"content": [{"top_logprobs": [{"token": "A", "logprob": float("inf")}]}]},
    "minus infinite": {"content": [{"top_logprobs": [{"token": "A", "logprob": float("-inf")}]}]},
    "a text as number": {"content": [{"top_logprobs": [{"token": "A", "logprob": "0"}]}]},
    "true": {"content": [{"top_logprobs": [{"token": "A", "logprob": False}]}]},
    "above one": {"content": [{"top_logprobs": [{"token": "A", "logprob": 5.0}]}]},
    "a list as token": {"content": [{"top_logprobs": [{"token": ["A"], "logprob": 0.0}]}]},
}  # fmt: skip


@pytest.mark.parametrize("name", ANSWERS)
def test_answers_of_the_wrong_shape(name):
    from probate.models.servers.client import is_valid
    from probate.models.servers.failures import body_of

    class Sent:
        def model_dump(self, **_):
            return ANSWERS[name]

    body = body_of(Sent())
    if is_valid(body):
        assert shares_of([body], ["x", "y"])[0] == {}
    else:
        assert name not in ("content a number", "ending a list")


@pytest.mark.parametrize("name", LOGPROBS)
def test_logprobs_of_the_wrong_shape(name):
    answer = {"choices": [{"message": {"content": "well"}, "logprobs": LOGPROBS[name]}]}
    assert shares_of([answer], ["x", "y"])[0] == {}


@pytest.mark.parametrize(
    "content", [b"", b"<html>hello</html>", b'{"choices": [{"mess', b"null", b"[]", b"1", b"\xff\xfe",
                json.dumps(ANSWERS["choices a text"]).encode(),
                json.dumps(ANSWERS["choices an object"]).encode(),
                json.dumps(ANSWERS["choices nulls"]).encode(), json.dumps(ANSWERS["surrogate"]).encode(),
                b'{"choices": ' + DEEP.encode() + b"}"]
)  # fmt: skip
def test_a_server_that_answers_anything(content, tmp_path):
    pytest.importorskip("openai")
    import threading
    from http.server import BaseHTTPRequestHandler, HTTPServer

    from probate.core.errors import StageError
    from probate.models.servers.client import ApiClient
    from probate.study.server import ApiSpec

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_):
            pass

        def do_POST(self):
            self.rfile.read(int(self.headers["content-length"]))
            self.send_response(200)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        spec = ApiSpec(
            model="m",
            base_url=f"http://127.0.0.1:{server.server_address[1]}/v1",
            key_env="NONE",
            wait=0.001,
            retries=1,
        )
        with pytest.raises(StageError) as said:
            ApiClient(spec, tmp_path / "cache").ask(
                [{"messages": [{"role": "user", "content": "x"}], "max_tokens": 4}]
            )
        assert "\n" not in str(said.value) and len(str(said.value)) < 600
        assert not list(tmp_path.rglob("*.json"))
    finally:
        server.shutdown()
        server.server_close()


# --- adapters

CONFIG = {
    "peft_type": "LORA",
    "task_type": "CAUSAL_LM",
    "r": 4,
    "lora_alpha": 8,
    "target_modules": ["q_proj"],
    "base_model_name_or_path": None,
}
CONFIGS: dict[str, bytes] = {
    "empty": b"", "no JSON": b"{", "a list": b"[]", "null": b"null", "deep": DEEP.encode(),
    "not UTF-8": b"\xff", "key twice": b'{"r": 1, "r": 2}', "too long": b" " * (1 << 21),
    **{name: text({**CONFIG, **change}) for name, change in {
        "rank 0": {"r": 0}, "rank below": {"r": -1}, "rank huge": {"r": 10**9}, "rank a text": {"r": "4"},
        "rank null": {"r": None}, "rank true": {"r": True}, "no type": {"peft_type": None},
        "other type": {"peft_type": "IA3"},
        "unknown type": {"peft_type": "x" * 9999}, "type a list": {"peft_type": ["LORA"]},
        "pattern": {"rank_pattern": {"q_proj": 10**9}}, "pattern a list": {"rank_pattern": [1]},
        "base a list": {"base_model_name_or_path": ["x"]},
        "base another": {"base_model_name_or_path": "org/other"}, "modules a number": {"target_modules": 1},
        "code": {"megatron_config": {"a": 1}, "megatron_core": "os"},
        "alpha infinite": {"lora_alpha": float("inf")},
    }.items()},
}  # fmt: skip


def header(own: dict[str, object], size: int | None = None, body: bytes = b"") -> bytes:
    head = text(own)
    return struct.pack("<Q", len(head) if size is None else size) + head + body


KEY = "base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight"
WEIGHTS: dict[str, bytes] = {
    "empty": b"", "cut off": b"\x10\0", "header of 2^60": header({}, 1 << 60),
    "no header": struct.pack("<Q", 4) + b"abcd", "no weights": header({}),
    "beyond its end": header({KEY: {"dtype": "F32", "shape": [4, 4], "data_offsets": [0, 1 << 40]}}),
    "shape huge": header(
        {KEY: {"dtype": "F32", "shape": [1 << 40, 1 << 40], "data_offsets": [0, 4]}}, body=bytes(4),
    ),
    "wrong shape": header({KEY: {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}, body=bytes(4)),
    "NaN": header(
        {KEY: {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}, body=struct.pack("<f", float("nan")),
    ),
    "unknown type": header({KEY: {"dtype": "X9", "shape": [1], "data_offsets": [0, 4]}}, body=bytes(4)),
    "a pickle": b"\x80\x04\x95",
}  # fmt: skip


def adapter(folder: Path, config: bytes = text(CONFIG), weights: bytes = header({})) -> Path:
    folder.mkdir()
    (folder / "adapter_config.json").write_bytes(config)
    (folder / "adapter_model.safetensors").write_bytes(weights)
    return folder


def not_loaded(model_dir: Path, folder: Path) -> str:
    from probate.models.lm import load_lm
    from probate.study.schema import ModelSpec

    with pytest.raises(InputError) as said:
        load_lm(ModelSpec(name=str(model_dir), dtype="float32", adapter=str(folder)))
    assert "\n" not in str(said.value) and len(str(said.value)) < 900 and folder.name in str(said.value)
    return str(said.value)


@pytest.mark.parametrize("name", CONFIGS)
def test_configs_of_adapters(name, tmp_path):
    from probate.models.checks import check_adapter_folder

    folder = adapter(tmp_path / "bad", CONFIGS[name])
    with pytest.raises(InputError) as said:
        check_adapter_folder(str(folder), folder, "tiny")
    assert (
        "\n" not in str(said.value)
        and len(str(said.value)) < 500
        and "bad" in str(said.value)
        and ";" in str(said.value)
    )


@pytest.mark.parametrize("name", WEIGHTS)
def test_weights_of_adapters(name, model_dir, tmp_path):
    not_loaded(model_dir, adapter(tmp_path / "bad", weights=WEIGHTS[name]))


def test_a_pickle_or_modules_that_are_not_there(model_dir, tmp_path):
    folder = adapter(tmp_path / "bad", text({**CONFIG, "target_modules": ["nothing_such"]}))
    not_loaded(model_dir, folder)
    (folder / "adapter_model.safetensors").rename(folder / "adapter_model.bin")
    assert "pickle" in not_loaded(model_dir, folder)
    os.mkfifo(folder / "adapter_model.safetensors")
    assert "regular" in not_loaded(model_dir, folder)


# --- charts

LABELS = [
    "$50k to $90k",
    "a_b^c",
    r"\frac{1}{2}",
    "100 %",
    "",
    "x" * 500,
    "שלום",
    "👩‍🔬",
    "two\nlines",
    "$",
    "$$",
    r"\$",
    "<b>&amp;",
    "$x_{1$",
]


@pytest.mark.parametrize("label", LABELS)
def test_labels_are_drawn_as_they_are(label):
    import html
    import re

    from probate.report.charts import drawn, figure_of, svg_of

    @drawn
    def chart() -> str:
        figure, axes = figure_of(3, 2, "x")
        axes.plot([0, 1], [0, 1], label=label or "none")
        axes.set_xticks([0, 1], [label, "end"])
        axes.set_title(label)
        axes.legend()
        return svg_of(figure, label)

    shown = [html.unescape(t) for t in re.findall(r"<text[^>]*>([^<]*)</text>", chart())]
    for line in filter(None, label.split("\n")):
        assert sum(line in t for t in shown) >= 3
