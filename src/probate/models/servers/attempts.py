"""Attempts at requests that read or create something, for which a lost answer is not a failed request."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from probate.core.errors import StageError
from probate.core.plugins import require
from probate.core.secrets import hidden, hide, remember
from probate.models.servers.bounds import PLAIN, UnboundedAnswer
from probate.models.servers.client import SLOWEST
from probate.models.servers.failures import body_of, never_sent, retry_after, short
from probate.models.servers.transport import http_client, unlogged
from probate.study.server import ApiSpec

Body = dict[str, Any]
Answer = TypeVar("Answer")
TEMPORARY = (408, 409, 425, 429)


class Attempts:
    """Sends requests to a server, again after temporary errors.

    Parameters
    ----------
    spec : ApiSpec
        Address, retries and waits.
    settle : float
        Seconds in which a server shows what a request created, after its answer was lost.
    """

    def __init__(self, spec: ApiSpec, settle: float) -> None:
        self.spec, self.settle = spec.checked(), settle
        self.key_sent = self.spec.key()
        remember(self.key_sent)

    def run(self, work: Callable[[Any], Awaitable[Answer]]) -> Answer:
        async def whole() -> Answer:
            openai: Any = require("openai", "api")
            api = openai.AsyncOpenAI(
                api_key=self.key_sent,
                base_url=self.spec.base_url,
                max_retries=0,
                timeout=None,  # `_once` limits the whole answer
                default_headers=PLAIN,
                http_client=http_client(openai),
            )
            try:
                return await work(api)
            finally:
                await api.close()

        with unlogged():
            return asyncio.run(whole())

    async def _once(
        self, send: Callable[[], Awaitable[Any]], valid: Callable[[Body], bool], seconds: float
    ) -> Body:
        """Send a request once and return the body of its answer.

        Raises
        ------
        Failure
            There is no valid answer.
        """
        openai: Any = require("openai", "api")
        try:
            async with asyncio.timeout(seconds):
                answer = await send()
            body: Body = hidden(body_of(answer))
        except TimeoutError:
            raise Failure(f"no complete answer within {seconds:g} s") from None
        except openai.APIStatusError as error:
            raise Failure(
                f"status {error.status_code}: {_said(error)}",
                status=error.status_code,
                wait=retry_after(error),
                said=hide(str(error.body)),
            ) from None
        except (
            UnboundedAnswer,
            openai.APIConnectionError,
            openai.APIResponseValidationError,
            AttributeError,  # the client expected another type
            TypeError,
            ValueError,
            RecursionError,
        ) as error:
            reason = error.__cause__ if isinstance(error.__cause__, UnboundedAnswer) else error
            plain = isinstance(reason, UnboundedAnswer)
            why = str(reason) if plain else f"{type(error).__name__}: {short(error)}"
            raise Failure(why, sent=not never_sent(error)) from None
        if not valid(body):
            raise Failure("the answer is not one of a fine-tuning interface")
        return body

    async def read(self, send: Callable[[], Awaitable[Any]], valid: Callable[[Body], bool]) -> Body:
        """Return the answer to a request that changes nothing, after as many attempts as allowed."""
        for attempt in range(self.spec.retries + 1):
            try:
                return await self._once(send, valid, self.spec.timeout)
            except Failure as failure:
                if failure.permanent or attempt == self.spec.retries:
                    raise failure.after(attempt + 1) from None
                await self._pause(attempt, failure.wait)
        raise AssertionError

    async def create(
        self,
        what: str,
        send: Callable[[], Awaitable[Any]],
        find: Callable[[], Awaitable[Body]],
        seconds: float,
    ) -> Body:
        """Send a request that creates something, and return the answer, or what `find` returns.

        If it is not known whether an attempt had an effect, `find` is called before the next attempt: at once
        and, because a server may still be working, after a pause.
        """
        doubtful = False
        for attempt in range(self.spec.retries + 1):
            try:
                return await self._once(send, has_id, seconds)
            except Failure as failure:
                if failure.permanent:
                    failure.doubtful = doubtful
                    raise
                doubtful |= failure.sent
                await self._pause(attempt, failure.wait)
                if failure.sent and (found := await self.found(what, find)):
                    return found
                if attempt == self.spec.retries:
                    last = failure.after(attempt + 1)
                    last.doubtful = doubtful
                    raise last from None
        raise AssertionError

    async def _pause(self, attempt: int, asked: float = 0.0) -> None:
        longer = min(SLOWEST, self.spec.wait * 2**attempt) * random.uniform(0.5, 1.0)  # noqa: S311 (jitter)
        await asyncio.sleep(max(min(asked, SLOWEST), longer))

    async def found(self, what: str, find: Callable[[], Awaitable[Body]]) -> Body:
        """Return what a request may have created, also if it appears a moment later; {} for nothing."""
        try:
            if found := await find():
                return found
            await asyncio.sleep(self.settle)
            return await find()
        except Failure as failure:
            raise self.unknown(what, failure) from None

    def unknown(self, what: str, failure: Failure) -> StageError:
        return StageError(
            f"{self.spec.base_url}: it is not known whether {what}, because the server gives no list "
            f"({failure}), so nothing is sent again; run the same command later"
        )


class Failure(Exception):
    """A request without a valid answer.

    `status` is that of the answer, `wait` the seconds that it asks to wait, `said` its whole text, `sent`
    whether the request may have had an effect, and `doubtful` whether one of several may have had one.
    """

    def __init__(
        self, why: str, *, status: int | None = None, wait: float = 0.0, said: str = "", sent: bool = True
    ) -> None:
        super().__init__(why)
        self.status, self.wait, self.said, self.sent = status, wait, said, sent
        self.doubtful = False
        self.permanent = status is not None and status < 500 and status not in TEMPORARY

    def after(self, attempts: int) -> Failure:
        """Return the failure, with the number of attempts if there were several."""
        if self.permanent:
            return self
        more = Failure(f"no answer after {attempts} attempts; last: {self}", status=self.status)
        more.permanent = False
        return more

    def names(self, parameter: str) -> bool:
        """Return whether the answer names a parameter as a word."""
        words = "".join(c if c.isalnum() or c == "_" else " " for c in self.said).split()
        return parameter in words


def _said(error: Any) -> str:
    """Return the server's own words about an error, in one line and without the key."""
    body = error.body if isinstance(error.body, dict) else {}
    own = body["error"] if isinstance(body.get("error"), dict) else body
    said = next((own[k] for k in ("message", "detail", "error") if isinstance(own.get(k), str)), "")
    return short(Exception(said)).rstrip(".") if said else short(error)


def has_id(body: Any) -> bool:
    """Return whether an answer describes a file or a job."""
    own = body.get("id") if isinstance(body, dict) else None
    return isinstance(own, str) and 0 < len(own) <= 500
