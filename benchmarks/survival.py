"""The fault matrix: a run meets a fault and is continued.

Its outcomes are compared with an uninterrupted run's.

Faults come at events (a file of the run folder is opened for writing, renamed, removed), spread evenly over
all that an uninterrupted run has, so that every stage meets some: SIGKILL; a disk that is full, read-only or
failing from then on; SIGKILL and then a file cut in half, the folder moved, or the clock set back by a day;
and two writers at once. Each run is a fork of this program, which has imported what a run imports: seconds of
each are saved.

probate run studies/X.yaml --out runs/whole
python benchmarks/survival.py studies/X.yaml runs/whole [--kills 30] [--others 4] [--set KEY=VALUE]
"""

from __future__ import annotations

import argparse
import errno
import importlib
import os
import random
import shutil
import sys
import tempfile
import time
import traceback
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

NEEDED = (
    "matplotlib.figure",
    "peft",
    "scipy.stats",
    "sklearn.linear_model",
    "transformers",
    "probate.commands.app",
    "probate.execution.runner",
)
DISKS = {"full disk": errno.ENOSPC, "read-only": errno.EROFS, "failing disk": errno.EIO}
AFTER_A_KILL = ("truncated", "moved", "clock set back")
DAY = 86_400


def child(fault: str, at: int, out: str, arguments: list[str]) -> None:
    """The command with a fault at its event number `at` (0: none).

    The number of events is written beside `out`.
    """
    root, seen = os.path.realpath(out), 0

    def hook(event: str, args: tuple) -> None:
        nonlocal seen
        if event == "open":
            writes = isinstance(args[2], int) and args[2] & (os.O_WRONLY | os.O_RDWR)
            paths = [args[0]] if writes else []
        else:
            paths = list(args[:2]) if event in ("os.rename", "os.remove", "os.mkdir") else []
        inside = (os.path.realpath(os.fspath(p)) for p in paths if isinstance(p, str | os.PathLike))
        if not any(p == root or p.startswith(root + os.sep) for p in inside):
            return
        seen += 1
        if at and seen >= at:
            if fault == "kill":
                os.kill(os.getpid(), 9)
            raise OSError(DISKS[fault], os.strerror(DISKS[fault]), str(paths[0]))

    if fault == "clock set back":
        now = time.time
        time.time = lambda: now() - DAY
    else:
        sys.addaudithook(hook)
    from probate.commands.app import main as command

    sys.argv = ["probate", "run", *arguments, "--out", out, "--quiet"]
    try:
        command()
    finally:
        Path(f"{out}.events").write_text(str(seen))


@dataclass(frozen=True)
class Ended:
    """A run that has ended: its exit code, negative for a signal, and what it printed."""

    code: int
    said: str


def begin(fault: str, at: int, out: Path, arguments: list[str]) -> tuple[int, Path]:
    """A run in a fork of this process: its number, and the file with what it prints."""
    said = Path(f"{out}.said")
    pid = os.fork()
    if pid:
        return pid, said
    code = 70
    try:
        handle = os.open(said, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(handle, 1)
        os.dup2(handle, 2)
        child(fault, at, str(out), arguments)
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def ended(pid: int, said: Path) -> Ended:
    return Ended(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), said.read_text() if said.exists() else "")


class Matrix:
    """Runs of one study in a scratch folder, compared with `whole`."""

    def __init__(self, arguments: list[str], whole: Path, scratch: Path) -> None:
        self.arguments, self.scratch = arguments, scratch
        self.whole = pd.read_parquet(whole / "outcomes.parquet")

    def go(self, out: Path, fault: str = "", at: int = 0) -> Ended:
        return ended(*begin(fault, at, out, self.arguments))

    def events(self) -> int:
        out = self.scratch / "counted"
        whole = self.go(out)
        assert whole.code == 0 and self.same(out), f"two uninterrupted runs differ: {whole.said}"
        return int(Path(f"{out}.events").read_text())

    def same(self, out: Path) -> bool:
        return (out / "outcomes.parquet").is_file() and pd.read_parquet(out / "outcomes.parquet").equals(
            self.whole
        )

    def meet(self, fault: str, moments: list[int], chance: random.Random) -> None:
        """`fault` at each of `moments`, each in a folder of its own."""
        same = said = 0
        for at in moments:
            out = self.scratch / "run"
            shutil.rmtree(out, ignore_errors=True)
            broken = self.go(out, fault if fault in DISKS else "kill", at)
            if fault in DISKS:  # an error of its own, or a recorded failure; never a traceback
                said += broken.code not in (0, 1) and "Traceback" not in broken.said
            if fault == "truncated":
                path = chance.choice([p for p in sorted(out.rglob("*")) if p.is_file() and p.stat().st_size])
                os.truncate(path, path.stat().st_size // 2)
            if fault == "moved":
                out = out.rename(self.scratch / "moved")
            again = self.go(out, fault if fault == "clock set back" else "")
            same += again.code == 0 and self.same(out)
            if not self.same(out) or again.code:
                print(f"{fault} at event {at}: exit code {again.code}\n{again.said[-2000:]}", flush=True)
            shutil.rmtree(self.scratch / "moved", ignore_errors=True)
        note = f"; one clear end {said} of {len(moments)}" if fault in DISKS else ""
        print(
            f"{fault:15} {same} of {len(moments)} continue to the same outcomes, row for row{note}",
            flush=True,
        )

    def many_kills(self, moments: list[int]) -> None:
        """One folder, killed again and again: each attempt gets as many events as lie between two moments."""
        out, step = self.scratch / "many", max(moments[0], 1)
        kills = 0
        while self.go(out, "kill", step + kills).code == -9 and kills < 10 * len(moments):
            kills += 1
        self.go(out)
        print(
            f"one folder      killed {kills} times, then finished; same outcomes: {self.same(out)}",
            flush=True,
        )

    def two_writers(self) -> None:
        out = self.scratch / "two"
        both = [begin("", 0, out, self.arguments)]
        while not out.exists():
            time.sleep(0.01)
        pid, _ = begin("", 0, out, self.arguments)
        second = ended(pid, Path(f"{out}.said"))
        first = ended(*both[0])
        refused = [e.said for e in (first, second) if e.code == 2]
        print(
            f"two writers     exit codes {first.code} and {second.code}; "
            f"{refused[0].strip() if refused else 'none refused'}"
        )
        print(f"                same outcomes: {self.same(out)}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("study")
    parser.add_argument("whole", type=Path, help="run folder of the uninterrupted run")
    parser.add_argument("--kills", type=int, default=30)
    parser.add_argument("--others", type=int, default=4, help="moments of each other fault")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--set", dest="overrides", action="append", default=[])
    args = parser.parse_args()
    start = time.monotonic()
    for name in NEEDED:
        importlib.import_module(name)
    with tempfile.TemporaryDirectory() as scratch:
        flags = [x for o in args.overrides for x in ("--set", o)]
        matrix = Matrix([args.study, *flags], args.whole, Path(scratch).resolve())
        events = matrix.events()
        print(f"{len(matrix.whole)} outcomes; {events} events")

        def spread(count: int) -> list[int]:
            return [max(1, round(events * (k + 1) / (count + 1))) for k in range(count)]

        matrix.meet("kill", spread(args.kills), random.Random(args.seed))
        matrix.many_kills(spread(args.kills))
        for fault in (*DISKS, *AFTER_A_KILL):
            matrix.meet(fault, spread(args.others), random.Random(args.seed))
        matrix.two_writers()
    print(f"{time.monotonic() - start:.0f} s")


if __name__ == "__main__":
    main()
