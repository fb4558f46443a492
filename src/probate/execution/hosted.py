"""Does the jobs of a study whose model is fine-tuned by a server: one server job for each arm."""

from __future__ import annotations

import json
import random
import secrets
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pandas as pd

from probate.core.cache import Store, digest
from probate.core.errors import InputError, StageError
from probate.core.files import atomic, write_atomic
from probate.core.parse import NotJson, json_value
from probate.core.progress import Reporter, Ticker, spoken
from probate.execution.evaluation import outcome_rows
from probate.execution.hosted_checks import Asked, asked
from probate.execution.job_record import JobRecord
from probate.execution.jobs import ArmJob, EvaluateJob, GenerateJob, Measurement, Trained
from probate.execution.served import measure_any
from probate.execution.training_file import file_bytes, most_tokens, training_lines
from probate.execution.worker import Worker
from probate.models.lm import LM
from probate.models.servers.client import ApiClient
from probate.models.servers.fine_tuning import ENDED, Body, FineTuning, Rejected
from probate.models.servers.ledger import Amount, BudgetError, Ledger, ledger_path
from probate.stats.databias import count_cells
from probate.study.hosted import is_hosted
from probate.study.schema import ModelSpec, Study, Training
from probate.study.server import ApiSpec, FineTuneSpec

MODEL = "model.json"
"""File of a trained arm with the name of its fine-tuned model on the server."""
LONGEST = 6.0
"""Longest time between two looks at a job, as a multiple of `fine_tune.poll`."""


def worker_for(study: Study, store: Store, reporter: Reporter) -> Worker:
    """Return the worker of a study: one that trains here, or one whose model a server fine-tunes."""
    if is_hosted(study.model):
        assert study.model.api is not None
        return HostedWorker(study.model.api, store, reporter)
    return Worker(store, reporter)


class HostedWorker(Worker):
    """Does the jobs of a study whose model is behind a server.

    Parameters
    ----------
    api : ApiSpec
        The server, with `fine_tune`.
    store, reporter
        As for `Worker`.
    """

    def __init__(self, api: ApiSpec, store: Store, reporter: Reporter) -> None:
        super().__init__(store, reporter)
        assert api.fine_tune is not None
        self.api, self.settings = api, api.fine_tune
        self.jobs = ServerJobs(api, self.settings, store.root)
        self._clients: dict[str, ApiClient] = {}
        self._ahead: dict[str, ArmJob] = {}
        self._measuring: list[Measurement] = []
        self._evaluations: dict[str, Amount] = {}

    def describe(self, spec: ModelSpec) -> dict[str, Any]:
        """Return server and model for the lock file, instead of facts about weights."""
        return {
            "name": self.api.model,
            "server": self.api.base_url,
            "fingerprint": self.fingerprint(spec)[:16],
            "device": "api",
            "fine_tune": self.settings.model_dump(mode="json"),
        }

    def expect(self, jobs: Sequence[ArmJob], measurements: Sequence[Measurement]) -> None:
        """Announce the arms of the first round; `fine_tune.jobs` of them are trained at the same time."""
        self._ahead = {job.arm: job for job in jobs}
        self._measuring = list(measurements)

    @contextmanager
    def _author(self, job: GenerateJob) -> Iterator[tuple[ModelSpec, LM | None]]:
        """Yield the generating model; in a later round the fine-tuned model of the previous round."""
        if job.author is None:
            with super()._author(job) as author:
                yield author
        else:
            api = self.api.model_copy(update={"model": fine_tuned(job.author.folder)})
            yield ModelSpec(name=job.author.arm, api=api), None

    def train(self, job: ArmJob) -> Trained:
        """Have the server fine-tune the arm's model, and wait for it."""
        key = self._key(job)
        folder, _ = self.store.run(
            f"adapters/{job.arm}", key, lambda folder: self._fine_tuned(job, key, folder)
        )
        return Trained(job.arm, digest(key, fine_tuned(folder)), folder)

    def _key(self, job: ArmJob) -> str:
        """Return the key of an arm's training, without settings that have no effect on a server."""
        training = Training(epochs=job.training.epochs, beta=job.training.beta)
        own = [self.settings.batch_size, self.settings.learning_rate_multiplier]
        return replace(job, training=training).key(digest(self.api.base_url, self.api.model, own))

    def _fine_tuned(self, job: ArmJob, key: str, folder: Path) -> dict[str, Any]:
        record = self._train_until_end(job, key)
        if record.status != "succeeded" or not record.fine_tuned_model:
            raise StageError(self.jobs.ending(record))
        about = {"model": record.fine_tuned_model, "server": record.server, "base": record.model}
        write_atomic(folder / MODEL, json.dumps(about, indent=1, ensure_ascii=False))
        return {
            "records": len(job.records),
            "tokens": record.trained_tokens,
            "model": record.fine_tuned_model,
            "job": record.job,
            "file": record.file,
            "notes": record.notes,
            "trained_on": count_cells(job.records, job.dimension),
        }

    def _train_until_end(self, job: ArmJob, key: str) -> JobRecord:
        """Start the arm's job, unless it is started, and return its record when it has ended."""
        self._ahead.pop(job.arm, None)
        record = self.jobs.known(job, key)
        if record is not None and record.status in ENDED:
            return record
        with self.reporter.stage(self._named(f"fine-tune {job.arm}"), 0, "looks") as tick:
            record = self._begun(job, key, tick)
            started, looks = time.monotonic(), 0
            while True:
                record, body = self.jobs.look(record)
                if record.status in ENDED:
                    return record
                waited = time.monotonic() - started
                if waited > self.settings.patience * 3600:
                    raise StageError(
                        f"{record.server}: the fine-tuning job {record.job} is still {record.status} after "
                        f"{spoken(waited)}; the same command waits for it again"
                    )
                tick(1, _progress(record.status, body))
                self._begin_ahead()
                longer = min(LONGEST, 1.2**looks)
                time.sleep(self.settings.poll * longer * random.uniform(0.8, 1.0))  # noqa: S311 (jitter)
                looks += 1

    def _begun(self, job: ArmJob, key: str, tick: Ticker) -> JobRecord:
        """Start the arm's job. If its budget is reserved by jobs that run ahead, wait for them first."""
        latest = time.monotonic() + self.settings.patience * 3600
        while True:
            running = self.jobs.running()
            try:
                return self.jobs.begin(job, key)
            except BudgetError:
                if not running or time.monotonic() > latest:
                    raise
            self.jobs.look_at_all()
            tick(1, "waiting for other jobs to free their budget")
            time.sleep(self.settings.poll)

    def _begin_ahead(self) -> None:
        """Start jobs of later arms, as far as their number and the budget allow."""
        for arm, job in list(self._ahead.items()):
            running = self.jobs.running()
            if len(running) >= self.settings.jobs:
                return
            try:
                lines = training_lines(job)
                most = self.jobs.ledger.job_amount(most_tokens(lines, job.training.epochs))
                waiting = [self._evaluation(job.notice)] * (len(running) + 1)
                if not self.jobs.ledger.has_room(most, *waiting):
                    return
                key = self._key(job)
                del self._ahead[arm]
                if self.store.finished(f"adapters/{arm}", key) is None:
                    self.jobs.begin(job, key)
            except StageError:
                self._ahead.pop(arm, None)  # its own turn meets the same error, and reports it

    def _evaluation(self, notice: dict[str, str] | None) -> Amount:
        """Return the most that the evaluation of one arm can use."""
        name = json.dumps(notice, sort_keys=True)
        if name not in self._evaluations:
            total = Asked()
            for m in self._measuring:
                total = total.plus(asked(m.task, m.context, self.settings.samples, notice))
            money = self.jobs.ledger.price(total.prompt, total.answer)
            self._evaluations[name] = Amount(total.prompt, total.answer, money)
        return self._evaluations[name]

    def evaluate(self, job: EvaluateJob) -> pd.DataFrame:
        """Measure one task on the arm's model, as `probate ask` does, and return its outcomes."""
        task, context, arm = job.measurement.task, job.measurement.context, job.trained.arm
        client = self._client(fine_tuned(job.trained.folder), job.notice)

        def work(folder: Path) -> dict[str, Any]:
            with self.reporter.stage(self._named(f"{task.key} {arm}"), task.size(context), "answers") as tick:
                outcomes = measure_any(client, task, context, self.settings.samples, tick)
            lines = "".join(json.dumps(asdict(o), ensure_ascii=False) + "\n" for o in outcomes)
            write_atomic(folder / "outcomes.jsonl", lines)
            return {"outcomes": len(outcomes), "notes": client.notes}

        key = digest(job.key, self.settings.samples)
        folder, _ = self.store.run(f"stages/evaluate-{arm}-{task.key}", key, work)
        return outcome_rows(job.columns, folder / "outcomes.jsonl")

    def _client(self, model: str, notice: dict[str, str] | None) -> ApiClient:
        name = json.dumps([model, notice], sort_keys=True)
        if name not in self._clients:
            spec = self.api.model_copy(update={"model": model})
            self._clients = {name: ApiClient(spec, self.store.root / "api-cache", notice)}
        return self._clients[name]


class ServerJobs:
    """The fine-tuning jobs of a run folder, with their records and their part of the budget.

    Parameters
    ----------
    api : ApiSpec
        The server.
    settings : FineTuneSpec
        Its section `fine_tune`.
    root : Path
        The run folder.
    """

    def __init__(self, api: ApiSpec, settings: FineTuneSpec, root: Path) -> None:
        self.api, self.settings, self.root = api, settings, root
        self.ledger = Ledger(api, ledger_path(root))
        self._server: FineTuning | None = None
        self._running: dict[Path, JobRecord] = {}

    @property
    def server(self) -> FineTuning:
        """The server, which is checked at the first use."""
        if self._server is None:
            self._server = FineTuning(self.api)
        self._server.check()
        return self._server

    def known(self, job: ArmJob, key: str) -> JobRecord | None:
        """Return the record of an arm's job, or None if none was ever begun."""
        return JobRecord.read(JobRecord.path(self.root, job.arm, key))

    def running(self) -> list[JobRecord]:
        """Return the jobs that this process began or found, and that have not ended."""
        return list(self._running.values())

    def begin(self, job: ArmJob, key: str) -> JobRecord:
        """Return the record of the arm's started job, after starting it if it was not.

        Raises
        ------
        StageError
            The budget is too small, or the server rejects the file or the job, or gives no answer.
        InputError
            The server has no fine-tuning.
        """
        path = JobRecord.path(self.root, job.arm, key)
        record = self.known(job, key)
        if record is not None and record.job:
            self._keep(path, record)
            return record
        lines = training_lines(job)
        content = file_bytes(lines)
        if record is None:
            most = most_tokens(lines, job.training.epochs)
            record = JobRecord.new(
                arm=job.arm, key=key, server=self.api.base_url, model=self.api.model, most=most
            )
        server = self.server
        record = self._reserved(path, record)
        try:
            record = self._uploaded(path, record, server, content)
            record = self._started(path, record, server, job)
        except (Rejected, InputError):  # nothing runs, and nothing is charged
            record = JobRecord.read(path) or record
            self.ledger.settle_job(record.reservation, 0)
            _write(path, record, sent="", reservation="")
            raise
        return record

    def _reserved(self, path: Path, record: JobRecord) -> JobRecord:
        """Reserve the budget of a job; the name of the reservation is on disk before."""
        if not record.reservation or (not record.sent and self.ledger.job_settled(record.reservation)):
            record = _write(path, record, reservation=f"job-{secrets.token_hex(8)}")
        self.ledger.reserve_job(record.reservation, record.most)
        return record

    def _uploaded(self, path: Path, record: JobRecord, server: FineTuning, content: bytes) -> JobRecord:
        if record.file:
            return record
        with atomic(path.with_suffix(".jsonl")) as part:
            part.write_bytes(content)
        name = record.file_name
        found = server.find_file(name) if record.sent == "file" else ""
        if not found:
            record = _write(path, record, sent="file")
            found = server.upload(name, content)
        return _write(path, record, sent="", file=found)

    def _started(self, path: Path, record: JobRecord, server: FineTuning, job: ArmJob) -> JobRecord:
        found = server.find_job(record.request, record.file) if record.sent == "job" else {}
        if not found:
            record = _write(path, record, sent="job")
            found = server.start(record.request, record.file, self._body(job, record))
        record = _write(path, record, sent="", job=str(found["id"]), notes=list(server.notes))
        return self._keep(path, record)

    def _body(self, job: ArmJob, record: JobRecord) -> Body:
        own: Body = {"n_epochs": job.training.epochs}
        own |= {
            name: value
            for name in ("batch_size", "learning_rate_multiplier")
            if (value := getattr(self.settings, name)) is not None
        }
        method: Body = {"type": "supervised", "supervised": {"hyperparameters": own}}
        if job.method == "dpo":
            method = {"type": "dpo", "dpo": {"hyperparameters": {**own, "beta": job.training.beta}}}
        suffix = {"suffix": self.settings.suffix} if self.settings.suffix else {}
        return {"seed": job.seed, "method": method, "metadata": {"probate": record.key}, **suffix}

    def look_at_all(self) -> None:
        """Look at each running job; one that the server no longer shows does not count as running."""
        for path, record in list(self._running.items()):
            try:
                self.look(record)
            except StageError:
                self._running.pop(path, None)

    def look(self, record: JobRecord) -> tuple[JobRecord, Body]:
        """Return the record with the present state of its job, and the server's answer.

        When the job has ended, its part of the budget is settled.
        """
        path = JobRecord.path(self.root, record.arm, record.key)
        body = self.server.look(record.job)
        tokens = body.get("trained_tokens")
        counted = tokens if type(tokens) is int and 0 <= tokens <= record.most else None
        model = body.get("fine_tuned_model")
        changed: dict[str, Any] = {"status": body["status"][:100]}
        if body["status"] in ENDED:
            self.ledger.settle_job(record.reservation, record.most if counted is None else counted)
            changed |= {"fine_tuned_model": model if isinstance(model, str) else "", "error": _reason(body)}
            changed |= {"trained_tokens": counted}
            if counted is None:
                note = (
                    f"{self.api.base_url} reports no count of trained tokens, or an impossible one; the "
                    "reserved maximum is charged instead"
                )
                changed |= {"notes": [*record.notes, note]}
            self._running.pop(path, None)
        if changed["status"] != record.status:
            record = _write(path, record, **changed)
        if path in self._running:
            self._running[path] = record
        return record, body

    def ending(self, record: JobRecord) -> str:
        """Return one sentence on a job that ended without a model."""
        path = JobRecord.path(self.root, record.arm, record.key)
        how = record.status if record.status != "succeeded" else "succeeded without a fine-tuned model"
        why = f" ({record.error})" if record.error else ""
        return (
            f"{record.server}: the fine-tuning job {record.job} {how}{why}; it is not started again unless "
            f"you delete {path}"
        )

    def _keep(self, path: Path, record: JobRecord) -> JobRecord:
        if record.status not in ENDED:
            self._running[path] = record
        return record


def _write(path: Path, record: JobRecord, **changes: Any) -> JobRecord:
    """Write a record with changes, and return it."""
    record = record.model_copy(update=changes)
    record.write(path)
    return record


def _reason(job: Body) -> str:
    """Return the server's reason for a failed job, in one line; "" if there is none."""
    error = job.get("error")
    said = error.get("message") if isinstance(error, dict) else error
    return " ".join(said.split())[:300].rstrip(".") if isinstance(said, str) else ""


def _progress(status: str, job: Body) -> str:
    """Return a job's state, and the remaining time if the server estimates it."""
    end = job.get("estimated_finish")
    left = end - time.time() if isinstance(end, (int, float)) and not isinstance(end, bool) else 0.0
    return f"{status}, about {spoken(left)} left" if left > 0 else status


def fine_tuned(folder: Path) -> str:
    """Return the name of the fine-tuned model of a trained arm.

    Raises
    ------
    InputError
        The folder has no such name.
    """
    try:
        about = json_value((folder / MODEL).read_bytes())
        if isinstance(about, dict) and isinstance(about.get("model"), str) and about["model"]:
            return str(about["model"])
    except (OSError, NotJson):
        pass
    raise InputError(f"{folder / MODEL}: no name of a fine-tuned model; run the study again: probate run")
