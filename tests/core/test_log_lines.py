"""JSON lines on stderr, and spans of OpenTelemetry: what a program reads of a run."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import nullcontext
from datetime import datetime

import pytest

from probate.core import log_lines, progress, secrets, spans
from probate.core.progress import Reporter
from probate.core.terminal import echo


@pytest.fixture
def lines(capsys):
    token = log_lines.JSON_LINES.set(True)
    yield lambda: [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    log_lines.JSON_LINES.reset(token)


def test_a_stage_has_a_beginning_progress_and_an_end(lines, monkeypatch):
    monkeypatch.setattr(progress, "PLAIN_EVERY", 0.0)
    with Reporter().stage("train a", 4, "records") as tick:
        tick(1, "loss 0.5")
        tick(3)
    first, one, two, last = lines()
    assert (first["event"], first["stage"], first["total"], first["unit"]) == (
        "begin",
        "train a",
        4,
        "records",
    )
    assert (one["event"], one["done"], one["note"]) == ("progress", 1, "loss 0.5") and one["rate"] > 0
    assert two["done"] == 4 and two["seconds_left"] == 0
    assert last["event"] == "end" and last["seconds"] >= 0
    assert all(datetime.fromisoformat(x["time"]).utcoffset() is not None for x in (first, one, two, last))


def test_a_terminal_executes_nothing(capsys):
    log_lines.emit("message", text="".join(map(chr, range(0x2100))) + "\ud800\u202e")
    line = capsys.readouterr().err.rstrip("\n")
    assert line.isascii() and line.isprintable()


def test_messages_and_warnings(lines):
    reporter = Reporter()
    reporter.say("a\nb \x1b[31m“c”")
    reporter.warn("odd")
    said, warned = lines()
    assert (said["event"], said["text"]) == ("message", "a\nb \x1b[31m“c”")
    assert (warned["event"], warned["text"]) == ("warning", "odd")


def test_other_lines_on_stderr_and_stdout(lines, capsys):
    echo("failed", err=True)
    (said,) = lines()
    assert (said["event"], said["text"]) == ("message", "failed")
    echo("a result")
    assert capsys.readouterr().out == "a result\n"


def test_quiet_has_warnings_only(lines, monkeypatch):
    monkeypatch.setattr(progress, "PLAIN_EVERY", 0.0)
    reporter = Reporter(quiet=True)
    reporter.say("a")
    with reporter.stage("train", 2, "records") as tick:
        tick(1)
    reporter.warn("odd")
    assert [x["event"] for x in lines()] == ["warning"]


def test_keys_are_hidden(lines, monkeypatch):
    monkeypatch.setattr(secrets, "_known", {})
    secrets.remember("secret-key-12345")
    Reporter().say("sent secret-key-12345")
    assert lines()[0]["text"] == "sent ***"


def test_the_command(tmp_path):
    def called(*args):
        command = [sys.executable, "-m", "probate", *args]
        return subprocess.run(command, capture_output=True, text=True, env={**os.environ, "COLUMNS": "80"})

    for arguments in (["--log-json", "report", str(tmp_path)], ["report", str(tmp_path), "--log-json"]):
        done = called(*arguments)
        (line,) = done.stderr.splitlines()
        assert done.returncode == 2 and done.stdout == ""
        event = json.loads(line)
        assert event["event"] == "error" and event["exit"] == 2 and "not a run folder" in event["text"]
    assert called("report", str(tmp_path)).stderr.startswith(str(tmp_path))


def test_without_opentelemetry_there_is_no_span(monkeypatch):
    monkeypatch.delitem(sys.modules, "opentelemetry.trace", raising=False)
    assert isinstance(spans.span("a"), nullcontext)


def test_spans_of_stages(monkeypatch):
    trace = pytest.importorskip("opentelemetry.trace")
    sdk = pytest.importorskip("opentelemetry.sdk.trace")
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

    kept, provider = InMemorySpanExporter(), sdk.TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(kept))
    monkeypatch.setattr(trace, "get_tracer", provider.get_tracer)

    def broken():
        with Reporter(quiet=True).stage("train a", 4, "records"):
            with Reporter(quiet=True).stage("inner", 1, "x"):
                pass
            raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        broken()
    inner, outer = kept.get_finished_spans()
    assert outer.name == "train a" and inner.parent.span_id == outer.context.span_id
    assert dict(outer.attributes) == {"probate.total": 4, "probate.unit": "records"}
    assert outer.status.is_ok is False and outer.events[0].name == "exception"
