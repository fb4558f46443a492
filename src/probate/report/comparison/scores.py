"""Read one score as a number, in the notation of any tool, or return the reason why it cannot be read."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

from probate.core.parse import NotJson, json_value

WORDS = {
    "true": 1.0,
    "false": 0.0,
    "yes": 1.0,
    "no": 0.0,
    "correct": 1.0,
    "incorrect": 0.0,
    "wrong": 0.0,
    "right": 1.0,
    "pass": 1.0,
    "passed": 1.0,
    "fail": 0.0,
    "failed": 0.0,
    "partial": 0.5,
}
MARKS = {"C": 1.0, "I": 0.0, "P": 0.5}
"""inspect_ai's marks: correct, incorrect, partial. Its mark N (no answer) is read as empty."""
EMPTY = ("", "nan", "none", "null", "na", "n/a", "n", "-", "–", "<na>")
INSIDE = ("score", "value", "correct", "acc", "accuracy")
FRACTION = re.compile(r"([+-]?\d+(?:\.\d+)?)\s*/\s*(\d+(?:\.\d+)?)")
COMMA = re.compile(r"[+-]?\d+,\d+")


def read_score(value: Any) -> tuple[float, str]:
    """Read a score.

    Parameters
    ----------
    value : object
        The score. True, yes, C and pass are 1; false, no, I and fail are 0; P is 0.5; "85%" is 0.85 and "3/4"
        is
        0.75. A list with one element is read as its element.

    Returns
    -------
    score : float
        The score; NaN if it cannot be read.
    reason : str
        Empty, or why it cannot be read: `empty`, `not finite`, `a decimal comma`, `text`, `several values` or
        `no score in an object`.
    """
    if hasattr(value, "item") and not isinstance(value, (str, bytes)) and getattr(value, "size", 1) == 1:
        value = value.item()
    if hasattr(value, "tolist"):
        value = value.tolist()
    if value is None:
        return math.nan, "empty"
    if isinstance(value, Mapping):
        inside = next((value[k] for k in INSIDE if k in value), value)
        return (math.nan, "no score in an object") if inside is value else read_score(inside)
    if isinstance(value, (list, tuple)):
        return read_score(value[0]) if len(value) == 1 else (math.nan, "several values" if value else "empty")
    if isinstance(value, str):
        return _of_text(value.strip())
    try:
        number = float(value)
    except OverflowError:
        return math.nan, "not finite"
    except (TypeError, ValueError):
        return math.nan, "empty" if type(value).__name__ == "NAType" else "text"
    if math.isfinite(number):
        return number, ""
    return math.nan, "empty" if math.isnan(number) else "not finite"


def _of_text(text: str) -> tuple[float, str]:
    """Read a score that is a text."""
    if text in MARKS:
        return MARKS[text], ""
    low = text.lower()
    if low in WORDS:
        return WORDS[low], ""
    if low in EMPTY:
        return math.nan, "empty"
    if text[0] in '[{"':
        try:
            return read_score(json_value(text))
        except NotJson:
            return math.nan, "text"
    if fraction := FRACTION.fullmatch(text):
        whole = float(fraction[2])
        return (float(fraction[1]) / whole, "") if whole else (math.nan, "not finite")
    if COMMA.fullmatch(text):
        return math.nan, "a decimal comma"
    percent = text.endswith("%")
    try:
        number = float(text.removesuffix("%"))
    except ValueError:
        return math.nan, "text"
    if not math.isfinite(number):
        return math.nan, "not finite"
    return (number / 100 if percent else number), ""
