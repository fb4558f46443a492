"""Measures tasks of local adapters through a server that loads them, such as vLLM."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from probate.core.cache import Store, digest
from probate.core.errors import StageError
from probate.core.progress import Reporter
from probate.execution.adapter_proof import Proof, prove
from probate.execution.evaluation import outcome_rows, write_outcomes
from probate.execution.jobs import EvaluateJob
from probate.execution.served import measure_any
from probate.execution.worker import Worker
from probate.models.servers.attempts import Attempts, Failure
from probate.models.servers.client import ApiClient
from probate.study.schema import Evaluation

LOADED = "already"
"""Word of a server's error if an adapter of this name is loaded."""


class AdapterServerWorker(Worker):
    """Trains here, and measures some tasks through a server that loads each arm's adapter.

    Before anything is measured, the server is compared with the local model (`prove`).

    Parameters
    ----------
    evaluation : Evaluation
        The server, and the comparison.
    names : set of str
        Keys of the tasks that are measured through the server.
    store, reporter
        As for `Worker`.
    """

    def __init__(self, evaluation: Evaluation, names: set[str], store: Store, reporter: Reporter) -> None:
        super().__init__(store, reporter)
        self.evaluation, self.names = evaluation, names
        self._attempts = Attempts(evaluation.api, 0.0)
        self._loaded: tuple[str, Proof] | None = None

    def evaluate(self, job: EvaluateJob) -> pd.DataFrame:
        """Measure one task on the arm, through the server if the study says so."""
        task, context, arm = job.measurement.task, job.measurement.context, job.trained.arm
        if task.key not in self.names:
            return super().evaluate(job)

        def work(folder: Path) -> dict[str, Any]:
            name, proof = self._proven(job)
            client = self._client(name, job.notice)
            with self.reporter.stage(self._named(f"{task.key} {arm}"), task.size(context), "answers") as tick:
                outcomes = measure_any(client, task, context, self.evaluation.samples, tick)
            write_outcomes(folder, outcomes)
            return {"outcomes": len(outcomes), "notes": client.notes, "served": proof._asdict()}

        api = self.evaluation.api
        key = digest(job.key, api.base_url, self.evaluation.samples)
        folder, _ = self.store.run(f"stages/evaluate-{arm}-{task.key}", key, work)
        return outcome_rows(job.columns, folder / "outcomes.jsonl")

    def _client(self, name: str, notice: dict[str, str] | None = None) -> ApiClient:
        spec = self.evaluation.api.model_copy(update={"model": name})
        return ApiClient(spec, self.store.root / "api-cache", notice)

    def _proven(self, job: EvaluateJob) -> tuple[str, Proof]:
        """Return the name of the arm's adapter on the server, after loading it and comparing the server."""
        name = f"probate-{job.trained.key[:16]}"
        if self._loaded is None or self._loaded[0] != name:
            if self._loaded is not None:
                self._tell("unload_lora_adapter", {"lora_name": self._loaded[0]})
                self._loaded = None
            folder = job.trained.folder.resolve()
            self._tell("load_lora_adapter", {"lora_name": name, "lora_path": str(folder)})
            with self.reporter.stage(self._named(f"compare the server, {job.trained.arm}"), 0, ""):
                proof = prove(
                    self.lm(job.model), folder, self._client(name), job.measurement.context,
                    self.evaluation.prompts, self.evaluation.tolerance,
                )  # fmt: skip
            self._loaded = name, proof
        return self._loaded

    def _tell(self, path: str, body: dict[str, str]) -> None:
        """Have the server load or unload an adapter; one that is loaded, or not, already is no error."""

        async def send(api: Any) -> Any:
            return await api.post(f"/{path}", body=body, cast_to=str)

        def valid(_: dict[str, Any]) -> bool:  # a plain text
            return True

        try:
            self._attempts.run(lambda api: self._attempts.read(lambda: send(api), valid))
        except Failure as failure:
            if path.startswith("un") or (failure.status == 400 and LOADED in failure.said):
                return
            raise StageError(
                f"{self.evaluation.api.base_url}: it cannot load the adapter {body['lora_path']} "
                f"({failure}); start vLLM with --enable-lora and VLLM_ALLOW_RUNTIME_LORA_UPDATING=True, and "
                "where it can read this folder"
            ) from None
