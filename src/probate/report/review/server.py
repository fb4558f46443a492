"""The page's server: this machine only, a random token, no file but the marks."""

from __future__ import annotations

import hmac
import json
import secrets
import sys
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.resources import files
from pathlib import Path
from typing import Any

from probate.core.errors import InputError
from probate.core.parse import NotJson, json_value
from probate.report.policy import policy
from probate.report.review.items import Round
from probate.report.review.marks import read_marks, save_mark

LARGEST = 10_000
"""Bytes of a mark, at most."""
SLOWEST = 10.0
"""Seconds without a byte after which a connection is closed."""


class ReviewServer(ThreadingHTTPServer):
    """Serves one round to one reviewer on 127.0.0.1. `url` has, after the #, the token without which nothing is shown or kept."""

    daemon_threads = True

    def __init__(self, shown: Round, marks: Path, port: int = 0) -> None:
        self.shown, self.marks = shown, marks
        self.token = secrets.token_urlsafe(24)
        self.known = {i.id for i in shown.items}
        super().__init__(("127.0.0.1", port), _Handler)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/#{self.token}"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A browser that goes away in the middle is no error; the rest is, as in any server."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)

    def state(self) -> dict[str, Any]:
        """What the page shows: texts and answers, no arm, no group."""
        shown = self.shown
        items = [{"id": i.id, "texts": list(i.texts)} for i in shown.items]
        return {
            "question": shown.question,
            "answers": list(shown.answers),
            "items": items,
            "marks": read_marks(self.marks),
        }


class _Handler(BaseHTTPRequestHandler):
    server: ReviewServer
    timeout = SLOWEST

    def log_message(self, *_: Any) -> None:
        pass

    def _allowed(self) -> bool:
        given, port = self.headers.get("x-token") or "", self.server.server_address[1]
        known = hmac.compare_digest(given.encode(), self.server.token.encode())
        if (known or self.path == "/") and self.headers.get("host") in (
            f"127.0.0.1:{port}",
            f"localhost:{port}",
        ):
            return True  # the page itself says nothing: what it shows, it asks for with the token
        self._send(403, b"open the address that the command printed", "text/plain; charset=utf-8")
        return False

    def do_GET(self) -> None:
        if not self._allowed():
            return
        pages: dict[str, Callable[[], tuple[bytes, str]]] = {
            "/": lambda: (
                (files("probate") / "report" / "review" / "page.html").read_bytes(),
                "text/html; charset=utf-8",
            ),
            "/state": lambda: (
                json.dumps(self.server.state(), ensure_ascii=False).encode(),
                "application/json",
            ),
        }
        page = pages.get(self.path.partition("?")[0])
        if page is None:
            self._send(404, b"no such page", "text/plain; charset=utf-8")
            return
        self._send(200, *page())

    def do_POST(self) -> None:
        if not self._allowed():
            return
        if self.path != "/mark":
            self._send(404, b"no such page", "text/plain; charset=utf-8")
            return
        said = self.headers.get("content-length") or ""
        size = int(said) if said.isascii() and said.isdigit() and len(said) < 10 else 0
        try:
            mark = json_value(self.rfile.read(size) if size <= LARGEST else b"")
        except (NotJson, OSError):  # or it came too slowly
            mark = None
        item, answer = (mark.get("id"), mark.get("answer")) if isinstance(mark, dict) else (None, None)
        if not (isinstance(item, str) and isinstance(answer, str)):
            self._send(400, b"not a mark", "text/plain; charset=utf-8")
            return
        if item not in self.server.known or answer not in (*self.server.shown.answers, ""):
            self._send(400, b"no such item or answer", "text/plain; charset=utf-8")
            return
        try:
            save_mark(self.server.marks, item, answer)
        except (InputError, OSError) as error:
            self._send(409, str(error).encode(), "text/plain; charset=utf-8")
            return
        self._send(200, b"{}", "application/json")

    def _send(self, status: int, content: bytes, kind: str) -> None:
        self.send_response(status)
        for name, value in {
            "content-type": kind, "content-length": str(len(content)), "cache-control": "no-store", "x-content-type-options": "nosniff",
            "content-security-policy": policy(content.decode() if "html" in kind else "", "connect-src 'self'; frame-ancestors 'none'"),
            "referrer-policy": "no-referrer", "cross-origin-resource-policy": "same-origin",
        }.items():  # fmt: skip
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)
