"""Runs a study again and again, each run in a fork of this process that may kill itself at an event.

python tests/killing.py STUDY.yaml, with a JSON request a line on standard input: {"out": folder, "at": event
or null}. Each is answered by a line {"code": exit code, negative for a signal, "events": [...]}: all events
of the run up to its end. Events:

begun STAGE      a stage's work begins
step STAGE N     a training step, a batch of evaluation or a batch of the generator is done and kept
write FILE       a file of the run folder is complete, and about to take its name
record ARM N     the record of an arm's fine-tuning job on a server is about to be written, for the Nth time
"""

from __future__ import annotations

import importlib
import json
import os
import signal
import sys
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

NEEDED = (
    "matplotlib.figure",
    "peft",
    "scipy.stats",
    "sklearn.linear_model",
    "transformers",
    "probate.report.pipeline",
)


def watch(root: str, event: Callable[[str], None]) -> None:
    """Have this process call `event` at each event of a run into the folder `root`."""
    from probate.core.cache import Store
    from probate.core.progress import Reporter
    from probate.data.generation.transformers_backend import TransformersBackend
    from probate.execution.job_record import JobRecord

    now, steps = [""], Counter[str]()
    run, stage, answer = Store.run, Reporter.stage, TransformersBackend.answer

    def step() -> None:
        steps[now[0]] += 1
        event(f"step {now[0]} {steps[now[0]]}")

    def watched(self: Store, name: str, key: str, work: Callable[[Path], dict[str, Any]]) -> Any:
        def begun(folder: Path) -> dict[str, Any]:
            now[0] = name
            event(f"begun {name}")
            return work(folder)

        return run(self, name, key, begun)

    @contextmanager
    def ticking(self: Reporter, name: str, total: int, unit: str) -> Iterator[Callable[..., None]]:
        with stage(self, name, total, unit) as tick:

            def counted(done: int, note: str = "") -> None:
                tick(done, note)
                if unit != "accepted":  # of a generator, saved answers are the steps
                    step()

            yield counted

    def answering(
        self: Any, batch: Any, generation: Any, done: Callable[[Any], None], have: set[str]
    ) -> None:
        def saved(pairs: Any) -> None:
            done(pairs)
            step()

        answer(self, batch, generation, saved, have)

    def renamed(name: str, args: tuple[Any, ...]) -> None:
        if name == "os.rename" and (path := os.path.realpath(os.fspath(args[1]))).startswith(root + os.sep):
            event(f"write {os.path.relpath(path, root)}")

    records, write = Counter[str](), JobRecord.write

    def recorded(self: JobRecord, path: Path) -> None:
        records[self.arm] += 1
        event(f"record {self.arm} {records[self.arm]}")
        write(self, path)

    JobRecord.write = recorded  # type: ignore[method-assign]
    Store.run, Reporter.stage = watched, ticking  # type: ignore[method-assign]
    TransformersBackend.answer = answering  # type: ignore[method-assign]
    sys.addaudithook(renamed)


def child(study: str, out: str, at: str | None, events: int) -> int:
    """Run the study in this process; the exit code."""
    from probate import Study
    from probate import run as run_study

    def event(name: str) -> None:
        os.write(events, f"{name}\n".encode())
        if name == at:
            os.kill(os.getpid(), signal.SIGKILL)

    watch(os.path.realpath(out), event)
    return run_study(Study.load(study), out, quiet=True).exit_code


def main() -> None:
    for name in NEEDED:
        importlib.import_module(name)
    from probate.data.packs import load_pack, pack_names

    for name in pack_names():
        load_pack(name)  # read once, for all runs
    for line in sys.stdin:
        request = json.loads(line)
        reading, writing = os.pipe()
        pid = os.fork()
        if not pid:
            code = 70
            try:
                os.close(reading)
                code = child(sys.argv[1], request["out"], request["at"], writing)
            except BaseException:
                traceback.print_exc()
            finally:
                os._exit(code)
        os.close(writing)
        with os.fdopen(reading) as pipe:
            events = pipe.read().splitlines()
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        print(json.dumps({"code": code, "events": events}), flush=True)


if __name__ == "__main__":
    main()
