"""Whether another arm can end before a deadline."""

from __future__ import annotations

import time


class Pace:
    """The durations of finished arms, and the deadline.

    Parameters
    ----------
    deadline : float, optional
        The `time.monotonic()` by which to end.
    """

    def __init__(self, deadline: float | None = None) -> None:
        self.deadline = deadline
        self._spent: list[float] = []

    def add(self, seconds: float) -> None:
        """Add the duration of a finished arm."""
        self._spent.append(seconds)

    def allows(self) -> bool:
        """Return whether an arm that starts now would end in time.

        Its expected time is the mean of the finished arms or that of the latest, whichever is longer.
        """
        expected = max(sum(self._spent) / len(self._spent), self._spent[-1]) if self._spent else 0.0
        return self.deadline is None or time.monotonic() + expected <= self.deadline
