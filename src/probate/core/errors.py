"""Errors that reach a user: one clear sentence each, with the exit code of the command."""

from __future__ import annotations

import re
import tempfile
import traceback
from collections.abc import Iterable
from difflib import get_close_matches

from probate.core.secrets import hide

BREAKS = re.compile("[\r\n\v\f\x85\u2028\u2029]+")
UNFORESEEN = 70
"""Exit code of an error that nobody foresaw."""


def kept_traceback(error: BaseException) -> str:
    """Write the traceback of `error` to a new file in the system's folder for such; returns its path, or why there is none."""

    try:
        with tempfile.NamedTemporaryFile(
            "w", encoding="utf-8", errors="backslashreplace", prefix="probate-", suffix=".log", delete=False
        ) as file:
            file.write(hide("".join(traceback.format_exception(error))))
    except OSError as refused:
        return f"not written ({refused.strerror or refused})"
    return file.name


def first_line(error: BaseException, most: int = 200) -> str:
    """The first line of what a library says, without a full stop; the error's name where it says nothing."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:most].rstrip(".")


class ProbateError(Exception):
    """Base of all errors that are shown without a traceback: sentences, each on a line of its own whatever names it holds."""

    exit_code = 3

    def __init__(self, *sentences: str) -> None:
        super().__init__(*(BREAKS.sub(" ", sentence) for sentence in sentences))

    def __str__(self) -> str:
        return "\n".join(self.args)


class InputError(ProbateError):
    """The study, the data or an argument is wrong. Exit code 2."""

    exit_code = 2


class StageError(ProbateError):
    """A stage failed; what finished before it is kept. Exit code 3."""

    exit_code = 3


def some(names: Iterable[object], most: int = 300) -> str:
    """The names in a row, as far as they have room in one sentence."""
    text = ", ".join(map(str, names))
    return text if len(text) <= most else f"{text[:most]}…"


def nearest(word: str, allowed: list[str]) -> str:
    """` (did you mean 'x'?)` for the closest of `allowed`, or an empty string."""

    found = get_close_matches(word, allowed, n=1, cutoff=0.6)
    return f" (did you mean '{found[0]}'?)" if found else ""
