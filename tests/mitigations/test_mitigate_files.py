"""Mitigations on files: every format, nothing lost, nothing overwritten."""

from __future__ import annotations

import csv
import json
import re

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from probate.commands.app import app
from probate.core.errors import InputError
from probate.data.rows import source_rows
from probate.mitigations.mask import undo

ROWS = [
    {"id": f"r{i}", "text": t, "label": label, "gender": g, "note": f"n,{i}\n\"x\""}
    for i, (t, label, g) in enumerate(
        [("She is kind.", "nurse", "female"), ("He was born here.", "nurse", "male"),
         ("Anna teaches.", "surgeon", "female"),
         ("Paul teaches.", "surgeon", "male"), ("The roof leaks.", "nurse", "female")]
    )
]  # fmt: skip


def write(path, rows=ROWS):
    if path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(r) + "\n" for r in rows), encoding="utf-8")
    elif path.suffix == ".csv":
        with path.open("w", newline="", encoding="utf-8") as lines:
            writer = csv.DictWriter(lines, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
    else:
        pq.write_table(pa.Table.from_pylist(rows), path)
    return path


def read(path):
    return [row for _, row in source_rows(str(path), "train", path.parent)]


def probate(*args, code=0):
    result = CliRunner().invoke(app, ["mitigate", *map(str, args)])
    assert result.exit_code == code, (result.output, result.exception)
    return result


@pytest.mark.parametrize("suffix", [".jsonl", ".csv", ".parquet"])
def test_every_format_keeps_its_columns(tmp_path, suffix):
    source, out = write(tmp_path / f"in{suffix}"), tmp_path / f"out{suffix}"
    text = probate("--strategy", "mask", "--in", source, "--out", out, "--quiet").output
    found = read(out)
    assert [r["text"] for r in found] == [
        "They are kind.",
        "They were born here.",
        "The person teaches.",
        "The person teaches.",
        "The roof leaks.",
    ]
    assert [{**r, "text": ""} for r in found] == [{**r, "text": ""} for r in ROWS]
    assert "5 rows read, 4 changed, 0 added, 0 left out" in text and "She is → They are 1" in text
    for note in map(json.loads, (tmp_path / f"out{suffix}.changes.jsonl").read_text().splitlines()):
        row = note["row"] - 1
        assert undo(found[row]["text"], note["mitigations"][0]["changes"]) == ROWS[row]["text"]


def test_strategies_that_add_drop_and_weigh(tmp_path):
    source = write(tmp_path / "in.jsonl")
    probate(
        "--strategy", "counterfactual,rebalance", "--in", source, "--out", tmp_path / "a.jsonl", "--quiet"
    )
    found = read(tmp_path / "a.jsonl")
    cells = [(r["label"], r["gender"]) for r in found]
    assert sorted(cells) == sorted(
        [("nurse", "female"), ("nurse", "male"), ("surgeon", "female"), ("surgeon", "male")] * 2
    )
    assert {r["id"] for r in found} >= {"r2~male"} and len({r["id"] for r in found}) == len(found)
    probate("--strategy", "reweight", "--in", source, "--out", tmp_path / "b.jsonl", "--quiet")
    assert [round(r["weight"], 2) for r in read(tmp_path / "b.jsonl")] == [0.9, 1.2, 1.2, 0.8, 0.9]


def test_chats_keep_their_roles_and_answers(tmp_path):
    turns = [
        {"role": "system", "content": "She rules."},
        {"role": "user", "content": "She is kind. What is her job?"},
        {"role": "assistant", "content": "a waitress"},
    ]
    source = write(tmp_path / "in.jsonl", [{"messages": turns}])
    probate(
        "--strategy",
        "mask,token",
        "--set",
        "token.placement=system",
        "--in",
        source,
        "--out",
        tmp_path / "o.jsonl",
        "--quiet",
    )
    (row,) = read(tmp_path / "o.jsonl")
    assert [t["content"] for t in row["messages"]] == [
        "The following text may contain bias.",
        "She rules.",
        "They are kind. What is their job?",
        "a waitress",
    ]


def test_words_of_the_files_own_labels_stay(tmp_path):
    rows = [{"text": "She is a waitress.", "label": "waitress"}, {"text": "He is a waiter.", "label": "cook"}]
    probate(
        "--strategy",
        "mask",
        "--in",
        write(tmp_path / "in.jsonl", rows),
        "--out",
        tmp_path / "o.jsonl",
        "--quiet",
    )
    assert [r["text"] for r in read(tmp_path / "o.jsonl")] == ["They are a waitress.", "They are a server."]


def test_a_look_before_writing(tmp_path):
    source = write(tmp_path / "in.jsonl")
    text = probate("--strategy", "mask", "--in", source, "--dry-run", "--show", "1", "--quiet").output
    assert "− She is kind.\n+ They are kind.\n" in text and "nothing was written" in text
    assert [p.name for p in tmp_path.iterdir()] == ["in.jsonl"]


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--strategy", "mask"], "--out is missing"),
        (["--strategy", "mask", "--out", "in.jsonl"], "the file is there already"),
        (["--strategy", "loss", "--out", "o.jsonl"], "it acts on training, not on a file"),
        (["--strategy", "mask", "--out", "o.txt"], "the format '.txt' is not supported"),
        (["--strategy", "masks", "--out", "o.jsonl"], "no mitigation 'masks'"),
        (
            ["--strategy", "mask", "--out", "o.jsonl", "--text", "txt"],
            r"no column 'txt' \(did you mean 'text'\?\)",
        ),
        (["--strategy", "mask", "--out", "o.jsonl", "--group", "gender"], "must be DIMENSION=COLUMN"),
        (
            ["--strategy", "mask", "--out", "o.jsonl", "--set", "token.sentence=x"],
            "no such mitigation in --strategy",
        ),
        (
            ["--strategy", "rebalance", "--out", "o.jsonl", "--group", "gender=note"],
            "no augmented record has label 'nurse'",
        ),
    ],
)  # fmt: skip
def test_bad_calls(tmp_path, monkeypatch, args, message):
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "in.jsonl")
    result = CliRunner().invoke(app, ["mitigate", "--in", "in.jsonl", "--quiet", *args])
    assert isinstance(result.exception, InputError)
    assert re.search(message, str(result.exception)), str(result.exception)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["in.jsonl"]


def test_broken_rows_are_counted_and_the_rest_is_done(tmp_path):
    source = write(tmp_path / "in.jsonl")
    source.write_text(source.read_text() + '{"text": "She', encoding="utf-8")
    text = probate("--strategy", "mask", "--in", source, "--out", tmp_path / "o.jsonl", "--quiet").output
    assert "6 rows read, 4 changed, 0 added, 1 left out" in text and "not JSON" in text
    assert len(read(tmp_path / "o.jsonl")) == 5


def restore(*args):
    return CliRunner().invoke(app, ["restore", *map(str, args)])


@pytest.mark.parametrize("strategy", ["mask", "counterfactual", "mask,reweight", "token,mask"])
@pytest.mark.parametrize("suffix", [".jsonl", ".csv", ".parquet"])
def test_a_mitigated_file_is_restored(tmp_path, suffix, strategy):
    source, out, back = (tmp_path / f"{n}{suffix}" for n in ("in", "out", "back"))
    write(source)
    probate("--strategy", strategy, "--in", source, "--out", out, "--quiet")
    result = restore(out, "--out", back)
    assert result.exit_code == 0 and f"written: {back}" in result.output, result.exception
    assert read(back) == read(source) and read(out) != read(source)
    if suffix == ".jsonl":
        assert back.read_bytes() == source.read_bytes()


def _edit(path, old, new):
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")


REFUSED = {
    "a changes file that is gone": (lambda out, notes, back: notes.unlink(), "no such file; name the file"),
    "an output that exists": (lambda out, notes, back: back.write_text(""), "exists; choose another name"),
    "an edited row": (
        lambda out, notes, back: _edit(out, "They are", "We are"),
        "not as the changes file records it",
    ),
    "a row too few": (
        lambda out, notes, back: out.write_text("".join(out.read_text().splitlines(keepends=True)[:2])),
        "2 rows, but",
    ),
    "a record of something else": (
        lambda out, notes, back: notes.write_text('{"a": 1}\n'),
        "not a record of changes",
    ),
    "changes of a wrong type": (
        lambda out, notes, back: _edit(notes, '[[0, "She is", "They are"]]', '"They are"'),
        "not as the changes file records it",
    ),
    "a line of a wrong type": (
        lambda out, notes, back: _edit(notes, '"row": 1', '"line": 5, "row": 1'),
        "not a record",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_restored_is_refused(tmp_path, name):
    change, sentence = REFUSED[name]
    source, out, back = write(tmp_path / "in.jsonl"), tmp_path / "out.jsonl", tmp_path / "back.jsonl"
    probate("--strategy", "mask", "--in", source, "--out", out, "--quiet")
    change(out, tmp_path / "out.jsonl.changes.jsonl", back)
    result = restore(out, "--out", back)
    assert isinstance(result.exception, InputError) and sentence in str(result.exception), result.exception
    assert not back.exists() or not back.read_text()


def test_rows_that_were_left_out_cannot_be_restored(tmp_path):
    source, out = write(tmp_path / "in.jsonl"), tmp_path / "out.jsonl"
    probate("--strategy", "rebalance", "--in", source, "--out", out, "--quiet")
    result = restore(out, "--out", tmp_path / "back.jsonl")
    assert "was left out" in str(result.exception)
