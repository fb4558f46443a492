"""Progress with rate and remaining time: a bar on a terminal, otherwise a plain line every few seconds."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from probate.core.log_lines import JSON_LINES, emit
from probate.core.spans import span
from probate.core.terminal import shown

PLAIN_EVERY = 15.0  # seconds between plain lines


class Ticker(Protocol):
    """Callback for progress: takes the number of units finished since the last call, and a note to show."""

    def __call__(self, done: int, note: str = "") -> None: ...


class Reporter:
    """Shows the progress of stages on stderr.

    Parameters
    ----------
    quiet : bool, default False
        Show only warnings.
    """

    def __init__(self, *, quiet: bool = False) -> None:
        self.console = Console(stderr=True, quiet=quiet, highlight=False)
        self.quiet = quiet

    def say(self, line: str) -> None:
        """Print a line, unless `quiet`."""
        if JSON_LINES.get():
            if not self.quiet:
                emit("message", text=line)
            return
        self.console.print(shown(line), markup=False, soft_wrap=True)

    def warn(self, line: str) -> None:
        """Print a warning, even if `quiet`."""
        if JSON_LINES.get():
            emit("warning", text=line)
            return
        quiet, self.console.quiet = self.console.quiet, False
        self.say(f"WARNING {line}")
        self.console.quiet = quiet

    @contextmanager
    def stage(self, name: str, total: int, unit: str) -> Iterator[Ticker]:
        """Show the progress of a stage while the block runs.

        Parameters
        ----------
        name : str
            Name of the stage.
        total : int
            Number of units of work; 0 if it is not known.
        unit : str
            Name of the unit, in the plural.

        Yields
        ------
        Ticker
            To be called with the number of units finished since the last call.
        """
        start, lines = time.monotonic(), JSON_LINES.get() and not self.quiet
        if lines:
            emit("begin", stage=name, total=total or None, unit=unit)
        with span(name, total=total, unit=unit):
            if self.console.is_terminal and not self.quiet and not lines:
                with self._bar(name, total, unit) as tick:
                    yield tick
            else:
                yield self._plain(name, total, unit)
        seconds = time.monotonic() - start
        if lines:
            emit("end", stage=name, seconds=round(seconds, 3))
            return
        self.say(f"{name}: {total} {unit} in {clock(seconds)}" if total else f"{name}: {clock(seconds)}")

    @contextmanager
    def _bar(self, name: str, total: int, unit: str) -> Iterator[Ticker]:
        columns = (
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}", markup=False),
            TimeRemainingColumn(),
            TextColumn("{task.fields[note]}", markup=False),
        )
        start = time.monotonic()
        with Progress(*columns, console=self.console, transient=True) as progress:
            task = progress.add_task(shown(name), total=total or None, note="", rate="")

            def tick(done: int, note: str = "") -> None:
                progress.advance(task, done)
                rate = progress.tasks[0].completed / max(1e-9, time.monotonic() - start)
                progress.update(task, note=shown(note), rate=_rate(rate, f" {unit}"))

            yield tick

    def _plain(self, name: str, total: int, unit: str) -> Ticker:
        state = {"done": 0, "start": time.monotonic(), "last": time.monotonic()}

        def tick(done: int, note: str = "") -> None:
            state["done"] += done
            now = time.monotonic()
            if now - state["last"] >= PLAIN_EVERY and state["done"]:
                state["last"] = now
                rate = state["done"] / (now - state["start"])
                if JSON_LINES.get():
                    if not self.quiet:
                        wait = round(max(0.0, total - state["done"]) / rate, 1) if total else None
                        emit(
                            "progress", stage=name, done=int(state["done"]), total=total or None, unit=unit,
                            rate=round(rate, 3), seconds_left=wait, note=note,
                        )  # fmt: skip
                    return
                of, left = (
                    (f"/{total}", f", {clock(max(0.0, total - state['done']) / rate)} left")
                    if total
                    else ("", "")
                )
                self.say(f"{name}: {int(state['done'])}{of} {unit}, {_rate(rate)}{left} {note}".rstrip())

        return tick


def _rate(rate: float, unit: str = "") -> str:
    """Return a rate a second in words, a minute if it is low: `8.4 records/s`, `2.7 arms/min`."""
    return f"{rate:.1f}{unit}/s" if rate >= 0.1 else f"{60 * rate:.1f}{unit}/min"


def clock(seconds: float) -> str:
    """Return a duration as `M:SS` or `H:MM:SS`: `75` → `1:15`, `7384` → `2:03:04`."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def spoken(seconds: float) -> str:
    """Return a rough duration in words: `40 seconds`, `10 minutes`, `3.5 hours`, `12 days`."""
    for unit, length, most in (("seconds", 1, 60), ("minutes", 60, 120), ("hours", 3600, 48)):
        if seconds < most * length:
            count = seconds / length
            shown = f"{count:.2g}" if 1 <= count < 9.95 else f"{count:.0f}"
            return f"{shown} {unit[:-1] if shown == '1' else unit}"
    return f"{seconds / 86400:,.0f} days"
