"""One ledger a run folder: reserved on disk before a request, never taken as zero.

It is shared by reruns and processes; answers are bounded in time and size.
"""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
import time
from types import SimpleNamespace

import pytest
from typer.testing import CliRunner

pytest.importorskip("openai", reason="openai is not installed (extra api)")

from conftest import HANG
from test_api import Handler, client, requests, said, serve  # noqa: F401 (a fixture)

from probate.commands.app import app
from probate.core.errors import InputError, StageError
from probate.models.servers import bounds
from probate.models.servers.ledger import LEDGER, Amount, Ledger, ledger_path, read_ledger, share_ledger
from probate.study.server import ApiSpec

MOST = Amount(500, 200)


def ledger(path, **budget):
    return Ledger(ApiSpec(model="m", **budget), path / LEDGER)


def test_a_reservation_is_on_disk_before_the_request_is_sent(serve, tmp_path):  # noqa: F811
    seen = []
    server = serve(lambda _: seen.append((tmp_path / LEDGER).read_text().splitlines()[-1]) or "")
    own = client(server, tmp_path, concurrency=1)
    own.ask(requests(1))
    (most,) = {own._most(r) for r in requests(1)}
    assert [(e["what"], e["prompt"], e["answer"]) for e in map(json.loads, seen)] == [("reserved", *most)]
    assert own.ledger.charged == own.ledger.spent == Amount(2, 1) and read_ledger(
        tmp_path / LEDGER
    ).charged == Amount(2, 1)


def test_a_reservation_without_an_end_stays_charged(tmp_path):
    ledger(tmp_path).reserve(500, 200)  # and a kill
    with pytest.raises(
        StageError, match="700 of 1,000 tokens are spent or set aside, another request may take 301"
    ):
        ledger(tmp_path, max_tokens_total=1000).reserve(300, 1)
    ledger(tmp_path, max_tokens_total=1000).reserve(300, 0)


def test_reruns_go_on_from_what_was_spent_and_the_cache_costs_nothing(serve, tmp_path):  # noqa: F811
    server = serve()
    for _ in range(5):
        with pytest.raises(StageError, match="api budget"):
            client(server, tmp_path, max_tokens_total=400).ask(requests(500))
    assert 0 < server.tokens <= 400
    held, answered = read_ledger(tmp_path / LEDGER).charged, sum(server.served.values())
    again = client(server, tmp_path, max_tokens_total=400)
    known = [r for r in requests(500) if again._cached(again.key(r))]
    assert (
        len(again.ask(known)) == answered
        and again.sent == 0
        and read_ledger(tmp_path / LEDGER).charged == held
    )


SPENDER = """
import sys
from pathlib import Path
from probate.models.servers.ledger import Ledger
from probate.study.server import ApiSpec
from probate.core.errors import StageError
own, done = Ledger(ApiSpec(model="m", max_tokens_total=2000), Path(sys.argv[1])), 0
try:
    while True:
        own.settle(own.reserve(10, 10), 10, 0)
        done += 1
except StageError:
    print(done)
"""


def test_two_processes_cannot_both_spend(tmp_path):
    command = [sys.executable, "-c", SPENDER, str(tmp_path / LEDGER)]
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    done = [int(p.communicate(timeout=HANG)[0]) for p in both]
    assert 1980 <= sum(done) * 10 <= 2000 and read_ledger(tmp_path / LEDGER).charged.tokens == sum(done) * 10


def test_money_is_counted_at_the_price_of_its_time(tmp_path):
    first = ledger(tmp_path, max_cost=1.0, price_in=1000, price_out=2000)
    held = first.reserve(500, 200)
    with pytest.raises(
        StageError, match="0.9000 of 1 is spent or set aside, another request may take 0.2000"
    ):
        first.reserve(0, 100)
    first.settle(held, 100, 50)
    assert ledger(tmp_path, max_cost=1.0, price_in=1, price_out=1).reserve(0, 100)
    assert read_ledger(tmp_path / LEDGER).settled.money == pytest.approx(0.2)


@pytest.mark.parametrize("ended", [True, False])
def test_what_was_asked_without_a_price_is_not_free_once_there_is_one(tmp_path, ended):
    first = ledger(tmp_path)
    held = first.reserve(600_000, 300_000)
    if ended:
        first.settle(held, 600_000, 300_000)
    prices = {"max_cost": 1.0, "price_in": 1, "price_out": 1}
    with pytest.raises(
        StageError, match="0.9000 of 1 is spent or set aside, another request may take 0.2000"
    ):
        ledger(tmp_path, **prices).reserve(100_000, 100_000)
    ledger(tmp_path, **prices).reserve(25_000, 25_000)
    assert read_ledger(tmp_path / LEDGER, ApiSpec(model="m", **prices)).charged.money == pytest.approx(0.95)


@pytest.fixture
def written(tmp_path):
    """A ledger with one request that ended and one that did not: its lines."""
    own = ledger(tmp_path)
    own.settle(own.reserve(500, 200), 10, 20)
    own.reserve(*MOST[:2])
    return (tmp_path / LEDGER).read_bytes().splitlines(keepends=True)


def test_a_last_line_torn_anywhere_is_understood(tmp_path, written):
    for last, charged in (
        (2, Amount(500, 200)),
        (3, Amount(10, 20)),
    ):  # while one is settled; before another is sent
        for cut in range(0, len(written[last]) - 1, 7):
            (tmp_path / LEDGER).write_bytes(b"".join(written[:last]) + written[last][:cut])
            own = ledger(tmp_path)
            own.begin()
            assert own.charged == charged, cut
            own.reserve(1, 1)
            assert read_ledger(tmp_path / LEDGER).charged == charged.plus(Amount(1, 1))


def test_a_whole_last_line_without_its_end_counts(tmp_path, written):
    (tmp_path / LEDGER).write_bytes(b"".join(written).rstrip(b"\n"))
    own = ledger(tmp_path)
    own.begin()
    assert own.charged == Amount(510, 220) and (tmp_path / LEDGER).read_bytes() == b"".join(written)


CHANGES = {
    "a number": lambda x: [x[0], x[1].replace(b"500", b"100"), *x[2:]],
    "a line removed": lambda x: [x[0], *x[2:]],
    "a line twice": lambda x: [*x, x[3]],
    "lines swapped": lambda x: [x[0], x[2], x[1], x[3]],
    "no first line": lambda x: x[1:],
    "another version": lambda x: [x[0].replace(b'"ledger": 1', b'"ledger": 2'), *x[1:]],
    "an empty line": lambda x: [x[0], b"\n", *x[1:]],
    "no JSON": lambda x: [*x, b"oops\n"],
    "other JSON": lambda x: [*x, b"[1]\n"],
    "deep JSON": lambda x: [*x, b"[" * 200_000 + b"\n"],
    "bytes": lambda x: [*x, b"\xff\xfe\0\n"],
    "another file": lambda x: [b"a,b\n", b"1,2\n"],
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_ledger_is_refused_never_taken_as_zero(tmp_path, written, change):
    (tmp_path / LEDGER).write_bytes(b"".join(CHANGES[change](written)))
    for use in (lambda: ledger(tmp_path).reserve(1, 1), lambda: read_ledger(tmp_path / LEDGER)):
        with pytest.raises(InputError, match=r"api-ledger.jsonl, line \d: not as Probate wrote it"):
            use()


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("prompt", -5), ("answer", True), ("prompt", 501), ("money", float("nan")), ("prompt", 1e300),
        ("money", -1.0),
    ],
)  # fmt: skip
def test_amounts_that_cannot_be_are_refused_even_when_sealed(tmp_path, field, value):
    own = ledger(tmp_path)
    held = own.reserve(500, 200)
    entry = {"what": "used", "id": held.id, "prompt": 1, "answer": 1, "money": 0.0, field: value}
    with (tmp_path / LEDGER).open("a") as file:
        file.write(json.dumps({**entry, "seal": own._sealed(entry)}) + "\n")
    with pytest.raises(InputError, match="line 3: not as Probate wrote it"):
        own.reserve(1, 1)


def test_a_ledger_that_shrinks_or_is_replaced_under_a_run_is_refused(tmp_path, written):
    own = ledger(tmp_path)
    own.begin()
    (tmp_path / LEDGER).write_bytes(b"".join(written[:2]))
    with pytest.raises(InputError, match="not as Probate wrote it"):
        own.reserve(1, 1)
    own = ledger(tmp_path)
    own.begin()
    (tmp_path / "other").write_bytes(b"".join(written))
    os.replace(tmp_path / "other", tmp_path / LEDGER)
    with pytest.raises(InputError, match="not as Probate wrote it"):
        own.reserve(1, 1)


def test_a_missing_or_shortened_ledger_beside_answers_is_no_budget_of_zero(serve, tmp_path):  # noqa: F811
    server = serve()
    client(server, tmp_path).ask(requests(3))
    lines = (tmp_path / LEDGER).read_bytes().splitlines(keepends=True)
    for left in (lines[:3], []):
        (tmp_path / LEDGER).write_bytes(b"".join(left))
        with pytest.raises(InputError, match="what was spent is not known"):
            client(server, tmp_path, max_tokens_total=10_000).ask(requests(4))
    assert len(client(server, tmp_path).ask(requests(4))) == 4  # without a budget it goes on
    with pytest.raises(InputError, match="what was spent is not known"):
        client(server, tmp_path, max_tokens_total=10_000).ask(requests(5))


def test_no_link_or_pipe_is_a_ledger(tmp_path):
    (tmp_path / "x").write_text("")
    (tmp_path / LEDGER).symlink_to(tmp_path / "x")
    with pytest.raises(InputError, match="a symbolic link"):
        ledger(tmp_path).reserve(1, 1)
    assert (tmp_path / "x").read_text() == ""
    (tmp_path / LEDGER).unlink()
    os.mkfifo(tmp_path / LEDGER)
    for use in (lambda: ledger(tmp_path).reserve(1, 1), lambda: read_ledger(tmp_path / LEDGER)):
        with pytest.raises(InputError, match="not a regular file"):
            use()


@pytest.mark.parametrize("name", [LEDGER, ".api-ledger.lock"])
def test_a_link_is_named_where_it_is(tmp_path, name):
    (tmp_path / "x").write_text("kept")
    (tmp_path / name).symlink_to(tmp_path / "x")
    with pytest.raises(InputError, match=rf"/{name}: a symbolic link"):
        ledger(tmp_path).reserve(1, 1)
    assert (tmp_path / "x").read_text() == "kept"


def test_two_ledgers_of_one_folder_are_refused_neither_forgotten(tmp_path):
    pair = tmp_path / "a--x"
    Ledger(ApiSpec(model="m"), ledger_path(pair)).reserve(500, 500)
    with pytest.raises(InputError, match="a budget uses only one"):
        share_ledger(tmp_path, ApiSpec(model="m"), [pair])  # by its grid, later
    with pytest.raises(InputError, match="a budget uses only one"):
        ledger_path(pair)


def test_a_folder_in_another_that_has_a_ledger_has_its_own(tmp_path):
    ledger(tmp_path).reserve(1, 1)
    assert ledger_path(tmp_path / "run") == tmp_path / "run" / LEDGER


def test_pairs_of_a_grid_share_its_ledger(serve, tmp_path):  # noqa: F811
    server = serve()
    share_ledger(tmp_path, ApiSpec(model="m"), [tmp_path / p for p in ("a--x", "a--y", "b--x")])
    for pair in ("a--x", "a--y", "b--x"):
        assert ledger_path(tmp_path / pair) == tmp_path / LEDGER
        with pytest.raises(StageError, match="api budget"):
            client(server, tmp_path / pair, max_tokens_total=400).ask(requests(500))
    assert 0 < server.tokens <= 400 and not list(tmp_path.glob(f"*/{LEDGER}"))


def test_a_grid_with_a_server_begins_its_ledger(tiny_study, tmp_path, monkeypatch):
    from probate.report import pipeline as grid

    monkeypatch.setattr(grid, "run_study", lambda *_, **__: (_ for _ in ()).throw(StageError("stop")))
    study = tiny_study(
        augmented=None,
        bias={"types": ["contextual-single-explicit"]},
        axes={"generator": [{"api": {"model": "w", "base_url": "http://127.0.0.1:9/v1"}}]},
    )
    with pytest.raises(Exception, match="stop"):
        grid.run_grid(study, tmp_path / "grid", quiet=True)
    assert read_ledger(tmp_path / "grid" / LEDGER).charged == Amount()
    [pair] = (tmp_path / "grid").glob("*--*")
    assert ledger_path(pair) == tmp_path / "grid" / LEDGER


USAGES = [
    None, 7, [], {}, "x", {"prompt_tokens": -1, "completion_tokens": 1},
    {"prompt_tokens": 2, "completion_tokens": -4}, {"prompt_tokens": 0, "completion_tokens": 0},
    {"prompt_tokens": 2, "completion_tokens": float("nan")},
    {"prompt_tokens": float("inf"), "completion_tokens": 1},
    {"prompt_tokens": 10**30, "completion_tokens": 1},
    {"prompt_tokens": 2, "completion_tokens": 5}, {"prompt_tokens": True, "completion_tokens": 1},
    {"prompt_tokens": "2", "completion_tokens": 1},
    {"prompt_tokens": 2.5, "completion_tokens": 1}, {"prompt_tokens": 2},
    {"prompt_tokens": {}, "completion_tokens": []},
]  # fmt: skip


def answered(usage):
    return {
        "id": "1", "object": "chat.completion", "created": 0, "model": "m",
        "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "x"}}],
        "usage": usage,
    }  # fmt: skip


def replying(monkeypatch, reply):
    def post(self):
        self.rfile.read(int(self.headers["content-length"]))
        self.server.served["x"] += 1
        reply(self)

    monkeypatch.setattr(Handler, "do_POST", post)


@pytest.mark.parametrize("usage", USAGES, ids=str)
def test_usage_that_cannot_be_leaves_the_reservation_and_is_said_once(
    serve,  # noqa: F811
    tmp_path,
    monkeypatch,
    usage,
):
    replying(monkeypatch, lambda self: self.reply(200, json.dumps(answered(usage)).encode()))
    own = client(serve(), tmp_path, concurrency=1)
    assert said(own.ask(requests(2))) == ["x", "x"]
    most = own._most(requests(1)[0])
    assert own.ledger.charged[:2] == (2 * most[0], 2 * most[1])
    assert len(own.notes) == 1 and "the reserved maximum is charged" in own.notes[0]


def drip(self):
    self.send_response(200)
    self.send_header("content-type", "application/json")
    self.send_header("content-length", "1000000")
    self.end_headers()
    while True:  # until the client hangs up
        self.wfile.write(b" ")
        self.wfile.flush()
        time.sleep(0.05)


def endless(self, status=200):
    self.send_response(status)
    self.send_header("content-type", "application/json")
    self.end_headers()
    self.close_connection = True
    while self.server.tokens < 400_000_000:
        self.wfile.write(b" " * 100_000)
        self.server.tokens += 100_000


def bomb(self):
    self.reply(200, gzip.compress(b" " * 30_000_000), {"content-encoding": "gzip"})


def cut(self):
    self.send_response(200)
    self.send_header("content-length", "1000")
    self.end_headers()
    self.wfile.write(b'{"id": "1", "choi')
    self.close_connection = True


def quietly(reply):
    def run(self):
        try:
            reply(self)
        except OSError:  # the client has hung up
            self.close_connection = True

    return run


@pytest.mark.parametrize(
    ("reply", "words"),
    [
        (drip, "no complete answer within 0.4 s"), (endless, "larger than 16 MB and was cut off"),
        (lambda self: endless(self, 500), "larger than 16 MB and was cut off"),
        (bomb, "compressed .'gzip'."), (cut, "APIConnectionError"),
        (lambda self: self.reply(200, b"<html>"), ""), (lambda self: self.reply(200, b""), ""),
    ],
    ids=["drip", "endless", "endless error", "gzip", "cut", "html", "empty"],
)  # fmt: skip
def test_an_answer_without_an_end_or_of_any_size_is_cut_off_said_and_charged(
    serve,  # noqa: F811
    tmp_path,
    monkeypatch,
    reply,
    words,
):
    replying(monkeypatch, quietly(reply))
    server = serve()
    own = client(server, tmp_path, retries=1, timeout=0.4 if reply is drip else 20, concurrency=1)
    with pytest.raises(StageError, match=f"no answer after 2 attempts; last: .*{words}"):
        own.ask(requests(1))
    assert server.served["x"] == 2
    most = own._most(requests(1)[0])
    assert own.ledger.charged[:2] == (2 * most[0], 2 * most[1])
    assert server.tokens < 8 * bounds.MAX_BYTES


@pytest.mark.parametrize(
    ("fault", "charged"), [("500", False), ("429", False), ("502", True), ("504", True), ("drop", True)]
)
def test_what_may_have_been_charged_is_charged(serve, tmp_path, monkeypatch, fault, charged):  # noqa: F811
    def reply(self):
        if fault == "drop":
            self.close_connection = True
            self.connection.close()
        else:
            self.reply(int(fault), b"{}")

    replying(monkeypatch, reply)
    own = client(serve(), tmp_path, retries=0)
    with pytest.raises(StageError):
        own.ask(requests(1))
    assert own.ledger.charged[:2] == (own._most(requests(1)[0]) if charged else (0, 0))


def test_a_server_that_is_not_there_costs_nothing(tmp_path):
    own = client(SimpleNamespace(url="http://127.0.0.1:9/v1"), tmp_path, retries=1)
    with pytest.raises(StageError):
        own.ask(requests(1))
    assert own.ledger.charged == Amount()


def test_the_plan_says_what_the_ledger_holds(tmp_path):
    own = ledger(tmp_path / "run")
    own.settle(own.reserve(5000, 200), 1034, 200)
    own.reserve(10, 6)
    result = CliRunner().invoke(app, ["plan", "self-written", "--out", str(tmp_path / "run")])
    assert result.exit_code == 0, result.output
    assert (
        "used on servers before: 1,250 tokens (16 of these "
        "tokens are reserved by requests that have not ended)"
    ) in result.output
    result = CliRunner().invoke(app, ["plan", "self-written", "--out", str(tmp_path / "none")])
    assert (
        result.exit_code == 0 and "used on servers" not in result.output and not (tmp_path / "none").exists()
    )
