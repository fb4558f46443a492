"""Each remedy that an audit prints is run on the file that caused the finding.

Audited again, the finding is gone.
"""

from __future__ import annotations

import csv
import json
import shlex

import pytest
from typer.testing import CliRunner

from probate.commands.app import app
from probate.data.corpora import biographies

HEAVY = ("stop", "look")
ITEM = (
    "Which of the following towns lies closest to the river that "
    "flows past the old mill of district number {} and the station?"
)


@pytest.fixture(autouse=True)
def _items_of_its_own(monkeypatch):
    """Probate's own evaluation items take seconds to load, and none is in these files."""
    monkeypatch.setattr("probate.audits.report.own_items", dict)


def run(*args):
    result = CliRunner().invoke(app, list(map(str, args)))
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


def audited(folder, *args):
    out = folder / f"out-{len(list(folder.glob('out-*')))}"
    result = run("audit", *args, "--out", out, "--quiet")
    assert result.exit_code == 0, result.output
    return json.loads((out / "audit.json").read_text(encoding="utf-8")), result.output


def jsonl(path, rows):
    path.write_text("".join(json.dumps(r, ensure_ascii=False) + "\n" for r in rows), encoding="utf-8")
    return path


def people(**columns):
    """Rows about different people; each column a function of (place, row of the corpus)."""
    return [
        {"text": r["text"], **{c: make(i, r) for c, make in columns.items()}}
        for i, r in enumerate(biographies()[:240])
    ]


def tied(first, second):
    return lambda i, r: first if (r["gender"] == "female") != (i // 2 % 6 == 0) else second


SEX = {"female": "F", "male": "M"}
FILES = {
    "ties": lambda: people(occupation=tied("nurse", "surgeon"), sex=lambda i, r: SEX[r["gender"]]),
    "ties of a column that nobody named": lambda: people(
        label=lambda i, r: "yes" if (i // 2 % 2 == 0) != (i % 7 == 0) else "no",
        **{"home region": lambda i, r: "north" if i // 2 % 2 else "south"},
    ),
    "ties of numbers": lambda: people(
        label=lambda i, r: "yes" if (i % 60 < 30) != (i % 7 == 0) else "no",
        income=lambda i, r: 100 * (i % 60),
    ),
    "ties of years": lambda: people(
        label=lambda i, r: "yes" if (20 + i % 60 < 40) != (i % 7 == 0) else "no",
        age=lambda i, r: 20 + i % 60,
    ),
    "ties of rows without a group": lambda: people(
        label=tied("nurse", "surgeon"), gender=lambda i, r: r["gender"] if i // 2 % 9 else None,
    ),
    "balance": lambda: people(
        label=lambda i, r: "ab"[i // 2 % 2], gender=lambda i, r: r["gender"] if i % 3 else "female",
    )[:200],
    "repeats": lambda: people(label=lambda i, r: "ab"[i % 2]) + people(label=lambda i, r: "ab"[i % 2])[:40],
    "artefacts": lambda: [
        *people(), *({"text": f"I'm sorry, but I can't write that, number {i}."} for i in range(9)),
    ],
    "unread": lambda: [*people(), *({"text": ""} for _ in range(9))],
    "leaked": lambda: [
        *people(), *({"text": f"Exercise {7 * i}. {ITEM.format(i)} It is the left bank."} for i in range(9)),
    ],
    "copies": lambda: [
        *people()[:200],
        *(
            {"text": f"In town {i * i}. {ITEM.format(100 + i)} It was the left bank, said {i}."}
            for i in range(9)
        ),
    ],
    "lean": lambda: [
        {
            "text": f"""{r['text']} {
                'She is caring, warm and gentle, a kind and supportive friend.'
                if r['gender'] == 'female'
                else 'He is ambitious, decisive and confident, a bold and driven leader.'
            }""",
            "gender": r["gender"],
        }
        for r in biographies()[:120]
    ],
}  # fmt: skip


@pytest.mark.parametrize(
    ("name", "form"), [*((name, "jsonl") for name in FILES), ("ties", "csv"), ("repeats", "csv")]
)
def test_the_printed_command_mends_the_finding(tmp_path, name, form):
    rows, kind = FILES[name](), name.split()[0]
    path = tmp_path / f"a file.{form}"
    if form == "jsonl":
        jsonl(path, rows)
    else:
        with path.open("w", encoding="utf-8", newline="") as file:
            out = csv.DictWriter(file, list(dict.fromkeys(c for r in rows for c in r)))
            out.writeheader()
            out.writerows(rows)
    more = (
        ["--items", jsonl(tmp_path / "items.jsonl", [{"question": ITEM.format(i)} for i in range(20)])]
        if kind == "leaked"
        else []
    )
    if kind == "copies":
        texts = [{"text": ITEM.format(100 + i)} for i in range(9)] + [
            {"text": f"{r['text'].split('.')[0]} {i}"} for i, r in enumerate(biographies()[:40])
        ]
        more = ["--original", jsonl(tmp_path / "original.jsonl", texts)]
    record, said = audited(tmp_path, "--augmented", path, *more)
    heavy = [f for f in record["findings"] if f["kind"] == kind and f["weight"] in HEAVY]
    assert heavy, record["findings"]
    assert all(f["command"] and f["command"] in said for f in heavy), heavy
    for line in {f["command"] for f in heavy}:  # numbers have two findings, and one command
        command = shlex.split(line)
        mended = command[command.index("--clean" if "--clean" in command else "--out") + 1]
        result = run(
            *command[1:], *(["--out", tmp_path / "cleaned"] if "--clean" in command else []), "--quiet"
        )
        assert command[0] == "probate" and result.exit_code == 0, result.output
        again, _ = audited(tmp_path, "--augmented", mended, *more)
        left = [g for g in again["findings"] if g["kind"] == kind and g["weight"] in HEAVY]
        assert not left and again["texts"] >= 20, (line, left)


def test_what_no_command_mends_is_said_without_one(tmp_path):
    rows = people(
        label=lambda i, r: {"female": "nurse", "male": "surgeon"}[r["gender"]],
        gender=lambda i, r: r["gender"],
    )
    record, said = audited(tmp_path, "--augmented", jsonl(tmp_path / "a.jsonl", rows))
    f = next(f for f in record["findings"] if f["kind"] == "ties" and f["weight"] == "stop")
    assert (
        not f["command"]
        and f["remedy"].startswith("no text has label 'nurse' with gender male")
        and f["remedy"] in said
    )


def test_every_heavy_finding_says_what_to_do(tmp_path):
    rows = [{"text": "She works in a town with her team."}] * 30 + [
        {"text": "Sure! Here is it: [Your Name] went home."}
    ] * 5
    record, _ = audited(tmp_path, "--augmented", jsonl(tmp_path / "a.jsonl", rows))
    heavy = [f for f in record["findings"] if f["weight"] in HEAVY]
    assert len(heavy) >= 3 and all(f["command"] or f["remedy"] for f in heavy)


def test_clean_keeps_lines_as_they_stand_and_replaces_no_file(tmp_path):
    lines = [
        f'{{"text":  "A person number {i} went to town {i * i} with {i} friends."}}\n' for i in range(40)
    ]
    path = tmp_path / "a.jsonl"
    path.write_text("".join([*lines, *lines[:9], "{broken\n"]), encoding="utf-8")
    result = run(
        "audit", "--augmented", path, "--out", tmp_path / "o", "--clean", tmp_path / "b.jsonl", "--quiet"
    )
    assert "40 rows; 10 rows removed" in result.output and (tmp_path / "b.jsonl").read_text(
        encoding="utf-8"
    ) == "".join(lines)
    result = CliRunner().invoke(
        app,
        [
            "audit",
            "--augmented",
            str(path),
            "--out",
            str(tmp_path / "p"),
            "--clean",
            str(tmp_path / "b.jsonl"),
            "--quiet",
        ],
    )
    assert "the file already exists" in str(result.exception)
