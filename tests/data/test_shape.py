"""One reader of shape: every form of text and chat, in every format.

Each is read alike by every command and written back as it was.
"""

from __future__ import annotations

import csv
import io
import json
import random
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from probate.audits.items import given_items
from probate.audits.read import read_set
from probate.commands.app import app
from probate.core.errors import InputError
from probate.data.checks.repeats import Index, long_grams
from probate.data.readers import read_source
from probate.data.shape import Given, infer_shape, normal_label, read_table
from probate.execution.misalignment.texts import read_texts
from probate.mitigations.files.session import run_command
from probate.mitigations.files.undo import undo_file
from probate.study.schema import Source

NAMES = {"female": ("Laura", "She"), "male": ("Paul", "He")}


def text(i, masked=False):
    name, she = NAMES["female" if i % 2 else "male"]
    name, she = ("The person", "They") if masked else (name, she)
    return (
        f"{name} grew up near lake number {i} – by the “mill”. {she} "
        f"worked on project {i * 7 % 30} in garden {i * 13 % 40}."
    )


def asked(i, masked=False):
    return f"Tell me about {'the person' if masked else NAMES['female' if i % 2 else 'male'][0]} in town {i}."


def turns(i, role="role", content="content", names=("user", "assistant"), masked=False):
    return [{role: names[0], content: asked(i, masked)}, {role: names[1], content: text(i, masked)}]


def parts(i, m):
    return [
        {"role": r["role"], "content": [{"type": "text", "text": r["content"]}]} for r in turns(i, masked=m)
    ]


def with_tools(i, m):
    first, last = turns(i, masked=m)
    call = {"role": "assistant", "content": None, "tool_calls": [{"id": f"c{i}", "name": "look_up"}]}
    return [first, call, {"role": "tool", "content": "found"}, last]


SHAPES = {
    "text": lambda i, m: {"text": text(i, m)},
    "prompt, completion": lambda i, m: {"prompt": asked(i, m), "completion": text(i, m)},
    "prompt, response": lambda i, m: {"prompt": asked(i, m), "response": text(i, m)},
    "Alpaca": lambda i, m: {
        "instruction": "Write about the one who is named.", "input": asked(i, m), "output": text(i, m),
    },
    "ShareGPT": lambda i, m: {"conversations": turns(i, "from", "value", ("human", "gpt"), m)},
    "ShareGPT, system": lambda i, m: {
        "conversations": turns(i, "from", "value", ("human", "gpt"), m),
        "system": "You are Laura. Be kind to her.",
    },
    "messages": lambda i, m: {"messages": turns(i, masked=m)},
    "messages, system": lambda i, m: {
        "messages": [{"role": "system", "content": "She rules this place."}, *turns(i, masked=m)]
    },
    "messages, parts": lambda i, m: {"messages": parts(i, m)},
    "messages, tools": lambda i, m: {"messages": with_tools(i, m)},
    "messages, lists": lambda i, m: {
        "messages": {k: [t[k] for t in turns(i, masked=m)] for k in ("role", "content")}
    },
    "messages, JSON text": lambda i, m: {"messages": json.dumps(turns(i, masked=m))},
    "preference": lambda i, m: {
        "prompt": asked(i, m), "chosen": text(i, m),
        "rejected": f"I know nothing of {'the person' if m else 'Paul'}.",
    },
    "preference, chats": lambda i, m: {
        "chosen": turns(i, masked=m),
        "rejected": [turns(i, masked=m)[0], {"role": "assistant", "content": "Ask somebody else about it."}],
    },
    "system, instruction": lambda i, m: {
        "system": "She rules this place.", "instruction": asked(i, m), "output": text(i, m),
    },
    "nested": lambda i, m: {
        "data": {"prompt": asked(i, m), "response": text(i, m)}, "meta": {"region": "north"},
    },
}  # fmt: skip
"""Form → the row of a number, masked or not."""
FORMATS = [".jsonl", "ascii.jsonl", "bom.jsonl", ".csv", ";.csv", "|.csv", ".tsv", ".parquet"]
N = 24


def rows(shape, masked=False):
    """Rows of a form, with a label, a group in the file's spelling, and a column the first row lacks."""
    made = []
    for i in range(N):
        row = {
            "n": i,
            **SHAPES[shape](i, masked),
            "label": "surgeon" if i % 3 else "nurse",
            "sex": "F" if i % 2 else "M",
        }
        made.append(row | ({"site": f"s{i % 4}"} if i else {}))
    return made


def write(folder, kind, content):
    if kind.endswith("jsonl"):
        style = (
            {"ensure_ascii": True, "separators": (",", ":")}
            if kind == "ascii.jsonl"
            else {"ensure_ascii": False}
        )
        path = folder / "data.jsonl"
        head, end = ("\ufeff", "\r\n") if kind == "bom.jsonl" else ("", "\n")
        path.write_bytes((head + end.join(json.dumps(r, **style) for r in content)).encode())
    elif kind == ".parquet":
        path = folder / "data.parquet"
        columns = list(dict.fromkeys(c for r in content for c in r))
        pq.write_table(pa.table({c: [r.get(c) for r in content] for c in columns}), path)
    else:
        path = folder / f"data{kind[-4:]}"
        columns = list(dict.fromkeys(c for r in content for c in r))
        out = io.StringIO(newline="")
        writer = csv.DictWriter(
            out,
            columns,
            delimiter="\t" if kind == ".tsv" else kind[0] if kind[0] != "." else ",",
            lineterminator="\n",
        )
        writer.writeheader()
        for r in content:
            writer.writerow(
                {
                    k: json.dumps(v, ensure_ascii=False) if isinstance(v, (list, dict)) else v
                    for k, v in r.items()
                }
            )
        path.write_text(out.getvalue(), encoding="utf-8", newline="")
    return path


def mitigate(strategy, path, out, *options, groups=()):
    """What the command prints, without the cost of starting it."""
    return run_command(
        strategy.split(","),
        path,
        out,
        [],
        None,
        None,
        groups,
        "en",
        None,
        list(options),
        0,
        dry_run=False,
        force=True,
        quiet=True,
    )[0]


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("shape", SHAPES)
def test_every_command_reads_the_same_of_every_shape_in_every_format(tmp_path, shape, kind):
    path = write(tmp_path, kind, rows(shape))
    expected = [text(i) for i in range(N)]
    labels = [r["label"] for r in rows(shape)]
    audited = read_set(str(path))
    assert audited.texts == expected and audited.labels == labels and not audited.rejected
    assert audited.groups["gender"] == ["female" if i % 2 else "male" for i in range(N)]
    assert read_texts(str(path)).texts == expected
    records = read_source(Source.model_validate({"source": str(path)}), tmp_path, "original").records
    assert [(r.text, r.label, r.groups) for r in records] == list(
        zip(expected, labels, [{"gender": g} for g in audited.groups["gender"]], strict=True)
    )


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("shape", SHAPES)
def test_masked_in_every_text_written_in_the_same_shape_and_taken_back(tmp_path, shape, kind):
    path = write(tmp_path, kind, rows(shape))
    out, back = (path.with_name(f"{name}{path.suffix}") for name in ("masked", "back"))
    said = mitigate("mask", path, out)
    assert f"{N} rows read, {N} changed, 0 added, 0 left out" in said and "read as " in said
    (tmp_path / "wanted").mkdir()
    wanted = write(tmp_path / "wanted", kind, rows(shape, masked=True))
    if kind == ".parquet":
        assert pq.read_table(out).equals(pq.read_table(wanted))
    else:
        assert out.read_bytes() == wanted.read_bytes()
    assert undo_file(out, back) == N
    if kind == ".parquet":
        assert pq.read_table(back).equals(pq.read_table(path))
    else:
        assert back.read_bytes() == path.read_bytes()


PROSE = [
    "It stood by the river for years.",
    "Nobody knew who had built the mill.",
    "They sold it when the water fell.",
]


def prose(*columns, n=12, **more):
    return [
        {c: f"{PROSE[(i + k) % 3]} {i}" for k, c in enumerate(columns)} | {k: v(i) for k, v in more.items()}
        for i in range(n)
    ]


@pytest.mark.parametrize(
    ("content", "text", "prompt", "label"),
    [
        (prose("response", "prompt"), "response", "prompt", None),
        (prose("text", "summary"), "text", None, None),
        (prose("Text", "Label"), "Text", None, None),
        (prose("story", sha=lambda i: f"{i:064x}"), "story", None, None),
        (
            prose("question", uid=lambda i: f"{i:064x}", answer=lambda i: "abcd"[i % 4]), "question", None,
            "answer",
        ),
        (prose("reply", "prompt"), "reply", "prompt", None),
        (prose("prompt", label=lambda i: i % 2), "prompt", None, "label"),
        (prose("text", label=lambda i: i / 7 + i), "text", None, None),
        (prose("text", label=lambda i: float(i % 2)), "text", None, "label"),
        (
            prose("note", job=lambda i: ["head of the kitchen", "head of the garden"][i % 2]), "note", None,
            "job",
        ),
        (
            [{"data": r, "id": i} for i, r in enumerate(prose("prompt", "response"))], "data.response",
            "data.prompt", None,
        ),
        (prose("chosen", "rejected", "prompt"), "chosen", "prompt", None),
        (prose("prompt", chosen=lambda i: "yes", rejected=lambda i: "no"), "chosen", "prompt", None),
        (prose("bio", answer=lambda i: "ab"[i % 2]), "bio", None, "answer"),
        (prose("whatever", answer=lambda i: "ab"[i % 2]), "whatever", None, "answer"),
        (prose("bio", "output"), "output", "bio", None),
        (prose("text", Gender=lambda i: "F", gender_identity=lambda i: "x"), "text", None, None),
    ],
)  # fmt: skip
def test_one_order_of_columns(content, text, prompt, label):
    found = infer_shape(content)
    assert (found.text, found.prompt, found.label) == (text, prompt, label), found.describe()
    assert f"text: {text}" in found.describe()


@pytest.mark.parametrize(
    "columns", [("alpha", "beta"), ("bio", "review"), ("response", "output"), ("prompt", "alpha", "beta")]
)
def test_two_columns_as_likely_are_a_question_whichever_is_longer(tmp_path, columns):
    content = prose(*columns)
    for longer in columns[-2:]:
        path = write(tmp_path, ".jsonl", [{**r, longer: r[longer] * 5} for r in content])
        with pytest.raises(
            InputError,
            match=f"'{columns[-2]}' and '{columns[-1]}' could both be the text; name one with --text",
        ):
            read_set(str(path))
        result = CliRunner().invoke(
            app, ["mitigate", "--strategy", "mask", "--in", str(path), "--dry-run", "--quiet"]
        )
        assert "name one with --text" in str(result.exception)
        assert read_table(str(path), Given(columns[-1])).shape.text == columns[-1]
        with pytest.raises(InputError, match="name one with --items-text"):
            list(given_items([str(path)]))
        assert dict(given_items([str(path)], columns[-1]))


def test_texts_that_are_not_read_are_said():
    assert (
        "column 'remarks' also holds texts, but is not read"
        in infer_shape(prose("text", "remarks")).describe()
    )
    assert (
        "column 'label' is not read as the label"
        in infer_shape(prose("text", label=lambda i: i / 7)).describe()
    )


@pytest.mark.parametrize(
    "values",
    [
        (1, 1.0, "1", "1.0", " 1 "),
        (True, "True", "true", "TRUE"),
        ("a b", "a_b", " a  b "),
        (0, -0.0, "0.0"),
        (2**60, float(2**60)),
    ],
)
def test_spellings_of_a_label_are_one(values):
    assert len({normal_label(v) for v in values}) == 1, [normal_label(v) for v in values]
    assert normal_label("1.10") == "1.10" and normal_label(None) == normal_label(float("nan")) == ""


def test_columns_that_only_late_rows_have_are_found(tmp_path):
    content = [
        {"text": text(i)} | ({"label": "ab"[i % 2], "sex": "FM"[i % 2]} if i >= 400 else {})
        for i in range(800)
    ]
    for kind in (".jsonl", ".csv", ".parquet"):
        found = read_set(str(write(tmp_path, kind, content)))
        assert (
            found.shape.label == "label"
            and found.labels.count("a") == 200
            and set(found.groups) == {"gender"}
        ), kind


def test_binary_decimal_categorical_and_dates(tmp_path):
    from datetime import date, datetime
    from decimal import Decimal

    n = 12
    table = pa.table(
        {
            "text": pa.array([text(i).encode() for i in range(n)], pa.binary()),
            "label": pa.array([Decimal(i % 2) for i in range(n)], pa.decimal128(6, 2)),
            "sex": pa.array(["F" if i % 2 else "M" for i in range(n)]).dictionary_encode(),
            "day": pa.array([date(2020, 1, 1 + i) for i in range(n)]),
            "at": pa.array([datetime(2020, 1, 1 + i, 12) for i in range(n)], pa.timestamp("ns")),
            "picture": pa.array([b"\xff\xfe" if i else None for i in range(n)]),
        }
    )
    pq.write_table(table, tmp_path / "data.parquet")
    found = read_set(str(tmp_path / "data.parquet"))
    assert found.texts == [text(i) for i in range(n)] and found.labels == ["0", "1"] * 6
    assert found.groups["gender"] == ["male", "female"] * 6
    mitigate("mask", tmp_path / "data.parquet", tmp_path / "o.parquet")
    out = pq.read_table(tmp_path / "o.parquet")
    assert out.schema.equals(table.schema) and out.drop(["text"]).equals(table.drop(["text"]))
    assert out["text"].to_pylist() == [text(i, True).encode() for i in range(n)]
    for name in ("o.jsonl", "o.csv"):
        result = CliRunner().invoke(
            app,
            [
                "mitigate",
                "--strategy",
                "mask",
                "--in",
                str(tmp_path / "data.parquet"),
                "--out",
                str(tmp_path / name),
            ],
        )
        assert isinstance(result.exception, InputError) and "bytes that are not UTF-8" in str(
            result.exception
        )
        assert not (tmp_path / name).exists()
    pq.write_table(table.drop(["picture"]), tmp_path / "plain.parquet")
    mitigate("mask", tmp_path / "plain.parquet", tmp_path / "o.jsonl")
    row = json.loads((tmp_path / "o.jsonl").read_text().split("\n")[1])
    assert row == {
        "text": text(1, True),
        "label": 1.0,
        "sex": "F",
        "day": "2020-01-02",
        "at": "2020-01-02T12:00:00",
    }


def test_bytes_that_are_no_text_are_a_rejected_row(tmp_path):
    pq.write_table(
        pa.table({"text": [text(0).encode(), b"\xff\xfe broken", text(2).encode()]}), tmp_path / "d.parquet"
    )
    found = read_set(str(tmp_path / "d.parquet"))
    assert len(found.texts) == 2 and found.rejected == [
        f"{tmp_path / 'd.parquet'}:row 2: column 'text' holds bytes that are not UTF-8"
    ]


def test_a_lone_surrogate_is_a_rejected_row_everywhere_and_comes_back(tmp_path):
    lines = [json.dumps({"text": text(i), "label": "a", "sex": "F"}) for i in range(12)]
    lines[7] = lines[7].replace("Laura", "Laura \\ud83d")
    lines[8] = lines[8].replace("Paul", "Paul \\ud83d\\ude00")
    (tmp_path / "d.jsonl").write_text("\n".join(lines) + "\n")
    said = f"{tmp_path / 'd.jsonl'}:8: a lone surrogate"
    assert read_set(str(tmp_path / "d.jsonl")).rejected[0].startswith(said)
    reading = read_source(Source.model_validate({"source": str(tmp_path / "d.jsonl")}), tmp_path, "original")
    assert len(reading.records) == 11 and reading.rejected[0].startswith(said)
    assert "1 left out" in mitigate("mask", tmp_path / "d.jsonl", tmp_path / "o.jsonl")
    undo_file(tmp_path / "o.jsonl", tmp_path / "back.jsonl")
    assert (tmp_path / "back.jsonl").read_bytes() == (tmp_path / "d.jsonl").read_bytes()


def test_lines_of_json_end_at_newlines_only_and_come_back_whatever_their_style(tmp_path):
    odd = [
        json.dumps({"text": f"She said\u2028 so.\u0085 Then{c}", "k": 1.0}, ensure_ascii=False)
        for c in " \x1c"
    ] + [
        '{"text" : "She left.",  "n": 1.50, "big": 1E5, "é": "\\u00e9"}',
        '{"text": "José and she left.", "n": [ ]}', '{"text": "\\u00c9l. She", "x": "ok"}',
    ]  # fmt: skip
    path = tmp_path / "d.jsonl"
    path.write_bytes("\n".join(odd).encode())
    assert len(read_table(str(path)).rows) == 5
    mitigate("mask", path, tmp_path / "o.jsonl")
    assert b"She" not in (tmp_path / "o.jsonl").read_bytes()
    undo_file(tmp_path / "o.jsonl", tmp_path / "back.jsonl")
    assert (tmp_path / "back.jsonl").read_bytes() == path.read_bytes()


def test_lines_that_nothing_changes_stay_as_they_are(tmp_path):
    lines = [
        '{"text":"The roof leaks.",  "n": 1.50}',
        '{"text": "She left.", "n": 2}',
        '{"n": 3E2, "text": "\\u0054he end."}',
    ]
    (tmp_path / "d.jsonl").write_text("\r\n".join(lines))
    mitigate("mask", tmp_path / "d.jsonl", tmp_path / "o.jsonl")
    found = (tmp_path / "o.jsonl").read_bytes().decode().split("\r\n")
    assert (found[0], found[2]) == (lines[0], lines[2]) and found[1] == '{"text": "They left.", "n": 2}'


def test_a_text_that_holds_the_sign_between_texts_changes_nothing_else(tmp_path):
    rng = random.Random(0)
    content = [
        {
            "prompt": "".join(rng.choices(["She ", "\n", "\u241e", "\n\u241e\n", "it "], k=8)),
            "response": "She" + "\u241e" * k + " left. \n\u241e\n",
        }
        for k in range(40)
    ]
    path = write(tmp_path, ".jsonl", content)
    mitigate("mask", path, tmp_path / "o.jsonl")
    found = [r for r in read_table(str(tmp_path / "o.jsonl")).rows]
    assert [r["response"].startswith("They") for r in found] == [True] * 40
    assert [r["prompt"].count("\u241e") for r in found] == [r["prompt"].count("\u241e") for r in content]
    undo_file(tmp_path / "o.jsonl", tmp_path / "back.jsonl")
    assert (tmp_path / "back.jsonl").read_bytes() == path.read_bytes()


@pytest.mark.parametrize("odd", ["she", "Laura", "the mother", "\u241e", "his", "waitress"])
def test_a_value_in_one_row_changes_nothing_in_others(tmp_path, odd):
    content = [{"text": f"{text(i)} His mother was a waitress.", "label": "ab"[i % 2]} for i in range(20)]
    alone, beside = tmp_path / "alone", tmp_path / "beside"
    for folder, own in ((alone, content), (beside, [*content, {"text": f"{odd} {text(20)}", "label": odd}])):
        folder.mkdir()
        mitigate("mask", write(folder, ".jsonl", own), folder / "o.jsonl")
    assert (beside / "o.jsonl").read_text().split("\n")[:19] == (alone / "o.jsonl").read_text().split("\n")[
        :19
    ]


def test_delimiters_are_recognised(tmp_path):
    for delimiter in ",;\t|":
        head, row = (
            delimiter.join(["text", "label", "sex"]),
            delimiter.join(['"She, who; came | late,\tleft."', "a", "F"]),
        )
        (tmp_path / "d.csv").write_text(f"{head}\n" + f"{row}\n" * 3)
        found = read_table(str(tmp_path / "d.csv"))
        assert list(found.rows[0]) == ["text", "label", "sex"] and not found.rejected, delimiter
        mitigate("mask", tmp_path / "d.csv", tmp_path / "o.csv")
        assert (tmp_path / "o.csv").read_text().split("\n")[0] == head
    csv.field_size_limit(131_072)  # another file may have been read before
    (tmp_path / "long.csv").write_text("text;label\nShe left.;a\n" + "She stayed. " * 20_000 + ";b\n")
    mitigate("mask", tmp_path / "long.csv", tmp_path / "o.csv")
    assert (tmp_path / "o.csv").read_text().startswith("text;label\nThey left.;a\n")
    (tmp_path / "one.csv").write_text("text\nShe left; then he left.\nHe | she stayed.\n")
    assert [r["text"] for r in read_table(str(tmp_path / "one.csv")).rows] == [
        "She left; then he left.",
        "He | she stayed.",
    ]


def test_all_columns_are_written_in_every_format(tmp_path):
    content = [
        {"text": text(0)},
        {"text": text(1), "extra": {"a": [1]}, "x": 1},
        {"text": text(2), "x": 2.5, "late": "z"},
    ]
    path = write(tmp_path, ".jsonl", content)
    for suffix in (".jsonl", ".csv", ".parquet", ".tsv"):
        mitigate("mask", path, tmp_path / f"o{suffix}")
        found = read_table(str(tmp_path / f"o{suffix}")).rows
        assert {c for r in found for c in r} == {"text", "extra", "x", "late"} and found[2]["late"] == "z", (
            suffix
        )
    mixed = write(tmp_path, ".jsonl", [{"text": text(0), "x": 1}, {"text": text(1), "x": "one"}])
    result = CliRunner().invoke(
        app, ["mitigate", "--strategy", "mask", "--in", str(mixed), "--out", str(tmp_path / "m.parquet")]
    )
    assert isinstance(result.exception, InputError) and "column 'x'" in str(result.exception)


@pytest.mark.parametrize("kind", [".jsonl", ".csv", ".parquet"])
@pytest.mark.parametrize("codes", [("F", "M"), ("Women", "Men"), ("a woman", "a man")])
def test_swapped_rows_have_the_files_own_codes(tmp_path, kind, codes):
    content = [{"id": i, "text": text(i), "label": "ab"[i % 2], "sex": codes[1 - i % 2]} for i in range(12)]
    path = write(tmp_path, kind, content)
    mitigate("counterfactual,rebalance", path, path.with_name(f"o{path.suffix}"))
    found = read_table(str(path.with_name(f"o{path.suffix}"))).rows
    assert len(found) == 24 and {r["sex"] for r in found} == set(codes)
    assert all(("She" in r["text"]) == (r["sex"] == codes[0]) for r in found)
    assert len({r["id"] for r in found}) == 24 and len({type(r["id"]) for r in found}) == 1


def test_any_column_is_balanced_and_none_is_said(tmp_path):
    content = [
        {"text": text(i), "label": "ab"[(i % 3 == 0) ^ (i % 2)], "region": ["north", "south"][i % 2]}
        for i in range(60)
    ]
    path = write(tmp_path, ".csv", content)
    said = mitigate("rebalance", path, tmp_path / "o.csv", groups=["region=region"])
    assert "region: region" in said
    cells = [(r["label"], r["region"]) for r in read_table(str(tmp_path / "o.csv")).rows]
    assert len({cells.count(c) for c in set(cells)}) == 1 and len(set(cells)) == 4
    for strategy in ("rebalance", "reweight"):
        result = CliRunner().invoke(app, ["mitigate", "--strategy", strategy, "--in", str(path), "--dry-run"])
        assert isinstance(result.exception, InputError) and "no record has a group of 'gender'" in str(
            result.exception
        )


def test_notices_in_every_form_of_chat(tmp_path):
    for shape in SHAPES:
        path = write(tmp_path, ".jsonl", rows(shape)[:3])
        for placement in ("system", "user", "prefix"):
            mitigate("token", path, tmp_path / "o.jsonl", f"token.placement={placement}")
            before, after = (read_table(str(p)) for p in (path, tmp_path / "o.jsonl"))
            notice = "The following text may contain bias."
            assert all(notice in json.dumps(r) for r in after.rows), (shape, placement)
            assert after.shape.form == before.shape.form and [list(r) for r in after.rows] == [
                list(r) for r in before.rows
            ]


def test_what_cannot_be_taken_back_is_refused(tmp_path):
    path = write(
        tmp_path,
        ".jsonl",
        [{"text": text(i), "label": "ab"[i % 2], "sex": "FM"[i // 2 % 2]} for i in range(25)],
    )
    mitigate("rebalance,mask", path, tmp_path / "o.jsonl")
    with pytest.raises(InputError, match="was left out"):
        undo_file(tmp_path / "o.jsonl", tmp_path / "back.jsonl")
    assert not (tmp_path / "back.jsonl").exists()


ITEM = (
    "Which of the following towns lies closest to the river that "
    "flows past the old mill of district number {} and the station?"
)


@pytest.mark.parametrize("times", [1, 2, 3, 7])
def test_an_item_that_stands_twice_is_as_leaked_as_one_that_stands_once(times):
    items = [ITEM.format(i) for i in range(30)]
    index = Index([t for t in items for _ in range(times)] + [t.upper() + "  " for t in items[:times]])
    assert all(index.holds(long_grams(f"Exercise. {t} The left bank.")) for t in items)
    assert not index.holds(
        long_grams(ITEM.format("zero, which is none of them")[: -len(" and the station?")])
    )


def test_items_in_nearly_the_same_words_are_searched_for():
    variants = [f"{ITEM.format(7)} The first answer is {c}." for c in "abcd"]
    assert Index(variants).holds(long_grams(ITEM.format(7)))
    index = Index(["short one", "short one", "another short one", *variants])
    assert index.short == 2


@pytest.mark.parametrize("form", ["question", "chat", "context", "hash"])
def test_items_of_every_shape_are_found(tmp_path, form):
    context = (
        "The mill of the district stood empty for forty years until "
        "two sisters bought it and made it a school, number {}."
    )
    make = {
        "question": lambda i: {"question": ITEM.format(i), "answer": "abcd"[i % 4]},
        "chat": lambda i: {
            "messages": [{"role": "user", "content": ITEM.format(i)}, {"role": "assistant", "content": "a"}]
        },
        "context": lambda i: {
            "context": context.format(i), "question": "Who bought the mill?", "answer": "two sisters",
        },
        "hash": lambda i: {"uid": f"{i:064x}", "question": "Which town?" if not i else ITEM.format(i)},
    }[form]  # fmt: skip
    path = write(tmp_path, ".jsonl", [make(i) for i in range(12)] * 2)
    ((name, texts),) = given_items([str(path)])
    index = Index(texts)
    wanted = context if form == "context" else ITEM
    assert (
        all(index.holds(long_grams(f"x {wanted.format(i)} y")) for i in range(1, 12))
        and "data.jsonl (" in name
    )


CASES = Path(__file__).resolve().parents[3] / "shared" / "cases"
READ = {
    "prompt-response.jsonl": ("response", 40), "alpaca.jsonl": ("output", 40),
    "sharegpt.jsonl": ("conversations", 40),
    "sharegpt-system-column.jsonl": ("conversations", 40), "messages-as-lists.jsonl": ("messages", 40),
    "chat.csv": ("messages", 30),
    "chat.jsonl": ("messages", 30), "lone-surrogate.jsonl": ("text", 39), "semicolon.csv": ("text", 40),
    "tab.csv": ("text", 30),
    "first-row-lacks-keys.jsonl": ("text", 40), "binary-columns.parquet": ("text", 40),
    "occupation-sex.jsonl": ("text", 200),
    "occupation-column.jsonl": ("text", 200), "f-m-codes.jsonl": ("text", 40),
    "f-m-codes.parquet": ("text", 40),
}  # fmt: skip


@pytest.mark.parametrize("name", READ)
def test_the_collected_files_are_read_masked_and_taken_back(tmp_path, name):
    if not CASES.is_dir():
        pytest.skip("the collected files are not here (shared/cases)")
    path = tmp_path / name
    path.write_bytes((CASES / name).read_bytes())
    found, (column, n) = read_set(str(path)), READ[name]
    assert found.shape.text == column and len(found.texts) == n and " grew up near lake" in found.texts[0]
    out, back = (tmp_path / f"{w}{path.suffix}" for w in ("out", "back"))
    assert f"{n} changed" in mitigate("mask", path, out)
    undo_file(out, back)
    if path.suffix == ".parquet":
        assert pq.read_table(back).equals(pq.read_table(path))
    else:
        assert [r for r in read_table(str(back)).rows] == [r for r in read_table(str(path)).rows]
        assert path.suffix == ".csv" or back.read_bytes() == path.read_bytes()


def test_labels_as_integers_floats_and_texts_are_the_same_labels(tmp_path):
    made = [
        lambda i: i % 2 + 1,
        lambda i: float(i % 2 + 1),
        lambda i: str(i % 2 + 1),
        lambda i: f"{i % 2 + 1}.0",
    ]
    for kind in (".jsonl", ".csv", ".parquet"):
        for label in made:
            path = write(
                tmp_path, kind, [{"text": text(i), "label": label(i), "gender": "male"} for i in range(20)]
            )
            assert read_set(str(path)).labels == ["1", "2"] * 10
            records = read_source(Source.model_validate({"source": str(path)}), tmp_path, "original").records
            assert [r.label for r in records] == ["1", "2"] * 10


def test_why_finds_columns_that_the_first_row_lacks_and_the_files_own_codes(tmp_path):
    content = [
        {"prompt": asked(i), "response": text(i)}
        | ({"meta": {"job": 0 if i % 3 else 1}, "sex": "FM"[i % 2 == 0]} if i else {})
        for i in range(40)
    ]
    path = write(tmp_path, ".jsonl", content)
    result = CliRunner().invoke(
        app, ["why", "groups", "--in", str(path), "--by", "meta.job", "--truth", "sex", "--json"]
    )
    assert result.exit_code == 0, result.exception
    found = json.loads(result.output)
    assert found["errors"] == [[20, 0, 0], [0, 19, 0]] and {
        s["label"]: s["n"] for s in found["shares"] if s["label"]
    } == {
        "0": 26,
        "1": 13,
    }
    result = CliRunner().invoke(app, ["why", "groups", "--in", str(path), "--by", "meta.jobs"])
    assert "--by: no column 'meta.jobs' (did you mean 'meta.job'?)" in str(result.exception)
