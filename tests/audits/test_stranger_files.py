"""Files as strangers have them: what is read is measured, and what is not is said."""

from __future__ import annotations

import gzip
import json
import random

import pytest
from typer.testing import CliRunner

from probate.audits.coverage import coverage, not_measured
from probate.audits.groups import dimensions_of
from probate.audits.read import read_set
from probate.audits.remedies import remedy
from probate.audits.stage_one import as_record, audit
from probate.audits.together import together
from probate.audits.verdict import UNSURE, AuditFinding, check_audit, exit_code, of_groups, said_of, verdict
from probate.commands.app import app
from probate.core.errors import InputError
from probate.data.shape import Given

N = 80
WORDS = (
    "invoices samples drawings bridges recipes engines "
    "contracts gardens maps bottles vaccines violins tunnels"
).split()
TEXTS = [
    (
        f"The applicant of district {i} writes {WORDS[i % 13]} and "
        f"{WORDS[i * 7 % 11]} at the station and has done so for {2 + i % 17} years."
    )
    for i in range(N)
]
GROUP = [i % 2 for i in range(N)]
TIED = [g if i // 2 % 8 else 1 - g for i, g in enumerate(GROUP)]
"""A label that goes with the group in seven of eight texts: V 0.75."""
FREE = [i // 2 % 2 for i in range(N)]


def rows(label=TIED, labels=("no", "yes"), group=GROUP, gender=("female", "male"), **more):
    base = {"text": TEXTS}
    base |= {"label": [labels[x] for x in label]} if labels else {}
    base |= {"gender": [gender[x] for x in group]} if gender else {}
    base |= more
    return [dict(zip(base, own, strict=True)) for own in zip(*base.values(), strict=True)]


def file(path, own):
    path.write_text("".join(json.dumps(r) + "\n" for r in own), encoding="utf-8")
    return str(path)


def heard(tmp_path, own, original=None, **given):
    """(verdict, sentences that say what could not be told, findings)"""
    data = read_set(own if isinstance(own, str) else file(tmp_path / "data.jsonl", own), Given(**given))
    first = read_set(file(tmp_path / "original.jsonl", original)) if original else None
    dimensions = dimensions_of(data, first)
    found = list(of_groups(dimensions))
    unsure = list(not_measured(data, first, dimensions, {}))
    return verdict([*found, *(AuditFinding("coverage", UNSURE, s) for s in unsure)]), unsure, found


def test_an_original_whose_tie_goes_the_other_way_excuses_nothing(tmp_path):
    assert heard(tmp_path, rows(), rows())[0] == "note"
    said, _, found = heard(tmp_path, rows(), rows([1 - x for x in TIED]))
    assert said == "stop" and any("in the opposite direction" in f.sentence for f in found)
    ages = [25 + i % 9 + 40 * g for i, g in enumerate(GROUP)]
    assert (
        heard(tmp_path, rows(gender=None, age=ages), rows([1 - x for x in TIED], gender=None, age=ages))[0]
        == "stop"
    )


def test_an_original_of_a_few_rows_excuses_nothing(tmp_path):
    said, unsure, _ = heard(tmp_path, rows(), rows()[:12])
    assert said == "stop" and any(s.startswith("original: ") and "12" in s for s in unsure)


def test_an_original_with_other_labels_groups_or_language_is_said(tmp_path):
    said, unsure, _ = heard(tmp_path, rows(FREE), rows(FREE, labels=("1", "2")))
    assert said == UNSURE and any("labels" in s for s in unsure)
    said, unsure, _ = heard(tmp_path, rows(FREE), rows(FREE, gender=("alpha", "beta")))
    assert said == UNSURE and any("alpha" in s for s in unsure)
    spanish = [
        {**r, "text": f"La persona {i} trabaja en la ciudad y está muy feliz con su trabajo."}
        for i, r in enumerate(rows(FREE))
    ]
    said, unsure, _ = heard(tmp_path, rows(FREE), spanish)
    assert said == UNSURE and any("'es'" in s for s in unsure)
    assert heard(tmp_path, rows(FREE), rows(FREE, labels=("No", "YES")))[0] == "note"


def test_a_group_that_only_the_original_has_is_missed(tmp_path):
    third = rows(FREE)
    third = [{**r, "gender": "nonbinary"} if i % 3 == 0 else r for i, r in enumerate(third)]
    said, _, found = heard(tmp_path, rows(FREE), third)
    assert said == "look" and any("nonbinary 0.0%" in f.sentence for f in found)


def heard_with_pairs(tmp_path, own, original=None, **given):
    """As `heard`, by the audit as a whole."""
    first = read_set(file(tmp_path / "original.jsonl", original)) if original else None
    found = audit(read_set(file(tmp_path / "data.jsonl", own), Given(**given)), first, {}, permutations=50)
    return found.verdict, [f.sentence for f in found.findings if f.kind == "together"], found


def test_what_only_two_groups_together_show_is_found(tmp_path):
    other = ["white" if i // 2 % 2 else "black" for i in range(N)]
    apart = [g ^ (i // 2 % 2) for i, g in enumerate(GROUP)]  # women of one race, men of the other
    said, pairs, _ = heard_with_pairs(tmp_path, rows(apart, race=other))
    assert said == "stop" and len(pairs) == 1 and pairs[0].startswith("gender and race combined")
    assert heard_with_pairs(tmp_path, rows(apart, race=other), rows(apart, race=other))[1] == []
    said, pairs, _ = heard_with_pairs(tmp_path, rows(apart, region=other))
    assert said == "look" and "column 'region'" in pairs[0]
    said, pairs, found = heard_with_pairs(
        tmp_path, rows(FREE, race=["white" if i // 4 % 2 else "black" for i in range(N)])
    )
    assert (said, pairs) == ("note", []) and coverage(found.data, found.dimensions, found.pairs)[
        "together"
    ] == [("gender", "race")]
    # A tie that one of the two has alone is said once.
    assert heard_with_pairs(tmp_path, rows(race=other))[1] == []


@pytest.mark.parametrize(
    ("name", "form"),
    [
        ("label2", str),
        ("second_label", lambda x: [x]),
        ("Decision", str),
        ("Labels", lambda x: [x, x]),
        ("meta.outcome", str),
    ],
)
def test_a_second_label_that_goes_with_a_group_is_found(tmp_path, name, form):
    own = rows(FREE, **{name: [form("ab"[x]) for x in TIED]})
    said, pairs, _ = heard_with_pairs(tmp_path, own)
    assert said == "look" and len(pairs) == 1 and "--label" in pairs[0]
    assert heard(tmp_path, own, label=name)[0] == "stop"
    assert heard_with_pairs(tmp_path, rows(FREE, **{name: [form("ab"[i // 4 % 2]) for i in range(N)]}))[
        :2
    ] == ("note", [])


def test_labels_and_groups_in_lists_are_read_or_said(tmp_path):
    said, unsure, _ = heard(tmp_path, rows(labels=None, labels_of=[[x] for x in TIED]))
    assert said == UNSURE and any("labels_of" in s for s in unsure)
    assert heard(tmp_path, rows(gender=None, who=[["a", "b"], ["c"]] * (N // 2)))[0] == "stop"
    assert (
        heard(tmp_path, rows(gender=None, who=[["a", "b"], ["c"]] * (N // 2)), groups={"who": "who"})[0]
        == "stop"
    )
    assert (
        heard(
            tmp_path,
            rows(FREE, gender=None, who=[["b", "a"] if i % 4 else ["a", "b", "a"] for i in range(N)]),
        )[0]
        == UNSURE
    )


def test_labels_at_the_end_of_the_texts_are_said(tmp_path):
    ended = [
        {**r, "text": f"{r['text']} Answer: {'yes' if x else 'no'}"}
        for r, x in zip(rows(labels=None), TIED, strict=True)
    ]
    said, unsure, _ = heard(tmp_path, ended)
    assert said == UNSURE and any("end in one of 2 sentences ('answer: " in s for s in unsure)
    assert heard(tmp_path, rows(labels=None))[0] == "note"


@pytest.mark.parametrize("packed", ["", ".gz"])
def test_a_json_list_is_read_as_its_lines_are(tmp_path, packed):
    def write(text):
        path = tmp_path / f"list.json{packed}"
        path.write_bytes(gzip.compress(text.encode()) if packed else text.encode())
        return str(path)

    lines = heard(tmp_path, rows())
    for text in (
        json.dumps(rows()),
        "\ufeff \n" + json.dumps(rows(), indent=2),
        "\n".join(map(json.dumps, rows())),
    ):
        found = heard(tmp_path, write(text))
        assert [f.sentence for f in found[2]] == [f.sentence for f in lines[2]] and found[:2] == lines[:2]
    for text, said in (
        ("[1, 2]", "no row can be read; first: .*row 1: the JSON value is of type int"),
        ('[{"a":', r"list.json.*:1: not JSON"),
        ("[]", "no rows"),
    ):
        with pytest.raises(InputError, match=said):
            read_set(write(text))


def test_amounts_as_labels_are_grouped_and_said(tmp_path):
    for amount in (
        lambda i, g: 50000 + 40000 * g + i,
        lambda i, g: f"${50 + 40 * g},{100 + i}",
        lambda i, g: f"{50.5 + 40 * g + i % 9}k",
    ):
        own = rows(labels=None, salary=[amount(i, g) for i, g in enumerate(GROUP)])
        said, unsure, _ = heard(tmp_path, own)
        assert said == UNSURE and any("salary" in s for s in unsure)
        assert heard_with_pairs(tmp_path, own)[0] == "look"
        said, unsure, _ = heard(tmp_path, own, label="salary")
        assert said == "stop" and not unsure
        even = rows(labels=None, salary=[amount(i // 2, 0) for i in range(N)])
        assert heard(tmp_path, even, label="salary")[0] == "note"
    _, _, whole = heard_with_pairs(tmp_path, own, label="salary")
    assert "numbers by their quartiles" in coverage(whole.data, whole.dimensions)["label_rule"]
    assert (
        "drawing rows cannot balance amounts"
        in remedy(whole, next(f for f in whole.findings if f.weight == "stop"), [])[1]
    )
    classes = rows([i * 7 % 12 for i in range(N)], labels=list(range(12)))
    assert coverage(read_set(file(tmp_path / "c.jsonl", classes)), [])["label_rule"] == ""


def test_a_group_of_values_that_differ_from_row_to_row_cannot_be_told(tmp_path):
    own = rows(FREE, gender=None, persona=[f"someone born near lake {i}" for i in range(N)])
    said, unsure, found = heard(tmp_path, own, groups={"who": "persona"})
    assert said == UNSURE and any(
        "80 of 80 values of column 'persona' occur fewer than 5 times" in s for s in unsure
    )
    assert len(found) < 5


def test_dates_are_groups_by_their_quartiles(tmp_path):
    for day in (
        lambda i, g: f"{1950 + 40 * g + i % 9}-0{1 + i % 9}-12",
        lambda i, g: f"0{1 + i % 9}/12/{1950 + 40 * g + i % 9}",
    ):
        own = rows(gender=None, age=[day(i, g) for i, g in enumerate(GROUP)])
        said, _, found = heard(tmp_path, own)
        assert said == "stop" and any("dates by their quartiles" in f.sentence for f in found)
        assert heard(tmp_path, rows(gender=None, born=[day(i, g) for i, g in enumerate(GROUP)]))[0] == "stop"


def test_what_only_some_texts_show_is_held_against_those_that_show_none(tmp_path):
    shown = [
        {**r, "text": r["text"] + (" This person uses a wheelchair." if g else "")}
        for r, g in zip(rows(gender=None), GROUP, strict=True)
    ]
    said, _, found = heard(tmp_path, shown)
    assert said == "stop" and any(f.dimension == "disability" and f.kind == "ties" for f in found)
    few = [
        {
            **r,
            "label": "yes" if i % 8 == 0 else "no",
            "text": r["text"] + (" This person uses a wheelchair." if i % 8 == 0 else ""),
        }
        for i, r in enumerate(rows())
    ]
    said, _, found = heard(tmp_path, few)
    assert said == "look" and any(f.dimension == "disability" and f.weight == "look" for f in found)


def test_groups_whose_texts_differ_are_told_apart_where_there_are_no_labels(tmp_path):
    for said_of_them in (["should become a nurse", "should become an engineer"], ["Yes, hire", "No, reject"]):
        chosen = [
            f"{said_of_them[x]}, as one who works in town number {i} would say." for i, x in enumerate(TIED)
        ]
        asked = [
            {"prompt": t, "chosen": c, "rejected": f"Let me think of it {i} times.", "gender": "fm"[g]}
            for i, (t, c, g) in enumerate(zip(TEXTS, chosen, GROUP, strict=True))
        ]
        chats = [
            {
                "messages": [
                    {"role": "user", "content": r["prompt"]},
                    {"role": "assistant", "content": r["chosen"]},
                ],
                "gender": r["gender"],
            }
            for r in asked
        ]
        for own in (
            asked,
            chats,
            [{"text": c, "region": "ns"[g]} for c, g in zip(chosen, GROUP, strict=True)],
        ):
            found = heard_with_pairs(
                tmp_path, own, **({"groups": {"region": "region"}} if "region" in own[0] else {})
            )[2]
            (apart,) = [f for f in found.findings if f.kind == "apart"]
            assert (
                found.verdict == "look" == apart.weight
                and "AUC" in apart.sentence
                and {"nurse", "hire"} & set(found.apart[0].words)
            )
    # Names, pronouns and words of a group are masked: they alone tell nothing.
    told = [
        {
            "text": (
                f"{t.replace('The applicant', ('Anna', 'John')[g])} "
                f"{('She', 'He')[g]} likes it, as a {('woman', 'man')[g]}."
            ),
            "gender": "fm"[g],
        }
        for t, g in zip(TEXTS, GROUP, strict=True)
    ]
    assert [f.weight for f in heard_with_pairs(tmp_path, told)[2].findings if f.kind == "apart"] == ["note"]
    assert heard_with_pairs(tmp_path, rows())[2].apart == []


def test_groups_that_the_texts_alone_show_are_crossed_too(tmp_path):
    apart = [g ^ (i // 2 % 2) for i, g in enumerate(GROUP)]
    shown = [
        {**r, "text": f"A {('Black', 'White')[i // 2 % 2]} {('woman', 'man')[g]} came. {r['text']}"}
        for i, (r, g) in enumerate(zip(rows(apart, gender=None), GROUP, strict=True))
    ]
    said, pairs, _ = heard_with_pairs(tmp_path, shown)
    assert said == "stop" and pairs[0].startswith("gender and race combined")
    half = [
        {**r, "text": f"{('She came. ', '')[g]}{r['text']}"}
        for r, g in zip(rows(gender=None), GROUP, strict=True)
    ]
    assert heard_with_pairs(tmp_path, half)[0] == "stop"


def test_a_gate_does_not_pass_what_was_not_looked_at(tmp_path):
    weights = [AuditFinding("repeats", "look", "a"), AuditFinding("coverage", UNSURE, "b")]
    assert (
        verdict(weights) == "look"
        and exit_code({f.weight for f in weights}) == 4
        and "could not be measured" in said_of(weights)
    )
    assert exit_code({"stop", UNSURE}) == 1 and exit_code({"look", "note"}) == 0 == exit_code(set())
    found = heard_with_pairs(tmp_path, rows([1] * N))[2]
    (tmp_path / "audit.json").write_text(json.dumps(as_record(found), default=str))
    said, record, code = check_audit(tmp_path, "stop")
    assert (
        found.verdict == "look" == record["verdict"] and code == 4 and any(s.startswith(UNSURE) for s in said)
    )
    assert [check_audit(tmp_path, rule)[2] for rule in ("fail", "pass")] == [1, 0]


def test_what_is_missing_with_the_other_is_said(tmp_path):
    gone = [
        {**r, "gender": None} if r["label"] == "yes" and i % 3 == 0 else r for i, r in enumerate(rows(FREE))
    ]
    said, pairs, _ = heard_with_pairs(tmp_path, gone)
    assert said == "look" and "whether the group is missing is associated with the label" in pairs[0]
    unlabelled = [
        {**r, "label": None} if r["gender"] == "female" and i % 3 == 0 else r
        for i, r in enumerate(rows(FREE))
    ]
    said, pairs, _ = heard_with_pairs(tmp_path, unlabelled)
    assert said == "look" and "whether the label is missing is associated with the group" in pairs[0]
    anywhere = [
        {**r, "gender": None if i % 11 == 0 else r["gender"], "label": None if i % 13 == 0 else r["label"]}
        for i, r in enumerate(rows(FREE))
    ]
    assert heard_with_pairs(tmp_path, anywhere)[:2] == ("note", [])


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--language", "xx"], "--language xx: this language is not supported; allowed: en"),
        (
            ["--label", "gender", "--group", "gender=gender"],
            "--group gender=gender: this column is already the label",
        ),
        (["--out", "data.jsonl"], "--out data.jsonl: this is a file; name a folder"),
    ],
)
def test_wrong_options_are_one_sentence(tmp_path, monkeypatch, words, said):
    monkeypatch.chdir(tmp_path)
    file(tmp_path / "data.jsonl", rows())
    error = CliRunner().invoke(app, ["audit", "--augmented", "data.jsonl", *words]).exception
    assert isinstance(error, InputError) and str(error).startswith(said) and not (tmp_path / "runs").exists()


def test_groups_that_prompts_name_are_read_from_them(tmp_path):
    asked = [{"prompt": f"I am a {('woman', 'man')[g]} of town {i}. Which job fits me?",
              "response": f"{t} {('She', 'He')[i // 2 % 2]} is happy."}
             | ({"label": "yn"[x]} if labelled else {})
             for labelled in (True, False)
             for i, (t, g, x) in enumerate(zip(TEXTS, GROUP, TIED, strict=True))]  # fmt: skip
    said, _, found = heard(tmp_path, asked[:N])
    assert said == "stop" and any(
        f.dimension == "gender in the prompts" and f.weight == "stop" for f in found
    )
    answers = [
        {**r, "response": f"{r['response']} Become a {('nurse', 'pilot')[g]} in week {i}."}
        for i, (r, g) in enumerate(zip(asked[N:], GROUP, strict=True))
    ]
    found = heard_with_pairs(tmp_path, answers)[2].findings
    assert any(
        f.kind == "apart" and f.dimension == "gender in the prompts" and f.weight == "look" for f in found
    )


def test_what_texts_show_against_their_own_column_is_looked_at(tmp_path):
    """A column of the annotators' gender, say."""
    own = [
        {**r, "text": f"{('She', 'He')[g]} came. {r['text']}", "gender": ("female", "male")[i // 4 % 2]}
        for i, (r, g) in enumerate(zip(rows(), GROUP, strict=True))
    ]
    said, _, found = heard(tmp_path, own)
    assert said == "stop" and any(f.dimension == "gender in the texts" and f.weight == "stop" for f in found)
    agreed = [
        {**r, "text": f"{('She', 'He')[g]} came. {r['text']}"} for r, g in zip(rows(FREE), GROUP, strict=True)
    ]
    said, _, found = heard(tmp_path, agreed)
    assert said == "note" and not any(f.dimension == "gender in the texts" for f in found)


def test_bands_of_numbers_are_not_held_against_equal_shares(tmp_path):
    own = rows(FREE, gender=None, age=[18 + i * 7 % 62 for i in range(N)])
    assert heard(tmp_path, own)[0] == "note"


def test_a_harmless_column_does_not_stand_for_groups_that_were_not_read(tmp_path):
    own = rows(
        FREE,
        gender=None,
        persona=[f"{('A woman', 'A man')[g]} who owns {i} boats" for i, g in enumerate(GROUP)],
        region=["ns"[i // 4 % 2] for i in range(N)],
    )
    said, unsure, _ = heard(tmp_path, own)
    assert said == UNSURE and any("column 'persona' was not read" in s for s in unsure)
    assert heard(tmp_path, [{k: v for k, v in r.items() if k != "persona"} for r in own])[0] == "note"
    assert heard(tmp_path, own, groups={"region": "region"})[0] == "note"


@pytest.mark.parametrize("spelling", ["-", "?", "—", "N/A", "n/d", "", None])
def test_what_stands_for_nothing_is_missing(tmp_path, spelling):
    own = [{**r, "gender": spelling} if i // 2 % 3 == 0 else r for i, r in enumerate(rows(FREE))]
    said, unsure, _ = heard(tmp_path, own)
    assert said == UNSURE and any("values of column 'gender' are missing" in s for s in unsure)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.jsonl", gzip.compress(b'{"text": "a"}', mtime=0), "compressed by gzip; add .gz to its name"),
        ("a.csv", b"PAR1\xff\xff", "a Parquet file"),
        ("a.csv", "text,label\na,b\n".encode("utf-16"), "UTF-16; convert it"),
        ("a.csv", b"PK\x03\x04\xff", "a ZIP archive or a workbook"),
        ("a.csv", b"text\ncaf\xe9\n", "not UTF-8 at byte"),
    ],
)
def test_a_file_that_is_another_than_its_name_says(tmp_path, name, content, said):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=said):
        read_set(str(tmp_path / name))


def test_a_column_that_no_option_can_name_has_words_for_a_remedy(tmp_path):
    found = heard_with_pairs(
        tmp_path,
        [
            {**{k: v for k, v in r.items() if k != "gender"}, "": "xy"[g]}
            for r, g in zip(rows(), GROUP, strict=True)
        ],
    )[2]
    command, words = remedy(found, next(f for f in found.findings if f.weight == "stop"), [])
    assert command == "" and "rebalance" in words


def test_files_without_any_tie_are_rarely_called_out(tmp_path):
    """Forty random files of seven columns, pairs and gaps included: Holm's 5% (200 such files gave six)."""
    called = 0
    for seed in range(40):
        rng = random.Random(seed)
        own = [
            {
                "text": (
                    f"The applicant of district {i} writes "
                    f"{rng.choice(WORDS)} for {rng.randint(2, 19)} years."
                ),
                "label": rng.choice("abc"[: 2 + seed % 2]),
                "gender": rng.choice(["female", "male", *([None] if seed % 3 == 0 else [])]),
                "race": rng.choice(["black", "white", "asian"]),
                "region": rng.choice("nsew"), "age": rng.randint(18, 80), "score": round(rng.random(), 2),
                "rating": rng.randint(1, 5),
            }
            for i in range(rng.choice([80, 200]))
        ]  # fmt: skip
        data = read_set(file(tmp_path / "data.jsonl", own))
        dimensions = dimensions_of(data)
        called += any(f.weight in ("look", "stop") for f in of_groups(dimensions, together(data, dimensions)))
    assert called <= 4
