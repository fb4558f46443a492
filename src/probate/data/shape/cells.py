"""Cells of a row: lookup by name in nested objects and JSON text, and replacement in the original format."""

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
"""Keys and positions that lead from a row to a text. Text or bytes on the way are parsed as JSON."""


def place_of(row: Mapping[str, Any], column: str) -> Place | None:
    """Return the place of `column` in the row, or None if the row does not have it."""
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
    """Return the value of a column, or None if the row does not have it."""
    if column in row:
        return row[column]
    place = place_of(row, column)
    return None if place is None else at(row, place)


def opened(value: Any) -> Any:
    """Parse a list or an object that is stored as JSON text; return any other value unchanged."""
    if isinstance(value, bytes):
        try:
            value = value.decode()
        except UnicodeDecodeError:
            return value
    if not isinstance(value, str) or value.lstrip()[:1] not in ("[", "{"):
        return value
    try:
        parsed = json_value(value)
    except NotJson:
        return value
    return parsed if isinstance(parsed, (list, dict)) else value


def at(value: Any, place: Place) -> Any:
    """Return the value at `place`."""
    for step in place:
        value = opened(value)[step]
    return value


def put(value: Any, place: Place, new: Any) -> Any:
    """Replace the value at a place.

    Parameters
    ----------
    value : object
        Row or nested value. It is not modified.
    place : tuple of str or int
        Keys and positions, as `place_of` returns them.
    new : object
        The new value.

    Returns
    -------
    object
        A copy of `value` with `new` at `place`. Bytes stay bytes, and JSON text keeps its style.
    """
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
"""Separators of JSON text, and whether characters outside ASCII are escaped."""


def to_json(value: Any, style: Style = STYLES[0]) -> str:
    """Write a value as JSON text.

    Parameters
    ----------
    value : object
        Decimals become numbers if that keeps their value, dates become ISO 8601, and bytes are decoded.
    style : tuple
        One of `STYLES`.

    Returns
    -------
    str
        The JSON text.

    Raises
    ------
    InputError
        If bytes are not UTF-8.
    """
    return json.dumps(value, ensure_ascii=style[2], separators=style[:2], default=_for_json)


def _for_json(value: Any) -> Any:
    if isinstance(value, bytes):
        try:
            return value.decode()
        except UnicodeDecodeError:
            raise InputError(
                "a column holds bytes that are not UTF-8, which a text file cannot store; write .parquet"
            ) from None
    if isinstance(value, Decimal):
        near = float(value)
        return near if Decimal(repr(near)) == value else str(value)
    return plain(value)


def style_of(text: str, value: Any) -> Style | None:
    """Return the style in which `value` is written as `text`, or None if it is none of `STYLES`."""
    text = text.rstrip("\r\n")
    return next((style for style in STYLES if to_json(value, style) == text), None)


def json_like(text: str, before: Any, value: Any) -> str:
    """Write `value` as JSON in the style of `text`, which is the JSON text of `before`."""
    return to_json(value, style_of(text, before) or STYLES[0])


def is_flat(value: Any) -> bool:
    """Check whether a value is a list without nested lists or objects."""
    return isinstance(value, (list, tuple)) and not any(isinstance(v, (list, tuple, dict)) for v in value)


def joined(value: Any) -> Any:
    """Join the unique values of a flat list in alphabetical order ("a; b"); return other values unchanged."""
    return "; ".join(sorted({text for v in value if (text := plain(v))})) if is_flat(value) else value


def plain(value: Any) -> str:
    """Convert a cell to text.

    Parameters
    ----------
    value : object
        A cell of any type.

    Returns
    -------
    str
        Empty if the value is missing (None or NaN). Numbers have no trailing `.0`, bytes are decoded, and
        dates are in ISO 8601.
    """
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
    """Normalise a label for comparison and display.

    Parameters
    ----------
    value : object
        A cell of any type.

    Returns
    -------
    str
        The label with single spaces for `_` and runs of spaces. 1, 1.0, "1" and "1.0" are one label, and so
        are True and "true".
    """
    text = " ".join(plain(joined(value)).replace("_", " ").split())
    if re.fullmatch(r"[+-]?\d+\.0+", text):
        text = text.partition(".")[0]
    if text in ("-0", "+0"):
        return "0"
    return text.lower() if text.lower() in ("true", "false") else text
