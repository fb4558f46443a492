"""Executors: where the arms of a study are trained and measured.

An executor is one class, registered by an entry point of the group `probate.executors`. It takes arms as
values, does each of them once, anywhere that reaches the run folder, and returns what failed. Finished stages
are in the run folder.
"""

from __future__ import annotations

import time
import traceback
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, cast

from probate.core.cache import Store
from probate.core.consent import Consent, grant
from probate.core.deferred import deferred
from probate.core.errors import InputError, ProbateError, StageError
from probate.core.plugins import entry_points_of, installed
from probate.core.progress import Reporter
from probate.execution.jobs import ArmJob, Measurement

with deferred():
    from probate.execution import worker as workers

if TYPE_CHECKING:
    from probate.execution.worker import Worker

EXECUTORS = {
    "local": "probate.execution.executors.local:LocalExecutor",
    "ray": "probate.execution.executors.ray:RayExecutor",
}
"""Probate's own executors: name → class."""
TRAINING = "train"
"""Stage of an arm besides the keys of its tasks."""


@dataclass(frozen=True)
class ArmTask:
    """Train one arm and measure it by each task."""

    job: ArmJob
    measurements: Sequence[Measurement]


@dataclass(frozen=True)
class ArmResult:
    """What became of an arm.

    Attributes
    ----------
    arm : str
        Name of the arm.
    seconds : float
        Duration.
    errors : dict of str to Exception
        Stage (`train`, or the key of a task) → the error by which it failed. Stages that are not in it are
        finished in the run folder.
    """

    arm: str
    seconds: float
    errors: dict[str, Exception] = field(default_factory=dict)


@dataclass(frozen=True)
class Place:
    """Where the arms of a study are done.

    Attributes
    ----------
    executor : str, default "inline"
        Name of the executor; `inline` does arms one by one in this process.
    jobs : int, optional
        Number of arms at the same time. More than one means `local` if no executor is named.
    address : str, optional
        Where the executor's cluster is.
    """

    executor: str = "inline"
    jobs: int | None = None
    address: str | None = None

    def load(self) -> Executor | None:
        """Return the executor; None for `inline`.

        Raises
        ------
        InputError
            There is no such executor, it cannot be imported, or the number of jobs is less than 1.
        """
        if self.jobs is not None and self.jobs < 1:
            raise InputError(f"--jobs {self.jobs}: must be at least 1")
        name = "local" if self.executor == "inline" and (self.jobs or 1) > 1 else self.executor
        if name == "inline":
            return None
        return cast("type[Executor]", installed("executor", name, EXECUTORS))(self.jobs, self.address)


INLINE = Place()
"""In this process, one arm after the other."""


@dataclass(frozen=True)
class Site:
    """What a process needs to do arms besides the arms.

    Attributes
    ----------
    root : Path
        The run folder.
    fingerprints : mapping of str to str
        The model's settings as JSON → its fingerprint, so that finished arms need no model.
    consent : Consent
        Permissions of the user.
    """

    root: Path
    fingerprints: Mapping[str, str]
    consent: Consent

    def worker(self) -> Worker:
        """Return a worker for another process, in which the user's permissions then hold."""
        grant(self.consent)
        own = workers.Worker(Store(self.root), Reporter(quiet=True))
        own.fingerprints.update(self.fingerprints)
        return own


class Executor(ABC):
    """Does arms. Subclasses define `name` (as in `--executor`) and implement `run`.

    Parameters
    ----------
    jobs : int, optional
        Number of arms at the same time. Default: chosen by the executor.
    address : str, optional
        Where the executor's cluster is. An executor without a cluster ignores it.

    Attributes
    ----------
    say : callable
        Receives a sentence for the user, such as what the executor waits for.
    """

    name: ClassVar[str]

    def __init__(self, jobs: int | None = None, address: str | None = None) -> None:
        self.jobs = jobs
        self.address = address
        self.say: Callable[[str], None] = lambda line: None

    @abstractmethod
    def run(self, tasks: Sequence[ArmTask], site: Site, may_start: Callable[[], bool]) -> Iterator[ArmResult]:
        """Do arms and yield each when it is finished.

        An arm whose process ends without a result, for example because memory ran out, is started again a few
        times; then its result says so.

        Parameters
        ----------
        tasks : sequence of ArmTask
            The arms, the first of which should start first.
        site : Site
            The run folder, and what else a process needs.
        may_start : callable
            Called before an arm starts. If it returns False, this arm and the following ones are left out.

        Yields
        ------
        ArmResult
            In the order in which arms finish.
        """


def do_arm(worker: Worker, task: ArmTask) -> ArmResult:
    """Train an arm and measure it by each task, in this process; errors are part of the result."""
    start, errors = time.monotonic(), dict[str, Exception]()
    try:
        trained = worker.train(task.job)
    except Exception as error:
        errors[TRAINING] = _portable(error)
    else:
        for measurement in task.measurements:
            try:
                worker.evaluate(task.job.evaluation(trained, measurement))
            except Exception as error:
                errors[measurement.task.key] = _portable(error)
    return ArmResult(task.job.arm, time.monotonic() - start, errors)


def _portable(error: Exception) -> Exception:
    """Return an error that any process can unpickle, with its traceback as a note."""
    if isinstance(error, ProbateError):
        return type(error)(*error.args)
    if isinstance(error, OSError) and error.errno is not None:
        return OSError(error.errno, error.strerror or "", error.filename)
    plain = StageError(f"{type(error).__name__}: {error}")
    plain.add_note("".join(traceback.format_exception(error)))
    return plain


def executor_names() -> list[str]:
    """Return the names of all installed executors, and `inline`."""
    return sorted({"inline", *EXECUTORS, *entry_points_of("probate.executors", EXECUTORS)})
