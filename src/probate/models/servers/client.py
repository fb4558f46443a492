"""A client for one model behind a server, with a cache on disk and retries with jitter."""

from __future__ import annotations

import asyncio
import hashlib
import json
import random
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from probate.core.errors import ProbateError, StageError
from probate.core.files import write_atomic
from probate.core.parse import NotJson, json_value
from probate.core.plugins import require
from probate.core.records import with_notice
from probate.core.secrets import hidden, remember
from probate.core.servers import withheld
from probate.models.servers.bounds import PLAIN, UnboundedAnswer
from probate.models.servers.failures import body_of, never_sent, retry_after, short
from probate.models.servers.ledger import Ledger, ledger_path
from probate.models.servers.transport import http_client, unlogged
from probate.study.server import ApiSpec

Request = dict[str, Any]
"""The body of a chat completion without the model's name."""
TURN_TOKENS = 16
"""Upper bound of a turn's tokens beyond those of its text."""
SLOWEST = 60.0
"""Longest wait before another attempt in seconds, also if the server's Retry-After is longer."""


REPLACED = {
    "max_tokens": "max_completion_tokens", "top_logprobs": "", "logprobs": "", "temperature": "", "top_p": "",
    "seed": "", "stop": "",
}  # fmt: skip
"""Parameters that some servers reject, and their replacement; "": the parameter is omitted."""


NO_CHOICES = "no choices"
"""Finish reason of the placeholder for an answer without choices."""
EMPTY_ATTEMPTS = 3
MAYBE_CHARGED = (408, 502, 504, 524)
"""Statuses of a gateway that timed out; the server behind it may have answered and charged."""
MAX_CHOICES = 1024
"""Maximum number of choices in an answer; more are never requested."""


class NotFound(StageError):
    """Raised if the server does not know the model, or not yet."""


class ApiClient:
    """A client for one model behind an OpenAI-compatible server.

    Finished answers are cached, one file each. A later call, or a call after an interruption, requests only
    the missing ones.

    Parameters
    ----------
    spec : ApiSpec
        Address, model, budget and retries.
    cache : Path
        Folder of the cached answers.
    notice : dict, optional
        Text that is placed before each prompt (`text`, and `placement`: `user` or `system`).
    """

    def __init__(self, spec: ApiSpec, cache: Path, notice: dict[str, str] | None = None) -> None:
        self.spec = spec.checked()
        self.key_sent = self.spec.key()
        remember(self.key_sent)
        self.cache, self.notice = cache, notice
        self.ledger = Ledger(self.spec, ledger_path(cache.parent), sum(1 for _ in cache.glob("*/*.json")))
        self.sent = 0
        self.refused: dict[str, str] = {}
        self.notes = list(filter(None, [withheld(self.spec.base_url, self.spec.key_env)]))

    def ask(
        self, requests: Sequence[Request], done: Callable[[int, dict[str, Any]], None] | None = None
    ) -> list[dict[str, Any]]:
        """Return the server's answer to each request.

        Parameters
        ----------
        requests : sequence of dict
            Bodies of chat completions, without the model's name.
        done : callable, optional
            Called with the index of a request and its answer as soon as the answer is available.

        Returns
        -------
        list of dict
            The answers, in the order of `requests`.

        Raises
        ------
        StageError
            The budget is spent, the server rejects the request (wrong key, unknown model), or a request fails
            after all attempts. Earlier answers stay in the cache.
        """
        requests = [{**r, "messages": with_notice(r["messages"], self.notice)} for r in requests]
        with unlogged():
            return asyncio.run(self._ask(requests, done or (lambda *_: None)))

    async def _ask(
        self, requests: Sequence[Request], done: Callable[[int, dict[str, Any]], None]
    ) -> list[dict[str, Any]]:
        openai: Any = require("openai", "api")
        client = openai.AsyncOpenAI(
            api_key=self.key_sent,
            base_url=self.spec.base_url,
            max_retries=0,
            timeout=self.spec.timeout,
            default_headers=PLAIN,
            http_client=http_client(openai),
        )
        gate = asyncio.Semaphore(self.spec.concurrency)
        answers: list[dict[str, Any]] = [{} for _ in requests]
        places: dict[str, list[int]] = {}
        for i, request in enumerate(requests):
            places.setdefault(self.key(request), []).append(i)
        failed: list[ProbateError] = []

        async def one(key: str, own: list[int]) -> None:
            answer = self._cached(key)
            if answer is None:
                async with gate:
                    if failed:  # a request has failed permanently: no other is sent
                        return
                    try:
                        answer = await self._send(client, openai, requests[own[0]])
                    except ProbateError as error:
                        failed.append(error)
                        return
                if (
                    answer["choices"][0].get("finish_reason") != NO_CHOICES
                ):  # otherwise a later call requests it again
                    await asyncio.to_thread(
                        write_atomic,
                        self._path(key),
                        json.dumps({"request": requests[own[0]], "answer": answer}, ensure_ascii=False),
                    )
            for i in own:
                answers[i] = answer
                done(i, answer)

        try:
            await asyncio.gather(*(one(key, own) for key, own in places.items()))
        finally:
            await client.close()
        if failed:
            raise failed[0]
        return answers

    def key(self, request: Request) -> str:
        """Return the SHA-256 of the whole request: server, model and body."""
        whole = {"url": self.spec.base_url, "model": self.spec.model, **request}
        return hashlib.sha256(json.dumps(whole, sort_keys=True, ensure_ascii=False).encode()).hexdigest()

    def _path(self, key: str) -> Path:
        return self.cache / key[:2] / f"{key}.json"

    def _cached(self, key: str) -> dict[str, Any] | None:
        try:
            kept = json_value(self._path(key).read_bytes())
        except (OSError, NotJson):
            return None  # missing, or truncated by an interruption: requested again
        answer = kept.get("answer") if isinstance(kept, dict) else None
        return answer if is_valid(answer) else None

    def _most(self, request: Request) -> tuple[int, int]:
        return most_used(request)

    def _taken(self, request: Request) -> Request:
        """Return the request with rejected parameters replaced or omitted."""
        body = {self.refused.get(k, k): v for k, v in request.items()}
        return {k: v for k, v in body.items() if k}

    def _replace(self, error: Any, sent: Request) -> bool:
        """Replace a parameter that the server's error names, and add a note once; False if there is none."""
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
            instead = f"{REPLACED[param]} is sent instead" if REPLACED[param] else "it is omitted"
            self.notes.append(f"{self.spec.base_url} rejects {param}; {instead}")
        return True

    def _used(self, usage: Any, most: tuple[int, int]) -> tuple[int, int]:
        """Return the tokens that an answer used according to the server.

        If the server reports no count, or an impossible one, return the reserved maximum, and add a note
        once.
        """
        prompt, answer = (
            _count(usage, "prompt_tokens", 1, most[0]),
            _count(usage, "completion_tokens", 0, most[1]),
        )
        if prompt is not None and answer is not None:
            return prompt, answer
        note = (
            f"{self.spec.base_url} reports no count of tokens, or an impossible one; the reserved maximum is "
            "charged instead"
        )
        if note not in self.notes:
            self.notes.append(note)
        return most

    async def _send(self, client: Any, openai: Any, request: Request) -> dict[str, Any]:
        """Return the answer to a request, after as many attempts as the settings allow."""
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
        """Send a request once, and again for each parameter that the server rejects.

        The request is in the ledger before it is sent.

        Raises
        ------
        _NoAnswer
            There is no answer, but another attempt may succeed.
        StageError
            There is no answer, and no attempt can succeed.
        """
        while True:
            most = self._most(request)
            reserved = self.ledger.reserve(*most)
            used = most  # until the server reports less
            sent = self._taken(request)
            try:
                self.sent += 1
                async with asyncio.timeout(
                    self.spec.timeout
                ):  # of the whole answer: a server may send a byte a minute
                    answer = await client.chat.completions.create(model=self.spec.model, **sent)
                body = hidden(body_of(answer))
                if answered(body):
                    used = self._used(body.get("usage"), most)
                if is_valid(body):
                    return body
                raise _NoAnswer("the answer has no message", empty=body.get("choices") == [])
            except TimeoutError:
                raise _NoAnswer(f"no complete answer within {self.spec.timeout:g} s") from None
            except (
                UnboundedAnswer,
                openai.APIConnectionError,
                openai.APIResponseValidationError,
                ValueError,
                RecursionError,
            ) as error:
                reason = error.__cause__ if isinstance(error.__cause__, UnboundedAnswer) else error
                plain = isinstance(reason, UnboundedAnswer)
                used = (0, 0) if never_sent(error) else most
                raise _NoAnswer(str(reason) if plain else f"{type(error).__name__}: {short(error)}") from None
            except openai.APIStatusError as error:
                why = f"status {error.status_code}: {short(error)}"
                used = most if error.status_code in MAYBE_CHARGED else (0, 0)
                if error.status_code in (400, 422) and self._replace(error, sent):
                    continue
                if error.status_code not in (408, 409, 425, 429) and error.status_code < 500:
                    kind = NotFound if error.status_code == 404 else StageError
                    raise kind(f"{self.spec.base_url}, model {self.spec.model}: {why}") from None
                raise _NoAnswer(why, retry_after(error)) from None
            finally:
                self.ledger.settle(reserved, *used)


def most_used(request: Request) -> tuple[int, int]:
    """Return the most prompt and answer tokens of a request; a token has at least one byte."""
    prompt = sum(len(str(m["content"]).encode()) + TURN_TOKENS for m in request["messages"])
    return prompt, int(request["max_tokens"]) * int(request.get("n", 1))


class _NoAnswer(Exception):
    """An attempt without an answer; `wait` in seconds, `empty` if the server sent no choices."""

    def __init__(self, why: str, wait: float = 0.0, *, empty: bool = False) -> None:
        super().__init__(why)
        self.wait, self.empty = wait, empty


def answered(body: dict[str, Any]) -> bool:
    """Return whether the answer has choices, for which a server charges."""
    return isinstance(body.get("choices"), list) and bool(body["choices"])


def is_valid(body: Any) -> bool:
    """Return whether this is an answer with at most `MAX_CHOICES` choices, each an object with a message."""
    if not isinstance(body, dict) or not answered(body) or len(body["choices"]) > MAX_CHOICES:
        return False
    return all(isinstance(c, dict) and isinstance(c.get("message"), dict) for c in body["choices"])


def _count(usage: Any, name: str, least: int, most: int) -> int | None:
    """Return the server's count of tokens; None if it is missing or impossible."""
    count = usage.get(name) if isinstance(usage, dict) else None
    if (
        isinstance(count, bool)
        or not isinstance(count, (int, float))
        or not least <= count <= most
        or count != int(count)
    ):
        return None
    return int(count)
