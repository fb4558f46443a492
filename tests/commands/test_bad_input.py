"""Malformed files and arguments, in one table.

Each gives one sentence with what, where and what to do, exit code 2, and no folder half written.
"""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys

import pyarrow as pa
import pyarrow.parquet as parquet
import pytest
from typer.testing import CliRunner

from probate.commands.app import app
from probate.core.errors import ProbateError

GOOD = [
    {"text": f"She works in town {i} and likes it.", "label": "ab"[i % 2], "gender": "female"}
    for i in range(12)
]


def lines(rows):
    return "".join(json.dumps(r) + "\n" for r in rows).encode()


AUDIT = ("audit", "--augmented", "{a}", "--out", "{out}", "--quiet")
STUDY = ("run", "{a}", "--out", "{out}", "--quiet")
MITIGATE = ("mitigate", "--strategy", "mask", "--in", "{a}", "--out", "{out}.jsonl")
CASES = {
    # what a file can be
    "not there": ("a.jsonl", None, AUDIT, "no such file or folder"),
    "empty": ("a.jsonl", b"", AUDIT, "the file is empty"),
    "another kind": ("a.docx", b"x", AUDIT, "the format '.docx' is not supported"),
    "no suffix": ("a", b"x", AUDIT, "the format '' is not supported; use one of .jsonl"),
    "only broken lines": ("a.jsonl", b"{\n[\n", AUDIT, "not JSON at column"),
    "numbers for rows": ("a.jsonl", b"1\n2\n", AUDIT, "of type int, not an object"),
    "latin-1": ("a.csv", "text,label\ncafé noir,a\n".encode("latin-1"), AUDIT, "not UTF-8 at byte"),
    "utf-16": ("a.jsonl", '{"text": "a b"}\n'.encode("utf-16"), AUDIT, "UTF-16; convert it"),
    "mixed encodings": (
        "a.jsonl", lines(GOOD) + '{"text": "caf\xe9"}\n'.encode("latin-1"), AUDIT, "not UTF-8 at byte",
    ),
    "nested without end": (
        "a.jsonl", b'{"text": ' + b"[" * 100_000 + b"]" * 100_000 + b"}\n", AUDIT, "nested too deeply",
    ),
    "a column twice": ("a.csv", b"text,label,text\na,b,c\n", AUDIT, "the column 'text' is duplicated"),
    "NUL bytes": ("a.csv", b"text,label\n\x00\x00,a\n", AUDIT, None),
    "an open quote": ("a.csv", b'text,label\n"a b c,a\n', AUDIT, "no row can be read; first"),
    "not Parquet": ("a.parquet", b"PAR1 nothing", AUDIT, "not a Parquet file, or a truncated"),
    "not Arrow": ("a.arrow", b"ARROW1 nothing", AUDIT, "not an Arrow file, or truncated"),
    "an empty gzip": ("a.jsonl.gz", gzip.compress(b""), AUDIT, "the file has no rows"),
    "a gzip that is none": ("a.jsonl.gz", b"not packed", AUDIT, "cannot be read"),
    "a gzip cut off": ("a.jsonl.gz", gzip.compress(lines(GOOD) * 50)[:-20], AUDIT, "cannot be read"),
    "a zstd that is none": ("a.jsonl.zst", b"not packed at all", AUDIT, "cannot be read"),
    "a packed table": ("a.parquet.gz", gzip.compress(b"x"), AUDIT, "the format '.parquet' is not supported"),
    "no text in it": ("a.csv", b"a,b\n1,2\n3,4\n", AUDIT, "no column that looks like a text"),
    "only empty texts": ("a.csv", b"text,label\n,a\n,b\n", AUDIT, "no text in column 'text'"),
    "a wrong column": (
        "a.jsonl", lines(GOOD), (*AUDIT, "--text", "txt"), "--text: no column 'txt' (did you mean 'text'?)",
    ),
    "a group without a column": (
        "a.jsonl", lines(GOOD), (*AUDIT, "--group", "gender"), "must be DIMENSION=COLUMN",
    ),
    "an original that is not there": (
        "a.jsonl", lines(GOOD), (*AUDIT, "--original", "none.csv"), "none.csv: no such file",
    ),
    "a budget that is none": (
        "a.jsonl", lines(GOOD), (*AUDIT, "--train", "--budget", "soon"), "--budget soon: must be a time",
    ),
    "training without an original": (
        "a.jsonl", lines(GOOD), (*AUDIT, "--train"), "--train: needs --original",
    ),
    # studies
    "an empty study": ("s.yaml", b"", STUDY, "the file is empty"),
    "a study that is a list": ("s.yaml", b"- a\n", STUDY, "must be a mapping of keys"),
    "broken YAML": ("s.yaml", b"name: [a\n", STUDY, "not valid YAML"),
    "a tag that would make an object": (
        "s.yaml", b"name: !!python/object/apply:os.system ['true']\n", STUDY, "not valid YAML",
    ),
    "an unknown key": (
        "s.yaml", b"name: a\nratio: [0]\n", STUDY, "unknown key 'ratio' (did you mean 'ratios'?)",
    ),
    "a ratio of one": ("s.yaml", b"name: a\nratios: [0, 1]\n", STUDY, "at least 0 and below 1"),
    "a name with a path": ("s.yaml", b"name: ../a\n", STUDY, "name"),
    "an unknown task": ("s.yaml", b"name: a\ntasks: [ocupation]\n", STUDY, "did you mean 'occupation'"),
    "a study that extends itself": ("s.yaml", b"extends: s.yaml\n", STUDY, "extends itself"),
    "no such preset": (None, None, ("run", "self-writen", "--out", "{out}"), "did you mean 'self-written'"),
    "an override that is none": (
        None, None, ("run", "self-written", "--set", "epochs", "--out", "{out}"), "must be key=value",
    ),
    "an API model to be trained": ("s.yaml", b"model: {api: {model: m}}\n", STUDY, "cannot be fine-tuned"),
    # other commands
    "no strategy of that name": (
        "a.jsonl", lines(GOOD), ("mitigate", "--strategy", "maks", "--in", "{a}", "--out", "{out}.jsonl"),
        "did you mean 'mask'",
    ),
    "no run folder": (None, None, ("report", "{out}"), "not a run folder"),
    "nothing to check": (None, None, ("check", "{out}"), "not a run folder"),
    "nothing to verify": (None, None, ("verify", "{out}"), "checksums.json is missing"),
    "nothing to compare": (None, None, ("compare", "{out}", "{out}"), "no such file or folder"),
    "scores twice": (
        "a.jsonl", lines([{"id": 1, "score": 1}] * 2), ("compare", "{a}", "{a}"), "is duplicated",
    ),
    "no score": ("a.jsonl", lines(GOOD), ("compare", "{a}", "{a}"), "no column for the item"),
    "an unknown space": (
        "a.jsonl", lines(GOOD),
        ("why", "distribution", "--original", "{a}", "--augmented", "{a}", "--space", "x"),
        "unknown space 'x'",
    ),
    "shares that are none": (
        "a.jsonl", lines([{"country": "A", "question": "q", "options": ["a", "b"], "distribution": [1, 1]}]),
        ("why", "values", "--answers", "{a}"), "its shares sum to 2.000",
    ),
    "an unknown export": (None, None, ("export", "nothing", "--out", "{out}"), "no task 'nothing'"),
    "a new kind": (
        None, None, ("new", "thing", "x", "--out", "{out}"), "available: task, probe, mitigation, identity",
    ),
    "a task named as a path": (
        None, None, ("new", "task", "../x", "--out", "{out}"), "must consist of lower-case letters",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=str)
def test_one_sentence_and_nothing_left(case, tmp_path):
    name, content, command, said = CASES[case]
    path = tmp_path / (name or "a")
    if content is not None:
        path.write_bytes(content)
    out = tmp_path / "out"
    result = CliRunner().invoke(app, [part.format(a=path, out=out) for part in command])
    if said is None:
        assert result.exception is None or isinstance(result.exception, ProbateError), result.exception
        return
    error = result.exception
    assert isinstance(error, ProbateError) and error.exit_code == 2, (error, result.output)
    assert said in str(error) and "\n" not in str(error).strip(), str(error)
    assert not out.exists() and not out.with_suffix(".jsonl").exists()


def test_a_folder_a_dangling_link_and_a_pipe(tmp_path):
    os.symlink(tmp_path / "gone.jsonl", tmp_path / "link.jsonl")
    os.mkfifo(tmp_path / "pipe.jsonl")
    (tmp_path / "folder").mkdir()
    for name, said in (
        ("link.jsonl", "no such file"),
        ("pipe.jsonl", "a pipe, not a file"),
        ("folder", "not a folder saved by datasets"),
    ):
        error = (
            CliRunner()
            .invoke(app, ["audit", "--augmented", str(tmp_path / name), "--out", str(tmp_path / "out")])
            .exception
        )
        assert isinstance(error, ProbateError) and said in str(error), error
    assert not (tmp_path / "out").exists()


def test_odd_but_whole_files_are_read(tmp_path):
    """All of these are read, and nothing of them is run.

    Two megabytes in a line, a list column, dates as labels, markup in groups, ids with paths, formulas.
    """
    long = {"text": "word " * 400_000, "label": "a"}
    odd = [
        {**r, "label": f"2026-01-{1 + i % 2:02d}", "gender": "<i>x</i>", "id": "../../etc/x", "note": "=1+1"}
        for i, r in enumerate(GOOD)
    ]
    cases = {"long.jsonl": lines([long, *GOOD]), "odd.jsonl": lines(odd)}
    for name, content in cases.items():
        (tmp_path / name).write_bytes(content)
    table = pa.table(
        {"text": [r["text"] for r in GOOD], "tags": [["a", "b"]] * len(GOOD), "label": ["a", "b"] * 6}
    )
    parquet.write_table(table, tmp_path / "lists.parquet")
    before = {p.name for p in tmp_path.iterdir()}
    for name in (*cases, "lists.parquet"):
        result = CliRunner().invoke(
            app, ["audit", "--augmented", str(tmp_path / name), "--out", str(tmp_path / "out"), "--quiet"]
        )
        assert result.exit_code == 0, (name, result.exception)
        assert "<i>x</i>" not in (tmp_path / "out" / "audit.html").read_text(encoding="utf-8")
    assert {p.name for p in tmp_path.iterdir()} == before | {"out"}


def test_the_command_exits_with_two_and_no_traceback(tmp_path):
    found = subprocess.run(
        [sys.executable, "-m", "probate", "audit", "--augmented", tmp_path / "none.jsonl"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
    )
    assert (
        found.returncode == 2
        and "none.jsonl: no such file" in found.stderr
        and "Traceback" not in found.stderr
        and not list(tmp_path.iterdir())
    )
