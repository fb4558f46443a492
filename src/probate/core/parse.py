"""JSON that others wrote: a value, or one sentence that says why it is none."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from probate.core.errors import InputError

DIGITS = 308
"""Most digits of a whole number: a longer one has no decimal near it, and no column holds it."""
SURROGATE = re.compile(r"\\u[dD][89a-fA-F]|[\ud800-\udfff]")


class NotJson(ValueError):
    """Text that is no JSON, or JSON that cannot be kept as text again. Its message has no place: the reader knows that."""


def json_value(text: str | bytes) -> Any:
    """The value of one JSON text; NaN and infinity, which some tools write, are numbers as there.

    Raises:
        NotJson: not UTF-8, not JSON or cut off, nested too deeply, a whole number of more than `DIGITS` digits, a key that stands twice in an object, a lone
            surrogate.
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
        raise NotJson("a lone surrogate (half of a character), which is no text") from None
    except json.JSONDecodeError as error:
        line = f"line {error.lineno}, " if error.lineno > 1 else ""
        raise NotJson(f"not JSON at {line}column {error.colno} ({error.msg}; cut off?)") from None
    except RecursionError:
        raise NotJson("not JSON (nested too deeply)") from None
    return value


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise NotJson(f"the key '{twice[:40]}' stands twice in one object; keep one")
    return found


def _whole(digits: str) -> int:
    if len(digits) > DIGITS:
        raise NotJson(f"a whole number of {len(digits):,} digits; write it as text")
    return int(digits)


def json_lines(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Place and object of each line of a file that Probate wrote. A line ends at a line feed only, as `splitlines` does not have it.

    Raises:
        InputError: a line that is no object, with its place.
    """
    try:
        with path.open(encoding="utf-8", newline="\n") as lines:
            for number, line in enumerate(lines, 1):
                try:
                    row = json_value(line)
                except NotJson as error:
                    raise InputError(
                        f"{path}:{number}: {error}; the file was changed or cut off, make it again"
                    ) from None
                if not isinstance(row, dict):
                    raise InputError(
                        f"{path}:{number}: a {type(row).__name__}, not an object; the file was changed, make it again"
                    )
                yield f"{path}:{number}", row
    except UnicodeDecodeError as error:
        raise InputError(
            f"{path}: not UTF-8 at byte {error.start}; the file was changed, make it again"
        ) from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}") from None
