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


def undo_file(changed: Path, out: Path, changes: Path | None = None) -> int:
    """Restore the file from which `probate mitigate --strategy mask` made `changed`.

    JSON Lines are restored byte for byte, except blank lines. CSV and Parquet files are restored value for
    value.

    Parameters
    ----------
    changed : Path
        The masked file.
    out : Path
        File to write.
    changes : Path, optional
        The recorded changes. Default: `changed` with the suffix `.changes.jsonl` added.

    Returns
    -------
    int
        Number of restored rows.

    Raises
    ------
    InputError
        If a file is missing, or the file was changed by something other than masking, which cannot be undone.
    """
    path = changes or changed.with_name(changed.name + ".changes.jsonl")
    notes: dict[int, dict[str, Any]] = {}
    gone: dict[int, dict[str, Any]] = {}
    for where, note in (
        source_rows(str(path), "train", Path()) if path.is_file() and path.stat().st_size else ()
    ):
        if isinstance(note, str):
            raise InputError(f"{where}: {note}")
        (gone if "dropped" in note else notes)[note["row" if "dropped" in note else "written"]] = note
    for number, note in gone.items():
        if "line" not in note:
            raise InputError(f"{path}: row {number} was left out ({note['dropped']}) and cannot be restored")
    rows = list(source_rows(str(changed), "train", Path(), keep=True))
    columns = list(dict.fromkeys(c for _, row in rows if isinstance(row, dict) for c in row))
    count, at_row = 0, 1
    with writer(changed, out, columns, notes=False) as write:
        for number, (where, row) in enumerate(rows, 1):
            if isinstance(row, str):
                raise InputError(f"{where}: {row}")
            note = notes.get(number, {})
            if note.get("added"):
                continue
            while at_row in gone:
                write.row({}, gone[at_row]["line"])
                at_row += 1
            back = restored(row, note)
            count += back is not row or "line" in note
            write.row(back, note.get("line") or json_line(row, back)[0])
            at_row += 1
        while at_row in gone:
            write.row({}, gone[at_row]["line"])
            at_row += 1
    return count


def restored(row: dict[str, Any], note: Mapping[str, Any]) -> dict[str, Any]:
    """Return a row before the changes that `note` records."""
    if "cells" in note:
        return {**row, **note["cells"]}
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
