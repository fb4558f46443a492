"""A worker that has the arms done elsewhere, by an executor, and finds their results in the run folder."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from probate.core.cache import Store
from probate.core.consent import current_consent
from probate.core.progress import Reporter
from probate.execution.executors.base import TRAINING, ArmTask, Executor, Site
from probate.execution.jobs import ArmJob, EvaluateJob, Measurement, Trained
from probate.execution.pace import Pace
from probate.execution.worker import Worker


class DispatchWorker(Worker):
    """Has arms trained and measured by an executor; generates and mitigates here.

    Parameters
    ----------
    executor : Executor
        Does the arms.
    store, reporter
        As for `Worker`.
    """

    def __init__(self, executor: Executor, store: Store, reporter: Reporter) -> None:
        super().__init__(store, reporter)
        self.executor = executor
        executor.say = reporter.warn
        self._measurements: Sequence[Measurement] = ()
        self._errors: dict[str, dict[str, Exception]] = {}

    def expect(self, jobs: Sequence[ArmJob], measurements: Sequence[Measurement], pace: Pace) -> set[str]:
        """Do the arms of the first round, and return the names of those that are done or have failed."""
        self._measurements = measurements
        settled = {job.arm for job in jobs if self._finished(job)}
        missing = [job for job in jobs if job.arm not in settled]
        return settled | self._run(missing, pace)

    def train(self, job: ArmJob) -> Trained:
        """Return the arm's adapter; an arm of a later round is done first."""
        if job.arm not in self._errors and not self._finished(job):
            self._run([job], Pace())
        self._raise(job.arm, TRAINING)
        return super().train(job)

    def evaluate(self, job: EvaluateJob) -> pd.DataFrame:
        """Return the arm's outcomes of one task."""
        self._raise(job.trained.arm, job.measurement.task.key)
        return super().evaluate(job)

    def _raise(self, arm: str, stage: str) -> None:
        error = self._errors.get(arm, {}).get(stage)
        if error is not None:
            raise error

    def _run(self, jobs: Sequence[ArmJob], pace: Pace) -> set[str]:
        if not jobs:
            return set()
        site = Site(self.store.root, dict(self.fingerprints), current_consent())
        self._models.clear()  # the executor's processes need the memory
        if pace.deadline is None:  # the longest first, so that no process waits long for another at the end
            jobs = sorted(jobs, key=_length, reverse=True)
        tasks, done = [ArmTask(job, self._measurements) for job in jobs], set()
        with self.reporter.stage(
            self._named(f"{self.executor.name}: train and measure"), len(tasks), "arms"
        ) as tick:
            for result in self.executor.run(tasks, site, pace.allows):
                self._errors[result.arm] = result.errors
                pace.add(result.seconds)
                done.add(result.arm)
                tick(1, result.arm)
        return done

    def _finished(self, job: ArmJob) -> bool:
        """Return whether the arm was trained and measured before."""
        key = self.training_key(job)
        folder = self.store.root / f"adapters/{job.arm}"
        stages = {f"adapters/{job.arm}": key} | {
            f"stages/evaluate-{job.arm}-{m.task.key}": job.evaluation(Trained(job.arm, key, folder), m).key
            for m in self._measurements
        }
        return all(self.store.finished(*stage) is not None for stage in stages.items())


def _length(job: ArmJob) -> int:
    """Return the number of characters that the arm is trained on."""
    return sum(len(r.text) for r in job.records) * job.training.epochs
