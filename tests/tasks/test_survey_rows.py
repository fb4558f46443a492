"""Rows of people's answers: GlobalOpinionQA as it is published, and texts that are no such rows."""

from __future__ import annotations

import csv
import json
import sys

import pytest

from probate.core.errors import InputError
from probate.stats.values import Question
from probate.tasks import survey_rows
from probate.tasks.survey_rows import published, read_questions

ROWS = [
    {
        "question": "Is work good?\n\nWork",
        "selections": "defaultdict(<class 'list'>, {'Belgium': [0.21, 0.07, 0.72], 'Ivory Coast (Non-national sample)': [1, 0.0, 0], "
        "\"People's Land\": [5e-1, 0.5, 0.0,]})",
        "options": "['Yes', \"Don't agree\", 'DK/Refused']",
        "source": "GAS",
    },
    {
        "question": "Is rest good?",
        "selections": "{'Belgium': [0.5, 0.5], 'Chile': [0.25, 0.75]}",
        "options": "['1.0', 2]",
        "source": "WVS",
    },
]  # fmt: skip
READ = [
    Question("Belgium", "Is work good?\n\nWork", ("Yes", "Don't agree", "DK/Refused"), (0.21, 0.07, 0.72)),
    Question("Ivory Coast (Non-national sample)", "Is work good?\n\nWork", ("Yes", "Don't agree", "DK/Refused"), (1, 0, 0)),
    Question("People's Land", "Is work good?\n\nWork", ("Yes", "Don't agree", "DK/Refused"), (0.5, 0.5, 0)),
    Question("Belgium", "Is rest good?", ("1.0", "2"), (0.5, 0.5)),
    Question("Chile", "Is rest good?", ("1.0", "2"), (0.25, 0.75)),
]  # fmt: skip


def write(path, rows):
    if path.suffix == ".csv":
        with path.open("w", newline="") as file:
            table = csv.DictWriter(file, list(rows[0]))
            table.writeheader()
            table.writerows(rows)
    else:
        path.write_text("".join(json.dumps(r) + "\n" for r in rows))
    return str(path)


@pytest.mark.parametrize("suffix", ["jsonl", "csv"])
def test_one_row_holds_many_countries(tmp_path, suffix):
    assert read_questions(write(tmp_path / f"q.{suffix}", ROWS)) == (READ, [])


def test_lists_and_mappings_need_no_text(tmp_path):
    own = {"Belgium": [0.5, 0.5], "Chile": None, "Peru": [0.25, 0.75]}
    for selections in (own, json.dumps(own)):
        row = {"question": "q", "selections": selections, "options": ["a", "b"]}
        found, rejected = read_questions(write(tmp_path / "q.jsonl", [row]))
        assert [(q.country, q.shares) for q in found] == [("Belgium", (0.5, 0.5)), ("Peru", (0.25, 0.75))]
        assert rejected == []


CANARY = "defaultdict(<class 'list'>, {'A': [1.0], 'B': [__import__('sys').exit(3)]})"
MAPPING = "its selections are not a mapping from countries to lists of numbers"


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"selections": CANARY}, MAPPING),
        ({"selections": "defaultdict(<class 'int'>, {'A': [1.0, 0.0]})"}, MAPPING),
        ({"selections": "{'A': [nan, 1.0]}"}, MAPPING),
        ({"selections": "{'A': [0.5, 0.5], 'B': [0.5,"}, MAPPING),
        ({"selections": "{'A': 1.0}"}, MAPPING),
        ({"selections": "{'A': [[0.5], [0.5]]}"}, MAPPING),
        ({"selections": "[" * 100_000}, MAPPING),
        ({"selections": "{'A': [" + "-" * 100_000 + "1]}"}, MAPPING),
        ({"selections": "{'A': [" + " " * 100_000 + "x]}"}, MAPPING),
        ({"selections": "{'A': [" + "0.5," * 50_000 + "x]}"}, MAPPING),
        ({"selections": "{'A': [" + "9" * 5_000 + ", 0]}"}, MAPPING),
        ({"selections": "{'\\x': [1, 0]}"}, MAPPING),
        ({"selections": 3}, MAPPING),
        ({"selections": "{}"}, "its selections name no country"),
        ({"selections": {"A": 0.5}}, "the shares of A are not a list of numbers"),
        ({"selections": {"A": ["x", "y"]}}, "could not convert string to float"),
        ({"options": "[print('a'), 'b']"}, "not JSON"),
        ({"options": 4}, "not iterable"),
        ({"question": None}, "its question is not a text"),
        ({"selections": "{'Peru': [0.5, 0.2]}"}, "Peru: its shares sum to 0.700, not to 1"),
        ({"selections": "{'Peru': [0.5]}"}, "Peru: 2 options but 1 shares"),
    ],
    ids=str,
)  # fmt: skip
def test_a_bad_row_is_rejected_with_a_sentence(tmp_path, change, reason):
    bad = {"question": "q", "selections": "{'A': [0.5, 0.5]}", "options": "['a', 'b']", **change}
    found, rejected = read_questions(write(tmp_path / "q.jsonl", [ROWS[1], bad]))
    assert found == READ[3:] and len(rejected) == 1
    assert reason in rejected[0] and rejected[0].startswith(f"{tmp_path / 'q.jsonl'}:2"), rejected


def test_one_bad_country_leaves_the_others(tmp_path):
    row = {**ROWS[1], "selections": "{'Belgium': [0.5, 0.5], 'Peru': [0.1, 0.1], 'Chile': [0.25, 0.75]}"}
    found, rejected = read_questions(write(tmp_path / "q.jsonl", [row]))
    assert found == READ[3:] and len(rejected) == 1 and ", Peru: its shares sum to 0.200" in rejected[0]


def test_a_long_cell_is_not_parsed_as_python(tmp_path, monkeypatch):
    monkeypatch.setattr(survey_rows, "LONGEST_LITERAL", 20)
    monkeypatch.setattr(survey_rows.ast, "literal_eval", lambda text: sys.exit(3))
    with pytest.raises(InputError, match=MAPPING):
        read_questions(write(tmp_path / "q.jsonl", ROWS))


@pytest.mark.parametrize("gone", ["question", "options"])
def test_a_missing_column_is_named(tmp_path, gone):
    row = {k: v for k, v in ROWS[0].items() if k != gone}
    with pytest.raises(InputError, match=f"no column '{gone}'"):
        read_questions(write(tmp_path / "q.jsonl", [row]))


def test_a_row_of_one_country_needs_a_name(tmp_path):
    rows = [
        {"country": country, "question": "q", "options": ["a", "b"], "distribution": [0.5, 0.5]}
        for country in ("Peru", None, 3)
    ]
    found, rejected = read_questions(write(tmp_path / "q.jsonl", rows))
    assert [q.country for q in found] == ["Peru"] and len(rejected) == 2
    assert all(why.endswith("its country is not a text") for why in rejected)


def test_published_shares_are_compared_with_all_countries_of_a_row(tmp_path):
    path = write(
        tmp_path / "q.jsonl", [{**row, "llm": [0.5, 0.5, 0.0][: 3 - i]} for i, row in enumerate(ROWS)]
    )
    compared, rejected = published(path, "llm", None)
    assert [(c.country, c.text) for c in compared["llm"]] == [(q.country, q.text) for q in READ]
    assert compared["llm"][2].distance == pytest.approx(0, abs=1e-7) and rejected == []
