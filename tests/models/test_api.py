"""A server that fails: nothing is lost, nothing is asked twice, the budget is kept, the key goes nowhere."""

from __future__ import annotations

import asyncio
import io
import json
import random
import threading
from collections import Counter
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

pytest.importorskip("openai", reason="openai is not installed (extra api)")

from probate.commands.app import app
from probate.core.errors import InputError, StageError
from probate.data.generation.api_backend import ApiBackend
from probate.data.generation.filters import Filters, clean
from probate.data.packs import load_pack
from probate.execution.letters import shares_of
from probate.execution.served import measure
from probate.models.servers.client import SLOWEST, ApiClient
from probate.models.servers.counts import THOUGHT, counts
from probate.models.servers.counts import sentences as count_sentences
from probate.models.thinking import without_thinking
from probate.study.schema import Generation
from probate.study.server import ApiSpec
from probate.tasks.choice import Item
from probate.testing import sample_context

CANARY = "sk-canary-0123456789"


class Server(ThreadingHTTPServer):
    """Answers with the last word of the prompt.

    `fault` says for each request what goes wrong; `logprobs` whether they are given.
    """

    daemon_threads = True
    request_queue_size = 256

    def __init__(self, fault=lambda body: "", logprobs=True):
        self.fault, self.logprobs = fault, logprobs
        self.served: Counter[str] = Counter()
        self.faults: Counter[str] = Counter()
        self.tokens = 0
        self.lock = threading.Lock()
        super().__init__(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_address[1]}/v1"


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_POST(self):
        raw = self.rfile.read(int(self.headers["content-length"]))
        body = json.loads(raw)
        with self.server.lock:
            fault = self.server.fault(body)
            self.server.faults[fault] += 1
        if fault == "drop":
            self.close_connection = True
            self.connection.close()
            return
        if fault in ("429", "500", "401"):
            said = {"error": {"message": f"no, {self.headers['authorization']}", "type": "x", "code": "x"}}
            self.reply(int(fault), json.dumps(said).encode(), {"Retry-After": "0"} if fault == "429" else {})
            return
        if fault == "garbage":
            self.reply(200, b"<html>oops")
            return
        text = body["messages"][-1]["content"]
        used = {
            "prompt_tokens": len(text.split()),
            "completion_tokens": 1,
            "total_tokens": len(text.split()) + 1,
        }
        with self.server.lock:
            self.server.served[raw.decode()] += 1
            self.server.tokens += used["total_tokens"]
        choice = {
            "index": 0,
            "finish_reason": "stop",
            "message": {
                "role": "assistant",
                "content": "B" if "Answer with one letter" in text else text.split()[-1],
            },
        }
        if body.get("logprobs") and self.server.logprobs:
            top = [
                {"token": t, "logprob": float(np.log(p)), "bytes": None}
                for t, p in ((" B", 0.6), ("A", 0.3), ("x", 0.1))
            ]
            choice["logprobs"] = {
                "content": [{"token": " B", "logprob": -0.5, "bytes": None, "top_logprobs": top}]
            }
        answer = {
            "id": "1",
            "object": "chat.completion",
            "created": 0,
            "model": body["model"],
            "choices": [choice],
            "usage": used,
        }
        self.reply(200, json.dumps({} if fault == "empty" else answer).encode())

    def reply(self, status, content, headers=None):
        self.send_response(status)
        for name, value in {
            "content-type": "application/json",
            "content-length": str(len(content)),
            **(headers or {}),
        }.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)


@pytest.fixture
def serve():
    servers = []

    def make(*args, **more):
        servers.append(Server(*args, **more))
        return servers[-1]

    yield make
    for server in servers:
        server.shutdown()
        server.server_close()


def client(server, tmp_path, **more):
    settings = {
        "model": "m",
        "base_url": server.url,
        "key_env": "PROBATE_TEST_KEY",
        "wait": 0.001,
        "retries": 12,
        "concurrency": 16,
    }
    return ApiClient(ApiSpec(**{**settings, **more}), tmp_path / "cache")


def requests(count):
    return [
        {"messages": [{"role": "user", "content": f"Say word{i}"}], "max_tokens": 4} for i in range(count)
    ]


def said(answers):
    return [a["choices"][0]["message"]["content"] for a in answers]


def test_2000_requests_to_a_server_that_fails_three_times_in_ten(serve, tmp_path, monkeypatch):
    monkeypatch.setenv("PROBATE_TEST_KEY", CANARY)
    rng = random.Random(0)

    def fault(_):
        return rng.choice(["429", "500", "drop", "garbage", "empty"]) if rng.random() < 0.3 else ""

    server = serve(fault)
    asked = requests(2000)
    stood = []
    own = client(server, tmp_path)
    assert said(own.ask(asked, lambda i, _: stood.append(i))) == [f"word{i}" for i in range(2000)]
    assert sorted(stood) == list(range(2000))
    assert sum(server.faults[f] for f in ("429", "500", "drop", "garbage", "empty")) > 600
    charged = Counter(
        json.loads(k)["messages"][0]["content"] for k, n in server.served.items() for _ in range(n)
    )
    twice = sum(n - 1 for n in charged.values())
    assert twice == server.faults["empty"]  # only an answer without content is asked again
    again = client(server, tmp_path)
    assert said(again.ask(asked)) == [f"word{i}" for i in range(2000)] and again.sent == 0
    files = list(tmp_path.rglob("*"))
    assert len(files) > 2000 and not any(
        CANARY in f.read_text(encoding="utf-8") for f in files if f.is_file()
    )


def test_equal_requests_are_one(serve, tmp_path):
    server = serve()
    assert said(client(server, tmp_path).ask(requests(3) * 5)) == ["word0", "word1", "word2"] * 5
    assert sum(server.served.values()) == 3


def test_the_budget_is_never_overrun(serve, tmp_path):
    server = serve()
    own = client(server, tmp_path, max_tokens_total=400)
    with pytest.raises(StageError, match="tokens are spent or set aside, another request may take"):
        own.ask(requests(500))
    assert 0 < server.tokens <= 400
    kept = sum(server.served.values())
    more = client(server, tmp_path)
    assert len(said(more.ask(requests(500)))) == 500 and more.sent == 500 - kept


@pytest.mark.parametrize(
    ("fault", "words", "most"),
    [
        ("401", "status 401", 4),
        ("500", "no answer after 3 attempts; last: status 500", 12),
        ("garbage", "no answer after 3", 12),
    ],
)
def test_what_does_not_pass_is_one_sentence_without_the_key(serve, tmp_path, monkeypatch, fault, words, most):
    monkeypatch.setenv("PROBATE_TEST_KEY", CANARY)
    server = serve(lambda _: fault)
    with pytest.raises(StageError, match=words) as error:
        client(server, tmp_path, retries=2, concurrency=4).ask(requests(50))
    assert CANARY not in str(error.value) and sum(server.faults.values()) <= most


def test_a_server_that_is_not_there(tmp_path):
    spec = ApiSpec(model="m", base_url="http://127.0.0.1:9/v1", retries=1, wait=0)
    with pytest.raises(StageError, match="no answer after 2 attempts; last: APIConnectionError"):
        ApiClient(spec, tmp_path).ask(requests(1))


def test_bad_settings_are_one_sentence(tmp_path, monkeypatch, tiny_study):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with pytest.raises(InputError, match="OPENAI_API_KEY is not set"):
        ApiClient(ApiSpec(model="m"), tmp_path).ask(requests(1))
    with pytest.raises(InputError, match="max_cost needs price_in"):
        ApiClient(ApiSpec(model="m", max_cost=1), tmp_path)
    with pytest.raises(InputError, match="must begin with http"):
        ApiClient(ApiSpec(model="m", base_url="localhost"), tmp_path)
    with pytest.raises(ValueError, match="cannot be fine-tuned"):
        tiny_study(model={"api": {"model": "m"}})


def test_a_study_is_generated_by_a_server(serve, tmp_path, tiny_study):
    from probate import run

    server = serve()
    number = iter(range(10_000))

    def write(self, status, content, headers=None):
        answer = json.loads(content)
        name = answer["choices"][0]["message"]["content"].rstrip(".")
        from probate.data.packs import load_pack

        she = "She" if name in load_pack("gender").groups["female"].names else "He"
        n = next(number)
        answer["choices"][0]["message"]["content"] = (
            f"{name} has worked in town {n} for {n} years. {she} is "
            f"known for patience and {n} good ideas, and likes the work."
        )
        original(self, status, json.dumps(answer).encode(), headers)

    original = Handler.reply
    Handler.reply = write
    try:
        study = tiny_study(
            augmented=None, bias={"types": ["contextual-single-explicit"]}, tasks=["occupation"],
            matched_control="original", ratios=[0.5],
            generation={"near_duplicate": 1.0},
            data={"train_per_cell": 2, "test_per_cell": 2, "labels": ["nurse", "dentist"]},
            generator={
                "api": {
                    "model": "writer", "base_url": server.url, "key_env": "PROBATE_TEST_KEY", "wait": 0.001,
                }
            },
        )  # fmt: skip
        result = run(study, tmp_path / "run", quiet=True)
        assert result.exit_code == 0, result.failures
        served = sum(server.served.values())
        run(study, tmp_path / "run", quiet=True)
        assert sum(server.served.values()) == served > 0
    finally:
        Handler.reply = original
    record = json.loads(
        (tmp_path / "run" / "data" / "contextual-single-explicit-s0.jsonl").read_text().splitlines()[0]
    )
    assert (
        record["provenance"]["generator"]["name"] == "writer"
        and record["provenance"]["generator"]["server"] == server.url
    )


@pytest.mark.parametrize("logprobs", [True, False])
def test_tasks_are_asked_by_letters(serve, tmp_path, logprobs):
    from probate.tasks.catalogue import load_task

    server = serve(logprobs=logprobs)
    outcomes = measure(client(server, tmp_path), load_task("occupation"), sample_context(), samples=3)
    assert all(o.parsed for o in outcomes) and {o.scoring for o in outcomes} == {
        "api letters" if logprobs else "api letters, sampled 3"
    }
    shares = [sorted(json.loads(o.response).values()) for o in outcomes]
    assert all(s == pytest.approx([1 / 3, 2 / 3] if logprobs else [0.0, 1.0], abs=1e-3) for s in shares)
    assert len({o.prediction for o in outcomes}) == 2  # B is another option from item to item


def test_unreadable_answers_are_counted_not_guessed():
    assert shares_of([{"choices": [{"message": {"content": "I would rather not say"}}]}], ["x", "y"]) == (
        {},
        "api letters, sampled 1",
    )
    assert shares_of([{"choices": [{"message": {"content": "(b)."}}]}], ["x", "y"])[0] == {"x": 0.0, "y": 1.0}


def test_the_command_writes_outcomes_that_compare_reads(serve, tmp_path, monkeypatch):
    monkeypatch.setenv("PROBATE_TEST_KEY", CANARY)
    server = serve()
    args = [
        "ask",
        "self-written",
        "--set",
        "tasks=[occupation]",
        "--server",
        server.url,
        "--model",
        "m",
        "--key-env",
        "PROBATE_TEST_KEY",
        "--quiet",
    ]
    for name in ("a", "b"):
        result = CliRunner().invoke(app, [*args, "--out", str(tmp_path / name)])
        assert result.exit_code == 0, (result.output, result.exception)
        assert "96 outcomes" in result.output and "scored by api letters" in result.output
    table = pd.read_parquet(tmp_path / "a" / "outcomes.parquet")
    assert (
        list(table.columns)[:16]
        == (
            "study arm bias_type ratio mitigation method round seed "
            "task metric item_id groups target response prediction score"
        ).split()
    )
    result = CliRunner().invoke(app, ["compare", str(tmp_path / "a"), str(tmp_path / "b")])
    assert result.exit_code == 0 and "api: occupation; all: B − A +0 points" in result.output, result.output
    assert "needs the weights of a model" in str(
        CliRunner().invoke(app, [*args[:3], "probes=[representation]", *args[4:]]).exception
    )


def a(content, tokens=None, **more):
    """One answer; `tokens`: probabilities of first tokens."""
    message = {"role": "assistant", "content": content, **more.pop("message", {})}
    top = [{"token": t, "logprob": float(np.log(p))} for t, p in (tokens or {}).items()]
    logprobs = {"content": [{"token": "x", "logprob": 0.0, "top_logprobs": top}]} if tokens else None
    return {"choices": [{"finish_reason": "stop", "message": message, "logprobs": logprobs, **more}]}


@pytest.mark.parametrize(
    ("answer", "name"),
    [
        (a("A"), "nurse"), (a("b"), "dentist"), (a("A."), "nurse"), (a("(A)"), "nurse"),
        (a("**A**"), "nurse"), (a("(b)."), "dentist"),
        (a("Answer: A"), "nurse"), (a("The answer is **B**."), "dentist"), (a("A) nurse"), "nurse"),
        (a("B. dentist"), "dentist"),
        (a("Dentist."), "dentist"), (a("<think>A? no</think>B"), "dentist"),
        (a([{"type": "text", "text": "B"}]), "dentist"),
        (a("A nurse needs patience"), None), (a("A nurse"), None), (a("Answer: A nurse is one"), None),
        (a("A. dentist"), None),
        (a("I would rather not say"), None), (a("C"), None), (a(""), None), (a(None), None),
        (a(None, message={"refusal": "no"}), None),
        (a("A", finish_reason="content_filter"), None), (a(None, finish_reason="length"), None),
        (a("<think>A"), None),
        (a("x", {"A": 0.6, "B": 0.3}), "nurse"), (a("The", {"A": 0.02, "The": 0.9}), None),
        (a("B", {"A": 0.02, "The": 0.9}), "dentist"),
        (a("A", logprobs={"content": None}), "nurse"), (a("A", logprobs={"content": [None]}), "nurse"),
        (a("A", logprobs={"content": [{"top_logprobs": [{"token": "B", "logprob": None}]}]}), "nurse"),
        (a("A", {"A": 0.9}, message={"refusal": "no"}), None),
    ],
)  # fmt: skip
def test_an_answer_is_an_option_or_is_counted(answer, name):
    shares, _ = shares_of([answer], ["nurse", "dentist"])
    assert (max(shares, key=shares.get) if shares else None) == name


@pytest.mark.parametrize("param", ["max_tokens", "logprobs", "top_logprobs", "temperature", "seed"])
def test_a_refused_parameter_is_replaced_and_said_once(serve, tmp_path, monkeypatch, param):
    reply = Handler.reply
    server = serve(lambda body: "400" if param in body else "")

    def post(self):
        raw = self.rfile.read(int(self.headers["content-length"]))
        if param in json.loads(raw):
            said = {
                "error": {
                    "message": f"Unsupported parameter: '{param}'",
                    "type": "x",
                    "param": param,
                    "code": "unsupported_parameter",
                }
            }
            reply(self, 400, json.dumps(said).encode())
            return
        self.rfile, kept = io.BytesIO(raw), self.rfile
        self.server.fault = lambda _: ""
        original(self)
        self.rfile = kept

    original = Handler.do_POST
    monkeypatch.setattr(Handler, "do_POST", post)
    own = client(server, tmp_path, concurrency=1)
    asked = [{**r, "logprobs": True, "top_logprobs": 20, "temperature": 0.0, "seed": 1} for r in requests(3)]
    assert said(own.ask(asked)) == ["word0", "word1", "word2"]
    assert len(own.notes) == 1 and param in own.notes[0] and own.sent == 4


def test_retry_after_may_be_a_date_and_counts_may_be_null(monkeypatch):
    from types import SimpleNamespace as Space

    from probate.models.servers.client import _count
    from probate.models.servers.failures import retry_after

    def wait(value):
        return retry_after(Space(response=Space(headers={"retry-after": value})))

    assert wait("3") == 3 and wait("soon") == wait("") == wait("nan") == 0
    now = datetime(2030, 1, 1, tzinfo=UTC)
    monkeypatch.setattr("probate.models.servers.failures.time.time", now.timestamp)
    assert wait(format_datetime(now + timedelta(hours=1), usegmt=True)) == 3600
    assert wait(format_datetime(now - timedelta(hours=1), usegmt=True)) == 0
    assert [_count(u, "n", 0, 7) for u in (None, {}, {"n": None}, {"n": 3}, {"n": "x"})] == [
        None,
        None,
        None,
        3,
        None,
    ]


LETTER_TOKENS = {
    "logprobs": {
        "content": [
            {
                "token": "B",
                "logprob": -0.1,
                "top_logprobs": [{"token": "B", "logprob": -0.1}, {"token": "A", "logprob": -3.0}],
            }
        ]
    }
}
BEHAVIOURS = {
    "letter": ([{"message": {"content": "B"}}], "B"),
    "logprobs": ([{"message": {"content": "B"}, **LETTER_TOKENS}], "B"),
    "bold": ([{"message": {"content": "**A**"}}], "A"), "bracket": ([{"message": {"content": "(b)."}}], "B"),
    "named": ([{"message": {"content": "The answer is B."}}], "B"),
    "parts": ([{"message": {"content": [{"type": "text", "text": "A"}]}}], "A"),
    "null part": ([{"message": {"content": [{"type": "text", "text": None}, None]}}], "empty"),
    "article": ([{"message": {"content": "A nurse cares"}}], "not an option"),
    "both": ([{"message": {"content": "answer A or answer B"}}], "not an option"),
    "other letter": ([{"message": {"content": "Q"}}], "not an option"),
    "prose": ([{"message": {"content": "It depends."}}], "not an option"),
    "null": ([{"message": {"content": None}}], "empty"),
    "blank": ([{"message": {"content": " \n"}}], "empty"), "number": ([{"message": {"content": 7}}], "empty"),
    "no content": ([{"message": {}}], "empty"),
    "length": ([{"message": {"content": None}, "finish_reason": "length"}], "cut off"),
    "filter": ([{"message": {"content": "B"}, "finish_reason": "content_filter"}], "refused"),
    "filter and tokens": (
        [{"message": {"content": "B"}, "finish_reason": "content_filter", **LETTER_TOKENS}], "refused",
    ),
    "refusal": ([{"message": {"content": None, "refusal": "I cannot"}}], "refused"),
    "ending refusal": ([{"message": {"content": ""}, "finish_reason": "refusal"}], "refused"),
    "thinking": ([{"message": {"content": "<think>A, or B?</think>B"}}], "B"),
    "open thinking": ([{"message": {"content": "<think>A"}}], "thinking only"),
    "no choices": ([], "no choices"),
    "logprobs null": ([{"message": {"content": "A"}, "logprobs": None}], "A"),
    "logprobs empty": ([{"message": {"content": "A"}, "logprobs": {"content": []}}], "A"),
    "tokens null": ([{"message": {"content": "A"}, "logprobs": {"content": [None]}}], "A"),
    "little mass": (
        [
            {
                "message": {"content": "hm"},
                "logprobs": {
                    "content": [
                        {
                            "token": "hm", "logprob": -0.1,
                            "top_logprobs": [
                                {"token": "hm", "logprob": -0.1}, {"token": "A", "logprob": -9.0},
                            ],
                        }
                    ]
                },
            }
        ],
        "not an option",
    ),
    "two choices": ([{"message": {"content": "B"}}, {"message": {"content": "B"}}], "B"),
}  # fmt: skip
"""What a server may say → the letter that is read, or why there is none."""


def test_what_servers_do_is_read_or_counted_by_reason_and_group(serve, tmp_path, monkeypatch):
    assert len(BEHAVIOURS) >= 24

    def post(self):
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        name = body["messages"][-1]["content"].partition("|")[0]
        usage = {"prompt_tokens": None, "completion_tokens": 1} if name == "null" else None
        said = {
            "id": "1",
            "object": "chat.completion",
            "created": 0,
            "model": "m",
            "choices": BEHAVIOURS[name][0],
            "usage": usage,
        }
        self.reply(200, json.dumps(said).encode())

    monkeypatch.setattr(Handler, "do_POST", post)
    items = [
        Item(n, f"{n}| which?", ("a", "b"), ("A", "B"), "A", {"g": "xy"[i % 2]})
        for i, n in enumerate(BEHAVIOURS)
    ]
    monkeypatch.setattr("probate.execution.letters.stable_order", lambda names, *_: list(names))
    own = client(serve(), tmp_path)
    found = measure(own, SimpleNamespace(items=lambda _: items), sample_context(), samples=1)
    table = pd.DataFrame([{**asdict(o), "task": "t", "groups": json.dumps(o.groups)} for o in found])
    rows = counts(table)
    for (name, (_, right)), o in zip(BEHAVIOURS.items(), found, strict=True):
        assert (o.prediction if o.parsed else None) == (right if len(right) == 1 else None), name
    wanted = Counter(right for _, right in BEHAVIOURS.values() if len(right) > 1)
    assert {r["what"]: r["n"] for r in rows if r["what"] != THOUGHT} == wanted
    assert sum(r["n"] for r in rows if r["what"] == THOUGHT) == 2
    assert all(sum(r["groups"]["g"].values()) == r["n"] and r["of"] == len(items) for r in rows)
    said = "\n".join(count_sentences(rows, table))
    assert "t: 4 of 28 answers: refused, not usable (g: x" in said and "nothing is measured" not in said
    assert not any(json.loads(p.read_text())["answer"]["choices"] == [] for p in tmp_path.rglob("*.json"))
    nothing = table[~table["parsed"]]
    assert f"none of the {len(nothing)} answers is usable" in count_sentences(counts(nothing), nothing)[-1]


def test_each_attempt_is_in_the_ledger_before_it_is_sent_and_waits_grow(serve, tmp_path, monkeypatch):
    waits, reserved = [], []
    pause = asyncio.sleep

    async def asleep(seconds):
        waits.append(seconds)
        await pause(0)

    def post(self):
        self.rfile.read(int(self.headers["content-length"]))
        reserved.append((tmp_path / "api-ledger.jsonl").read_text().count('"reserved"'))
        after = {2: "7", 3: "1e9", 4: "soon"}.get(len(reserved))
        self.reply(429 if after else 500, b"{}", {"Retry-After": after} if after else {})

    monkeypatch.setattr(Handler, "do_POST", post)
    monkeypatch.setattr(asyncio, "sleep", asleep)
    with pytest.raises(StageError, match="no answer after 9 attempts; last: status 500"):
        client(serve(), tmp_path, retries=8, wait=1.0).ask(requests(1))
    assert reserved == list(range(1, 10)) and len(waits) == 8
    assert waits[1] == 7 and waits[2] == SLOWEST
    for place in (0, 3, 4, 5, 6, 7):
        most = min(SLOWEST, 2.0**place)
        assert most / 2 <= waits[place] <= most
    assert waits[6] > waits[4] > waits[0]


def test_a_server_that_sends_no_choices_is_counted_and_asked_again_later(serve, tmp_path, monkeypatch):
    def post(self):
        self.rfile.read(int(self.headers["content-length"]))
        self.server.served["x"] += 1
        self.reply(
            200,
            json.dumps(
                {"id": "1", "object": "chat.completion", "created": 0, "model": "m", "choices": []}
            ).encode(),
        )

    monkeypatch.setattr(Handler, "do_POST", post)
    server = serve()
    for times in (1, 2):
        (answer,) = client(server, tmp_path).ask(requests(1))
        assert answer["choices"][0]["finish_reason"] == "no choices" and server.served["x"] == 3 * times


def test_a_refused_generator_answer_is_a_refusal_and_its_thinking_is_counted(serve, tmp_path, monkeypatch):
    texts = iter([{"content": None, "refusal": "no"}, {"content": "<think>hm</think>She works."}])

    def post(self):
        self.rfile.read(int(self.headers["content-length"]))
        choice = {"message": next(texts), "finish_reason": "stop"}
        self.reply(
            200,
            json.dumps(
                {"id": "1", "object": "chat.completion", "created": 0, "model": "m", "choices": [choice]}
            ).encode(),
        )

    monkeypatch.setattr(Handler, "do_POST", post)
    spec = ApiSpec(model="m", base_url=serve().url, key_env="PROBATE_TEST_KEY", concurrency=1)
    asks = [
        SimpleNamespace(id=str(i), prompt=f"Write {i}.", name="Ann", seed=i, language="en") for i in range(2)
    ]
    found = {}
    generation = SimpleNamespace(max_new_tokens=4, temperature=1.0, top_p=1.0)
    backend = ApiBackend(spec, tmp_path)
    for ask in asks:
        backend.answer([ask], generation, lambda pairs: found.update((a.id, t) for a, t in pairs), set())
    check = Filters(load_pack("gender"), ["nurse"], Generation(), "en").check
    assert check(asks[0], clean(found["0"])) == "refusal" and without_thinking(found["1"]) == (
        "She works.",
        True,
    )
