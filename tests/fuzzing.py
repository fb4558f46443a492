"""Readers of what others wrote, each with a good input, and edits that make bad ones of it.

Used by test_fuzz.py and benchmarks/fuzz.py.
"""

from __future__ import annotations

import copy
import gzip
import http.client
import json
import socket
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from probate.core.errors import InputError
from probate.core.parse import NotJson, json_value
from probate.core.records import read_records
from probate.data.packs import read_pack
from probate.data.rows import source_rows
from probate.data.surveys import survey_rows
from probate.execution.checksums import verify
from probate.execution.folder import RunFolder
from probate.execution.letters import shares_of
from probate.models.adapter_files import read_config
from probate.models.servers.client import is_valid
from probate.models.servers.failures import body_of
from probate.report.comparison.read import read_results
from probate.report.review.items import Round, Shown
from probate.report.review.marks import merge, read_marks
from probate.report.review.server import ReviewServer
from probate.study.loading import load_study
from probate.study.schema import Study

TOKENS = [b"", b"\0", b"\xff", b"\n", b"\r", b'"', b"{", b"}", b"[", b"]", b",", b":", b"null", b"true",
          b"NaN", b"1e999", b"-1", b"9" * 400, b"\\ud800", b"\xe2\x80\xa8", b"\x1c", b"[" * 5000,
          b"\xef\xbb\xbf", b"'", b"\t", b"&a", b"*a", b"!!python/object:os.system", b"- ", b"\x80\x80",
          b"\xff" * 8, b"\0" * 8, b"\x7f\xff\xff\xff"]  # fmt: skip
KINDS = ("insert", "replace", "remove", "cut", "repeat", "flip")
Edit = tuple[str, int, int, int]
"""Kind, place, length, and which token or bit."""


def edited(good: bytes, edits: list[Edit]) -> bytes:
    """`good` after some edits, which may be of any numbers."""
    for kind, place, length, which in edits:
        at = place % (len(good) + 1)
        end, token = min(len(good), at + length % 64), TOKENS[which % len(TOKENS)]
        if kind == "flip":
            good = good[:at] + bytes(b ^ 1 << which % 8 for b in good[at : at + 1]) + good[at + 1 :]
        else:
            good = {
                "insert": good[:at] + token + good[at:], "replace": good[:at] + token + good[end:],
                "remove": good[:at] + good[end:], "cut": good[:at],
                "repeat": good[:end] + good[at:],
            }[kind]  # fmt: skip
    return good


ODD = [
    None,
    True,
    -1,
    0.5,
    10**30,
    1e308,
    "",
    "x",
    "\u2028",
    [],
    {},
    [[]],
    ["a", None],
    {"a": {}},
    {"id": []},
    [{"content": 1}],
]


def replaced(good: bytes, which: list[tuple[int, int]]) -> bytes:
    """JSON, or JSON Lines, with some of its values replaced, or taken out.

    An edit is a place, and by which of `ODD` (beyond them: taken out).
    """
    lines = (
        [json.loads(line) for line in good.split(b"\n") if line] if good.count(b"\n{") else [json.loads(good)]
    )
    for place, odd in which:
        spots: list[tuple[Any, Any]] = []
        stack: list[Any] = [lines]
        while stack:
            inner = stack.pop()
            keys = list(inner) if isinstance(inner, dict) else list(range(len(inner)))
            spots += [(inner, key) for key in keys if inner is not lines]
            stack += [inner[key] for key in keys if isinstance(inner[key], (dict, list))]
        if not spots:
            break
        at, key = spots[place % len(spots)]
        if odd % (len(ODD) + 2) < len(ODD):
            at[key] = copy.deepcopy(ODD[odd % (len(ODD) + 2)])
        else:
            del at[key]
    return b"\n".join(json.dumps(line).encode() for line in lines) + b"\n"


def text(value: object) -> bytes:
    return json.dumps(value, indent=1).encode()


def table(columns: dict[str, list], kind: str = "parquet") -> bytes:
    sink, own = pa.BufferOutputStream(), pa.table(columns)
    if kind == "parquet":
        pq.write_table(own, sink)
    else:
        with (pa.ipc.new_file if kind == "arrow" else pa.ipc.new_stream)(sink, own.schema) as writer:
            writer.write_table(own)
    return sink.getvalue().to_pybytes()


ROWS = [
    {"id": f"i{i}", "score": i % 2, "text": "She codes.", "groups": {"gender": "female"}, "when": [1, None]}
    for i in range(4)
]
COLUMNS = {
    "id": ["a", "b", "c"],
    "score": [0.5, 1.0, 0.0],
    "text": ["x", "y", None],
    "nested": [{"a": [1]}, None, {"a": []}],
}
N = 3
OUTCOMES = {
    **{
        c: ["x"] * N for c in (
            "study", "arm", "bias_type", "mitigation", "method", "task", "metric", "target", "response",
            "prediction", "scoring",
        )
    },
    "item_id": ["1", "2", "3"], "groups": ['{"gender": "female"}'] * N, "ratio": [0.0] * N, "round": [1] * N,
    "seed": [0] * N, "score": [1.0] * N, "parsed": [True] * N,
}  # fmt: skip
EFFECTS = {
    **{
        c: ["x"] * N for c in (
            "question", "task", "metric", "contrast", "bias_type", "mitigation", "unit", "comparison",
            "reason",
        )
    },
    **{c: [0.5] * N for c in ("ratio", "estimate", "ci_low", "ci_high", "p", "p_adjusted")},
    **{c: [1] * N for c in ("round", "n", "seeds")},
}  # fmt: skip
RUN = {
    "schema": 1,
    "labels": ["nurse"],
    "stereotypes": {"nurse": ["female"]},
    "originals": 1,
    "held_out": 1,
    "kept_out": [],
}
RECORD = {
    "id": "a",
    "text": "x",
    "label": "nurse",
    "groups": {"gender": "female"},
    "origin": "original",
    "messages": [],
    "provenance": {},
}
ITEMS = {
    "what": "groups",
    "question": "?",
    "answers": ["female", "male", "not clear"],
    "items": [{"id": "a", "texts": ["x"], "rank": 0, "detected": "female", "asked": "female"}],
}
ANSWER = {
    "choices": [
        {
            "message": {"content": "A", "refusal": None}, "finish_reason": "stop",
            "logprobs": {"content": [{"token": "A", "top_logprobs": [{"token": "A", "logprob": -0.1}]}]},
        }
    ],
    "usage": {"prompt_tokens": 1},
}  # fmt: skip
ADAPTER = {
    "peft_type": "LORA",
    "r": 4,
    "lora_alpha": 8,
    "target_modules": ["q_proj"],
    "rank_pattern": {"q_proj": 4},
    "base_model_name_or_path": "x",
}
PACK = b"dimension: gender\nsource: me\ngroups:\n  a: {noun: woman, pronouns: [she]}\n  b: {noun: man}\n"
STUDY = (
    b"name: s\nseeds: [0, 1]\nratios: [0, 0.5]\nmodel: embedded\n"
    b"tasks: [occupation]\nbias: {types: [given]}\n"
)


def _file(name: str, read: Callable[[Path], object]) -> Callable[[bytes], object]:
    """A reader of bytes: of a file called so, in a folder of its own."""
    folder = Path(tempfile.mkdtemp(prefix="fuzz-"))

    def reader(content: bytes) -> object:
        (folder / name).write_bytes(content)
        return read(folder / name)

    return reader


SAMPLES = b"".join(
    json.dumps(
        {
            "doc_id": i, "doc_hash": f"h{i}", "filter": "none", "metrics": ["acc"], "acc": i % 2,
            "target": "0", "resps": [[["-1.5", "True"], ["-2.5", "False"]]],
            "doc": {"text": "x", "groups": ["a"]},
        }
    ).encode() + b"\n"
    for i in range(4)
)  # fmt: skip
SURVEY = b"".join(
    json.dumps(
        {
            "messages": [
                {"role": "system", "content": "You are a Portuguese chatbot."},
                {
                    "role": "user",
                    "content": "Give me the answer from 1 to 4: Do you agree? 1. Agree 2. Disagree",
                },
                {"role": "assistant", "content": "1"},
            ],
            "n": i,
        }
    ).encode() + b"\n"
    for i in range(3)
)  # fmt: skip


def _survey(path: Path) -> object:
    return list(survey_rows(source_rows(str(path), "train", Path())))


def _rows(path: Path) -> object:
    return list(source_rows(str(path), "train", Path()))


def _results(path: Path) -> object:
    return read_results(str(path))


def _merged(path: Path) -> object:
    (path.parent / "marks-a.jsonl").write_text('{"id": "a", "answer": "female"}\n')
    return merge(path.parent)


def _answer(content: bytes) -> object:
    try:
        value = json.loads(content)
    except (ValueError, RecursionError):  # the HTTP library's to tell
        return None

    class Sent:
        def model_dump(self, **_: object) -> object:
            return value

    body = body_of(Sent())
    return shares_of([body], ["x", "y"]) if is_valid(body) else None


class Posts:
    """A review server that is sent marks; an error in its handler is kept."""

    def __init__(self) -> None:
        folder = Path(tempfile.mkdtemp(prefix="fuzz-"))
        self.failed: list[BaseException] = []
        failed = self.failed

        class Server(ReviewServer):
            def handle_error(self, *_: object) -> None:
                import sys

                failed.append(sys.exception() or RuntimeError())

        shown = Round("groups", "?", ("female", "male"), [Shown("a", ("x",), {"rank": 0})])
        self.server = Server(shown, folder / "marks-a.jsonl")
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def __call__(self, content: bytes) -> int:
        connection = http.client.HTTPConnection("127.0.0.1", self.server.server_address[1], timeout=600)
        connection.request(
            "POST",
            "/mark",
            content,
            {"x-token": self.server.token, "host": f"127.0.0.1:{self.server.server_address[1]}"},
        )
        status = connection.getresponse().status
        connection.close()
        if self.failed:
            raise self.failed.pop()
        assert status in (200, 400)
        return status

    def raw(self, content: bytes) -> int:
        """Bytes in place of a whole request; the token is put in where `x-token: a` stands."""
        with socket.create_connection(self.server.server_address[:2], timeout=600) as own:
            own.sendall(content.replace(b"x-token: a", b"x-token: " + self.server.token.encode()))
            own.shutdown(socket.SHUT_WR)
            answer = own.recv(1 << 16)
        if self.failed:
            raise self.failed.pop()
        return len(answer)


def is_json(good: bytes) -> bool:
    """Whether a good input is JSON or JSON Lines, so that it can be `replaced`."""
    return good[:1] in (b"{", b"[")


def readers() -> dict[str, tuple[Callable[[bytes], object], bytes]]:
    """Reader → how it reads, and what it reads well."""
    posts = Posts()
    lines = b"".join(json.dumps(r).encode() + b"\n" for r in ROWS)
    csv = b'id,score,text\na,1,"x, y"\nb,0,\xc3\xa9\n'
    return {
        "json value": (json_value, text(ROWS)),
        "jsonl": (_file("x.jsonl", _rows), lines),
        "json": (_file("x.json", _rows), text(ROWS)),
        "jsonl.gz": (_file("x.jsonl.gz", _rows), gzip.compress(lines, mtime=0)),
        "csv": (_file("x.csv", _rows), csv),
        "tsv": (_file("x.tsv", _rows), csv.replace(b",", b"\t")),
        "parquet": (_file("x.parquet", _rows), table(COLUMNS)),
        "arrow file": (_file("x.arrow", _rows), table(COLUMNS, "arrow")),
        "arrow stream": (_file("x.arrow", _rows), table(COLUMNS, "stream")),
        "results jsonl": (_file("x.jsonl", _results), lines),
        "results csv": (_file("x.csv", _results), csv),
        "outcomes": (_file("outcomes.parquet", lambda p: RunFolder(p.parent).outcomes()), table(OUTCOMES)),
        "effects": (_file("effects.parquet", lambda p: RunFolder(p.parent).effects()), table(EFFECTS)),
        "run.json": (
            _file("run.json", lambda p: (RunFolder(p.parent).check_schema(), RunFolder(p.parent).info())),
            text(RUN),
        ),
        "failures.json": (
            _file("failures.json", lambda p: RunFolder(p.parent).failures()),
            text([{"arm": "x", "error": "y"}]),
        ),
        "lock": (
            _file("study.lock.yaml", lambda p: RunFolder(p.parent).study()),
            b"study:\n  name: s\n  seeds: [0]\n",
        ),
        "records": (_file("x.jsonl", read_records), json.dumps(RECORD).encode() + b"\n"),
        "checksums": (
            _file("checksums.json", lambda p: verify(p.parent)),
            text({"a": {"sha256": "0", "bytes": 1}}),
        ),
        "marks": (_file("marks-x.jsonl", read_marks), b'{"id": "a", "answer": "female"}\n'),
        "review items": (_file("items.json", _merged), text(ITEMS)),
        "harness samples": (_file("samples_x_2026-01-01T00-00-00.jsonl", _results), SAMPLES),
        "survey turns": (_file("x.jsonl", _survey), SURVEY),
        "requests": (
            posts.raw,
            b"GET /state HTTP/1.1\r\nHost: 127.0.0.1\r\nx-token: a\r\nContent-Length: 3\r\n\r\n{}\n",
        ),
        "posts": (posts, b'{"id": "a", "answer": "female"}'),
        "adapter config": (_file("adapter_config.json", _adapter), text(ADAPTER)),
        "API answer": (_answer, text(ANSWER)),
        "pack": (_file("x.yaml", lambda p: read_pack(p, "gender")), PACK),
        "study": (_file("x.yaml", lambda p: load_study(Study, p, [])), STUDY),
    }


def _adapter(path: Path) -> object:
    (path.parent / "adapter_model.safetensors").touch()
    return read_config("x", path.parent)


def fault(read: Callable[[bytes], object], content: bytes) -> str:
    """What is wrong with how `content` was read: nothing where there is a value or one sentence."""
    try:
        read(content)
    except (InputError, NotJson) as error:
        lines = str(error).split("\n")  # a study has a line for each of its faults, each with its place
        odd = len(lines) > 1 and not all(":" in line.partition(" ")[0] and ".yaml" in line for line in lines)
        return f"a message of {len(lines)} lines" if odd or max(map(len, lines)) > 1500 else ""
    except Exception as error:
        return f"{type(error).__name__}: {str(error)[:150]}"
    return ""
