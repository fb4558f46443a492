"""Codes of a column and the words that they stand for, in every format and type."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

from probate.core.errors import InputError
from probate.data.readers import read_source
from probate.study.schema import Columns, Data, Study

ROWS = [("She sees patients.", 1, 1), ("He draws houses.", 0, 0), ("He sees patients.", 1, 0)]
WORDS = [("physician", "female"), ("architect", "male"), ("physician", "male")]
TYPES = {"integers": int, "texts": str, "decimals": float}
MAPS = {
    "a mapping": {"profession": {0: "architect", 1: "physician"}, "gender": {"0": "male", "1": "female"}},
    "lists": {"profession": ["architect", "physician"], "gender": ["male", "female"]},
}


def write(path: Path, kind: type, rows=ROWS) -> Path:
    frame = pd.DataFrame([{"hard_text": t, "profession": kind(p), "gender": kind(g)} for t, p, g in rows])
    if path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(r) + "\n" for r in frame.to_dict("records")))
    elif path.suffix == ".csv":
        frame.to_csv(path, index=False)
    else:
        frame.to_parquet(path)
    return path


def data(path: Path, values, **more) -> Data:
    columns = {"text": "hard_text", "label": "profession", "groups": {"gender": "gender"}, "values": values}
    return Data(source=str(path), columns={**columns, **more})


@pytest.mark.parametrize("values", MAPS)
@pytest.mark.parametrize("kind", TYPES)
@pytest.mark.parametrize("suffix", [".jsonl", ".csv", ".parquet"])
def test_codes_become_words(tmp_path, suffix, kind, values):
    path = write(tmp_path / f"bios{suffix}", TYPES[kind])
    reading = read_source(data(path, MAPS[values]), tmp_path, "original")
    assert [(r.label, r.groups["gender"]) for r in reading.records] == WORDS and not reading.rejected


def test_codes_inside_an_object_become_words(tmp_path):
    path = tmp_path / "bios.jsonl"
    rows = [{"hard_text": t, "about": {"profession": p, "gender": g}} for t, p, g in ROWS]
    path.write_text("".join(json.dumps(r) + "\n" for r in rows))
    values = {f"about.{column}": own for column, own in MAPS["lists"].items()}
    own = data(path, values, label="about.profession", groups={"gender": "about.gender"})
    assert [(r.label, r.groups["gender"]) for r in read_source(own, tmp_path, "original").records] == WORDS


def test_a_code_that_is_not_listed_is_an_error(tmp_path):
    path = write(tmp_path / "bios.jsonl", int, [*ROWS, ("He teaches.", 7, 0)])
    with pytest.raises(
        InputError, match="bios.jsonl:4: column 'profession' has the code '7', which columns.values"
    ):
        read_source(data(path, MAPS["lists"]), tmp_path, "original")


def test_a_column_that_is_not_there_is_an_error(tmp_path):
    path = write(tmp_path / "bios.jsonl", int)
    with pytest.raises(InputError, match="no column 'profesion' .did you mean 'profession'"):
        read_source(data(path, {"profesion": ["a", "b"]}), tmp_path, "original")


def test_a_missing_code_is_a_rejected_row(tmp_path):
    path = tmp_path / "bios.jsonl"
    path.write_text(
        "".join(
            json.dumps({"hard_text": t, "profession": p, "gender": g}) + "\n"
            for t, p, g in [*ROWS, ("He.", None, 0)]
        )
    )
    reading = read_source(data(path, MAPS["lists"]), tmp_path, "original")
    assert len(reading.records) == 3 and len(reading.rejected) == 1 and "is empty" in reading.rejected[0]


@pytest.mark.parametrize("values", ["gender", {"gender": "male"}, {"gender": {0: ["male"]}}, ["male"]])
def test_wrong_values_are_refused(values):
    with pytest.raises(ValueError, match="values"):
        Columns(values=values)


def test_a_study_file_with_codes_reads_back(tmp_path):
    path = tmp_path / "s.yaml"
    path.write_text("name: s\ndata: {columns: {values: {gender: [male, female]}}}\n")
    study = Study.load(path)
    assert study.data.columns.values == {"gender": {"0": "male", "1": "female"}}
    written = study.model_dump(mode="json")
    assert Study.model_validate(written).model_dump(mode="json") == written
