"""Cells of a row: found by name through nested objects and JSON text, and replaced without a change to anything else."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any

from probate.core.errors import InputError
from probate.core.parse import NotJson, json_value

Place = tuple[str | int, ...]
"""Keys and positions from a row to a text. Where a text or bytes stand on the way, they are JSON text."""


def place_of(row: Mapping[str, Any], column: str) -> Place | None:
    """Where `column` stands in the row; None where it has none."""
    if column in row:
        return (column,)
    parts = column.split(".")
    for cut in range(1, len(parts)):
        head = ".".join(parts[:cut])
        if head in row:
            inner = opened(row[head])
            if isinstance(inner, dict) and (rest := place_of(inner, ".".join(parts[cut:]))) is not None:
                return (head, *rest)
    return None


def cell(row: Mapping[str, Any], column: str) -> Any:
    """The value of a column; None where the row has none."""
    if column in row:
        return row[column]
    place = place_of(row, column)
    return None if place is None else at(row, place)


def opened(value: Any) -> Any:
    """A list or an object that stands there as JSON text; any other value as it is."""
    if isinstance(value, bytes):
        try:
            value = value.decode()
        except UnicodeDecodeError:
            return value
    if not isinstance(value, str) or value.lstrip()[:1] not in ("[", "{"):
        return value
    try:
        found = json_value(value)
    except NotJson:
        return value
    return found if isinstance(found, (list, dict)) else value


def at(value: Any, place: Place) -> Any:
    """What stands at `place`."""
    for step in place:
        value = opened(value)[step]
    return value


def put(value: Any, place: Place, new: Any) -> Any:
    """`value` with `new` at `place`: copied along the way, bytes as bytes, JSON text as JSON text in the style that it had."""
    if not place:
        return new.encode() if isinstance(value, bytes) and isinstance(new, str) else new
    inner, step = opened(value), place[0]
    changed: Any = list(inner) if isinstance(inner, list) else dict(inner)
    changed[step] = put(inner[step], place[1:], new)
    if isinstance(value, str):
        return json_like(value, inner, changed)
    return json_like(value.decode(), inner, changed).encode() if isinstance(value, bytes) else changed


Style = tuple[str, str, bool]
STYLES: tuple[Style, ...] = ((", ", ": ", False), (",", ":", False), (", ", ": ", True), (",", ":", True))
"""Separators of JSON text, and whether other letters than ASCII are escaped."""


def written(value: Any, style: Style = STYLES[0]) -> str:
    """JSON text in a style: decimals as numbers where that keeps their value, dates as ISO 8601, bytes decoded.

    Raises:
        InputError: bytes that are not UTF-8.
    """
    return json.dumps(value, ensure_ascii=style[2], separators=style[:2], default=_for_json)


def _for_json(value: Any) -> Any:
    if isinstance(value, bytes):
        try:
            return value.decode()
        except UnicodeDecodeError:
            raise InputError(
                "a column holds bytes that are not UTF-8, which text cannot hold; write .parquet"
            ) from None
    if isinstance(value, Decimal):
        near = float(value)
        return near if Decimal(repr(near)) == value else str(value)
    return plain(value)


def style_of(text: str, value: Any) -> Style | None:
    """The style in which `value` gives exactly `text`; None where there is none."""
    text = text.rstrip("\r\n")
    return next((style for style in STYLES if written(value, style) == text), None)


def json_like(text: str, before: Any, value: Any) -> str:
    """`value` as JSON in the style in which `text` holds `before`."""
    return written(value, style_of(text, before) or STYLES[0])


def is_flat(value: Any) -> bool:
    """Whether it is a list of nothing but texts, numbers and the like."""
    return isinstance(value, (list, tuple)) and not any(isinstance(v, (list, tuple, dict)) for v in value)


def joined(value: Any) -> Any:
    """Of a flat list each different value once, as one text in order of the alphabet: `["b", "a"]` is "a; b", `["a"]` is "a"; else the value."""
    return "; ".join(sorted({text for v in value if (text := plain(v))})) if is_flat(value) else value


def plain(value: Any) -> str:
    """A cell as text: empty where it is missing; numbers without a needless `.0`, bytes decoded, dates as ISO 8601."""
    if value is None or value != value:
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (float, Decimal)):
        return format(value, ".0f") if math.isfinite(value) and value == int(value) else str(value)
    return value.isoformat() if isinstance(value, (date, datetime, time)) else str(value)


def normal_label(value: Any) -> str:
    """A label as it is compared and shown: single spaces for `_` and runs of spaces; 1, 1.0, "1" and "1.0" are one label, as are True and "true"."""
    text = " ".join(plain(joined(value)).replace("_", " ").split())
    if re.fullmatch(r"[+-]?\d+\.0+", text):
        text = text.partition(".")[0]
    if text in ("-0", "+0"):
        return "0"
    return text.lower() if text.lower() in ("true", "false") else text
