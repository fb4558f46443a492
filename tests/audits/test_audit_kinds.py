"""The same content in any column, spelling, type and file format: the same verdict, the same Cramér's V."""

from __future__ import annotations

import csv
import gzip
import json
from decimal import Decimal
from functools import cache

import pyarrow
import pyarrow.parquet as parquet
import pytest

from probate.audits.groups import dimensions_of
from probate.audits.read import read_set
from probate.audits.verdict import of_groups, verdict
from probate.data.shape import Given

N = 60
TIES = {2: [0, 1] * 2 + [0, 0, 1, 1] * 2, 3: [0, 0, 1] * 4, 4: [0, 1, 0, 1] * 2 + [1, 0, 0, 1]}
"""Number of groups → the group's label, by place: not complete, so that V is neither 0 nor 1."""
KINDS = {
    "gender": (
        ("gender", ["female", "male"]), ("sex", ["F", "M"]), ("Gender", ["Women", "Men"]),
        ("gender", ["a woman", "a man"]), ("gender", ["W", "M"]),
        ("gender", [" Female", "MALE "]), ("is_female", [True, False]), ("female", [1, 0]),
    ),
    "three genders": (
        ("gender", ["female", "male", "non-binary"]), ("sex", ["W", "M", "N"]), ("gender", ["F", "M", "X"]),
        ("gender", ["women", "men", "Nonbinary"]),
    ),
    "race": (
        ("race", ["white", "black", "asian", "hispanic"]),
        ("ethnicity", ["a White", "a Black", "an Asian", "a Latine"]), ("race", ["W", "B", "A", "H"]),
    ),
    "anything": (
        ("region", ["north", "south"]), ("plan", [1, 2]), ("plan", [1.0, 2.0]),
        ("plan", [Decimal("1.5"), Decimal("2.5")]), ("Team name", ["α", "β,\"γ"]),
    ),
    "age": (
        ("age", [22, 70]), ("age", [22.0, 70.0]), ("age", [Decimal("22.5"), Decimal("70.5")]),
        ("age", ["young", "old"]), ("age", ["Young", "an old person"]),
    ),
}  # fmt: skip
TEXT = ("csv", "semicolon", "tab", "jsonl", "jsonl.gz", "csv.gz")
TABLES = tuple(
    f"{form} {kind}" for form in ("parquet", "arrow") for kind in ("plain", "text", "dictionary", "binary")
)


def rows(column, groups):
    size = len(groups)
    ties = TIES[size]
    for i in range(N):
        label = ties[i // size % (len(ties) // size) * size + i % size] if i % 5 else i % 2
        yield {
            "text": f"She has worked at the desk number {i} for {i % 7} years and asks for more.",
            "label": "no yes".split()[label],
            column: groups[i % size],
        }


def write(folder, storage, column, groups):
    own = list(rows(column, groups))
    form, _, kind = storage.partition(" ")
    path = folder / f"data.{ {'semicolon': 'csv', 'tab': 'tsv'}.get(form, form) }"
    if form in ("csv", "semicolon", "tab", "csv.gz"):
        with (
            gzip.open(path, "wt", encoding="utf-8", newline="")
            if form.endswith("gz")
            else path.open("w", encoding="utf-8", newline="") as file
        ):
            out = csv.DictWriter(file, list(own[0]), delimiter={"semicolon": ";", "tab": "\t"}.get(form, ","))
            out.writeheader()
            out.writerows(own)
    elif form in ("jsonl", "jsonl.gz"):
        with (
            gzip.open(path, "wt", encoding="utf-8")
            if form.endswith("gz")
            else path.open("w", encoding="utf-8") as file
        ):
            file.writelines(json.dumps(r, default=float) + "\n" for r in own)
    else:
        values = [r[column] for r in own]
        if kind != "plain":
            values = [str(v) for v in values]
        cells = pyarrow.array([v.encode() for v in values] if kind == "binary" else values)
        table = pyarrow.table(
            {
                "text": [r["text"] for r in own],
                "label": [r["label"] for r in own],
                column: cells.dictionary_encode() if kind == "dictionary" else cells,
            }
        )
        if form == "parquet":
            parquet.write_table(table, path)
        else:
            with pyarrow.OSFile(str(path), "wb") as sink, pyarrow.ipc.new_file(sink, table.schema) as out:
                out.write_table(table)
    return path


def measured(path, column, given):
    """(verdict, V, sizes of the groups, texts without one)"""
    data = read_set(str(path), Given(groups={column: column}) if given else None)
    found = dimensions_of(data)
    own = next(d for d in found if d.column == column)
    assert own.labels is not None
    return (
        verdict(of_groups(found)),
        round(own.labels["v"], 9),
        sorted(map(sum, zip(*own.labels["table"], strict=True))),
        data.columns[own.name].missing,
    )


@cache
def expected(kind, folder):
    column, groups = KINDS[kind][0]
    return measured(write(folder, "jsonl", column, groups), column, True)


COMBINATIONS = [
    (kind, column, groups, storage, given)
    for kind, own in KINDS.items()
    for column, groups in own
    for storage in (*TEXT, *TABLES)
    for given in (False, True)
]


def test_there_are_enough_combinations():
    assert len(COMBINATIONS) >= 300


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_content_gives_the_same_verdict_and_v(kind, tmp_path):
    wanted = expected(kind, tmp_path)
    assert wanted[0] in ("stop", "look") and 0.2 < wanted[1] < 1 and wanted[3] == 0
    wrong = {}
    for own, column, groups, storage, given in COMBINATIONS:
        if own == kind:
            found = measured(write(tmp_path, storage, column, groups), column, given)
            if found != wanted:
                wrong[column, str(groups), storage, given] = found
    assert not wrong, (wanted, wrong)
