"""Fine-tuning by a server: training files and jobs, none of them created twice.

A file and a job are created by one request each, whose outcome may remain unknown. The server is then asked
for what it has before the request is sent again: for a file by its name, for a job by its metadata or by its
training file. Both names are unique, and the caller has written them to disk before.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, TypeVar

from probate.core.errors import InputError, StageError
from probate.core.plugins import require
from probate.core.secrets import hidden, hide, remember
from probate.models.servers.bounds import PLAIN, UnboundedAnswer
from probate.models.servers.client import SLOWEST
from probate.models.servers.failures import body_of, never_sent, retry_after, short
from probate.models.servers.transport import http_client, unlogged
from probate.study.server import ApiSpec

Body = dict[str, Any]
Answer = TypeVar("Answer")
TAG = "probate-request"
"""Key of a job's metadata with the name of the request that created it."""
ENDED = ("succeeded", "failed", "cancelled")
"""Final states of a job."""
REPLACED = {"method": "hyperparameters", "metadata": "", "seed": "", "suffix": ""}
"""Parameters of a job that some servers reject, and their replacement; "": the parameter is omitted."""
NO_ENDPOINT = (404, 405, 501)
TEMPORARY = (408, 409, 425, 429)
UPLOADED, STARTED = "the training file was uploaded", "the job was started"
PAGE, PAGES = 100, 10_000
"""Entries of a page, and the most pages that are read."""
BYTES_PER_SECOND = 100_000
"""Slowest upload that is waited for."""


class Rejected(StageError):
    """Raised if the server certainly did not create what it was asked for."""


class FineTuning:
    """Files and jobs of a server's fine-tuning.

    Parameters
    ----------
    spec : ApiSpec
        Address, model, retries and `fine_tune`.

    Attributes
    ----------
    notes : list of str
        Parameters that the server rejects, and what was done instead.
    """

    def __init__(self, spec: ApiSpec) -> None:
        self.spec = spec.checked()
        self.key_sent = self.spec.key()
        remember(self.key_sent)
        self.notes: list[str] = []
        self._rejected: set[str] = set()
        self._checked = False

    def check(self) -> None:
        """Check once that the server has a list of fine-tuning jobs.

        Raises
        ------
        InputError
            It has none.
        StageError
            The server rejects the key, or gives no answer after all attempts.
        """
        if self._checked:
            return
        try:
            self._run(lambda api: self._read(lambda: api.fine_tuning.jobs.list(limit=1), _is_page))
        except Failure as failure:
            if failure.status in NO_ENDPOINT:
                raise InputError(
                    f"{self.spec.base_url} has no fine-tuning ({failure}): choose another server, or measure "
                    "its model with: probate ask"
                ) from None
            raise self._stage_error("its fine-tuning jobs", failure) from None
        self._checked = True

    def find_file(self, name: str) -> str:
        """Return the id of the uploaded file of this name, or "" if the server has none."""
        found = self._run(lambda api: self._found(UPLOADED, lambda: self._find_file(api, name)))
        return str(found.get("id", ""))

    def upload(self, name: str, content: bytes) -> str:
        """Upload a training file and return its id.

        Parameters
        ----------
        name : str
            A name that no other file has.
        content : bytes
            The file, one JSON object a line.

        Raises
        ------
        Rejected
            The server rejects the file.
        InputError
            The server takes no files.
        StageError
            It is not known whether the file was uploaded.
        """
        seconds = self.spec.timeout + len(content) / BYTES_PER_SECOND

        async def work(api: Any) -> str:
            async def send() -> Any:
                return await api.files.create(file=(name, content, "application/jsonl"), purpose="fine-tune")

            made = await self._create(UPLOADED, send, lambda: self._find_file(api, name), seconds)
            return str(made["id"])

        try:
            return self._run(work)
        except Failure as failure:
            if failure.status in NO_ENDPOINT:
                raise InputError(
                    f"{self.spec.base_url} takes no training files ({failure}): choose another server"
                ) from None
            raise self._stage_error("the training file", failure) from None

    def find_job(self, request: str, file: str) -> Body:
        """Return the job that a request created, or {} if the server has none.

        Parameters
        ----------
        request : str
            The request's name, in the job's metadata.
        file : str
            Id of the job's training file, for a server that keeps no metadata.
        """
        return self._run(lambda api: self._found(STARTED, lambda: self._find_job(api, request, file)))

    def start(self, request: str, file: str, body: Body) -> Body:
        """Start a job and return it.

        Parameters
        ----------
        request : str
            A name that no other request has.
        file : str
            Id of the training file, which no other job has.
        body : dict
            Seed, suffix, metadata and method of the job.

        Raises
        ------
        Rejected
            The server rejects the job.
        InputError
            The server starts no jobs.
        StageError
            It is not known whether the job was started.
        """

        async def work(api: Any) -> Body:
            while True:
                sent = self._taken({**body, "metadata": {**body.get("metadata", {}), TAG: request}})

                async def send(sent: Body = sent) -> Any:
                    return await api.fine_tuning.jobs.create(
                        model=self.spec.model, training_file=file, **sent
                    )

                try:
                    find = partial(self._find_job, api, request, file)
                    return await self._create(STARTED, send, find, self.spec.timeout)
                except Failure as failure:
                    if not self._replace(failure, sent):
                        raise

        try:
            return self._run(work)
        except Failure as failure:
            if failure.status in NO_ENDPOINT[1:]:
                raise InputError(
                    f"{self.spec.base_url} starts no fine-tuning jobs ({failure}): choose another server"
                ) from None
            raise self._stage_error("the fine-tuning job", failure) from None

    def look(self, job: str) -> Body:
        """Return the present state of a job.

        Raises
        ------
        StageError
            The server does not know the job, or gives no answer after all attempts.
        """
        try:
            return self._run(
                lambda api: self._read(
                    lambda: api.fine_tuning.jobs.retrieve(job),
                    lambda body: body.get("id") == job and isinstance(body.get("status"), str),
                )
            )
        except Failure as failure:
            raise self._stage_error(f"the fine-tuning job {job}", failure) from None

    def _run(self, work: Callable[[Any], Awaitable[Answer]]) -> Answer:
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

    async def _read(self, send: Callable[[], Awaitable[Any]], valid: Callable[[Body], bool]) -> Body:
        """Return the answer to a request that changes nothing, after as many attempts as allowed."""
        for attempt in range(self.spec.retries + 1):
            try:
                return await self._once(send, valid, self.spec.timeout)
            except Failure as failure:
                if failure.permanent or attempt == self.spec.retries:
                    raise failure.after(attempt + 1) from None
                await self._pause(attempt, failure.wait)
        raise AssertionError

    async def _create(
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
                return await self._once(send, _has_id, seconds)
            except Failure as failure:
                if failure.permanent:
                    failure.doubtful = doubtful
                    raise
                doubtful |= failure.sent
                await self._pause(attempt, failure.wait)
                if failure.sent and (found := await self._found(what, find)):
                    return found
                if attempt == self.spec.retries:
                    last = failure.after(attempt + 1)
                    last.doubtful = doubtful
                    raise last from None
        raise AssertionError

    async def _pause(self, attempt: int, asked: float = 0.0) -> None:
        longer = min(SLOWEST, self.spec.wait * 2**attempt) * random.uniform(0.5, 1.0)  # noqa: S311 (jitter)
        await asyncio.sleep(max(min(asked, SLOWEST), longer))

    async def _found(self, what: str, find: Callable[[], Awaitable[Body]]) -> Body:
        """Return what a request may have created, also if it appears a moment later; {} for nothing."""
        try:
            if found := await find():
                return found
            await asyncio.sleep(self.spec.fine_tune.poll if self.spec.fine_tune else 1.0)
            return await find()
        except Failure as failure:
            raise self._unknown(what, failure) from None

    async def _entries(self, pages: Callable[..., Awaitable[Any]]) -> list[Body]:
        """Return the entries of all pages of a list. A server that repeats a page ends it."""
        entries: dict[str, Body] = {}
        last: dict[str, str] = {}
        for _ in range(PAGES):
            page = await self._read(lambda last=last: pages(limit=PAGE, **last), _is_page)  # type: ignore[misc]
            own = [e for e in page["data"] if _has_id(e)]
            new = [e for e in own if e["id"] not in entries]
            entries |= {e["id"]: e for e in new}
            if not new or page.get("has_more") is False:
                return list(entries.values())
            last = {"after": own[-1]["id"]}
        raise Failure(f"its list has more than {PAGES:,} pages")

    async def _find_file(self, api: Any, name: str) -> Body:
        files = await self._entries(lambda **at: api.files.list(purpose="fine-tune", **at))
        return next((f for f in files if f.get("filename") == name), {})

    async def _find_job(self, api: Any, request: str, file: str) -> Body:
        jobs = await self._entries(lambda **at: api.fine_tuning.jobs.list(**at))
        own = [j for j in jobs if _metadata(j).get(TAG) == request or j.get("training_file") == file]
        return min(own, key=_created, default={})

    def _taken(self, body: Body) -> Body:
        """Return the body without the parameters that the server rejected, or with their replacement."""
        taken = {k: v for k, v in body.items() if k not in self._rejected}
        if "method" in self._rejected:
            taken["hyperparameters"] = body["method"]["supervised"]["hyperparameters"]
        return taken

    def _replace(self, failure: Failure, sent: Body) -> bool:
        """Leave out a parameter that the server rejects, and add a note once; False if there is none."""
        if failure.status not in (400, 422):
            return False
        named = [p for p in REPLACED if p in sent and failure.names(p)]
        if not named or (named[0] == "method" and sent["method"]["type"] != "supervised"):
            return False
        self._rejected.add(named[0])
        instead = f"{REPLACED[named[0]]} is sent instead" if REPLACED[named[0]] else "it is omitted"
        self.notes.append(f"{self.spec.base_url} rejects {named[0]} of a fine-tuning job; {instead}")
        return True

    def _stage_error(self, what: str, failure: Failure) -> StageError:
        kind = StageError if failure.doubtful else Rejected
        return kind(
            f"{self.spec.base_url}, model {self.spec.model}: {what}: {failure}"
            + ("" if failure.permanent else ". The same command continues")
        )

    def _unknown(self, what: str, failure: Failure) -> StageError:
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


def _has_id(body: Any) -> bool:
    own = body.get("id") if isinstance(body, dict) else None
    return isinstance(own, str) and 0 < len(own) <= 500


def _is_page(body: Body) -> bool:
    return isinstance(body.get("data"), list)


def _metadata(job: Body) -> Body:
    own = job.get("metadata")
    return own if isinstance(own, dict) else {}


def _created(job: Body) -> float:
    own = job.get("created_at")
    return float(own) if isinstance(own, (int, float)) else float("inf")
