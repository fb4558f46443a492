"""Fine-tuning by a server: training files and jobs, none of them created twice.

A file and a job are created by one request each, whose outcome may remain unknown. The server is then asked
for what it has before the request is sent again: for a file by its name, for a job by its metadata or by its
training file. Both names are unique, and the caller has written them to disk before.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from probate.core.errors import InputError, StageError
from probate.models.servers.attempts import Attempts, Body, Failure, has_id
from probate.study.server import ApiSpec

TAG = "probate-request"
"""Key of a job's metadata with the name of the request that created it."""
ENDED = ("succeeded", "failed", "cancelled")
"""Final states of a job."""
REPLACED = {"method": "hyperparameters", "metadata": "", "seed": "", "suffix": ""}
"""Parameters of a job that some servers reject, and their replacement; "": the parameter is omitted."""
NO_ENDPOINT = (404, 405, 501)
UPLOADED, STARTED = "the training file was uploaded", "the job was started"
ONE = {"limit": 1}
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
        self.spec = spec
        self._attempts = Attempts(spec, spec.fine_tune.poll if spec.fine_tune else 1.0)
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
            self._attempts.run(
                lambda api: self._attempts.read(lambda: api.fine_tuning.jobs.list(extra_query=ONE), _is_page)
            )
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
        found = self._attempts.run(
            lambda api: self._attempts.found(UPLOADED, lambda: self._find_file(api, name))
        )
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

            made = await self._attempts.create(UPLOADED, send, lambda: self._find_file(api, name), seconds)
            return str(made["id"])

        try:
            return self._attempts.run(work)
        except Failure as failure:
            if failure.status in NO_ENDPOINT and not failure.doubtful:
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
        return self._attempts.run(
            lambda api: self._attempts.found(STARTED, lambda: self._find_job(api, request, file))
        )

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
                        model=self.spec.model, training_file=file, extra_body=sent
                    )

                try:
                    find = partial(self._find_job, api, request, file)
                    return await self._attempts.create(STARTED, send, find, self.spec.timeout)
                except Failure as failure:
                    if not self._replace(failure, sent):
                        raise

        try:
            return self._attempts.run(work)
        except Failure as failure:
            if failure.status in NO_ENDPOINT[1:] and not failure.doubtful:
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
            return self._attempts.run(
                lambda api: self._attempts.read(
                    lambda: api.fine_tuning.jobs.retrieve(job),
                    lambda body: body.get("id") == job and isinstance(body.get("status"), str),
                )
            )
        except Failure as failure:
            raise self._stage_error(f"the fine-tuning job {job}", failure) from None

    async def _entries(self, pages: Callable[..., Awaitable[Any]]) -> list[Body]:
        """Return the entries of all pages of a list. A server that repeats a page ends it."""
        entries: dict[str, Body] = {}
        last: Body = {}
        for _ in range(PAGES):
            page = await self._attempts.read(partial(pages, extra_query={"limit": PAGE, **last}), _is_page)
            own = [e for e in page["data"] if has_id(e)]
            new = [e for e in own if e["id"] not in entries]
            entries |= {e["id"]: e for e in new}
            if not new or page.get("has_more") is False:
                return list(entries.values())
            last = {"after": own[-1]["id"]}
        raise Failure(f"its list has more than {PAGES:,} pages")

    async def _find_file(self, api: Any, name: str) -> Body:
        files = await self._entries(partial(api.files.list, purpose="fine-tune"))
        return next((f for f in files if f.get("filename") == name), {})

    async def _find_job(self, api: Any, request: str, file: str) -> Body:
        jobs = await self._entries(api.fine_tuning.jobs.list)
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


def _is_page(body: Body) -> bool:
    return isinstance(body.get("data"), list)


def _metadata(job: Body) -> Body:
    own = job.get("metadata")
    return own if isinstance(own, dict) else {}


def _created(job: Body) -> float:
    own = job.get("created_at")
    return float(own) if isinstance(own, (int, float)) else float("inf")
