"""A process that does arms for `LocalExecutor`.

It is started as `python -m probate.execution.executors.process HANDLE PARENT`.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from multiprocessing.connection import Connection

from probate.execution.executors.base import ArmTask, Site, do_arm


def main(handle: int, parent: int) -> None:
    """Receive a `Site` and then arms, and send back the result of each, until the other side closes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
    with Connection(handle) as connection:
        site: Site = connection.recv()
        worker = site.worker()
        while True:
            try:
                task: ArmTask | None = connection.recv()
            except EOFError:
                return
            if task is None:
                return
            connection.send(do_arm(worker, task))


def _end_with(parent: int) -> None:
    """End this process soon after its parent, also in the middle of an arm."""
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(1)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
