"""Reversal of masking in a file, by the recorded changes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from probate.core.errors import InputError
from probate.data.rows import source_rows
from probate.data.shape.cells import at, plain, put
from probate.data.shape.chat import Turn
from probate.mitigations.files.write import json_line, writer
from probate.mitigations.mask import undo

NO_MATCH = (
    "the row is not as the changes file records it; use the file and its changes as `probate mitigate` "
    "wrote them"
)


def undo_file(changed: Path, out: Path, changes: Path | None = None) -> int:
    """Restore the file from which `probate mitigate` made `changed`.

    JSON Lines are restored byte for byte, except blank lines. CSV and Parquet files are restored value for
    value. Added rows are removed.

    Parameters
    ----------
    changed : Path
        The file that `probate mitigate` wrote.
    out : Path
        File to write. It must not exist.
    changes : Path, optional
        The recorded changes. Default: `changed` with the suffix `.changes.jsonl` added.

    Returns
    -------
    int
        Number of rows that were restored.

    Raises
    ------
    InputError
        If a file is missing, `out` exists, a row was left out without its text, or the rows are not those
        that the changes describe.
    """
    path = changes or changed.with_name(changed.name + ".changes.jsonl")
    if not path.is_file():
        raise InputError(f"{path}: no such file; name the file of recorded changes with --changes")
    if out.exists():
        raise InputError(f"--out {out}: the file exists; choose another name")
    notes, gone = _notes(path)
    rows = list(source_rows(str(changed), "train", Path(), keep=True))
    if max(notes, default=0) > len(rows):
        raise InputError(f"{changed}: {len(rows):,} rows, but {path} records changes of row {max(notes):,}")
    before: list[tuple[dict[str, Any], str]] = []
    count = 0
    for number, (where, row) in enumerate(rows, 1):
        if isinstance(row, str):
            raise InputError(f"{where}: {row}")
        note = notes.get(number, {})
        if note.get("added"):
            continue
        while len(before) + 1 in gone:
            before.append(({}, gone[len(before) + 1]["line"]))
        try:
            back = restored(row, note)
        except (AttributeError, LookupError, TypeError, ValueError):
            raise InputError(f"{where}: {NO_MATCH}") from None
        count += back is not row or "line" in note
        before.append((back, note.get("line") or json_line(row, back)[0]))
    while len(before) + 1 in gone:
        before.append(({}, gone[len(before) + 1]["line"]))
    columns = list(dict.fromkeys(c for row, _ in before for c in row))
    with writer(changed, out, columns, notes=False) as write:
        for row, line in before:
            write.row(row, line)
    return count


def _notes(path: Path) -> tuple[dict[int, dict[str, Any]], dict[int, dict[str, Any]]]:
    """Return the changes by row of the changed file, and the rows that were left out, by source row."""
    notes: dict[int, dict[str, Any]] = {}
    gone: dict[int, dict[str, Any]] = {}
    for where, note in source_rows(str(path), "train", Path()) if path.stat().st_size else ():
        if isinstance(note, str):
            raise InputError(f"{where}: {note}")
        number = note.get("row" if "dropped" in note else "written")
        if type(number) is not int or not isinstance(note.get("line", ""), str):
            raise InputError(f"{where}: not a record of changes that `probate mitigate` wrote")
        if "dropped" in note and "line" not in note:
            raise InputError(f"{path}: row {number} was left out ({note['dropped']}) and cannot be restored")
        (gone if "dropped" in note else notes)[number] = note
    return notes, gone


def restored(row: dict[str, Any], note: Mapping[str, Any]) -> dict[str, Any]:
    """Return a row before the changes that `note` records; raises ValueError if they do not match it."""
    if "cells" in note:
        return {c: v for c, v in (row | note["cells"]).items() if c not in note.get("new", ())}
    changes = [m.get("changes") for m in note.get("mitigations", []) if m.get("changes")]
    if not changes:
        return row
    places = note["places"]
    text = note["between"].join(plain(at(row, tuple(p))) for p in places)
    for own in reversed(changes):
        text = undo(text, own)
    texts = text.split(note["between"]) if len(places) > 1 else [text]
    for place, old in zip(places, texts, strict=False):
        if plain(at(row, tuple(place))) != old:
            row = put(row, tuple(place), old)
    return row


def places_of(turns: Sequence[Turn], free: Iterable[int]) -> list[list[str | int]]:
    """Return the places of the texts that may change, as JSON values."""
    return [list(turns[i].place) for i in free]
