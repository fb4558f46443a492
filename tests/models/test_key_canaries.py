"""A key and the prompts go where the user lets them go, and nowhere else, whatever a server does."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import quote

import pytest
import yaml
from typer.testing import CliRunner

from probate.commands.app import app
from probate.core.consent import allow
from probate.core.errors import InputError, ProbateError, write_traceback
from probate.core.secrets import hide, remember
from probate.core.servers import VENDORS, key_for, refusal
from probate.execution.folder import RunFolder
from probate.study.server import ApiSpec

KEY = "sk-canary+/0123456789=abcdef?~"
VARIABLE = "PROBATE_TEST_KEY"
PROMPT = "canary-of-a-prompt"
Reply = tuple[int, dict[str, str], bytes]


def lines_of(text: str, width: int = 5, end: str = "\n") -> str:
    return end.join(text[i : i + width] for i in range(0, len(text), width))


FORMS: dict[str, str] = {
    "plain": KEY, "base64": base64.b64encode(KEY.encode()).decode(),
    "base64 after one": base64.b64encode(b"x" + KEY.encode()).decode(),
    "base64 after two": base64.b64encode(b"xy" + KEY.encode() + b"z").decode(),
    "base64 of an address": base64.urlsafe_b64encode(b"Bearer " + KEY.encode()).decode(),
    "quoted": quote(KEY, safe=""), "quoted whole": "".join(f"%{ord(c):02X}" for c in KEY),
    "JSON": "".join(f"\\u{ord(c):04x}" for c in KEY),
    "lines": lines_of(KEY), "lines of JSON": lines_of(KEY, end="\\n"),
    "base64 lines": lines_of(base64.b64encode(KEY.encode()).decode(), 8), "hex": KEY.encode().hex(),
    "capitals": KEY.upper(),
}  # fmt: skip


def answer(content: str = "A", **more: object) -> bytes:
    choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": content}}
    return json.dumps(
        {"id": "1", "object": "chat.completion", "created": 0, "model": "m", "choices": [choice], **more}
    ).encode()


def error(status: int, text: str) -> Callable[[str], Reply]:
    return lambda other: (
        status,
        {},
        json.dumps({"error": {"message": text, "param": text, "code": text, "type": text}}).encode(),
    )


def moved(status: int) -> Callable[[str], Reply]:
    return lambda other: (status, {"location": f"{other}/v1/chat/completions?key={quote(KEY)}"}, b"")


def said(content: bytes, headers: dict[str, str] | None = None, status: int = 200) -> Callable[[str], Reply]:
    return lambda other: (status, headers or {}, content)


SERVERS: dict[str, Callable[[str], Reply]] = {
    **{f"{status}": error(status, f"no, {KEY}") for status in (400, 401, 403, 404, 408, 422, 429, 500, 503)},
    **{f"moved {status}": moved(status) for status in (301, 302, 303, 307, 308)},
    **{f"error, {name}": error(401, f"you sent {form}") for name, form in FORMS.items()},
    **{f"answer, {name}": said(answer(f"A {form}")) for name, form in FORMS.items()},
    "headers": said(answer(), {"x-request-id": KEY, "x-echo": FORMS["base64"]}),
    "other fields": said(answer(system_fingerprint=KEY, own={KEY: [KEY]})),
    "model and id": said(answer(**{"id": KEY, "model": KEY})),
    "no JSON": said(f"<html>{KEY}".encode()),
    "JSON cut off": said(answer(KEY)[:-9]),
    "no choices": said(answer(choices=[], error=KEY)),
    "list": said(json.dumps([KEY]).encode()),
    "wait": said(b"{}", {"retry-after": KEY}, 429),
    "tokens": said(answer(usage={"prompt_tokens": KEY, "completion_tokens": KEY, "total_tokens": 1})),
}  # fmt: skip


class Server(ThreadingHTTPServer):
    """Does to every request what `reply` says; `heard` keeps what came."""

    daemon_threads = True

    def __init__(self, reply: Callable[[str], Reply], other: str = "") -> None:
        self.reply, self.other, self.heard = reply, other, list[str]()
        super().__init__(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def log_message(self, *_: object) -> None:
        pass

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length") or 0)).decode()
        self.server.heard.append(f"{self.headers}{body}")
        status, headers, content = self.server.reply(self.server.other)
        self.send_response(status)
        for name, value in {
            "content-type": "application/json",
            "content-length": str(len(content)),
            **headers,
        }.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_POST


@pytest.fixture
def servers(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """`servers(reply)`: a server that does that, and another one that must hear nothing."""
    pytest.importorskip("openai", reason="openai is not installed (extra api)")
    monkeypatch.setenv(VARIABLE, KEY)
    monkeypatch.setenv("PROBATE_CONFIG", str(tmp_path / "config"))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    monkeypatch.setattr("probate.models.servers.client.SLOWEST", 0.0)
    started: list[Server] = []

    def start(reply: Callable[[str], Reply]) -> tuple[Server, Server]:
        other = Server(said(answer()))
        started.extend([other, Server(reply, other.url)])
        return started[-1], other

    yield start
    for server in started:
        server.shutdown()
        server.server_close()


def study(home: Path, url: str, model: str = "m") -> Path:
    """A study whose generator is the server, with a prompt that can be known again."""
    settings = {
        "name": "keys", "model": model, "seeds": [0], "ratios": [0, 0.5],
        "bias": {"types": ["contextual-single-explicit"]},
        "data": {
            "train_per_cell": 2, "test_per_cell": 1, "labels": ["nurse", "architect"],
            "prompt": f"{PROMPT} What is the occupation? {{text}}",
        },
        "generator": {"api": {"model": "m", "base_url": f"{url}/v1", "key_env": VARIABLE, "retries": 1}},
        "tasks": ["occupation"],
    }  # fmt: skip
    path = home / "study.yaml"
    path.write_text(yaml.safe_dump(settings), encoding="utf-8")
    return path


def leaks(text: str) -> list[str]:
    """The forms of the key that stand in a text, however it is broken."""
    joined = "".join(text.lower().split()).replace("\\n", "")
    return [
        name
        for name, form in FORMS.items()
        if "".join(form.lower().split()).replace("\\n", "").rstrip("=")[:-4] in joined
    ]


def held(folder: Path) -> dict[str, list[str]]:
    return {
        str(p.relative_to(folder)): found
        for p in folder.rglob("*")
        if p.is_file() and (found := leaks(p.read_bytes().decode("utf-8", "replace")))
    }


@pytest.mark.parametrize("name", SERVERS)
def test_ask_keeps_the_key(tmp_path: Path, servers, name: str) -> None:
    server, other = servers(SERVERS[name])
    path = study(tmp_path, server.url, "embedded")
    arguments = [
        "ask", str(path), "--model", "m", "--server", f"{server.url}/v1", "--key-env", VARIABLE,
        "--out", str(tmp_path / "out"), "--samples", "1", "--json",
    ]  # fmt: skip
    done = CliRunner().invoke(app, arguments)
    assert any(f"Bearer {KEY}" in heard for heard in server.heard), done.output + repr(
        done.exception
    )  # the key was sent there, so that it can leak
    assert other.heard == []
    assert leaks(f"{done.output}{done.exception!r}") == [] and PROMPT not in done.output
    assert held(tmp_path) == {}
    assert done.exception is None or isinstance(done.exception, (ProbateError, SystemExit)), repr(
        done.exception
    )
    if done.exception is not None:
        assert leaks(Path(write_traceback(done.exception)).read_text()) == []


RUN = [
    *(f"moved {s}" for s in (302, 307)),
    "401",
    "500",
    "error, base64 lines",
    "answer, quoted",
    "answer, lines",
    "other fields",
    "no JSON",
]


@pytest.mark.parametrize("name", RUN)
def test_run_keeps_the_key(tmp_path: Path, servers, model_dir: Path, name: str) -> None:
    server, other = servers(SERVERS[name])
    arguments = [
        "run",
        str(study(tmp_path, server.url, str(model_dir))),
        "--out",
        str(tmp_path / "out"),
        "--server",
        f"127.0.0.1={VARIABLE}",
        "--json",
    ]
    done = CliRunner().invoke(app, arguments)
    assert any(f"Bearer {KEY}" in heard for heard in server.heard), done.output + repr(done.exception)
    assert other.heard == [] and held(tmp_path) == {}
    assert leaks(f"{done.output}{done.exception!r}") == [] and PROMPT not in done.output


def test_a_server_that_the_user_did_not_name_hears_nothing(tmp_path: Path, servers, model_dir: Path) -> None:
    server, _ = servers(said(answer()))
    path = study(tmp_path, server.url.replace("127.0.0.1", "0.0.0.0"), str(model_dir))
    done = CliRunner().invoke(app, ["run", str(path), "--out", str(tmp_path / "out")])
    assert isinstance(done.exception, InputError) and server.heard == [] and not (tmp_path / "out").exists()
    assert all(
        part in str(done.exception)
        for part in ("0.0.0.0", VARIABLE, f"--server 0.0.0.0:{server.server_address[1]}={VARIABLE}")
    )
    told = CliRunner().invoke(app, ["plan", str(path)]).output
    assert "0.0.0.0" in told and VARIABLE in told and "not allowed" in told


def test_this_machine_needs_no_leave_and_gets_no_key(tmp_path: Path, servers) -> None:
    from probate.models.servers.client import ApiClient

    server, _ = servers(said(answer()))
    spec = ApiSpec(model="m", base_url=f"{server.url}/v1", key_env=VARIABLE, retries=0)
    request = {"messages": [{"role": "user", "content": "x"}], "max_tokens": 1}
    client = ApiClient(spec, tmp_path / "a")
    client.ask([request])
    assert len(server.heard) == 1 and KEY not in server.heard[0]
    assert (
        f"--server 127.0.0.1:{server.server_address[1]}={VARIABLE}" in client.notes[0]
    )  # it is said that no key is sent
    told = CliRunner().invoke(app, ["plan", str(study(tmp_path, server.url, "embedded"))]).output
    assert "no key is sent to" in told and VARIABLE in told
    with allow(servers=[f"127.0.0.1={VARIABLE}"]):
        assert ApiClient(spec, tmp_path / "b").notes == []


A = "https://api.example.org/v1"
ALLOWED: list[tuple[str, str, list[str], bool]] = [
    (A, VARIABLE, [], False),
    (A, VARIABLE, [f"api.example.org={VARIABLE}"], True),
    (A, VARIABLE, ["api.example.org"], False),
    (A, VARIABLE, ["api.example.org=OTHER"], False),
    (A, VARIABLE, [f"example.org={VARIABLE}"], False),
    ("https://api.example.org.evil.net/v1", VARIABLE, [f"api.example.org={VARIABLE}"], False),
    ("https://API.example.org:8443/v1", VARIABLE, [f"api.example.org={VARIABLE}"], True),
    (A, VARIABLE, [f"api.example.org:8443={VARIABLE}"], False),
    ("https://api.openai.com/v1", VARIABLE, [], False),
    ("https://api.openai.com.evil.net/v1", "OPENAI_API_KEY", [], False),
    ("http://api.openai.com/v1", "OPENAI_API_KEY", [], False),
    ("https://localhost.evil.net/v1", VARIABLE, [], False),
    ("http://api.example.org/v1", VARIABLE, [f"api.example.org={VARIABLE}"], False),
    ("http://api.example.org/v1", VARIABLE, [f"http://api.example.org={VARIABLE}"], True),
    ("http://api.example.org:80/v1", VARIABLE, [f"http://api.example.org={VARIABLE}"], True),
    ("http://127.0.0.1:80/v1", VARIABLE, [f"127.0.0.1={VARIABLE}"], True),
    *((f"https://{host}/v1", variable, [], True) for host, variable in VENDORS.items()),
    *((f"https://{host}/v1", "AWS_SECRET_ACCESS_KEY", [], False) for host in VENDORS),
]


@pytest.mark.parametrize(("url", "variable", "servers", "may"), ALLOWED)
@pytest.mark.parametrize("where", ["flag", "file"])
def test_who_gets_a_key(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    url: str,
    variable: str,
    servers: list[str],
    may: bool,
    where: str,
) -> None:
    monkeypatch.setenv("PROBATE_CONFIG", str(tmp_path))
    monkeypatch.setenv(variable, KEY)
    if where == "file":
        (tmp_path / "servers.txt").write_text("# mine\n" + "\n".join(servers) + "\n", encoding="utf-8")
    with allow(servers=servers if where == "flag" else []):
        if may:
            assert key_for(url, variable) == KEY and refusal(url, variable) == ""
            return
        with pytest.raises(InputError, match="--server") as caught:
            key_for(url, variable)
    assert variable in str(caught.value) and KEY not in str(caught.value) and "\n" not in str(caught.value)


CREDENTIALS = [
    f"https://user:{KEY}@host/v1", f"https://{KEY}@host/v1", f"https://host/v1?api_key={KEY}",
    f"https://host/v1#{KEY}", f"ftp://u:{KEY}@host",
    f"//u:{KEY}@host", f"http://[{KEY}@host", f"http://host:{KEY}/v1",
]  # fmt: skip


@pytest.mark.parametrize("url", CREDENTIALS)
@pytest.mark.parametrize("command", ["plan", "run", "ask"])
def test_a_credential_in_an_address_is_refused_and_not_told(
    tmp_path: Path, url: str, command: str, model_dir: Path
) -> None:
    path = study(tmp_path, "http://127.0.0.1:9", str(model_dir))
    arguments = {
        "ask": ["ask", str(path), "--model", "m", "--server", url, "--out", str(tmp_path / "out")],
        "plan": ["plan", str(path), "--set", f"generator.api.base_url={json.dumps(url)}"],
        "run": [
            "run",
            str(path),
            "--set",
            f"generator.api.base_url={json.dumps(url)}",
            "--out",
            str(tmp_path / "out"),
        ],
    }[command]
    done = CliRunner().invoke(app, arguments)
    assert isinstance(done.exception, InputError) and leaks(f"{done.output}{done.exception}") == []
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("form", FORMS)
def test_tracebacks_and_logs_hold_no_key(tmp_path: Path, form: str) -> None:
    remember(KEY)
    RunFolder(tmp_path).write_traceback("stage", f"error: {FORMS[form]}")
    assert leaks((tmp_path / "errors.log").read_text()) == [] and leaks(hide(f"x{FORMS[form]}y")) == []
    try:
        raise RuntimeError(f"the server said {FORMS[form]}")
    except RuntimeError as error:
        path = Path(write_traceback(error))
    assert leaks(path.read_text()) == []
    path.unlink()


def test_other_texts_are_left_as_they_are() -> None:
    remember(KEY)
    remember("none")
    text = "none of it: sk-other 中文 c2stY2FuYXJ5 %20 \\n"
    assert hide(text) == text


def test_a_server_is_sent_no_header_that_it_does_not_need(
    tmp_path: Path, servers, monkeypatch: pytest.MonkeyPatch
) -> None:
    from probate.models.servers.client import ApiClient

    for name in ("OPENAI_ORG_ID", "OPENAI_PROJECT_ID"):
        monkeypatch.setenv(name, f"of-{name}")
    server, _ = servers(said(answer()))
    spec = ApiSpec(model="m", base_url=f"{server.url}/v1", retries=0)
    ApiClient(spec, tmp_path / "a").ask([{"messages": [{"role": "user", "content": "x"}], "max_tokens": 1}])
    heard = server.heard[0].lower()
    assert "of-openai" not in heard and "x-stainless" not in heard and "user-agent" in heard


def test_libraries_log_nothing_while_a_server_is_asked(
    tmp_path: Path, servers, caplog: pytest.LogCaptureFixture
) -> None:
    import logging

    from probate.models.servers.client import ApiClient
    from probate.models.servers.transport import LOGGERS

    server, _ = servers(SERVERS["headers"])
    spec = ApiSpec(model="m", base_url=f"{server.url}/v1", key_env=VARIABLE, retries=0)
    loggers = [logging.getLogger(name) for name in LOGGERS]
    for logger in loggers:
        logger.setLevel(logging.DEBUG)
    try:
        with allow(servers=[f"127.0.0.1={VARIABLE}"]), caplog.at_level(logging.DEBUG):
            ApiClient(spec, tmp_path / "a").ask(
                [{"messages": [{"role": "user", "content": PROMPT}], "max_tokens": 1}]
            )
        assert {logger.level for logger in loggers} == {logging.DEBUG}
    finally:
        for logger in loggers:
            logger.setLevel(logging.NOTSET)
    assert KEY in server.heard[0]
    assert leaks(caplog.text) == [] and PROMPT not in caplog.text
