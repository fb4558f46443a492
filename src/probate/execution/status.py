"""How far a run is: the state of each arm, read from its stages."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from probate.core.cache import RECORD, STARTED, read_report
from probate.execution.folder import RunFolder
from probate.study.plan import Arm, Shard, make_plan, shard_arms
from probate.tasks.catalogue import tasks_and_probes

STATES = ("finished", "running", "stopped", "failed", "waiting")
"""An arm is *stopped* if one of its stages has begun and no run writes to the folder."""


@dataclass(frozen=True)
class StageStatus:
    """A stage that has begun and is not finished.

    Attributes
    ----------
    name : str
        What is done, such as `train` or the key of a task.
    where : str
        Machine and process.
    seconds : float
        Time since it began.
    """

    name: str
    where: str
    seconds: float


@dataclass(frozen=True)
class ArmStatus:
    """The state of an arm.

    Attributes
    ----------
    arm : str
        Name of the arm.
    state : str
        One of `STATES`.
    done, total : int
        Number of finished stages, and of all its stages: training, and each task.
    stage : StageStatus or None
        The stage that has begun.
    error : str
        Of a failed arm, the first error.
    """

    arm: str
    state: str
    done: int
    total: int
    stage: StageStatus | None = None
    error: str = ""


@dataclass(frozen=True)
class RunStatus:
    """The state of a run.

    Attributes
    ----------
    arms : list of ArmStatus
        In the order of the plan.
    other : list of StageStatus
        Other stages that have begun, such as the generation of records.
    active : bool
        Whether a run writes to the folder.
    hourly : float
        Arms finished per hour; NaN with fewer than two, or if no run is active.
    shard : str
        The shard that the folder has, such as `2/8`; empty for a whole study.
    """

    arms: list[ArmStatus]
    other: list[StageStatus]
    active: bool
    hourly: float
    shard: str = ""

    @property
    def counts(self) -> dict[str, int]:
        """dict of str to int: State → number of arms."""
        own = Counter(a.state for a in self.arms)
        return {state: own[state] for state in STATES}

    @property
    def hours_left(self) -> float:
        """float: Hours until all arms are finished, at the rate so far; NaN if it is not known."""
        left = len(self.arms) - self.counts["finished"] - self.counts["failed"]
        return left / self.hourly


def run_status(path: Path) -> RunStatus:
    """Return how far the run of a folder is. Nothing is written, and no model is loaded.

    Parameters
    ----------
    path : Path
        The run folder, or that of a shard.

    Returns
    -------
    RunStatus

    Raises
    ------
    InputError
        This is not a run folder, or a file cannot be read.
    """
    folder = RunFolder(path)
    tasks = [task.key for task in tasks_and_probes(folder.study())]
    errors: dict[str, str] = {}
    for failure in folder.failures():
        errors.setdefault(failure["arm"], failure["error"])
    active = _is_active(path)
    arms, ends = [], []
    for arm in _arms(folder):
        stages = {"train": path / "adapters" / arm.name}
        stages |= {key: path / "stages" / f"evaluate-{arm.name}-{key}" for key in tasks}
        finished = [s for s in stages.values() if (s / RECORD).is_file()]
        begun = next((s for name, own in stages.items() if (s := _begun(name, own))), None)
        state = "waiting"
        if len(finished) == len(stages):
            state = "finished"
            ends.append(max((s / RECORD).stat().st_mtime for s in finished))
        elif begun is not None:
            state = "running" if active else "stopped"
        elif arm.name in errors and not active:
            state = "failed"
        error = errors.get(arm.name, "") if state == "failed" else ""
        arms.append(ArmStatus(arm.name, state, len(finished), len(stages), begun, error))
    spent = max(ends) - min(ends) if ends else 0.0
    hourly = 3600 * (len(ends) - 1) / spent if active and spent > 0 else float("nan")
    return RunStatus(arms, list(_other(path)), active, hourly, folder.lock().get("shard", ""))


def _arms(folder: RunFolder) -> tuple[Arm, ...]:
    """Return the arms of the run, or of the shard."""
    study, shard = folder.study(), folder.lock().get("shard")
    plan = make_plan(study, len(folder.info()["labels"]) * len(study.train_groups))
    return shard_arms(plan, Shard.read(shard)) if shard else plan.arms


def _begun(name: str, folder: Path) -> StageStatus | None:
    """Return a stage that has begun and is not finished."""
    path = folder / STARTED
    started = None if (folder / RECORD).exists() else read_report(path)
    if started is None:
        return None
    return StageStatus(name, str(started.get("where", "")), time.time() - path.stat().st_mtime)


def _other(path: Path) -> Iterator[StageStatus]:
    """Yield the stages of no arm that have begun."""
    for own in sorted((path / "stages").glob(f"*/{STARTED}")):
        begun = _begun(own.parent.name.replace("-", " ", 1), own.parent)
        if begun and not own.parent.name.startswith("evaluate-"):
            yield begun


def _is_active(path: Path) -> bool:
    """Return whether a run writes to the folder."""
    if not (path / ".lock").is_file():
        return False
    lock = FileLock(str(path / ".lock"), timeout=0)
    try:
        lock.acquire()
    except (Timeout, OSError):
        return True
    lock.release()
    return False
