"""Reading records from JSONL, CSV, Parquet, Hugging Face `datasets` or the builtin corpus.

A broken row is kept out, with its place and its fault; it is never dropped silently.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from probate.errors import InputError, nearest
from probate.records import Origin, Record
from probate.rows import Row
from probate.rows import source_rows as source_rows
from probate.shape.cells import normal_label as normal_label
from probate.study import Source

@dataclass
class Reading:
    """Records of a source, and one line for each row that was kept out."""

    records: list[Record]
    rejected: list[str] = field(default_factory=list)
    rows: int = 0


def read_source(source: Source, base: Path, origin: Origin, labels: list[str] | None = None, language: str = "en") -> Reading:
    """Read `source`; relative paths start at `base`.

    `labels` restricts the records to these labels (others are no fault and are not counted as broken); `language` is
    that of a builtin corpus.

    Raises:
        InputError: no such file, a column that is missing, not UTF-8, or not one usable record.
    """
    name = source.source
    columns = source.columns
    if name == "builtin:biographies":
        from probate.corpus import biographies

        rows: Iterable[Row] = ((f"{name}:{i}", row) for i, row in enumerate(biographies(), 1))
        columns = columns.model_copy(update={"id": "id", "pair": "pair"})
    elif name == "builtin:opinions":
        from probate.corpus import opinions

        rows = ((f"{name}:{i}", row) for i, row in enumerate(opinions(language), 1))
        columns = columns.model_copy(update={"id": "id", "pair": "pair", "statement": "statement"})
    elif name.startswith("builtin:"):
        raise InputError(f"data: '{name}' does not ship with Probate; builtin:biographies and builtin:opinions do")
    else:
        rows = source_rows(name, source.split, base)
    if source.format == "survey":
        from probate.surveys import survey_rows

        rows = survey_rows(rows)

    reading = Reading([])
    wanted = {normal_label(label) for label in labels} if labels else None
    seen: set[str] = set()
    checked = False
    for where, row in rows:
        reading.rows += 1
        if isinstance(row, str):
            reading.rejected.append(f"{where}: {row}")
            continue
        if not checked:
            _check_columns(row, source, where)
            checked = True
        record = _record(row, columns, where, origin, reading.rows)
        if isinstance(record, str):
            reading.rejected.append(f"{where}: {record}")
        elif wanted is not None and record.label not in wanted:
            continue
        elif record.id in seen:
            reading.rejected.append(f"{where}: id '{record.id[2:]}' stands there twice")
        else:
            seen.add(record.id)
            reading.records.append(record)
    if not reading.rows:
        raise InputError(f"{name}: the file has no rows")
    if not reading.records:
        first = f"; first: {reading.rejected[0]}" if reading.rejected else ""
        raise InputError(f"{name}: none of its {reading.rows} rows can be used{first}")
    return reading


def group_columns(pairs: Sequence[str]) -> dict[str, str]:
    """`DIMENSION=COLUMN` options as a mapping.

    Raises:
        InputError: one that is not of that form.
    """
    found = {}
    for pair in pairs:
        dimension, equals, column = pair.partition("=")
        if not (equals and dimension and column):
            raise InputError(f"--group {pair}: must be DIMENSION=COLUMN, as in --group gender=sex")
        found[dimension] = column
    return found


def _check_columns(row: dict[str, Any], source: Source, where: str) -> None:
    c = source.columns
    needed = {"text": c.text, "label": c.label, **{f"groups.{k}": v for k, v in c.groups.items()}}
    needed |= {k: v for k, v in (("id", c.id), ("parent", c.parent), ("pair", c.pair), ("statement", c.statement)) if v}
    for key, column in needed.items():
        if column not in row:
            have = sorted(map(str, row))
            raise InputError(
                f"{where}: no column '{column}'{nearest(column, have)}; the file has: {', '.join(have)}. "
                f"Name the right one in the study as columns.{key}"
            )


def _record(row: dict[str, Any], columns: Any, where: str, origin: Origin, number: int) -> Record | str:
    values: dict[str, str] = {}
    for name, column in (("text", columns.text), ("label", columns.label), *columns.groups.items()):
        value = row.get(column)
        if value is None or (isinstance(value, float) and value != value):
            return f"column '{column}' is empty"
        if not isinstance(value, (str, int, float, bool)):
            return f"column '{column}' holds a {type(value).__name__}, not text"
        values[name] = str(value).strip()
        if not values[name]:
            return f"column '{column}' is empty"
    provenance: dict[str, Any] = {"source": where}
    for name in ("parent", "pair", "statement"):
        column = getattr(columns, name)
        if column and row.get(column) is not None:
            provenance[name] = str(row[column])
    identity = str(row[columns.id]) if columns.id and row.get(columns.id) is not None else f"row-{number}"
    return Record(
        id=f"{'a' if origin == 'augmented' else 'o'}:{identity}",
        text=values["text"],
        label=normal_label(values["label"]),
        groups={dimension: values[dimension] for dimension in columns.groups},
        origin=origin,
        provenance=provenance,
    )


