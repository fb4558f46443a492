"""`probate audit --clean`: the file without the rows that weigh."""

from __future__ import annotations

from pathlib import Path

from probate.audits.stage_one import StageOne
from probate.audits.verdict import LOOK, STOP
from probate.core.errors import InputError
from probate.data.checks.artefacts import HARMLESS
from probate.data.rows import source_rows
from probate.mitigations.files.write import json_line, writer

CLEANED = ("leaked", "copies", "repeats", "artefacts", "unread")
"""Kinds of findings of which each names rows that can be left out."""


def rows_left_out(stage_one: StageOne) -> dict[int, str]:
    """Place of a text → why it is left out: only rows of findings that weigh (stop or look)."""
    heavy = {f.kind for f in stage_one.findings if f.weight in (STOP, LOOK)}
    traces = {
        f.part for f in stage_one.findings if f.kind == "artefacts" and f.weight in (STOP, LOOK)
    } - HARMLESS
    marks: dict[int, str] = {}
    if "leaked" in heavy:
        marks |= {
            i: f"it holds an item of {name}" for name, places in stage_one.leaked.items() for i in places
        }
    if "copies" in heavy:
        marks |= dict.fromkeys(stage_one.copied, "it holds a run of words of the original")
    if "repeats" in heavy:
        marks |= dict.fromkeys([*stage_one.repeats.exact, *stage_one.repeats.near], "it repeats another")
    for kind in traces:
        marks |= dict.fromkeys(stage_one.artefacts[kind], f"it has a trace of a generator ({kind})")
    return marks


def write_clean(stage_one: StageOne, out: Path) -> tuple[int, int]:
    """Write the rows that stay, as they stood; (written, left out). Rows that cannot be read or have no text never stay.

    Raises:
        InputError: `out` is there already, cannot be written, or no row would stay.
    """
    if out.exists():
        raise InputError(f"--clean {out}: the file is there already; choose another")
    marks = rows_left_out(stage_one)
    stay = {where for i, where in enumerate(stage_one.data.where) if i not in marks}
    if not stay:
        raise InputError(f"--clean {out}: no row would stay")
    rows = [
        row
        for where, row in source_rows(stage_one.data.source, "train", Path(), keep=True)
        if where in stay and not isinstance(row, str)
    ]
    columns = list(dict.fromkeys(c for row in rows for c in row))
    with writer(Path(stage_one.data.source), out, columns, notes=False) as write:
        for row in rows:
            write.row(row, json_line(row, row)[0])
    return len(rows), stage_one.data.rows - len(rows)
