"""A server with files, fine-tuning jobs and chat, which fails as often as it is told to.

What a fine-tuned model says depends on its training file only, so that runs with and without faults can be
compared.
"""

from __future__ import annotations

import contextlib
import email.parser
import email.policy
import hashlib
import json
import math
import random
import re
import threading
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

FAULTS = ("429", "500", "503", "drop", "garbage", "drop after", "garbage after", "500 after")
"""What goes wrong; after: the request has had its effect, and its answer is lost."""


class TuningServer(ThreadingHTTPServer):
    """Files, jobs and chat in memory.

    `fault(method, path)` names what goes wrong with a request. `refuse(body)` may answer the start of a job.
    `endings(job)` has fields of a job that ends.
    """

    daemon_threads = True
    request_queue_size = 256

    def __init__(
        self,
        fault=lambda method, path: "",
        looks=2,
        metadata=True,
        names=True,
        linked=True,
        page=3,
        refuse=None,
    ):
        self.fault, self.looks, self.metadata, self.names = fault, looks, metadata, names
        self.linked = linked
        self.page, self.refuse = page, refuse or (lambda body: None)
        self.files: dict[str, dict] = {}
        self.jobs: dict[str, dict] = {}
        self.seen: Counter[str] = Counter()
        self.chats: Counter[str] = Counter()
        self.faults: Counter[str] = Counter()
        self.charged_tokens = self.requests = 0
        self.endings = lambda job: {}
        self.lock = threading.RLock()
        super().__init__(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def happened(self, what):
        """A request has had its effect, and is about to be answered; for subclasses."""

    def handle_error(self, *_):
        """A connection of a process that was killed is no news."""

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_address[1]}/v1"


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_GET(self):
        with contextlib.suppress(OSError):
            self.answer("GET", b"")

    def do_POST(self):
        with contextlib.suppress(OSError):
            self.answer("POST", self.rfile.read(int(self.headers["content-length"])))

    def answer(self, method, raw):
        parts = urlsplit(self.path)
        path = parts.path.removeprefix("/v1")
        server = self.server
        with server.lock:
            server.requests += 1
            fault = server.fault(method, path)
            server.faults[fault] += 1
            own = int(fault) if fault[:3].isdigit() and "after" not in fault else 0
            if own:
                status, body = own, {"error": {"message": f"no {path}", "code": None}}
            elif fault == "drop":
                self.hang_up()
                return
            elif fault == "garbage":
                status, body = 200, None
            else:
                status, body = self.route(method, path, parse_qs(parts.query), raw)
                server.happened(f"{method} {path}")
                server.seen[f"{method} {re.sub(r'ft-[0-9]+|file-[0-9]+', '*', path)}"] += 1
                if fault == "drop after":
                    self.hang_up()
                    return
                if fault == "garbage after":
                    body = None
                elif fault == "500 after":
                    status, body = 500, {"error": {"message": "late"}}
        self.reply(status, b"<html>oops" if body is None else json.dumps(body).encode())

    def route(self, method, path, query, raw):
        server = self.server
        if path == "/files":
            return self.upload(raw) if method == "POST" else self.listed(server.files, query)
        if path == "/fine_tuning/jobs":
            return self.start(json.loads(raw)) if method == "POST" else self.listed(server.jobs, query)
        if path.startswith("/fine_tuning/jobs/") and method == "GET":
            return self.look(path.rsplit("/", 1)[-1])
        if path == "/chat/completions":
            return self.chat(json.loads(raw))
        return 404, {"error": {"message": f"no path {path}"}}

    def upload(self, raw):
        head = f"Content-Type: {self.headers['content-type']}\r\n\r\n".encode()
        parts = email.parser.BytesParser(policy=email.policy.HTTP).parsebytes(head + raw).iter_parts()
        form = {p.get_param("name", header="content-disposition"): p for p in parts}
        name = f"file-{len(self.server.files)}"
        kept = form["file"].get_payload(decode=True)
        entry = {
            "id": name, "object": "file", "bytes": len(kept), "created_at": len(self.server.files),
            "filename": form["file"].get_filename() if self.server.names else "upload", "status": "processed",
            "purpose": form["purpose"].get_payload(decode=True).decode(), "content": kept.decode(),
        }  # fmt: skip
        self.server.files[name] = entry
        return 200, public(entry)

    def start(self, body):
        server = self.server
        refused = server.refuse(body)
        if refused:
            return refused
        name = f"ft-{len(server.jobs)}"
        entry = {
            "id": name, "object": "fine_tuning.job", "created_at": len(server.jobs), "status": "queued",
            "model": body["model"], "training_file": body["training_file"], "fine_tuned_model": None,
            "trained_tokens": None, "error": None, "seed": body.get("seed"), "looks": 0, "asked": body,
            **({"metadata": body.get("metadata")} if server.metadata else {}),
        }  # fmt: skip
        server.jobs[name] = entry
        return 200, public(entry)

    def look(self, name):
        job = self.server.jobs.get(name)
        if job is None:
            return 404, {"error": {"message": f"no job {name}"}}
        job["looks"] += 1
        if job["status"] in ("queued", "running") and job["looks"] > self.server.looks:
            job |= self.ended(job)
        elif job["status"] == "queued":
            job["status"] = "running"
        return 200, public(job)

    def ended(self, job):
        server, content = self.server, self.server.files[job["training_file"]]["content"]
        method = job["asked"].get("method") or {"type": "supervised", "supervised": job["asked"]}
        epochs = method[method["type"]]["hyperparameters"]["n_epochs"]
        tokens = epochs * (len(content) // 8)
        mark = hashlib.sha256((content + str(job["seed"])).encode()).hexdigest()[:12]
        model = f"ft:{job['model']}:{mark}:{job['id']}"
        ending = {
            "status": "succeeded", "fine_tuned_model": model, "trained_tokens": tokens, "finished_at": 9,
        }  # fmt: skip
        ending |= server.endings(job)
        if isinstance(ending["trained_tokens"], int):
            server.charged_tokens += ending["trained_tokens"]
        return ending

    def chat(self, body):
        server = self.server
        text = "\n".join(m["content"] for m in body["messages"])
        server.chats[body["model"]] += 1
        mark = body["model"].split(":")[2] if body["model"].startswith("ft:") else body["model"]
        draw = int(hashlib.sha256(f"{mark}{text}".encode()).hexdigest()[:8], 16) / 16**8
        usage = {"prompt_tokens": max(1, len(text) // 5), "completion_tokens": 1}
        server.charged_tokens += sum(usage.values())
        choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "A"}}
        if body.get("logprobs"):
            top = [("A", 0.1 + 0.8 * draw), ("B", 0.9 - 0.8 * draw)]
            choice["message"]["content"] = max(top, key=lambda t: t[1])[0]
            tops = [{"token": t, "logprob": math.log(p), "bytes": None} for t, p in top]
            tops += [{"token": t, "logprob": -30.0, "bytes": None} for t in "CDEFGHIJ"]
            choice["logprobs"] = {
                "content": [{"token": "A", "logprob": -0.1, "bytes": None, "top_logprobs": tops}]
            }
        elif "salary" in text:
            choice["message"]["content"] = f"${40 + int(60 * draw)},000"
        return 200, {
            "id": "1", "object": "chat.completion", "created": 0, "model": body["model"], "choices": [choice],
            "usage": usage | {"total_tokens": sum(usage.values())},
        }  # fmt: skip

    def listed(self, entries, query):
        """Newest first, a few at a time."""
        rows = [public(e) for e in reversed(entries.values())]
        if not self.server.linked:
            rows = [{k: v for k, v in r.items() if k != "training_file"} for r in rows]
        after = query.get("after", [""])[0]
        ids = [r["id"] for r in rows]
        start = ids.index(after) + 1 if after in ids else 0
        page = rows[start : start + self.server.page]
        return 200, {"object": "list", "data": page, "has_more": start + len(page) < len(rows)}

    def hang_up(self):
        self.close_connection = True
        self.connection.close()

    def reply(self, status, content):
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(content)))
        if status == 429:
            self.send_header("retry-after", "0")
        self.end_headers()
        self.wfile.write(content)


def public(entry):
    return {k: v for k, v in entry.items() if k not in ("content", "looks", "asked")}


def faulty(seed, share=0.3, kinds=FAULTS):
    """Return a `fault` that fails the share of all requests."""
    rng = random.Random(seed)
    return lambda method, path: rng.choice(kinds) if rng.random() < share else ""
