"""Arms in several processes of this machine, one GPU each, or a share of the processor's cores each."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from multiprocessing import Pipe
from multiprocessing.connection import Connection, wait
from typing import NamedTuple

from probate.core.deferred import deferred
from probate.core.errors import StageError
from probate.execution.executors.base import TRAINING, ArmResult, ArmTask, Executor, Site

with deferred():
    import torch

MODULE = "probate.execution.executors.process"
ATTEMPTS = 3
"""How often an arm is started whose process ends without a result."""
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")
PATIENCE = 10.0
"""Seconds in which a process may end by itself."""


class LocalExecutor(Executor):
    """Does arms in `jobs` processes, by default one for each GPU, or for each core without a GPU.

    Each process loads the model once. Without a GPU, the cores are divided among the processes, unless
    OMP_NUM_THREADS is set.
    """

    name = "local"

    def run(self, tasks: Sequence[ArmTask], site: Site, may_start: Callable[[], bool]) -> Iterator[ArmResult]:
        """Do arms as described at `Executor.run`."""
        waiting, attempts = deque(tasks), dict[str, int]()
        gpus, cores = _gpus(), _cores()
        count = min(self.jobs or len(gpus) or cores, len(waiting))
        places = [_environment(i, count, gpus, cores) for i in range(count)]
        free: list[_Process] = []
        busy: dict[Connection, tuple[_Process, ArmTask]] = {}
        try:
            while waiting or busy:
                while waiting and (free or places) and may_start():
                    process = free.pop() if free else _start(places.pop(0), site)
                    task = waiting.popleft()
                    busy[process.connection] = process, task
                    process.send(task)
                if not busy:
                    return
                for connection in wait(list(busy)):
                    assert isinstance(connection, Connection)
                    process, task = busy.pop(connection)
                    try:
                        result: ArmResult = connection.recv()
                    except (EOFError, ConnectionError):
                        places.append(process.place)
                        said = process.end()
                        arm = task.job.arm
                        attempts[arm] = attempts.get(arm, 0) + 1
                        if attempts[arm] < ATTEMPTS:
                            waiting.appendleft(task)
                        else:
                            yield ArmResult(arm, 0.0, {TRAINING: _ended(said)})
                    else:
                        free.append(process)
                        yield result
        finally:
            for process in free:
                process.end()
            for process, _ in busy.values():
                process.kill()


class _Process(NamedTuple):
    """A running process, the connection to it, and its environment."""

    popen: subprocess.Popen[bytes]
    connection: Connection
    place: dict[str, str]

    def send(self, value: object) -> None:
        """Send a value; a process that has ended is noticed when its result is awaited."""
        with suppress(OSError):
            self.connection.send(value)

    def end(self) -> int:
        """Let the process end, and return its exit status, negative for a signal."""
        self.connection.close()
        try:
            return self.popen.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            return self.kill()

    def kill(self) -> int:
        """End the process at once, and return its exit status."""
        self.popen.kill()
        self.connection.close()
        return self.popen.wait()


def _start(place: dict[str, str], site: Site) -> _Process:
    ours, theirs = Pipe()
    with theirs:
        popen = subprocess.Popen(
            [sys.executable, "-m", MODULE, str(theirs.fileno()), str(os.getpid())],
            pass_fds=[theirs.fileno()],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p), **place},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
        )
    process = _Process(popen, ours, place)
    process.send(site)
    return process


def _environment(index: int, count: int, gpus: Sequence[str], cores: int) -> dict[str, str]:
    """Return the environment variables of one of `count` processes."""
    own = {"CUDA_VISIBLE_DEVICES": gpus[index % len(gpus)]} if gpus else {}
    if THREADS[0] not in os.environ:
        own |= dict.fromkeys(THREADS, str(max(1, cores // count)))
    return own


def _gpus() -> list[str]:
    """Return the GPUs that may be used, as CUDA_VISIBLE_DEVICES names them."""
    if not torch.cuda.is_available():
        return []
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    return named.split(",") if named else [str(i) for i in range(torch.cuda.device_count())]


def _cores() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _ended(status: int) -> StageError:
    why = f"signal {-status}" if status < 0 else f"exit status {status}"
    hint = "; memory may have run out: try a smaller --jobs" if status == -9 else ""
    return StageError(f"its process ended without a result, {ATTEMPTS} times ({why}){hint}")
