"""Every page says what it may load, opens without an error, and tells nobody of it.

The review page's token leaves the address.
"""

from __future__ import annotations

import http.client
import re
from pathlib import Path

import pytest
from browser import CHROMIUM, Browser
from conftest import HANG
from typer.testing import CliRunner

import probate
from probate.commands.app import app
from probate.report.policy import guarded, policy
from probate.report.review.items import Round, Shown
from probate.report.review.server import ReviewServer

HELD = re.compile(r'<meta http-equiv="Content-Security-Policy" content="([^"]+)">')


def check(page: str) -> None:
    found = HELD.findall(page)
    assert len(found) == 1 and "default-src 'none'" in found[0] and "img-src data:" in found[0]
    assert (
        page.index("http-equiv") < page.index("<style")
        and '<meta name="referrer" content="no-referrer">' in page
    )
    assert not re.search(
        r"\son\w+=|<script(?![^>]*>)|(?:src|href)=[\"']?(?:https?:)?//(?!www\.w3\.org)", page
    )


def test_reports_have_a_policy(finished_run, tmp_path: Path) -> None:
    finished_run(tmp_path / "run", tasks=["occupation"])
    check((tmp_path / "run" / "report.html").read_text(encoding="utf-8"))


def test_audits_have_a_policy_and_data_stays_text(tmp_path: Path) -> None:
    evil = "<script>document.title='x'</script><img src=//evil.example/a onerror=alert(1)>"
    (tmp_path / "x.csv").write_text(
        "text,label\n" + "".join(f"She is a nurse {i} {evil},{evil}\n" for i in range(30))
    )
    CliRunner().invoke(app, ["audit", "--augmented", str(tmp_path / "x.csv"), "--out", str(tmp_path / "o")])
    page = (tmp_path / "o" / "audit.html").read_text(encoding="utf-8")
    assert HELD.search(page) and "script-src 'none'" in HELD.findall(page)[0]
    assert "<script>" not in page and "<img" not in page


def test_every_page_that_is_written_is_guarded() -> None:
    found = [
        path.name
        for path in Path(probate.__file__).parent.rglob("*.py")
        if re.search(r"write_atomic\([^)]*page\)", path.read_text(encoding="utf-8"))
        and "guarded(page)" not in path.read_text(encoding="utf-8")
    ]
    assert found == []


def test_all_pages_come_from_one_environment() -> None:
    code = {
        path.relative_to(Path(probate.__file__).parent).as_posix(): path.read_text(encoding="utf-8")
        for path in Path(probate.__file__).parent.rglob("*.py")
    }
    assert [name for name, text in code.items() if "PackageLoader(" in text] == ["report/render.py"]
    templates = {
        name: (Path(probate.__file__).parent / name).read_text(encoding="utf-8")
        for name in ("report/page.html.j2", "report/grid.html.j2", "audits/page.html.j2")
    }
    for name, text in templates.items():
        assert any(f'"{name}"' in own for own in code.values()), name
        assert text.startswith('{% extends "report/layout.html.j2" %}') and "<style" not in text, name


def test_a_script_runs_by_its_hash_only() -> None:
    one, two = (policy(f"<script>{s}</script>") for s in ("a()", "b()"))
    assert one != two and "'sha256-" in one and "unsafe" not in one.split("style-src")[0]
    assert "script-src 'none'" in policy("<p>") and HELD.search(guarded('<html><meta charset="utf-8"><p>'))


@pytest.fixture
def server(tmp_path: Path):
    import threading

    shown = Round("groups", "Which?", ("female", "male"), [Shown("a", ("text",)), Shown("b", ("other",))])
    server = ReviewServer(shown, tmp_path / "marks-me.jsonl")
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def ask(server: ReviewServer, path: str, token: str = "", host: str = "", data: bytes | None = None):
    port = server.server_address[1]
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=HANG)
    connection.request(
        "POST" if data else "GET", path, data, {"x-token": token, "host": host or f"127.0.0.1:{port}"}
    )
    answer = connection.getresponse()
    return answer.status, dict(answer.getheaders()), answer.read().decode()


def test_the_token_is_no_part_of_a_request_line(server) -> None:
    assert "?" not in server.url and server.url.endswith(f"/#{server.token}")
    assert ask(server, "/")[0] == 200 and server.token not in ask(server, "/")[2]
    assert ask(server, "/state", server.token)[0] == 200
    assert ask(server, f"/state?token={server.token}")[0] == 403
    assert (
        ask(server, "/state")[0] == 403
        and ask(server, "/mark", data=b'{"id": "a", "answer": "male"}')[0] == 403
    )
    assert not server.marks.exists()


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "127.0.0.1",
        "127.0.0.1:1",
        "localhost.evil.example",
        "127.0.0.1.evil.example:{}",
        "evil.example:{}",
    ],
)
@pytest.mark.parametrize("path", ["/", "/state"])
def test_another_host_is_refused(server, host: str, path: str) -> None:
    assert ask(server, path, server.token, host.format(server.server_address[1]))[0] == 403


def test_the_pages_headers(server) -> None:
    headers = {k.lower(): v for k, v in ask(server, "/")[1].items()}
    held = headers["content-security-policy"]
    assert (
        "default-src 'none'" in held
        and "'sha256-" in held
        and "connect-src 'self'" in held
        and "frame-ancestors 'none'" in held
    )
    assert headers["referrer-policy"] == "no-referrer" and headers["x-content-type-options"] == "nosniff"


def test_a_planted_link_is_said_and_not_followed(server, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.write_text("theirs")
    server.marks.symlink_to(outside)
    status, _, said = ask(server, "/mark", server.token, data=b'{"id": "a", "answer": "male"}')
    assert status == 409 and "symbolic link" in said and outside.read_text() == "theirs"


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here")
def test_the_page_works_in_chromium_and_its_address_holds_no_token(server, tmp_path: Path) -> None:
    browser = Browser(tmp_path / "profile", server.url)
    try:
        browser.until("document.body.dataset.item")
        assert browser.value("location.href") == server.url.partition("#")[0]
        assert browser.value("getComputedStyle(document.querySelector('main')).maxWidth") == "1000px"
        browser.press("1")
        browser.until("document.body.dataset.item === 'b'")
        browser.call("Page.reload")
        browser.until("document.body.dataset.item === 'b'")
    finally:
        browser.close()
    assert '"a"' in server.marks.read_text()
