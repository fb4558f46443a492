"""Arrow and Parquet files that are damaged, or hold what Python has no value for.

They give a sentence, never a crash, and no memory map.
"""

import datetime
import random
import subprocess
import sys

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from probate.core.errors import InputError
from probate.data.rows import source_rows

DAMAGE = """
import random, sys
from pathlib import Path
from probate.core.errors import InputError
from probate.data.rows import source_rows
rng, seen = random.Random(int(sys.argv[3])), {"rows": 0, "refused": 0}
whole = Path(sys.argv[1]).read_bytes()
copy = Path(sys.argv[2])
for turn in range(120):
    data = bytearray(whole[: rng.randrange(1, len(whole))] if turn % 2 else whole)
    if turn % 2 == 0:
        for _ in range(rng.choice((1, 1, 8))):
            data[rng.randrange(len(data))] = rng.randrange(256)
    copy.write_bytes(bytes(data))
    try:
        list(source_rows(copy.name, "train", copy.parent))
        seen["rows"] += 1
    except InputError as error:
        assert str(copy) in str(error) and "\\n" not in str(error), error
        seen["refused"] += 1
print(seen["rows"], seen["refused"])
"""


def table():
    rng = random.Random(0)
    return pa.table(
        {
            "text": ["".join(rng.choices("abc é😀", k=rng.randrange(40))) for _ in range(300)],
            "n": list(range(300)),
            "tags": [["a"] * rng.randrange(4) for _ in range(300)],
            "when": pa.array([datetime.datetime(2020, 1, 1)] * 300, pa.timestamp("ms")),
            "sex": pa.array([rng.choice("FM") for _ in range(300)]).dictionary_encode(),
        }
    )


def write(path, content, kind):
    if kind == "parquet":
        pq.write_table(content, path)
        return
    new = pa.ipc.new_file if kind == "file" else pa.ipc.new_stream
    with new(str(path), content.schema) as sink:
        sink.write_table(content, max_chunksize=100)


KINDS = {"parquet": "whole.parquet", "file": "whole.arrow", "stream": "whole.arrow"}


@pytest.mark.parametrize("kind", KINDS)
def test_damaged_tables_are_read_or_refused_but_never_end_the_process(kind, tmp_path):
    whole = tmp_path / KINDS[kind]
    write(whole, table(), kind)
    assert len(list(source_rows(whole.name, "train", tmp_path))) == 300
    done = subprocess.run(
        [sys.executable, "-c", DAMAGE, str(whole), str(tmp_path / f"copy{whole.suffix}"), "1"],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-800:]
    assert int(done.stdout.split()[1]) > 50  # at least what was cut off


ODD = {
    "a date in the year 20000": pa.array([0, 569_000_000_000_000], pa.timestamp("ms")),
    "no UTF-8": pa.Array.from_buffers(
        pa.string(), 2, [None, pa.py_buffer(b"\0\0\0\0\2\0\0\0\4\0\0\0"), pa.py_buffer(b"ok\xff\xfe")],
    ),
    "a duration of all time": pa.array([0, 2**63 - 1], pa.duration("s")),
}  # fmt: skip


@pytest.mark.parametrize("kind", ["file", "stream", "parquet"])
@pytest.mark.parametrize("odd", ODD)
def test_a_value_without_a_counterpart_in_python_spoils_its_row_alone(odd, kind, tmp_path):
    path = tmp_path / KINDS[kind]
    try:
        write(path, pa.table({"text": ["one", "two"], "odd": ODD[odd]}), kind)
    except (pa.ArrowException, OSError):
        pytest.skip("pyarrow does not write it")
    if odd == "no UTF-8":  # then the file is no valid Arrow
        with pytest.raises(InputError, match="UTF8"):
            list(source_rows(path.name, "train", tmp_path))
        return
    rows = dict(source_rows(path.name, "train", tmp_path))
    assert rows[f"{path}:row 1"]["text"] == "one"
    assert "cannot be read" in rows[f"{path}:row 2"]


def test_two_columns_of_one_name_are_refused(tmp_path):
    path = tmp_path / "x.arrow"
    write(path, pa.Table.from_arrays([pa.array(["a"]), pa.array(["b"])], names=["text", "text"]), "file")
    with pytest.raises(InputError, match=r"x\.arrow: the column 'text' is duplicated"):
        list(source_rows(path.name, "train", tmp_path))


@pytest.mark.parametrize("harm", ["state.json", "dataset_info.json", "data"])
def test_a_damaged_folder_of_datasets_is_refused(harm, tmp_path):
    datasets = pytest.importorskip("datasets")
    folder = tmp_path / "saved"
    datasets.Dataset.from_dict({"text": ["a", "b"]}).save_to_disk(str(folder))
    file = next(folder.glob("*.arrow")) if harm == "data" else folder / harm
    for content in (b"", b"[]", b'{"a": 1}', b"\xff", file.read_bytes()[:-40]):
        file.write_bytes(content)
        said = refused(tmp_path)
        if harm == "dataset_info.json" and not said:  # it tells nothing of the rows
            assert [row for _, row in source_rows("saved", "train", tmp_path)] == [
                {"text": "a"},
                {"text": "b"},
            ]
        else:
            assert str(folder) in said


def refused(base):
    try:
        list(source_rows("saved", "train", base))
    except InputError as error:
        return str(error)
    return ""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("kind", [*KINDS, "datasets"])
def test_no_file_of_rows_is_mapped_into_memory(kind, tmp_path):
    if kind == "datasets":
        pytest.importorskip("datasets").Dataset.from_dict({"text": ["a"] * 5000}).save_to_disk(
            str(tmp_path / "saved")
        )
        rows = source_rows("saved", "train", tmp_path)
    else:
        write(tmp_path / KINDS[kind], table(), kind)
        rows = source_rows(KINDS[kind], "train", tmp_path)
    next(rows)
    with open("/proc/self/maps", encoding="utf-8") as maps:
        assert str(tmp_path) not in maps.read()
