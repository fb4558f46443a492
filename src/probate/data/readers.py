"""Reader of a study's records, from a file of any known shape or from a builtin corpus.

A broken row is rejected with its place and the reason, and never dropped silently.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from probate.core.errors import InputError, nearest, some
from probate.core.records import Origin, Record
from probate.data.corpora import biographies, opinions
from probate.data.rows import Row, source_rows
from probate.data.shape import Given, Shape
from probate.data.shape.cells import cell, normal_label, place_of, plain, put
from probate.data.shape.columns import column_values
from probate.data.shape.table import shape_of_rows
from probate.data.spellings import group_column, pack_of
from probate.data.surveys import survey_rows
from probate.study.schema import Columns, Source


@dataclass
class Reading:
    """Records of a source.

    Attributes
    ----------
    records : list of Record
        The usable records.
    rejected : list of str
        Place and reason of each rejected row.
    rows : int
        Number of rows in the source.
    """

    records: list[Record]
    rejected: list[str] = field(default_factory=list)
    rows: int = 0


def read_source(
    source: Source, base: Path, origin: Origin, labels: list[str] | None = None, language: str = "en"
) -> Reading:
    """Read the records of a study's source.

    Parameters
    ----------
    source : Source
        File or builtin corpus, with the columns that the study names.
    base : Path
        Folder from which relative paths start.
    origin : {'original', 'augmented'}
        Origin of the records.
    labels : list of str, optional
        Labels to keep. Records with other labels are left out, but do not count as rejected.
    language : str
        Language of a builtin corpus.

    Returns
    -------
    Reading
        The records, and the rejected rows with the reason.

    Raises
    ------
    InputError
        If the file or a column is missing, the file is not UTF-8, or no row is usable.
    """
    name, columns = source.source, source.columns
    own = {"text": "text", "label": "label", "id": "id", "pair": "pair"}  # columns of the built-in corpora
    rows: Iterable[Row]
    if name == "builtin:biographies":
        rows = ((f"{name}:{i}", row) for i, row in enumerate(biographies(), 1))
        columns = columns.model_copy(update={**own, "values": {}})
    elif name == "builtin:opinions":
        rows = ((f"{name}:{i}", row) for i, row in enumerate(opinions(language), 1))
        columns = columns.model_copy(update={**own, "statement": "statement", "values": {}})
    elif name.startswith("builtin:"):
        raise InputError(
            f"data: no builtin corpus '{name}'; choose from: builtin:biographies, builtin:opinions"
        )
    else:
        rows = source_rows(name, source.split, base)
    if source.format == "survey":
        rows = survey_rows(rows)
        columns = columns.model_copy(
            update={"text": columns.text or "text", "label": columns.label or "label"}
        )

    reading, read = Reading([]), list(rows)
    reading.rows = len(read)
    if not read:
        raise InputError(f"{name}: the file has no rows")
    if not any(isinstance(row, dict) for _, row in read):
        raise InputError(f"{name}: none of the {len(read)} rows is usable; first: {read[0][0]}: {read[0][1]}")
    read = _decoded(name, read, columns.values)
    shape = _shape(name, read, columns)
    groups = {dimension: iter(_groups(dimension, column, read)) for dimension, column in shape.groups.items()}
    wanted = {normal_label(label) for label in labels} if labels else None
    seen: set[str] = set()
    for number, (where, row) in enumerate(read, 1):
        if isinstance(row, str):
            reading.rejected.append(f"{where}: {row}")
            continue
        record = _record(
            row, shape, columns, {d: next(own) for d, own in groups.items()}, where, origin, number
        )
        if isinstance(record, str):
            reading.rejected.append(f"{where}: {record}")
        elif wanted is not None and record.label not in wanted:
            continue
        elif record.id in seen:
            reading.rejected.append(f"{where}: id '{record.id[2:]}' is duplicated")
        else:
            seen.add(record.id)
            reading.records.append(record)
    if not reading.records:
        first = f"; first: {reading.rejected[0]}" if reading.rejected else ""
        raise InputError(f"{name}: none of the {reading.rows} rows is usable{first}")
    return reading


def group_columns(pairs: Sequence[str]) -> dict[str, str]:
    """Parse options of the form `DIMENSION=COLUMN`.

    Parameters
    ----------
    pairs : sequence of str
        Values of `--group`.

    Returns
    -------
    dict
        Dimension → column.

    Raises
    ------
    InputError
        If a value has another form.
    """
    columns = {}
    for pair in pairs:
        dimension, equals, column = pair.partition("=")
        if not (equals and dimension and column):
            raise InputError(f"--group {pair}: must be DIMENSION=COLUMN, as in --group gender=sex")
        columns[dimension] = column
    return columns


def _shape(name: str, rows: Sequence[Row], columns: Columns) -> Shape:
    """Return the shape of a study's file: columns that the study names, and the others as inferred.

    A group's column that has the name of its dimension is a default, so a column of another usual name may
    replace it.
    """
    present = column_values(row for _, row in rows if isinstance(row, dict))
    assumed = {d: c for d, c in columns.groups.items() if c == d and c not in present}
    given = Given(
        columns.text, columns.label, groups={d: c for d, c in columns.groups.items() if d not in assumed}
    )
    for key in ("id", "parent", "pair", "cluster", "statement"):
        column = getattr(columns, key)
        if column and column not in present:
            raise InputError(_absent(name, key, column, present))
    shape = shape_of_rows(name, rows, given, "columns.text")
    for dimension, column in assumed.items():
        if dimension not in shape.groups:
            raise InputError(_absent(name, f"groups.{dimension}", column, present))
    if not shape.label and not shape.answers:
        raise InputError(_absent(name, "label", "label", present))
    return replace(shape, groups={d: shape.groups[d] for d in columns.groups})


def _decoded(name: str, rows: list[Row], values: Mapping[str, Mapping[str, str]]) -> list[Row]:
    """Return the rows with the words that codes stand for; raises InputError for a code without a word."""
    if not values:
        return rows
    present = column_values(row for _, row in rows if isinstance(row, dict))
    for column in values:
        if column not in present:
            raise InputError(_absent(name, f"values.{column}", column, present))
    words = {c: {normal_label(code): word for code, word in own.items()} for c, own in values.items()}
    decoded: list[Row] = []
    for where, row in rows:
        if isinstance(row, str):
            decoded.append((where, row))
            continue
        for column, own in words.items():
            code = normal_label(cell(row, column))
            if code and code not in own:
                raise InputError(
                    f"{where}: column '{column}' has the code '{code}', which columns.values.{column} does "
                    "not list"
                )
            if code:
                row = put(row, place_of(row, column) or (column,), own[code])
        decoded.append((where, row))
    return decoded


def _absent(name: str, key: str, column: str, present: Iterable[str]) -> str:
    have = sorted(present)
    return (
        f"{name}: no column '{column}'{nearest(column, have)}; the file has: {some(have)}. "
        f"Set columns.{key} in the study to the right one"
    )


def _groups(dimension: str, column: str, rows: Sequence[Row]) -> list[str]:
    """Return the group of each readable row; known spellings are merged and numbers grouped in bands."""
    values = [cell(row, column) for _, row in rows if isinstance(row, dict)]
    own, pack = group_column(dimension, values, column), pack_of(dimension)
    if own.rule and not (pack and pack.bands):  # quartiles differ from file to file
        return [plain(v).strip() for v in values]
    return own.values


def _record(
    row: dict[str, Any],
    shape: Shape,
    columns: Columns,
    groups: dict[str, str],
    where: str,
    origin: Origin,
    number: int,
) -> Record | str:
    fault = shape.fault(row)
    if fault:
        return fault
    text, label = shape.text_of(row).strip(), shape.label_of(row)
    for value, column in (
        (text, shape.text),
        (label, shape.label or shape.text),
        *((v, shape.groups[d]) for d, v in groups.items()),
    ):
        if not value:
            return f"column '{column}' is empty"
    provenance: dict[str, Any] = {"source": where}
    for name in ("parent", "pair", "cluster", "statement"):
        column = getattr(columns, name)
        if column and (value := plain(cell(row, column))):
            provenance[name] = value
    identity = plain(cell(row, columns.id)) if columns.id else ""
    return Record(
        id=f"{'a' if origin == 'augmented' else 'o'}:{identity or f'row-{number}'}",
        text=text,
        label=label,
        groups=groups,
        origin=origin,
        provenance=provenance,
    )
