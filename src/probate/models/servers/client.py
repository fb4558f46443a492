"""Asking a server: a cache on disk keyed by the whole request, retries with jitter (tenacity), one request for equal ones."""

from __future__ import annotations

import asyncio
import hashlib
import json
import math
import random
import re
import time
from collections.abc import Callable, Sequence
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any

from probate.core.errors import ProbateError, StageError
from probate.core.files import write_atomic
from probate.core.parse import NotJson, json_value
from probate.core.plugins import require
from probate.core.secrets import hidden, hide, remember
from probate.core.servers import withheld
from probate.models.servers.bounds import PLAIN, UnboundedAnswer
from probate.models.servers.ledger import Ledger, ledger_path
from probate.models.servers.transport import http_client, unlogged
from probate.study.server import ApiSpec

Request = dict[str, Any]
"""The body of a chat completion, but for the model's name."""
TURN_TOKENS = 16
"""Tokens of a turn beside its text, at most."""
SLOWEST = 60.0
"""Longest wait before another attempt, in seconds; a server's Retry-After may be as long."""


REPLACED = {
    "max_tokens": "max_completion_tokens", "top_logprobs": "", "logprobs": "", "temperature": "", "top_p": "", "seed": "", "stop": "",
}  # fmt: skip
"""Parameters that some servers refuse, and what is sent instead; "": nothing."""


NO_CHOICES = "no choices"
"""Ending of what stands for an answer of a server that sends none."""
EMPTY_ATTEMPTS = 3
MAYBE_CHARGED = (408, 502, 504, 524)
"""Statuses of a server that gave up on another behind it, which may have answered and charged."""
MOST_CHOICES = 1024
"""Of an answer: more were never asked for."""


class ApiClient:
    """Answers of one model. Finished answers lie in `cache`, one file each: a later call, or one after a kill, asks only what is missing."""

    def __init__(self, spec: ApiSpec, cache: Path) -> None:
        self.spec = spec.checked()
        self.key_sent = self.spec.key()
        remember(self.key_sent)
        self.cache = cache
        self.ledger = Ledger(self.spec, ledger_path(cache.parent), sum(1 for _ in cache.glob("*/*.json")))
        self.sent = 0
        self.refused: dict[str, str] = {}
        self.notes = list(filter(None, [withheld(self.spec.base_url, self.spec.key_env)]))

    def ask(
        self, requests: Sequence[Request], done: Callable[[int, dict[str, Any]], None] | None = None
    ) -> list[dict[str, Any]]:
        """The server's answer to each request, in their order; `done(place, answer)` as soon as each stands.

        Raises:
            StageError: the budget is spent, the server refuses (a wrong key, an unknown model), or a request fails after all attempts. What was answered
                before is kept.
        """
        with unlogged():
            return asyncio.run(self._ask(requests, done or (lambda *_: None)))

    async def _ask(
        self, requests: Sequence[Request], done: Callable[[int, dict[str, Any]], None]
    ) -> list[dict[str, Any]]:
        openai: Any = require("openai", "api")
        client = openai.AsyncOpenAI(
            api_key=self.key_sent, base_url=self.spec.base_url, max_retries=0, timeout=self.spec.timeout, default_headers=PLAIN,
            http_client=http_client(openai),
        )  # fmt: skip
        gate = asyncio.Semaphore(self.spec.concurrency)
        found: list[dict[str, Any]] = [{} for _ in requests]
        places: dict[str, list[int]] = {}
        for i, request in enumerate(requests):
            places.setdefault(self.key(request), []).append(i)
        failed: list[ProbateError] = []

        async def one(key: str, own: list[int]) -> None:
            answer = self._cached(key)
            if answer is None:
                async with gate:
                    if failed:  # one request has failed for good: no other is sent
                        return
                    try:
                        answer = await self._send(client, openai, requests[own[0]])
                    except ProbateError as error:
                        failed.append(error)
                        return
                if (
                    answer["choices"][0].get("finish_reason") != NO_CHOICES
                ):  # else asked again by a later call
                    await asyncio.to_thread(
                        write_atomic,
                        self._path(key),
                        json.dumps({"request": requests[own[0]], "answer": answer}, ensure_ascii=False),
                    )
            for i in own:
                found[i] = answer
                done(i, answer)

        try:
            await asyncio.gather(*(one(key, own) for key, own in places.items()))
        finally:
            await client.close()
        if failed:
            raise failed[0]
        return found

    def key(self, request: Request) -> str:
        """SHA-256 of the whole request: server, model and body."""
        whole = {"url": self.spec.base_url, "model": self.spec.model, **request}
        return hashlib.sha256(json.dumps(whole, sort_keys=True, ensure_ascii=False).encode()).hexdigest()

    def _path(self, key: str) -> Path:
        return self.cache / key[:2] / f"{key}.json"

    def _cached(self, key: str) -> dict[str, Any] | None:
        try:
            kept = json_value(self._path(key).read_bytes())
        except (OSError, NotJson):
            return None  # not there, or cut off by a kill: asked again
        answer = kept.get("answer") if isinstance(kept, dict) else None
        return answer if sound(answer) else None

    def _most(self, request: Request) -> tuple[int, int]:
        """Tokens that a request can use at most: a token of a prompt has at least one byte."""
        prompt = sum(len(str(m["content"]).encode()) + TURN_TOKENS for m in request["messages"])
        return prompt, int(request["max_tokens"]) * int(request.get("n", 1))

    def _taken(self, request: Request) -> Request:
        """The request with what this server refuses replaced or left out."""
        body = {self.refused.get(k, k): v for k, v in request.items()}
        return {k: v for k, v in body.items() if k}

    def _replace(self, error: Any, sent: Request) -> bool:
        """Whether the server named a parameter of the request that can be replaced or left out; said once, in `notes`."""
        body = error.body if isinstance(error.body, dict) else {}
        body = body["error"] if isinstance(body.get("error"), dict) else body
        param = body.get("param")
        param = (
            str(param)
            if param
            else next((p for p in REPLACED if re.search(rf"\b{p}\b", str(body.get("message") or ""))), "")
        )
        if param not in REPLACED or param not in sent:
            return False
        if param not in self.refused:
            self.refused[param] = REPLACED[param]
            instead = f"{REPLACED[param]} is sent instead" if REPLACED[param] else "it is left out"
            self.notes.append(f"{self.spec.base_url} refuses {param}; {instead}")
        return True

    def _used(self, usage: Any, most: tuple[int, int]) -> tuple[int, int]:
        """What the server says that an answer took; all that was set aside where it does not say, or says what cannot be, which is noted once."""
        prompt, answer = (
            _count(usage, "prompt_tokens", 1, most[0]),
            _count(usage, "completion_tokens", 0, most[1]),
        )
        if prompt is not None and answer is not None:
            return prompt, answer
        note = f"{self.spec.base_url} gives no count of tokens, or one that cannot be; the most that was possible is charged instead"
        if note not in self.notes:
            self.notes.append(note)
        return most

    async def _send(self, client: Any, openai: Any, request: Request) -> dict[str, Any]:
        """The answer to a request, after as many attempts as the settings allow."""
        tenacity: Any = require("tenacity", "api")
        longer = tenacity.wait_exponential(multiplier=self.spec.wait, max=SLOWEST)
        rng = random.Random()  # noqa: S311 (jitter)
        empty = 0

        def pause(state: Any) -> float:
            asked: float = state.outcome.exception().wait
            return max(min(asked, SLOWEST), longer(state) * rng.uniform(0.5, 1.0))

        async def attempt() -> dict[str, Any]:
            nonlocal empty
            try:
                return await self._attempt(client, openai, request)
            except _NoAnswer as error:
                empty += error.empty
                if empty < EMPTY_ATTEMPTS:
                    raise
                return {"choices": [{"message": {"content": None}, "finish_reason": NO_CHOICES}]}

        attempts = tenacity.AsyncRetrying(
            retry=tenacity.retry_if_exception_type(_NoAnswer),
            stop=tenacity.stop_after_attempt(self.spec.retries + 1),
            wait=pause,
            reraise=True,
        )
        try:
            answer: dict[str, Any] = await attempts(attempt)
        except _NoAnswer as last:
            raise StageError(
                f"{self.spec.base_url}, model {self.spec.model}: no answer after {self.spec.retries + 1} "
                f"attempts; last: {last}. The same command asks only what is missing"
            ) from None
        return answer

    async def _attempt(self, client: Any, openai: Any, request: Request) -> dict[str, Any]:
        """The answer to a request that is sent once, or once more for each parameter that the server refuses. It is in the ledger before it is sent.

        Raises:
            _NoAnswer: none, and another attempt may bring one.
            StageError: none, and no attempt will bring one.
        """
        while True:
            most = self._most(request)
            reserved = self.ledger.reserve(*most)
            used = most  # until it is known that less was charged
            sent = self._taken(request)
            try:
                self.sent += 1
                async with asyncio.timeout(
                    self.spec.timeout
                ):  # of the whole answer: a server may send a byte a minute
                    answer = await client.chat.completions.create(model=self.spec.model, **sent)
                body = hidden(_body(answer))
                if answered(body):
                    used = self._used(body.get("usage"), most)
                if sound(body):
                    return body
                raise _NoAnswer("an answer without a message", empty=body.get("choices") == [])
            except TimeoutError:
                raise _NoAnswer(f"no whole answer in {self.spec.timeout:g} s") from None
            except (
                UnboundedAnswer, openai.APIConnectionError, openai.APIResponseValidationError, ValueError, RecursionError,
            ) as error:  # fmt: skip
                reason = error.__cause__ if isinstance(error.__cause__, UnboundedAnswer) else error
                plain = isinstance(reason, UnboundedAnswer)
                used = (0, 0) if _never_sent(error) else most
                raise _NoAnswer(
                    str(reason) if plain else f"{type(error).__name__}: {_short(error)}"
                ) from None
            except openai.APIStatusError as error:
                why = f"status {error.status_code}: {_short(error)}"
                used = most if error.status_code in MAYBE_CHARGED else (0, 0)
                if error.status_code in (400, 422) and self._replace(error, sent):
                    continue
                if error.status_code not in (408, 409, 425, 429) and error.status_code < 500:
                    raise StageError(f"{self.spec.base_url}, model {self.spec.model}: {why}") from None
                raise _NoAnswer(why, _retry_after(error)) from None
            finally:
                self.ledger.settle(reserved, *used)


class _NoAnswer(Exception):
    """Why an attempt brought no answer, the seconds that the server asks to wait, and whether it sent an empty list of choices."""

    def __init__(self, why: str, wait: float = 0.0, *, empty: bool = False) -> None:
        super().__init__(why)
        self.wait, self.empty = wait, empty


def _body(answer: Any) -> dict[str, Any]:
    """An answer as plain JSON values; empty where it is none, such as a page of HTML."""
    try:
        body = answer.model_dump(warnings=False)
        body = json_value(json.dumps(body, ensure_ascii=True))
    except (
        AttributeError,
        TypeError,
        ValueError,
        RecursionError,
    ):  # text, bytes, lone surrogates, types that the library did not foresee
        return {}
    return body if isinstance(body, dict) else {}


def answered(body: dict[str, Any]) -> bool:
    """Whether there is a list of choices in it, which a server charges for."""
    return isinstance(body.get("choices"), list) and bool(body["choices"])


def sound(body: Any) -> bool:
    """Whether it is an answer: a list of at most `MOST_CHOICES` choices, each an object with a message that is one."""
    if not isinstance(body, dict) or not answered(body) or len(body["choices"]) > MOST_CHOICES:
        return False
    return all(isinstance(c, dict) and isinstance(c.get("message"), dict) for c in body["choices"])


def _retry_after(error: Any) -> float:
    """Seconds of a Retry-After, which is a number or a date."""
    said = str(error.response.headers.get("retry-after", "")).strip()
    try:
        seconds = float(said)
    except ValueError:
        try:
            seconds = parsedate_to_datetime(said).timestamp() - time.time()
        except (TypeError, ValueError, IndexError):
            return 0.0
    return max(0.0, seconds) if math.isfinite(seconds) else 0.0


def _never_sent(error: Exception) -> bool:
    """Whether no connection was made, so that nothing can have been charged."""
    return type(error.__cause__).__name__ in (
        "ConnectError",
        "ConnectTimeout",
        "PoolTimeout",
        "UnsupportedProtocol",
    )


def _count(usage: Any, name: str, least: int, most: int) -> int | None:
    """Tokens used as the server counts them; None where it does not say, or says what cannot be."""
    said = usage.get(name) if isinstance(usage, dict) else None
    if (
        isinstance(said, bool)
        or not isinstance(said, (int, float))
        or not least <= said <= most
        or said != int(said)
    ):
        return None
    return int(said)


def _short(error: Exception) -> str:
    """An error in one line, without the key, should a server send it back."""
    text = " ".join(hide(str(error)).split())
    return text if len(text) <= 200 else f"{text[:199]}…"
