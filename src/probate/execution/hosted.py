"""Does the jobs of a study whose model is fine-tuned by a server: one server job for each arm."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd

from probate.core.cache import Store, digest
from probate.core.errors import InputError, StageError
from probate.core.files import write_atomic
from probate.core.parse import NotJson, json_value
from probate.core.progress import Reporter, Ticker, spoken
from probate.execution.evaluation import outcome_rows, write_outcomes
from probate.execution.hosted_checks import Asked, asked
from probate.execution.job_record import JobRecord
from probate.execution.jobs import ArmJob, EvaluateJob, GenerateJob, Measurement, Trained
from probate.execution.pace import Pace
from probate.execution.served import measure_any
from probate.execution.server_jobs import ServerJobs
from probate.execution.training_file import most_tokens, training_lines
from probate.execution.worker import Worker
from probate.models.lm import LM
from probate.models.servers.attempts import Body
from probate.models.servers.client import ApiClient, NotFound
from probate.models.servers.fine_tuning import ENDED
from probate.models.servers.ledger import Amount
from probate.stats.databias import count_cells
from probate.study.schema import ModelSpec, Training
from probate.study.server import ApiSpec
from probate.tasks.base import Outcome

MODEL = "model.json"
"""File of a trained arm with the name of its fine-tuned model on the server."""
READY = 60
"""How often a new model that the server does not know yet is asked again, each `fine_tune.poll` seconds."""
LONGEST = 6.0
"""Longest time between two looks at a job, as a multiple of `fine_tune.poll`."""


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

    def expect(self, jobs: Sequence[ArmJob], measurements: Sequence[Measurement], pace: Pace) -> set[str]:
        """Announce the arms of the first round; `fine_tune.jobs` of them are trained at the same time."""
        self._ahead = {job.arm: job for job in jobs}
        self._measuring = list(measurements)
        return set()

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
            record = self.jobs.begin(job, key)
            started, longer = time.monotonic(), 1.0
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
                time.sleep(self.settings.poll * longer * random.uniform(0.8, 1.0))  # noqa: S311 (jitter)
                longer = min(LONGEST, 1.2 * longer)

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
                outcomes = self._answers(client, job.measurement, tick)
            write_outcomes(folder, outcomes)
            return {"outcomes": len(outcomes), "notes": client.notes}

        key = digest(job.key, self.settings.samples)
        folder, _ = self.store.run(f"stages/evaluate-{arm}-{task.key}", key, work)
        return outcome_rows(job.columns, folder / "outcomes.jsonl")

    def _answers(self, client: ApiClient, measurement: Measurement, tick: Ticker) -> list[Outcome]:
        """Measure a task. A server may know a new model only some time after its job has ended."""
        for _ in range(READY):
            try:
                return measure_any(client, measurement.task, measurement.context, self.settings.samples, tick)
            except NotFound:
                time.sleep(self.settings.poll)
        return measure_any(client, measurement.task, measurement.context, self.settings.samples, tick)

    def _client(self, model: str, notice: dict[str, str] | None) -> ApiClient:
        name = json.dumps([model, notice], sort_keys=True)
        if name not in self._clients:
            spec = self.api.model_copy(update={"model": model})
            self._clients = {name: ApiClient(spec, self.store.root / "api-cache", notice)}
        return self._clients[name]


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
