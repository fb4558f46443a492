"""The audit: what is wrong is found and weighed, what is fine is left alone.

Columns are inferred; everything is written and verified.
"""

from __future__ import annotations

import json
import random

import numpy as np
import pytest
from typer.testing import CliRunner

from probate.audits.verdict import AuditFinding, verdict
from probate.commands.app import app
from probate.core.errors import InputError
from probate.data.checks.artefacts import find_artefacts
from probate.data.checks.repeats import NEAR, Index, find_repeats, long_grams, shingles, similarity
from probate.data.corpora import biographies, opinions
from probate.data.shape import infer_shape, language_of
from probate.execution.checksums import verify


def write(path, rows):
    path.write_text("".join(json.dumps(r, ensure_ascii=False) + "\n" for r in rows), encoding="utf-8")
    return path


def probate(*args):
    return CliRunner().invoke(app, ["audit", *map(str, args), "--quiet"])


def audit(tmp_path, rows, *args):
    path = write(tmp_path / "data.jsonl", rows)
    result = probate("--augmented", path, "--out", tmp_path / "out", *args)
    assert result.exit_code == 0, (result.output, result.exception)
    return json.loads((tmp_path / "out" / "audit.json").read_text(encoding="utf-8")), result.output


def weights(record):
    """Kind → its heaviest weight."""
    order = ("note", "cannot tell", "look", "stop")
    return {
        f["kind"]: f["weight"] for f in sorted(record["findings"], key=lambda f: order.index(f["weight"]))
    }


def test_balanced_biographies_are_fine(tmp_path):
    rows = [{"bio": r["text"], "occupation": r["label"], "gender": r["gender"]} for r in biographies()]
    record, said = audit(tmp_path, rows)
    assert (
        record["shape"]["text"] == "bio"
        and record["shape"]["label"] == "occupation"
        and record["shape"]["groups"] == {"gender": "gender"}
    )
    assert record["shape"]["language"] == "en" and record["verdict"] == "note", record["findings"]
    gender = record["dimensions"][0]
    assert (
        gender["known"]
        and gender["detector"]["on"] == "this file"
        and gender["detector"]["recall"]["female"] > 0.9
    )
    assert "verdict: No sign at this n." in said
    out = tmp_path / "out"
    assert verify(out)[1] == [] and (out / "audit.html").stat().st_size > 5000
    assert len((out / "provenance.jsonl").read_text().splitlines()) == len(rows)


def test_labels_that_follow_a_stereotype_stop_it(tmp_path):
    turned = {"female": "nurse", "male": "software engineer"}
    rows = [
        {"text": r["text"], "label": turned[r["gender"]] if i % 5 else r["label"]}
        for i, r in enumerate(biographies())
    ]
    record, said = audit(tmp_path, rows)
    assert record["verdict"] == "stop" and weights(record)["ties"] == "stop"
    assert "association of labels and groups, Cramér's V" in said and "try: " in said
    original = write(tmp_path / "original.jsonl", rows)
    record, _ = audit(tmp_path, rows, "--original", original)
    assert weights(record)["ties"] == "note"  # the original has the same ties
    assert (
        weights(record)["copies"] == "look"
        and record["distribution"]["spaces"]["words"]["all"]["auc"]["value"] < 0.6
    )


def test_one_group_repeats_refusals_and_places_are_seen(tmp_path):
    texts = [r["text"] for r in biographies() if r["gender"] == "female"][:60]
    texts += (
        [texts[0]] * 5
        + ["I'm sorry, but I can't write that."] * 4
        + ["Sure! Here is the text: she lives in [Your City] and works."] * 8
    )
    record, said = audit(tmp_path, [{"text": t} for t in texts])
    kinds = [(f["kind"], f["weight"]) for f in record["findings"]]
    assert ("balance", "look") in kinds and ("repeats", "look") in kinds and ("artefacts", "look") in kinds
    assert record["artefacts"]["refusal"]["count"] == 4 and record["artefacts"]["placeholder"]["count"] == 8
    assert record["repeats"]["exact"] == 5 + 3 + 7 and "refuse or speak as a model" in said
    assert record["dimensions"][0]["detector"]["on"] == "the biographies that ship with Probate"


def test_an_evaluation_set_by_mistake(tmp_path):
    rows = [
        {
            "context": f"A and B met, {i}.",
            "question": "Who forgot?",
            "ans0": "A",
            "ans1": "B",
            "ans2": "Unknown",
            "label": i % 3,
        }
        for i in range(30)
    ]
    record, said = audit(tmp_path, rows)
    assert (
        record["verdict"] == "stop"
        and "this is an evaluation set, not training data: it has the columns of BBQ" in said
    )


def test_evaluation_items_in_the_data(tmp_path):
    rows = [{"text": r["text"]} for r in biographies()[:90]]
    held = write(
        tmp_path / "eval.jsonl", [{"text": " ".join(f"word{i}{k}" for k in range(20))} for i in range(5)]
    )
    rows[3] = {"text": "It begins. " + " ".join(f"word2{k}" for k in range(20)) + " It ends."}
    record, _ = audit(tmp_path, rows, "--items", held)
    assert record["verdict"] == "stop" and next(iter(record["leaked"].values()))["first"] == [
        f"{tmp_path / 'data.jsonl'}:4"
    ]


def test_chats_and_other_languages(tmp_path):
    rows = [
        {"messages": [{"role": "user", "content": r["text"]}, {"role": "assistant", "content": r["label"]}]}
        for r in opinions("ar")[:80]
    ]
    record, _ = audit(tmp_path, rows)
    assert record["shape"]["text"] == "messages" and record["shape"]["language"] == "ar"
    assert (
        language_of([r["text"] for r in opinions("es")[:40]]) == "es" and language_of(["1 2 3"]) == "unknown"
    )


def test_columns_are_told_apart():
    rows = [
        {
            "id": i,
            "instruction": "Write.",
            "output": f"A text of some words, number {i}.",
            "Sex": "F" if i % 2 else "M",
            "class": "ab"[i % 2],
        }
        for i in range(40)
    ]
    found = infer_shape(rows)
    assert (found.text, found.prompt, found.label, found.id, found.groups) == (
        "output",
        "instruction",
        "class",
        "id",
        {"gender": "Sex"},
    )
    found = infer_shape([{"n": 1, "story": "a long story of a town", "note": "x"}])
    assert (found.text, found.label) == ("story", None)
    with pytest.raises(InputError, match="no column that looks like a text"):
        infer_shape([{"n": 1, "m": 2}])


def test_repeats_by_similarity():
    rng = random.Random(0)
    texts = [" ".join(rng.choices([f"w{i}" for i in range(500)], k=60)) for _ in range(300)]
    near = texts[7].split()
    near[30] = "other"
    found = find_repeats([*texts, texts[5].upper(), " ".join(near)])
    assert found.exact == {300: 5} and found.near == {301: 7}
    assert similarity(texts[7], " ".join(near)) > 0.8 and similarity(texts[1], texts[2]) < 0.1


def test_nearly_all_near_repeats_are_found_and_no_others():
    """Against a comparison of all pairs."""
    rng = random.Random(0)
    vocabulary = [f"w{i}" for i in range(3000)]
    texts = [rng.choices(vocabulary, k=rng.randint(20, 80)) for _ in range(400)]
    for original in texts[:200]:
        changed = list(original)
        for _ in range(rng.randint(1, max(1, len(changed) // 15))):
            changed[rng.randrange(len(changed))] = rng.choice(vocabulary)
        texts.append(changed)
    texts = [" ".join(own) for own in texts]
    grams = [set(shingles(text).tolist()) for text in texts]
    alike = {
        (i, j)
        for i in range(len(texts))
        for j in range(i)
        if (shared := len(grams[i] & grams[j])) and shared / len(grams[i] | grams[j]) >= NEAR
    }
    found = find_repeats(texts)
    assert not found.exact and set(found.near.items()) <= alike and len(alike) > 80
    assert len(found.near) >= 0.9 * len({i for i, _ in alike})


def test_what_all_items_share_is_no_leak():
    template = "Read the following text with care and then answer with exactly one word of these two: "
    index = Index(
        [
            template + f"item number {i} has its own words {i} {i + 1} {i + 2} and so on to the end {i}"
            for i in range(10)
        ]
    )
    assert not index.holds(
        long_grams(
            template + "something else entirely that is in no item at all, as far as anybody knows here"
        )
    )
    assert index.holds(long_grams("x " + "item number 3 has its own words 3 4 5 and so on to the end 3"))
    assert not index.holds(long_grams("short"))


def test_artefacts_need_more_than_a_word():
    clean = [
        "She is sure of her work.",
        "Certain things matter to him.",
        "He said [sic] nothing.",
        "Here she worked for years.",
    ]
    found = find_artefacts(clean)
    assert not any(found[k] for k in ("refusal", "placeholder", "preamble", "closing", "cut off"))


def test_the_heaviest_finding_decides():
    assert (
        verdict([]) == "note"
        and verdict([AuditFinding("a", "note", ""), AuditFinding("b", "look", "")]) == "look"
    )
    assert verdict([AuditFinding("a", "stop", ""), AuditFinding("b", "look", "")]) == "stop"


@pytest.mark.parametrize(
    ("name", "content", "args", "said"),
    [
        ("a.jsonl", "", (), "the file is empty"),
        ("a.jsonl", "[1]\n", (), "no row can be read; first"),
        ("a.csv", "a,b\n1,2\n", (), "no column that looks like a text"),
        ("a.csv", "text\nhello there\n", ("--text", "txt"), "--text: no column 'txt' (did you mean 'text'?)"),
        ("a.csv", "text\nhello there\n", ("--group", "gender"), "must be DIMENSION=COLUMN"),
        ("a.csv", "text\nhello there\n", ("--group", "gender=sex"), "--group: no column 'sex'"),
        ("a.csv", "text,n\n,1\n", (), "no text in column"),
        ("a.csv", "text\nhello there\n", ("--original", "none.jsonl"), "none.jsonl: no such file"),
        ("a.csv", "text\nhello there\n", ("--items", "none.jsonl"), "none.jsonl: no such file"),
        ("a.txt", "hello", (), "the format '.txt' is not supported"),
    ],
)
def test_bad_input_is_one_sentence_and_leaves_no_folder(tmp_path, name, content, args, said):
    (tmp_path / name).write_text(content)
    result = probate("--augmented", tmp_path / name, "--out", tmp_path / "out", *args)
    assert isinstance(result.exception, InputError) and said in str(result.exception), result.exception
    assert not (tmp_path / "out").exists()


def test_one_row_and_equal_rows_are_no_crash(tmp_path):
    record, _ = audit(tmp_path, [{"text": "She works in a town."}])
    assert record["texts"] == 1
    record, said = audit(tmp_path, [{"text": "She works in a town.", "label": "a"}] * 30)
    assert "all 30 texts are the same" in said and "all 30 labels are 'a'" in said


def test_markup_in_data_stays_text(tmp_path):
    rows = [
        {
            "text": f"She said <script>alert({i})</script> and left.",
            "label": "<b>x</b>" if i % 2 else "y|z",
            "gender": "female",
        }
        for i in range(40)
    ]
    audit(tmp_path, rows)
    page = (tmp_path / "out" / "audit.html").read_text(encoding="utf-8")
    assert "<script>alert" not in page and "<b>x</b>" not in page
    card = (tmp_path / "out" / "data-card.md").read_text(encoding="utf-8")
    assert "| y\\|z |" in card and "<b>" not in card.replace("\\<b\\>", "")


def test_texts_of_one_person_do_not_tell_a_group():
    from probate.audits.apart import _auc

    rng = np.random.default_rng(0)
    words = [
        [f"w{i}x{k}" for k in range(6)] for i in range(40)
    ]  # five texts of each person, in words that nobody else has
    texts = [" ".join(rng.permutation(own)) for own in words for _ in range(5)]
    sides = [(texts[:100], list(range(100))), (texts[100:], list(range(100, 200)))]
    (a, one), (b, other) = sides
    alone, together = _auc(a, b, (one, other)), _auc(a, b, ([i // 5 for i in one], [i // 5 for i in other]))
    assert alone.value > 0.95 and alone.p < 0.01  # as if each text were another person's
    assert abs(together.value - 0.5) < 0.15 and together.p > 0.05
