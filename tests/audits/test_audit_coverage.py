"""Of how much a verdict speaks: what was given and not used is said; then it is *cannot tell*."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from probate.audits.coverage import coverage, not_measured
from probate.audits.groups import dimensions_of
from probate.audits.read import read_set
from probate.audits.verdict import AuditFinding, of_groups, verdict
from probate.commands.app import app
from probate.data.corpora import biographies, opinions
from probate.data.shape import Given
from probate.data.shape.language import language_of, language_of_text


def write(path, rows):
    path.write_text("".join(json.dumps(r, ensure_ascii=False) + "\n" for r in rows), encoding="utf-8")
    return path


def people(n=60, **columns):
    return [
        {"text": r["text"], **{c: make(i, r) for c, make in columns.items()}}
        for i, r in enumerate(biographies()[:n])
    ]


def label(i, r):
    return "ab"[i // 2 % 2]


def group(i, r):
    return r["gender"]


def looked(tmp_path, rows, given=None):
    """(verdict, sentences, the set) by the findings of groups and what was not measured."""
    data = read_set(str(write(tmp_path / "a.jsonl", rows)), given)
    dimensions = dimensions_of(data)
    reasons = list(not_measured(data, None, dimensions, {}))
    found = [*of_groups(dimensions), *(AuditFinding("coverage", "cannot tell", r) for r in reasons)]
    return verdict(found), " | ".join(reasons), data


def test_a_file_that_says_all_has_no_sign(tmp_path):
    own, reasons, _ = looked(tmp_path, people(label=label, gender=group))
    assert (own, reasons) == ("note", "")


GERMAN = [
    {
        "text": (
            f"Man sieht im Dorf Nummer {i}, dass die Ärztin Anna seit {1900 + i} im Krankenhaus arbeitet."
        ),
        "label": "ab"[i % 2],
    }
    for i in range(60)
]
CANNOT = {
    "another language": (GERMAN, None, "language: it is not supported"),
    "another language by name": (GERMAN, Given(language="de"), "language: it is not supported"),
    "two languages": (
        people(label=label, gender=group) + GERMAN[:25], None, "% of the texts are not in 'en' (de)",
    ),
    "Spanish without groups": (
        [{"text": r["text"], "label": r["label"]} for r in opinions("es")[:60]], None,
        "groups: the file gives none",
    ),
    "labels missing": (
        people(gender=group, label=lambda i, r: label(i, r) if i % 3 else None), None,
        "label: 20 of 60 texts have none",
    ),
    "one label": (people(gender=group, label=lambda i, r: "a"), None, "has fewer than two labels"),
    "as many labels as texts": (
        people(gender=group, note=lambda i, r: f"l{i}"), Given(label="note"),
        "label: 60 different ones in 60 texts",
    ),
    "a label that nobody named": (
        people(gender=group, outcome_code=label), None,
        "label: no column was recognised, but one of these might be the label: outcome_code",
    ),
    "groups missing": (
        people(label=label, gender=lambda i, r: r["gender"] if i % 3 else float("nan")), None,
        "20 of 60 values of column 'gender' are missing",
    ),
    "one group": (people(label=label, gender=lambda i, r: "F"), None, "has only the group female"),
    "no groups": (
        [
            {"text": f"This is the text number {i} of the file on the sea.", "label": "ab"[i % 2]}
            for i in range(60)
        ],
        None, "groups: the file gives none",
    ),
    "too few texts": (people(n=12, label=label, gender=group), None, "texts: 12 are too few"),
    "rows without a text": (
        people(label=label, gender=group) + [{"text": "", "label": "a"}] * 30, None, "rows: 30 of 90",
    ),
    "groups read from few texts": (
        [
            {
                "text": (
                    f"The firm number {i} makes tables of wood and it sells them. "
                    f"{'She is at work.' if i < 6 else ''}"
                ),
                "label": "ab"[i % 2],
            }
            for i in range(60)
        ],
        None, "the texts show too few (gender in 10%)",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CANNOT)
def test_what_was_given_and_not_used_is_said(tmp_path, name):
    rows, given, said = CANNOT[name]
    own, reasons, _ = looked(tmp_path, rows, given)
    assert own != "note" and said in reasons, (own, reasons)


def test_a_language_that_is_not_read_gives_no_groups(tmp_path):
    data = read_set(str(write(tmp_path / "a.jsonl", GERMAN)))
    assert (
        data.shape.language == "unknown"
        and data.languages.most_common(1)[0][0] == "de"
        and dimensions_of(data) == []
    )


def test_every_column_is_looked_at_or_named_with_the_reason(tmp_path):
    rows = people(
        label=lambda i, r: "yes" if (i % 2 == 0) != (i % 7 == 0) else "no",
        label_id=lambda i, r: int((i % 2 == 0) != (i % 7 == 0)),
        region=lambda i, r: "north" if i // 2 % 2 else "south",
        number=lambda i, r: 7 * i, sha=lambda i, r: f"{i * 7919:x}", same=lambda i, r: "x",
        tags=lambda i, r: [["a"]], meta=lambda i, r: {"plan": "ab"[i // 3 % 2]},
    )  # fmt: skip
    _, _, data = looked(tmp_path, rows)
    left = " | ".join(coverage(data, [])["left_out"])
    assert {"region", "meta.plan"} <= set(data.columns) and "label_id" not in data.columns
    for said in (
        "'label_id': the label under another name",
        "'number': an id by its values",
        "'sha': 60 different values",
        "'same': one value only",
        "'tags': it contains lists",
    ):
        assert said in left, (said, left)
    own = coverage(data, [])
    assert (
        own["rows"] == own["texts"] == 60
        and own["labels"] == ["no", "yes"]
        and own["languages"] == {"en": 60}
    )


def test_a_group_that_goes_one_to_one_with_the_label_is_no_other_name_of_it(tmp_path):
    for column, values in (
        ("job_label", {"female": "F", "male": "M"}),
        ("region", {"female": "north", "male": "south"}),
        ("gender", {"female": "w", "male": "m"}),
    ):
        rows = people(
            label=lambda i, r: {"female": "nurse", "male": "surgeon"}[r["gender"]],
            **{column: lambda i, r, v=values: v[r["gender"]]},
        )
        own, _, data = looked(tmp_path, rows)
        assert own == "stop" and column in data.columns, (column, data.left)


def test_a_column_that_is_no_identity_stops_nothing(tmp_path):
    rows = people(label=label, gender=group, split=lambda i, r: "train" if i // 2 % 2 else "test")
    assert looked(tmp_path, rows)[0] == "look"
    assert looked(tmp_path, rows, Given(groups={"split": "split"}))[0] == "stop"


def test_groups_of_few_texts_are_named(tmp_path):
    rows = people(label=label, gender=lambda i, r: "agender" if i in (3, 30) else r["gender"])
    data = read_set(str(write(tmp_path / "a.jsonl", rows)))
    said = next(f.sentence for f in of_groups(dimensions_of(data)) if f.kind == "ties")
    assert "too few texts for a statement about agender (2)" in said


def test_numbers_are_tested_by_rank_in_the_same_family(tmp_path):
    rows = people(label=lambda i, r: "yes" if i % 30 < 15 else "no", income=lambda i, r: 1000 + 10 * (i % 30))
    found = of_groups(dimensions_of(read_set(str(write(tmp_path / "a.jsonl", rows)))))
    rank = next(f for f in found if "by rank" in f.sentence)
    tested = sum(f.p == f.p for f in found)
    assert rank.weight == "stop" and rank.p < rank.p_adjusted <= tested * rank.p * 1.0001


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("She works as a nurse at the hospital.", "en"),
        ("Applicant 0 has worked as a clerk for 28 years and asks for 10 thousand.", "en"),
        ("Ella trabaja en el hospital desde hace diez años.", "es"),
        ("O médico trabalha no hospital e dirige a ala.", "pt"),
        ("هي طبيبة في المستشفى وهو مهندس في المدينة", "ar"),
        ("她在医院工作了十年，是一位护士。", "zh"),
        ("Der Arzt arbeitet seit vielen Jahren im Krankenhaus und leitet die Abteilung.", "de"),
        ("La médecin travaille depuis dix ans à l'hôpital et dirige le service.", "fr"),
        ("Il medico lavora da dieci anni in ospedale e dirige il reparto.", "it"),
        ("De arts werkt al tien jaar in het ziekenhuis en leidt de afdeling.", "nl"),
        ("Lekarz pracuje w szpitalu od dziesięciu lat i kieruje oddziałem.", "pl"),
        ("Врач работает в больнице десять лет и руководит отделением.", "other"),
        ("医師は十年間病院で働いており、部門を率いています。", "other"),
        ("12 34", ""),
    ],
)
def test_languages_are_told_apart(text, language):
    assert language_of_text(text) == language
    assert language_of([text] * 3) == (language if language in ("en", "es", "pt", "ar", "zh") else "unknown")


CASES = Path(__file__).resolve().parents[3] / "shared" / "cases"


@pytest.mark.parametrize(
    ("file", "own", "said"),
    [
        ("groups-with-articles.csv", "stop", "race: association of labels and groups, Cramér's V 0.66"),
        ("region.csv", "stop", "column 'region': association of labels and groups, Cramér's V 0.73"),
        ("age-in-years.csv", "stop", "age: association of labels and groups, Cramér's V 0.52"),
        ("non-binary.jsonl", "note", "gender (given by the file): nonbinary 33.3%"),
        ("group-spellings.jsonl", "note", "female 50.0% [38.6, 61.4] of 80"),
        ("labels-float.jsonl", "stop", "Cramér's V 1.00"),
        ("labels-int.jsonl", "stop", "Cramér's V 1.00"),
        ("german.jsonl", "cannot tell", "language: it is not supported"),
        ("occupation-column.jsonl", "stop", "Cramér's V 0.60"),
        ("occupation-sex.jsonl", "stop", "Cramér's V 0.60"),
    ],
)
def test_the_collected_files(file, own, said):
    if not CASES.is_dir():
        pytest.skip("the collected files are not here (shared/cases)")
    data = read_set(str(CASES / file))
    dimensions = dimensions_of(data)
    found = [
        *of_groups(dimensions),
        *(AuditFinding("coverage", "cannot tell", r) for r in not_measured(data, None, dimensions, {})),
    ]
    assert verdict(found) == own and any(said in f.sentence for f in found), found


def test_exit_codes_of_the_gate(tmp_path, monkeypatch):
    monkeypatch.setattr("probate.audits.report.own_items", dict)
    cases = {
        "stop": (
            people(label=lambda i, r: {"female": "nurse", "male": "surgeon"}[r["gender"]], gender=group),
            1,
        ),
        "cannot tell": (GERMAN, 4),
        "note": (people(label=label, gender=group), 0),
    }
    for name, (rows, code) in cases.items():
        out, path = tmp_path / name, write(tmp_path / f"{name}.jsonl", rows)
        audit = ["audit", "--augmented", str(path), "--out", str(out), "--quiet", "--json"]
        result = CliRunner().invoke(app, [*audit, "--gate"])
        record = json.loads(result.output)
        assert (result.exit_code, record["verdict"], record["exit"]) == (code, name, code), record["findings"]
        result = CliRunner().invoke(app, ["check", str(out)])
        assert result.exit_code == code and f"verdict: {name}" in result.output
    page = (tmp_path / "cannot tell" / "audit.html").read_text(encoding="utf-8")
    assert page.index("Not measured:") < page.index("All that was examined") and "60 of 60 rows" in page
    assert (
        CliRunner().invoke(app, ["check", str(tmp_path / "cannot tell"), "--unsure", "pass"]).exit_code == 0
    )
    assert CliRunner().invoke(app, audit).exit_code == 0
