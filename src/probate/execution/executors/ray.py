"""Arms on a Ray cluster: each worker of Ray has a GPU, or a share of a node's cores, and keeps its model.

Every node must reach the run folder by the same path.
"""

from __future__ import annotations

import os
import re
import secrets
import socket
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from probate.core.errors import InputError, StageError
from probate.core.files import write_atomic
from probate.core.plugins import require
from probate.execution.executors.base import TRAINING, ArmResult, ArmTask, Executor, Site, do_arm

ATTEMPTS = 3
"""How often an arm is started whose worker ends without a result."""
PATIENCE = 30.0
"""Seconds without a worker after which the run says what it waits for."""
REACHABLE = 5.0
"""Seconds in which something must answer at the address of a cluster."""
CARRIED = ("PROBATE_", "PYTHONPATH", "HF_HUB_OFFLINE", "TOKENIZERS_PARALLELISM")
"""Beginnings of the names of environment variables that workers get."""


class RayExecutor(Executor):
    """Does arms in workers of a Ray cluster, by default one for each GPU, or each core if there is no GPU.

    The cluster is the one that the caller has joined, else that of `address` or RAY_ADDRESS, else a new one
    on this machine. A worker that ends without a result, for example because its node was lost, is replaced
    when the cluster has room.
    """

    name = "ray"

    def run(self, tasks: Sequence[ArmTask], site: Site, may_start: Callable[[], bool]) -> Iterator[ArmResult]:
        """Do arms as described at `Executor.run`."""
        ray: Any = require("ray", "ray")
        with _joined(ray, self.address), _marked(site) as mark:
            yield from _Pool(ray, self, site, mark).run(tasks, may_start)


class _Pool:
    """Workers of the cluster, and the arms that they do."""

    def __init__(self, ray: Any, executor: Executor, site: Site, mark: str) -> None:
        self.ray = ray
        self.executor = executor
        needs, count = _needs(ray, executor.jobs)
        self.count = count
        self.needs = needs
        self.actor = ray.remote(**needs, max_restarts=0)(_Arms)
        self.given = site, mark
        self.starting: dict[Any, Any] = {}
        self.busy: dict[Any, tuple[Any, ArmTask]] = {}
        self.free: list[Any] = []
        self.attempts: dict[str, int] = {}
        self.waiting: deque[ArmTask] = deque()

    def run(self, tasks: Sequence[ArmTask], may_start: Callable[[], bool]) -> Iterator[ArmResult]:
        """Do arms and yield each when it is finished."""
        self.waiting = deque(tasks)
        said = False
        try:
            while self.waiting or self.busy:
                while self.waiting and self.free:
                    if not may_start():
                        self.waiting.clear()
                        break
                    actor, task = self.free.pop(), self.waiting.popleft()
                    self.busy[actor.do.remote(task)] = actor, task
                if not self.waiting and not self.busy:
                    return
                self._start(min(self.count, len(self.busy) + len(self.waiting)))
                ready, _ = self.ray.wait([*self.starting, *self.busy], timeout=PATIENCE)
                if not ready and not self.busy and not said:
                    said = True
                    self.executor.say(
                        f"ray: waiting for a worker with {_said(self.needs)}; free: "
                        f"{_said(self.ray.available_resources())}"
                    )
                for done in ready:
                    result = self._started(done) if done in self.starting else self._finished(done)
                    if result is not None:
                        yield result
        finally:
            for actor in (*self.starting.values(), *self.free, *(a for a, _ in self.busy.values())):
                with suppress(Exception):  # the cluster may be gone
                    self.ray.kill(actor)

    def _start(self, wanted: int) -> None:
        """Ask the cluster for workers until there are as many as are wanted."""
        for _ in range(wanted - len(self.busy) - len(self.free) - len(self.starting)):
            actor = self.actor.remote(*self.given)
            self.starting[actor.sees.remote()] = actor

    def _started(self, done: Any) -> ArmResult | None:
        """Note that a worker is there, or that it could not start."""
        actor = self.starting.pop(done)
        try:
            problem = self.ray.get(done)
        except self.ray.exceptions.RayError as error:
            return self._lost(None, error)
        if problem:
            raise InputError(problem)
        self.free.append(actor)
        return None

    def _finished(self, done: Any) -> ArmResult | None:
        """Return what became of an arm; None if it is started again."""
        actor, task = self.busy.pop(done)
        try:
            result: ArmResult = self.ray.get(done)
        except self.ray.exceptions.RayTaskError as error:  # it could not be read there, for example
            self.free.append(actor)
            return ArmResult(task.job.arm, 0.0, {TRAINING: StageError(_line(error.cause or error))})
        except self.ray.exceptions.RayError as error:
            with suppress(Exception):
                self.ray.kill(actor)
            return self._lost(task, error)
        self.free.append(actor)
        return result

    def _lost(self, task: ArmTask | None, error: Exception) -> ArmResult | None:
        """Start an arm again whose worker was lost, a few times; a worker that never started counts, too."""
        task = task or (self.waiting.popleft() if self.waiting else None)
        if task is None:
            return None
        arm = task.job.arm
        self.attempts[arm] = self.attempts.get(arm, 0) + 1
        if self.attempts[arm] < ATTEMPTS:
            self.waiting.appendleft(task)
            return None
        said = f"its worker ended without a result, {ATTEMPTS} times ({_line(error)})"
        return ArmResult(arm, 0.0, {TRAINING: StageError(said)})


class _Arms:
    """A worker of the cluster."""

    def __init__(self, site: Site, mark: str) -> None:
        self.mark = site.root / mark
        self.worker = site.worker()

    def sees(self) -> str:
        """Return an empty text, or a sentence if this node does not reach the run folder."""
        if self.mark.exists():
            return ""
        return (
            f"ray: the node {os.uname().nodename} does not have the run folder {self.mark.parent}; name a "
            "folder with --out that all nodes reach by the same path, such as one on a shared file system"
        )

    def do(self, task: ArmTask) -> ArmResult:
        """Train an arm and measure it."""
        return do_arm(self.worker, task)


@contextmanager
def _joined(ray: Any, address: str | None) -> Iterator[None]:
    """Join a cluster, and leave it unless the caller had joined it before."""
    if ray.is_initialized():
        yield
        return
    where = address or os.environ.get("RAY_ADDRESS")
    _check_reachable(where)
    carried = {k: v for k, v in os.environ.items() if k.startswith(CARRIED)}
    try:
        ray.init(
            where or "local",
            log_to_driver=False,
            logging_level="ERROR",
            include_dashboard=None if where else False,
            runtime_env={"env_vars": carried},
        )
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise _no_cluster(where, error) from None
    try:
        yield
    finally:
        ray.shutdown()


def _check_reachable(where: str | None) -> None:
    """Check that something answers at an address with a port, which Ray would try for minutes."""
    found = re.fullmatch(r"(?:\w+://)?\[?([\w.:-]+?)\]?:(\d{1,5})", where or "")
    if found is None:
        return
    try:
        socket.create_connection((found[1], int(found[2])), timeout=REACHABLE).close()
    except (OSError, OverflowError) as error:
        raise _no_cluster(where, error) from None


def _no_cluster(where: str | None, error: Exception) -> InputError:
    return InputError(
        f"--address {where or 'local'}: no Ray cluster could be joined ({_line(error)}); start one with: "
        "ray start --head"
    )


@contextmanager
def _marked(site: Site) -> Iterator[str]:
    """Put a file into the run folder by which workers recognise it, and yield its name."""
    mark = f".probate-{secrets.token_hex(12)}.part"
    write_atomic(site.root / mark, "")
    try:
        yield mark
    finally:
        (site.root / mark).unlink(missing_ok=True)


def _needs(ray: Any, jobs: int | None) -> tuple[dict[str, float], int]:
    """Return what each worker needs, and how many workers there may be.

    With GPUs, a worker has one GPU. Without, the cores of a node are divided among its workers.
    """
    nodes = [n["Resources"] for n in ray.nodes() if n["Alive"]]
    gpus = sum(n.get("GPU", 0) for n in nodes)
    if gpus:
        return {"num_gpus": 1, "num_cpus": 1}, jobs or int(gpus)
    cores = [int(n.get("CPU", 0)) for n in nodes]
    if not any(cores):
        raise InputError(
            "ray: no node of the cluster has a CPU for workers; add one with: ray start --address"
        )
    count = jobs or sum(cores)
    # the largest share of which the nodes have enough
    share = next(c for c in range(max(cores), 0, -1) if c == 1 or sum(n // c for n in cores) >= count)
    return {"num_cpus": share}, count


def _said(resources: dict[str, float]) -> str:
    """Return the CPUs and GPUs in words."""
    cpus, gpus = (resources.get(k, resources.get(f"num_{k.lower()}s", 0)) for k in ("CPU", "GPU"))
    return f"{cpus:g} CPU and {gpus:g} GPU"


def _line(error: BaseException) -> str:
    """Return the last line of an error that says something."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1][:200] if lines else type(error).__name__
