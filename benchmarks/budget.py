"""The budget under faults and kills: is a server ever charged for more than the study allows?

A server fails three times in ten: status 500 and 429, no answer in time, an answer cut in half, counts of
tokens that cannot be. It books what it would charge, also for what it cut off. The asking process, which asks
as a generator and as `probate ask` do, in one folder, is killed (SIGKILL) and started again, and goes on
until its budget ends.

python benchmarks/budget.py [--requests 2000] [--kills 20] [--seed 0]
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

FAULTS = ("500", "429", "late", "cut", "usage")
SHARE = 0.3
TIMEOUT = 0.5
PER_REQUEST = 36
"""Tokens of the budget for each request, of which a little more is used on average."""
IMPOSSIBLE = (-5, 10**12, float("nan"), None, "many", True, 2.5)


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256

    def __init__(self, seed: int) -> None:
        self.rng, self.lock = random.Random(seed), threading.Lock()
        self.requests = self.charged = 0
        self.faults: Counter[str] = Counter()
        self.kinds: Counter[str] = Counter()
        super().__init__(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def handle_error(self, *_: object) -> None:
        """A connection of a process that was killed is no news."""


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server

    def log_message(self, *_: object) -> None:
        pass

    def do_POST(self) -> None:
        try:
            self._answer()
        except OSError:  # the client was killed, or has hung up
            self.close_connection = True

    def _answer(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        text = body["messages"][-1]["content"]
        with self.server.lock:
            rng = self.server.rng
            fault = rng.choice(FAULTS) if rng.random() < SHARE else ""
            used = {
                "prompt_tokens": len(text.encode()) // 4 + 8,
                "completion_tokens": rng.randint(1, body["max_tokens"]),
            }
            self.server.requests += 1
            self.server.kinds["ask" if "logprobs" in body else "generate"] += 1
            self.server.faults[fault] += 1
            if fault not in ("500", "429"):
                self.server.charged += sum(used.values())
            if fault == "usage":
                used[rng.choice(sorted(used))] = rng.choice(IMPOSSIBLE)
        if fault == "late":
            time.sleep(TIMEOUT * 1.5)
        choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "A"}}
        answer = {
            "id": "1",
            "object": "chat.completion",
            "created": 0,
            "model": "m",
            "choices": [choice],
            "usage": used,
        }
        content = json.dumps(answer).encode()
        self.send_response(int(fault) if fault in ("500", "429") else 200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content[: len(content) // 2] if fault == "cut" else content)
        self.close_connection = fault == "cut"


def child(url: str, folder: str, budget: int, count: int) -> None:
    """Ask as a generator, then as `probate ask`, until the budget ends."""
    from types import SimpleNamespace

    from probate.core.errors import StageError
    from probate.data.generation.api_backend import ApiBackend
    from probate.execution.letters import request_of
    from probate.models.servers.client import ApiClient
    from probate.study.server import ApiSpec
    from probate.tasks.choice import Item

    spec = ApiSpec(
        model="m",
        base_url=url,
        key_env="PROBATE_BENCHMARK",
        max_tokens_total=budget,
        timeout=TIMEOUT,
        wait=0.001,
        retries=30,
    )
    cache = Path(folder) / "api-cache"
    asks = [SimpleNamespace(id=str(i), prompt=f"Write {i}.", name="Ann", seed=i) for i in range(count // 6)]
    generation = SimpleNamespace(max_new_tokens=16, temperature=1.0, top_p=1.0)
    items = [Item(str(i), f"{i}?", ("a", "b"), ("x", "y"), "a", {}) for i in range(count)]
    try:
        ApiBackend(spec, cache).answer(asks, generation, lambda _: None, set())
        ApiClient(spec, cache).ask([request_of(item, 0)[0] for item in items])
    except StageError as error:
        print(error)
        raise SystemExit(3) from None


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--requests", type=int, default=2000)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    settings = parser.parse_args()
    from probate.models.servers.ledger import LEDGER, read_ledger

    budget = settings.requests * PER_REQUEST
    server, rng = Server(settings.seed), random.Random(settings.seed)
    every = settings.requests * 0.8 / max(1, settings.kills)
    kills = 0
    with tempfile.TemporaryDirectory() as folder:
        url = f"http://127.0.0.1:{server.server_address[1]}/v1"
        command = [sys.executable, __file__, "--child", url, folder, str(budget), str(settings.requests * 2)]
        while True:
            at = (kills + rng.uniform(0.5, 1.5)) * every
            process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
            while process.poll() is None:
                if kills < settings.kills and server.requests >= at:
                    process.send_signal(signal.SIGKILL)
                    kills += 1
                    break
                time.sleep(0.002)
            said = process.communicate()[0].strip()
            if process.returncode != -signal.SIGKILL:
                break
        time.sleep(2 * TIMEOUT)  # answers under way
        held = read_ledger(Path(folder) / LEDGER)
    assert held is not None
    counted, aside = held.charged.tokens, held.charged.tokens - held.settled.tokens
    faults = sum(n for f, n in server.faults.items() if f)
    print(f"ended with: {said or process.returncode}")
    print(
        f"{server.requests:,} requests ({dict(server.kinds)}), "
        f"{faults:,} faults ({dict(server.faults)}), {kills} kills"
    )
    print(
        f"budget {budget:,}; counted by Probate {counted:,} ({aside:,} "
        f"set aside by kills); charged by the server {server.charged:,}"
    )
    if not server.charged <= counted <= budget:
        raise SystemExit("OVERRUN: charged <= counted <= budget does not hold")
    if process.returncode != 3 or kills < settings.kills:
        raise SystemExit(
            "the budget did not end the run, or it was not "
            "killed as often as it should be: this shows nothing"
        )


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        os.environ.pop("PROBATE_BENCHMARK", None)
        child(sys.argv[2], sys.argv[3], int(sys.argv[4]), int(sys.argv[5]))
    else:
        main()
