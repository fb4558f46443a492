"""A headless Chromium that a test can press keys in: the DevTools protocol over a WebSocket."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
import urllib.request

import websocket

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome") or shutil.which("chromium-browser")


class Browser:
    """One page. `value(js)` evaluates, `press(key)` presses."""

    def __init__(self, folder, url):
        self.process = subprocess.Popen(
            [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run",
             "--disable-background-networking", "--remote-debugging-port=0",
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
        self.socket = websocket.create_connection(
            target["webSocketDebuggerUrl"], timeout=30, suppress_origin=True
        )
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
            message = json.loads(self.socket.recv())
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
        self.socket.shutdown()
        self.process.kill()
        self.process.wait()
