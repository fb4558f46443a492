"""Parsing JSON of other programs: the result is a value, or one sentence that describes the problem."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from probate.core.errors import InputError

DIGITS = 308
"""Maximum number of digits of an integer. Longer ones exceed the range of a float and fit no column."""
SURROGATE = re.compile(r"\\u[dD][89a-fA-F]|[\ud800-\udfff]")


class NotJson(ValueError):
    """Raised for text that is not JSON, or for JSON that cannot be written as text again.

    The message does not name the file and line; the reader adds them.
    """


def json_value(text: str | bytes) -> Any:
    """Parse one JSON text. NaN and infinity, which some tools write, are accepted as numbers.

    Raises
    ------
    NotJson
        If the text is not UTF-8, is not JSON, is truncated or nested too deeply, or contains an integer of
        more than `DIGITS` digits, a duplicated key or a lone surrogate.
    """
    try:
        text = text.decode("utf-8") if isinstance(text, bytes) else text
        value = json.loads(
            text.removeprefix("\ufeff").rstrip(" \t\r\n"), object_pairs_hook=_once, parse_int=_whole
        )
        if SURROGATE.search(text):
            json.dumps(value, ensure_ascii=False).encode()
    except UnicodeDecodeError as error:
        raise NotJson(f"not UTF-8 at byte {error.start}") from None
    except UnicodeEncodeError:
        raise NotJson("a lone surrogate (half a character) is not valid text") from None
    except json.JSONDecodeError as error:
        line = f"line {error.lineno}, " if error.lineno > 1 else ""
        raise NotJson(f"not JSON at {line}column {error.colno} ({error.msg}; truncated?)") from None
    except RecursionError:
        raise NotJson("not JSON (nested too deeply)") from None
    return value


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        names = [name for name, _ in pairs]
        duplicate = next(name for name in names if names.count(name) > 1)
        raise NotJson(f"the key '{duplicate[:40]}' is duplicated in one object; keep one")
    return value


def _whole(digits: str) -> int:
    if len(digits) > DIGITS:
        raise NotJson(f"an integer of {len(digits):,} digits is too long; write it as text")
    return int(digits)


def json_lines(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Read a JSON Lines file that Probate wrote.

    A line ends at a line feed only, whereas `str.splitlines` splits at other characters, too.

    Yields
    ------
    where : str
        `FILE:LINE`.
    row : dict
        The object on that line.

    Raises
    ------
    InputError
        If a line is not a JSON object. The message names the file and the line.
    """
    try:
        with path.open(encoding="utf-8", newline="\n") as lines:
            for number, line in enumerate(lines, 1):
                try:
                    row = json_value(line)
                except NotJson as error:
                    raise InputError(
                        f"{path}:{number}: {error}; the file was changed or truncated, create it again"
                    ) from None
                if not isinstance(row, dict):
                    raise InputError(
                        f"{path}:{number}: a {type(row).__name__}, not an object; "
                        "the file was changed, create it again"
                    )
                yield f"{path}:{number}", row
    except UnicodeDecodeError as error:
        raise InputError(
            f"{path}: not UTF-8 at byte {error.start}; the file was changed, create it again"
        ) from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}") from None
