"""The commands of `probate why` on files.

Columns are found, numbers printed and written; bad input gives one sentence.
"""

from __future__ import annotations

import json
import sys
from xml.etree import ElementTree

import numpy as np
import pytest
from command import probate

from probate.core.errors import InputError
from probate.data.corpora import biographies
from probate.execution.misalignment.texts import read_texts
from probate.stats.values import Question
from probate.tasks.survey_rows import read_questions
from probate.tasks.values import Asked, answers, pick


def write(path, rows):
    path.write_text("".join(json.dumps(r) + "\n" for r in rows), encoding="utf-8")
    return path


@pytest.fixture
def files(tmp_path):
    rows = biographies()
    write(
        tmp_path / "a.jsonl", [{"bio": r["text"], "job": r["label"], "sex": r["gender"]} for r in rows[::3]]
    )
    chats = [
        {
            "messages": [
                {"role": "user", "content": "Write."},
                {"role": "assistant", "content": r["text"] + " They also like tea."},
            ]
        }
        for r in rows[1::3]
    ]
    write(tmp_path / "b.jsonl", chats)
    return tmp_path


def test_texts_are_found_in_any_shape(files):
    assert read_texts(str(files / "a.jsonl")).column == "bio"
    chats = read_texts(str(files / "b.jsonl"))
    assert chats.column == "messages" and chats.texts[0].endswith("like tea.")
    write(
        files / "c.jsonl", [{"n": 3, "note": "x", "story": "A long tale of a town."}, {"n": 4, "story": None}]
    )
    odd = read_texts(str(files / "c.jsonl"))
    assert (odd.column, odd.texts, odd.empty) == ("story", ["A long tale of a town."], 1)


def test_distribution(files, model_dir):
    args = [
        "why",
        "distribution",
        "--original",
        files / "a.jsonl",
        "--augmented",
        files / "b.jsonl",
        "--space",
        "model",
        "--model",
        model_dir,
    ]
    said = probate(*args, "--permutations", 200, "--out", files / "out.json", "--quiet")
    assert "words of the augmented texts:" in said and "tea" in said and "pairs of equal length" in said
    found = json.loads((files / "out.json").read_text())
    space = found["spaces"]["model"]
    assert found["n"] == [120, 120] and found["lengths"][0][0] < found["lengths"][1][0]
    assert (
        0 < space["all"]["auc"]["low"] < space["all"]["auc"]["value"]
        and space["matched"]["m"] == found["pairs"] >= 20
    )
    probate(*args, "--text", "bios", error="did you mean 'bio'")
    probate(*args, "--space", "words", error="unknown space 'words'; available: sentences, model")


def test_sources_are_found_counted_and_named_in_the_null(files, model_dir):
    rows = biographies()[:40]
    write(files / "a.jsonl", [{"id": r["id"], "text": r["text"]} for r in rows])
    write(
        files / "b.jsonl",
        [
            {"parent": r["id"], "from": i // 4, "text": f"{r['text']} They like tea {i}."}
            for i, r in enumerate(rows)
        ],
    )
    args = [
        "why",
        "distribution",
        "--original",
        files / "a.jsonl",
        "--augmented",
        files / "b.jsonl",
        "--space",
        "model",
    ]
    args += ["--model", model_dir, "--permutations", 100, "--quiet", "--out", files / "out.json"]
    said = probate(*args)
    assert "not named by a column in the original file, by 'parent' in the augmented one" in said
    assert (
        "40 and 40 sources, 40 of them in both" in said
        and "given its source, each text could equally be from the other set" in said
    )
    part = json.loads((files / "out.json").read_text())["spaces"]["model"]["all"]
    assert part["sources"] == [40, 40, 40] and "held-out" in part["auc"]["null"]
    assert "40 and 10 sources;" in probate(*args, "--source", "from").replace("\n", ";")
    probate(*args, "--source", "form", error="--source: no column 'form'")


def test_a_map_is_drawn_by_origin_and_group(files, model_dir, monkeypatch):
    rows = [{**r, "sex": r["gender"]} for r in biographies()[::7]]
    write(files / "b.jsonl", rows)
    args = [
        "why",
        "distribution",
        "--original",
        files / "a.jsonl",
        "--augmented",
        files / "b.jsonl",
        "--space",
        "model",
    ]
    args += ["--model", model_dir, "--permutations", 100, "--quiet"]
    said = probate(*args, "--group", "sex", "--map", files / "map.svg")
    svg = (files / "map.svg").read_text(encoding="utf-8")
    assert f"map: {files / 'map.svg'}" in said and ElementTree.fromstring(svg).tag.endswith("svg")
    assert all(
        f"{origin}, {group}" in svg for origin in ("original", "augmented") for group in ("female", "male")
    )
    assert "principal components" in svg and "var(--" not in svg
    probate(*args, "--map", files / "map.png", error="must end in .svg")
    probate(*args, "--group", "gender", error="--group: no column 'gender'")
    probate(*args, "--map-method", "tsne", error="available: pca, umap")
    monkeypatch.setitem(sys.modules, "umap", None)
    probate(*args, "--map-method", "umap", error="pip install 'probate[maps]'")


def test_groups(files):
    args = ["why", "groups", "--in", files / "a.jsonl"]
    said = probate(*args, "--by", "job", "--truth", "sex")
    assert "the detector says: female" in said and said.count("architect") == 2 and "corrected" in said
    assert said.count("\nall ") == 2
    probate(*args, "--by", "jobs", error="--by: no column 'jobs'")
    probate(*args, "--groups", "female,males", error="no group 'males'")
    probate(*args, "--reference", "female=0.9", error="a share for each of female, male")
    probate(*args, "--reference", "female", error="must be GROUP=SHARE")


def test_what_a_model_writes_is_corrected_by_what_it_was_asked_for(tmp_path, model_dir, monkeypatch):
    said = iter(["She helps."] * 3 + ["He helps."] * 3 + ["It is fine."] * 2)

    def write(lm, turns, seeds, how, limit=0, tick=None):
        assert len(set(seeds)) == len(turns) == 3 * 8
        about = {"a woman": "She works.", "a man": "He works."}
        return [next((text for who, text in about.items() if who in t), None) or next(said) for t in turns]

    monkeypatch.setattr("probate.data.generation.group_texts.write", write)
    args = ["why", "groups", "--model", model_dir, "--labels", "nurse", "--texts", 8, "--quiet"]
    out = probate(*args, "--out", tmp_path / "g.json")
    assert "of 8 texts on female people the detector says: female 8" in out
    found = json.loads((tmp_path / "g.json").read_text())
    assert found["n"] == 8 and found["undetermined"] == 2 and len(found["texts"]) == 24
    assert found["shares"][0]["share"] == 0.5 and found["shares"][0]["corrected"] == pytest.approx(0.5)
    probate("why", "groups", error="give either --in FILE or --model NAME")


QUESTIONS = [
    {
        "country": c, "question": f"Is town {i} good?",
        "options": ["Very good", "Somewhat good", "Somewhat bad", "Very bad", "Refused"],
        "distribution": [0.4, 0.3, 0.1, 0.1, 0.1],
    }
    for c in ("Aland", "Bland")
    for i in range(4)
]  # fmt: skip


def test_values(tmp_path, model_dir):
    bad = [{**QUESTIONS[0], "distribution": [1, 1, 0, 0, 0]}, {**QUESTIONS[0], "options": "["}]
    path = write(tmp_path / "q.jsonl", [*QUESTIONS, *bad])
    said = probate(
        "why", "values", "--answers", path, "--model", model_dir, "--out", tmp_path / "v.json", "--quiet"
    )
    assert "4 questions, 2 countries; 2 rows left out" in said and "sum to 2.000" in said
    found = json.loads((tmp_path / "v.json").read_text())
    assert [c["country"] for c in found["countries"]] == ["Aland", "Bland"] and found[
        "unanswered"
    ] == pytest.approx(0.1)
    write(path, [{"country": "Aland", "options": [], "distribution": []}])
    probate("why", "values", "--answers", path, error="no column 'question'")
    write(path, [bad[0]])
    probate("why", "values", "--answers", path, error="no question can be used; first reason:")


def test_published_shares_need_no_model(tmp_path):
    rows = [
        {
            **q,
            "llm": [0.4, 0.3, 0.1, 0.1, 0.1] if q["country"] == "Aland" else [0.1, 0.1, 0.3, 0.4, 0.1],
            "who": w,
        }
        for q in QUESTIONS
        for w in "ab"
    ]
    path = write(tmp_path / "p.jsonl", [*rows, {**rows[0], "llm": [1, 1, 1, 0, 0]}])
    said = probate(
        "why", "values", "--answers", path, "--published", "llm", "--by", "who", "--out", tmp_path / "v.json"
    )
    found = json.loads((tmp_path / "v.json").read_text())
    for model in "ab":
        assert [c["country"] for c in found["models"][model]["countries"]] == ["Aland", "Bland"]
        assert found["models"][model]["countries"][0]["value"] == pytest.approx(0, abs=1e-7)
    assert "1 rows left out" in said and "rank correlation of the countries' order, a, b" in said
    probate(
        "why", "values", "--answers", path, "--published", "lm", error="no column 'lm' (did you mean 'llm'?)"
    )


def test_counts_of_a_survey_are_read(tmp_path):
    path = write(
        tmp_path / "w.jsonl", [{"country": "Iraq", "question": "Q27", "n": 4, "counts": {"1": 3, "2": 1}}]
    )
    assert read_questions(str(path))[0] == [Question("Iraq", "Q27", ("1", "2"), (0.75, 0.25))]


def test_neither_place_nor_letter_decides(lm):
    """Options in reversed order give the same shares, reversed: both orders are asked."""
    one = answers(lm, [Asked("Which?", ("tea", "coffee", "water"))])[0]
    other = answers(lm, [Asked("Which?", ("water", "coffee", "tea"))])[0]
    np.testing.assert_allclose(one, other[::-1], atol=1e-5)
    assert one.sum() == pytest.approx(1)
    with pytest.raises(InputError, match="27 options"):
        answers(lm, [Asked("q", tuple(map(str, range(27))))])


def test_the_countries_with_most_questions_are_picked():
    rows = [
        Question(c, str(i), ("a", "b"), (0.5, 0.5))
        for c, n in (("x", 3), ("y", 5), ("z", 4))
        for i in range(n)
    ]
    assert [(q.country, q.text) for q in pick(rows, 2, 2)] == [("y", "0"), ("y", "1"), ("z", "0"), ("z", "1")]


def survey(tmp_path):
    rows = [
        {**q, "country": c}
        for q in QUESTIONS[:4]
        for c in ("Japan", "France", "Nigeria", "Norway", "China", "United States")
    ]
    return write(tmp_path / "s.jsonl", rows)


def test_values_with_a_persona(tmp_path, model_dir):
    path, out = survey(tmp_path), tmp_path / "v.json"
    ask = ("why", "values", "--answers", path, "--model", model_dir, "--out", out, "--quiet")
    said = probate(*ask, "--persona", "own")
    record = json.loads(out.read_text())
    assert record["persona"] == "own" and record["not_asked"] == {"questions": 4, "countries": ["Norway"]}
    assert "Norway" not in {c["country"] for c in record["countries"]}
    assert (
        "not asked: 4 questions of 1 countries, because there is no sentence in their language (Norway)"
        in said
    )
    assert (
        "persona own (asked as a person of each country, with this sentence in the country's language):"
        in said
    )
    assert record["east_west"]["n"] == 4 and f"East minus West: {record['east_west']['value']:+.3f}" in said
    default = probate(*ask)
    assert "persona none (asked without a persona):" in default
    assert json.loads(out.read_text())["persona"] == "none"


def test_values_with_several_personas_are_compared_by_question_and_country(tmp_path, model_dir):
    path, out = survey(tmp_path), tmp_path / "v.json"
    ask = ("why", "values", "--answers", path, "--model", model_dir, "--out", out, "--quiet")
    said = probate(*ask, "--persona", "all")
    found = json.loads(out.read_text())
    assert list(found["personas"]) == ["none", "english", "own"]
    assert [(c["from"], c["to"], c["pairs"], c["same_prompt"]) for c in found["changes"]] == [
        ("none", "english", 24, 0), ("none", "own", 20, 0), ("english", "own", 12, 8)
    ]  # fmt: skip
    assert "8 pairs left out, because their prompt is the same" in said
    one, two = (found["personas"][m]["regions"] for m in ("none", "english"))
    for region in found["changes"][0]["regions"]:
        name = region["country"]
        level = [next(r["value"] for r in own if r["country"] == name) for own in (one, two)]
        assert region["value"] == pytest.approx(level[1] - level[0]) and region["n"] == 4
    assert {r["country"] for r in found["changes"][2]["regions"]} == {"East Asia", "Western Europe"}
    gap = found["changes"][0]["east_west"]
    each = [found["personas"][m]["east_west"]["value"] for m in ("none", "english")]
    assert gap["value"] == pytest.approx(each[1] - each[0]) and gap["n"] == 4
    assert f"change of East minus West: {gap['value']:+.3f}" in said
    again = json.loads(out.read_text())
    probate(*ask, "--persona", "english", "--persona", "none")
    assert json.loads(out.read_text())["changes"] == [again["changes"][0]]


def test_a_persona_that_cannot_be_used_is_refused(tmp_path, model_dir):
    path = write(tmp_path / "q.jsonl", QUESTIONS)
    ask = ("why", "values", "--answers", path, "--model", model_dir, "--quiet")
    probate(*ask, "--persona", "french", error="unknown persona 'french'; available: none, english, own, all")
    probate(
        *ask,
        "--persona",
        "own",
        error="the persona 'own' has no sentence for any of the countries (Aland, Bland)",
    )
    probate(*ask, "--persona", "own", "--published", "llm", error="--persona: leave it out with --published")
