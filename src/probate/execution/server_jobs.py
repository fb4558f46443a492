"""The fine-tuning jobs of a run folder: started once, recorded, and paid from the budget."""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import Any

from probate.core.errors import InputError
from probate.core.files import atomic
from probate.execution.job_record import FOLDER, JobRecord
from probate.execution.jobs import ArmJob
from probate.execution.training_file import file_bytes, most_tokens, training_lines
from probate.models.servers.attempts import Body
from probate.models.servers.fine_tuning import ENDED, FineTuning, Rejected
from probate.models.servers.ledger import Ledger, ledger_path
from probate.study.server import ApiSpec, FineTuneSpec


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
        answers = sum(1 for _ in (root / "api-cache").glob("*/*.json"))
        self.ledger = Ledger(api, ledger_path(root), answers)
        for path in (root / FOLDER).glob("*.json"):
            self.ledger.begun |= _begun(path)
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


def _begun(path: Path) -> set[str]:
    """Return the name of the reservation of a job that was begun; a name without one for a changed record."""
    try:
        record = JobRecord.read(path)
    except InputError:
        return {path.name}
    return {record.reservation} if record is not None and (record.job or record.sent) else set()
