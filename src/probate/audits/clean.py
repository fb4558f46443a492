"""`probate audit --clean`: the file without the rows that a finding recommends to remove."""

from __future__ import annotations

from pathlib import Path

from probate.audits.stage_one import StageOne
from probate.audits.verdict import LOOK, STOP
from probate.core.errors import InputError
from probate.data.checks.artefacts import HARMLESS
from probate.data.rows import source_rows
from probate.mitigations.files.write import json_line, writer

CLEANED = ("leaked", "copies", "repeats", "artefacts", "unread")
"""Kinds of findings whose rows can be removed."""


def rows_left_out(stage_one: StageOne) -> dict[int, str]:
    """Return the rows that `--clean` removes.

    Parameters
    ----------
    stage_one : StageOne
        Results of stage one.

    Returns
    -------
    dict of int to str
        Place of a text → why it is removed. Only findings of weight `stop` or `look` remove rows.
    """
    heavy = {f.kind for f in stage_one.findings if f.weight in (STOP, LOOK)}
    traces = {
        f.part for f in stage_one.findings if f.kind == "artefacts" and f.weight in (STOP, LOOK)
    } - HARMLESS
    marks: dict[int, str] = {}
    if "leaked" in heavy:
        marks |= {
            i: f"it contains an item of {name}" for name, places in stage_one.leaked.items() for i in places
        }
    if "copies" in heavy:
        marks |= dict.fromkeys(stage_one.copied, "it contains a run of words of the original")
    if "repeats" in heavy:
        marks |= dict.fromkeys([*stage_one.repeats.exact, *stage_one.repeats.near], "it repeats another text")
    for kind in traces:
        marks |= dict.fromkeys(stage_one.artefacts[kind], f"it contains a trace of a generator ({kind})")
    return marks


def write_clean(stage_one: StageOne, out: Path) -> tuple[int, int]:
    """Write the remaining rows unchanged. Rows that cannot be read or have no text are always removed.

    Parameters
    ----------
    stage_one : StageOne
        Results of stage one.
    out : Path
        File to write; it must not exist.

    Returns
    -------
    tuple of int
        Number of rows written, and number of rows removed.

    Raises
    ------
    InputError
        `out` already exists or cannot be written, or no row would remain.
    """
    if out.exists():
        raise InputError(f"--clean {out}: the file already exists; choose another name")
    marks = rows_left_out(stage_one)
    stay = {where for i, where in enumerate(stage_one.data.where) if i not in marks}
    if not stay:
        raise InputError(f"--clean {out}: no row would remain")
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
