"""A headless Chromium that a test can press keys in: the DevTools protocol over a small WebSocket."""

from __future__ import annotations

import base64
import json
import os
import shutil
import socket
import struct
import subprocess
import time
import urllib.request
from urllib.parse import urlsplit

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome") or shutil.which("chromium-browser")


class Browser:
    """One page. `value(js)` evaluates, `press(key)` presses."""

    def __init__(self, folder, url):
        self.process = subprocess.Popen(
            [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--remote-debugging-port=0",
             f"--user-data-dir={folder}", url],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        port_file = folder / "DevToolsActivePort"
        self._wait(port_file.exists, 30)
        port = int(port_file.read_text().splitlines()[0])

        def page():
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/json") as answer:
                return next(
                    (t for t in json.load(answer) if t["type"] == "page" and t["url"].startswith("http")),
                    None,
                )

        target = self._wait(page, 30)
        self.socket = _WebSocket(target["webSocketDebuggerUrl"])
        self.number = 0

    @staticmethod
    def _wait(what, seconds):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            found = what()
            if found:
                return found
            time.sleep(0.05)
        raise TimeoutError

    def call(self, method, **params):
        self.number += 1
        self.socket.send(json.dumps({"id": self.number, "method": method, "params": params}))
        while True:
            message = json.loads(self.socket.receive())
            if message.get("id") == self.number:
                return message["result"]

    def value(self, script):
        return self.call("Runtime.evaluate", expression=script, returnByValue=True)["result"].get("value")

    def until(self, script, seconds=20):
        return self._wait(lambda: self.value(script), seconds)

    def press(self, key):
        for kind in ("keyDown", "keyUp"):
            self.call(
                "Input.dispatchKeyEvent",
                type=kind,
                key=key,
                text=key if len(key) == 1 and kind == "keyDown" else "",
            )

    def close(self):
        self.process.kill()
        self.process.wait()


class _WebSocket:
    def __init__(self, url):
        parts = urlsplit(url)
        self.socket = socket.create_connection((parts.hostname, parts.port), timeout=30)
        key = base64.b64encode(os.urandom(16)).decode()
        head = f"GET {parts.path} HTTP/1.1\r\nHost: {parts.netloc}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n"
        self.socket.sendall(head.encode())
        answer = b""
        while b"\r\n\r\n" not in answer:
            answer += self.socket.recv(1)

    def send(self, text):
        data, mask = text.encode(), os.urandom(4)
        size = len(data)
        head = b"\x81" + (bytes([0x80 | size]) if size < 126 else b"\xfe" + struct.pack(">H", size))
        self.socket.sendall(head + mask + bytes(b ^ mask[i % 4] for i, b in enumerate(data)))

    def _read(self, count):
        found = b""
        while len(found) < count:
            found += self.socket.recv(count - len(found))
        return found

    def receive(self):
        whole = b""
        while True:
            first, second = self._read(2)
            size = second & 0x7F
            size = (
                struct.unpack(">H", self._read(2))[0]
                if size == 126
                else struct.unpack(">Q", self._read(8))[0]
                if size == 127
                else size
            )
            whole += self._read(size)
            if first & 0x80:
                return whole.decode()
