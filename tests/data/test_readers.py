from __future__ import annotations

import json

import pytest

from probate.core.errors import InputError
from probate.data.readers import read_source
from probate.study.schema import Source

HEAD = "text,label,gender\n"


def read(path, **columns):
    return read_source(
        Source.model_validate({"source": str(path), "columns": columns}), path.parent, "original"
    )


def write(tmp_path, name, content):
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def test_csv_with_bom_and_quoted_newlines(tmp_path):
    path = write(
        tmp_path,
        "a.csv",
        b"\xef\xbb\xbf"
        + (HEAD + '"two\nlines, one ""field""",software_engineer,female\nb,nurse,male\n').encode(),
    )
    reading = read(path)
    assert [r.text for r in reading.records] == ['two\nlines, one "field"', "b"]
    assert reading.records[0].label == "software engineer"
    assert reading.records[0].groups == {"gender": "female"} and not reading.rejected


def test_packed_files_and_arrow_are_read(tmp_path):
    import gzip

    import pyarrow as pa

    rows = [{"text": f"a nurse {i}", "label": "nurse", "gender": "male"} for i in range(3)]
    lines = "".join(json.dumps(r) + "\n" for r in rows).encode()
    (tmp_path / "a.jsonl.gz").write_bytes(gzip.compress(lines))
    with pa.output_stream(str(tmp_path / "a.jsonl.zst"), compression="zstd") as file:
        file.write(lines)
    table = pa.Table.from_pylist(rows)
    for name, writer in (("stream.arrow", pa.ipc.new_stream), ("file.arrow", pa.ipc.new_file)):
        with writer(str(tmp_path / name), table.schema) as file:
            file.write_table(table)
    for name in ("a.jsonl.gz", "a.jsonl.zst", "stream.arrow", "file.arrow"):
        assert [r.text for r in read(tmp_path / name).records] == [r["text"] for r in rows], name
    (tmp_path / "cut.jsonl.gz").write_bytes(gzip.compress(lines)[:-12])
    with pytest.raises(InputError, match="cannot be read"):
        read(tmp_path / "cut.jsonl.gz")


def test_a_line_that_unpacks_without_end_is_refused(tmp_path, monkeypatch):
    import gzip

    monkeypatch.setattr("probate.data.rows.LONGEST_LINE", 10_000)
    for name, start in (("bomb.jsonl.gz", b'{"text": "'), ("bomb.csv.gz", b"text,label,gender\n")):
        (tmp_path / name).write_bytes(gzip.compress(start + b"0" * 1_000_000))
        with pytest.raises(InputError, match="the line has more than 10,000 characters"):
            read(tmp_path / name)


def test_jsonl_with_a_truncated_last_line(tmp_path):
    good = json.dumps({"text": "a", "label": "nurse", "gender": "male"})
    reading = read(write(tmp_path, "a.jsonl", good + "\n" + good[:20]))
    assert len(reading.records) == 1
    assert "a.jsonl:2: not JSON" in reading.rejected[0]


def test_broken_rows_are_kept_out_with_their_line(tmp_path):
    rows = ['{"text": "a", "label": "x", "gender": "m"}', '{"text": "", "label": "x", "gender": "m"}', "[1]",
            '{"text": ["l"], "label": "x", "gender": "m"}',
            '{"text": "a", "label": null, "gender": "m"}']  # fmt: skip
    reading = read(write(tmp_path, "a.jsonl", "\n".join(rows)))
    assert [line.split("a.jsonl:")[1] for line in reading.rejected] == [
        "2: column 'text' is empty", "3: the JSON value is of type list, not an object",
        "4: column 'text' holds a list, not text", "5: column 'label' is empty",
    ]  # fmt: skip


def test_duplicate_ids(tmp_path):
    row = '{"id": "1", "text": "a", "label": "x", "gender": "m"}\n'
    assert "id '1' is duplicated" in read(write(tmp_path, "a.jsonl", row * 2), id="id").rejected[0]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.jsonl", "", "the file is empty"),
        ("a.csv", HEAD, "has no rows"),
        ("a.csv", HEAD.encode() + b"\xff\xfe\xe9,nurse,male\n", "not UTF-8 at byte"),
        (
            "a.csv",
            "txt,label,gender\na,b,c\n",
            "no column that looks like a text; name one with columns.text; the file has: txt, label, gender",
        ),
        ("a.jsonl", "not json\n", "none of the 1 rows is usable; first: .*not JSON"),
        ("a.parquet", "PAR1", "not a Parquet file"),
        ("a.csv", "text,label,text\na,b,c\n", "a.csv:1: the column 'text' is duplicated"),
        ("a.parquet.gz", "x", "the format '.parquet' is not supported"),
        ("a.arrow", "x", "not an Arrow file"),
        ("a.xlsx", "x", r"the format '\.xlsx' is not supported; use one of \.jsonl"),
    ],
)
def test_bad_files(tmp_path, name, content, message):
    with pytest.raises(InputError, match=message):
        read(write(tmp_path, name, content))


def test_a_column_that_the_study_names_must_be_there(tmp_path):
    path = write(tmp_path, "a.csv", "txt,label,gender\na,b,c\n")
    for key, column in (("text", "text"), ("label", "lable"), ("id", "key"), ("groups", {"race": "rase"})):
        with pytest.raises(InputError, match="no column '.*; the file has: .*gender"):
            read(path, **{"text": "txt", "label": "label", key: column})


def test_missing_file(tmp_path):
    with pytest.raises(InputError, match="no such file or folder"):
        read(tmp_path / "none.csv")


def test_parquet_and_saved_datasets(tmp_path):
    import datasets

    rows = [{"bio": "a", "job": "nurse", "sex": "male"}, {"bio": "b", "job": "dentist", "sex": "female"}]
    data = datasets.Dataset.from_list(rows)
    data.to_parquet(tmp_path / "a.parquet")
    data.save_to_disk(tmp_path / "saved")
    columns = {"text": "bio", "label": "job", "groups": {"gender": "sex"}}
    for path in (tmp_path / "a.parquet", tmp_path / "saved"):
        assert [(r.text, r.label, r.groups["gender"]) for r in read(path, **columns).records] == [
            ("a", "nurse", "male"), ("b", "dentist", "female"),
        ]  # fmt: skip


def test_real_biographies(biasinbios):
    reading = read(biasinbios / "bios-28-occupations.jsonl", text="bio", label="occupation", id="id")
    assert len(reading.records) == 280 and not reading.rejected
    assert "software engineer" in {r.label for r in reading.records}
