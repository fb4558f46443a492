"""Errors that are shown to the user: one sentence per problem, and the exit code of the command."""

from __future__ import annotations

import re
import tempfile
import traceback
from collections.abc import Iterable
from difflib import get_close_matches

from probate.core.secrets import hide

BREAKS = re.compile("[\r\n\v\f\x85\u2028\u2029]+")
UNEXPECTED = 70
"""Exit code of an unexpected error."""


def write_traceback(error: BaseException) -> str:
    """Write the traceback of `error` to a new temporary file.

    Returns
    -------
    str
        The path of the file, or the reason why it could not be written.
    """
    try:
        with tempfile.NamedTemporaryFile(
            "w", encoding="utf-8", errors="backslashreplace", prefix="probate-", suffix=".log", delete=False
        ) as file:
            file.write(hide("".join(traceback.format_exception(error))))
    except OSError as refused:
        return f"not written ({refused.strerror or refused})"
    return file.name


def first_line(error: BaseException, most: int = 200) -> str:
    """Return the first line of an error's message without the full stop, or its class if there is none."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:most].rstrip(".")


class ProbateError(Exception):
    """Base class of all errors that are shown without a traceback.

    Parameters
    ----------
    *sentences : str
        One sentence per problem. Each is shown on one line: line breaks inside it become spaces.
    """

    exit_code = 3

    def __init__(self, *sentences: str) -> None:
        super().__init__(*(BREAKS.sub(" ", sentence) for sentence in sentences))

    def __str__(self) -> str:
        return "\n".join(self.args)


class InputError(ProbateError):
    """Raised if the study, the data or an argument is wrong. Exit code 2."""

    exit_code = 2


class StageError(ProbateError):
    """Raised if a stage failed. Stages that finished before are kept. Exit code 3."""

    exit_code = 3


def some(names: Iterable[object], most: int = 300) -> str:
    """Return the names separated by commas, cut off after `most` characters."""
    text = ", ".join(map(str, names))
    return text if len(text) <= most else f"{text[:most]}…"


def nearest(word: str, allowed: list[str]) -> str:
    """Return ` (did you mean 'x'?)` for the closest match in `allowed`, or "" if there is none."""
    matches = get_close_matches(word, allowed, n=1, cutoff=0.6)
    return f" (did you mean '{matches[0]}'?)" if matches else ""
