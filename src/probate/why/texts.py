"""Texts of a file, whatever its columns are called."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from probate.errors import InputError, nearest
from probate.readers import source_rows

COLUMNS = ("text", "bio", "messages", "completion", "response", "content", "chatgpt_gen", "prompt")


@dataclass(frozen=True)
class Texts:
    """Texts of one file in their order, the column that they stood in, and the rows that had none."""

    texts: list[str]
    rows: list[dict[str, Any]]
    column: str
    empty: int


def read_texts(source: str, column: str | None = None, option: str = "--text", limit: int | None = None) -> Texts:
    """Texts of `source` (a file, a folder of `datasets`, `hf:ID`). A chat gives its last answer of more than four words, else its last turn by the user.

    Without `column` it is the first of the usual names that the file has, else the column with the longest text in the first row.

    Raises:
        InputError: no such file or column, or no text at all.
    """
    texts: list[str] = []
    rows: list[dict[str, Any]] = []
    empty = 0
    for where, row in source_rows(source, "train", Path()):
        if isinstance(row, str):
            empty += 1
            continue
        column = column or _text_column(row)
        if column not in row:
            raise InputError(
                f"{where}: {option}: no column '{column}'{nearest(column, list(row))}; the file has: {', '.join(map(str, row))}"
            )
        text = plain_text(row[column])
        if not text:
            empty += 1
            continue
        texts.append(text)
        rows.append(row)
        if limit and len(texts) == limit:
            break
    if not texts:
        raise InputError(f"{source}: no text in it ({empty} rows without one)")
    return Texts(texts, rows, str(column), empty)


def _text_column(row: dict[str, Any]) -> str:
    found = next((c for c in COLUMNS if row.get(c)), None)
    if found is None:
        strings = {str(c): v for c, v in row.items() if isinstance(v, str)}
        if not strings:
            raise InputError(f"no column that looks like a text; the file has: {', '.join(map(str, row))}")
        found = max(strings, key=lambda c: len(strings[c]))
    return found


def plain_text(value: Any) -> str:
    """The text of a cell: itself, or of a chat the last answer of more than four words, else the last turn by the user."""
    if not isinstance(value, list):
        return "" if value is None or value != value else str(value).replace("<return>", "\n").strip()
    turns = [(t.get("role"), str(t.get("content") or "").strip()) for t in value if isinstance(t, dict)]
    long = [text for role, text in turns if role == "assistant" and len(text.split()) > 4]
    asked = [text for role, text in turns if role == "user"]
    return (long or asked or [""])[-1]
