"""The server of the review page: this machine only, with a random token; it writes no file but the marks."""

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
"""Largest size of a mark, in bytes."""
SLOWEST = 10.0
"""Seconds without data after which a connection is closed."""


class ReviewServer(ThreadingHTTPServer):
    """Server of one review to one reviewer, on 127.0.0.1.

    Parameters
    ----------
    shown : Round
        The review.
    marks : Path
        File of the reviewer's marks.
    port : int, default=0
        Port; 0 takes a free one.
    """

    daemon_threads = True

    def __init__(self, shown: Round, marks: Path, port: int = 0) -> None:
        self.shown, self.marks = shown, marks
        self.token = secrets.token_urlsafe(24)
        self.known = {i.id for i in shown.items}
        super().__init__(("127.0.0.1", port), _Handler)

    @property
    def url(self) -> str:
        """str: Address of the page. The token after the # is needed to show items and to save marks."""
        return f"http://127.0.0.1:{self.server_address[1]}/#{self.token}"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignore a connection that the browser closed; report other errors."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)

    def state(self) -> dict[str, Any]:
        """Return what the page shows.

        Returns
        -------
        dict
            Question, answers, texts and marks, without arms and groups.
        """
        shown = self.shown
        items = [{"id": i.id, "texts": list(i.texts)} for i in shown.items]
        return {
            "question": shown.question,
            "answers": list(shown.answers),
            "items": items,
            "marks": read_marks(self.marks),
        }


class _Handler(BaseHTTPRequestHandler):
    """Answer the requests of the page."""

    server: ReviewServer
    timeout = SLOWEST

    def log_message(self, *_: Any) -> None:
        """Print nothing."""

    def _allowed(self) -> bool:
        """Return whether a request has the token and the right host; else answer 403."""
        given, port = self.headers.get("x-token") or "", self.server.server_address[1]
        known = hmac.compare_digest(given.encode(), self.server.token.encode())
        if (known or self.path == "/") and self.headers.get("host") in (
            f"127.0.0.1:{port}",
            f"localhost:{port}",
        ):
            return True  # the page itself holds no data; it requests them with the token
        self._send(403, b"open the address that probate review printed", "text/plain; charset=utf-8")
        return False

    def do_GET(self) -> None:
        """Send the page or its state."""
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
        """Save a mark."""
        if not self._allowed():
            return
        if self.path != "/mark":
            self._send(404, b"no such page", "text/plain; charset=utf-8")
            return
        given = self.headers.get("content-length") or ""
        size = int(given) if given.isascii() and given.isdigit() and len(given) < 10 else 0
        try:
            mark = json_value(self.rfile.read(size) if size <= LARGEST else b"")
        except (NotJson, OSError):  # also raised if the request is too slow
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
        """Send a response with its security headers."""
        self.send_response(status)
        for name, value in {
            "content-type": kind,
            "content-length": str(len(content)),
            "cache-control": "no-store",
            "x-content-type-options": "nosniff",
            "content-security-policy": policy(
                content.decode() if "html" in kind else "", "connect-src 'self'; frame-ancestors 'none'"
            ),
            "referrer-policy": "no-referrer",
            "cross-origin-resource-policy": "same-origin",
        }.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)
