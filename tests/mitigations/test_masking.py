"""Masking like a careful editor.

Names in any spelling, words that are names by context, agreement, and what must stay.
"""

from __future__ import annotations

import itertools
import random
import re
import runpy
import sys
import unicodedata
from pathlib import Path

import pytest

from probate.core.records import Record
from probate.data.generation.filters import shown_group
from probate.data.packs import load_pack, pack_names
from probate.mitigations.base import MitigationContext, mitigate
from probate.mitigations.catalogue import load_mitigation
from probate.mitigations.mask import undo
from probate.mitigations.wording.swap import swap
from probate.mitigations.wording.words import gendered_words

GENDER = load_pack("gender")


def masker(*packs, language="en", mode="neutral"):
    where = MitigationContext("gender", [], [], tuple(map(load_pack, packs or ("gender",))), language)
    return load_mitigation("mask", {"mode": mode}).masker(where)


ENGLISH = masker()
EVERY = masker(*pack_names())


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("CAROLINE BERG, ENGINEER.", "THE PERSON, ENGINEER."),
        (
            "Anne-Marie and Hans-Peter work with Marie-Louise.",
            "The person and the person work with the person.",
        ),
        ("José works. Andréa and Hélena wrote.", "The person works. The person and the person wrote."),
        ("Anna\u200b Miller and s\u200bhe laughed.", "The person and they laughed."),
        (
            "The network was trained with the Adam optimizer.",
            "The network was trained with the Adam optimizer.",
        ),
        ("A Christian charity opened.", "A Christian charity opened."),
        (
            "Grace periods end in June. By the grace of the court, Grace left.",
            "Grace periods end in June. By the grace of the court, the person left.",
        ),
        ("May I ask? In May we met May Lee.", "May I ask? In May we met the person."),
        ("I met Will at noon. Will said so.", "I met the person at noon. The person said so."),
        (
            "Is she a doctor? Does he work here? When does he leave?",
            "Are they a doctor? Do they work here? When do they leave?",
        ),
        ("Can she swim? She paints, doesn't she?", "Can they swim? They paint, don't they?"),
        ("They saw her leave. Her leave was approved.", "They saw them leave. Their leave was approved."),
        ("It made her happy. Give her two books.", "It made them happy. Give them two books."),
        ("Ask him/her about his/her plan; s/he agrees.", "Ask them about their plan; they agree."),
        ("An actress and an aunt met a widow.", "An actor and a relative met a widowed person."),
        ("We met the Anna of old.", "We met the person of old."),
        ("Mr. and Mrs. Smith met Ms. Jones.", "Smith met Jones."),
        ("Her mother tongue and the Virgin Mary.", "Their mother tongue and the Virgin Mary."),
        (
            "Rose and Mark planted it, and O'Brien came.",
            "The person and the person planted it, and the person came.",
        ),
        (
            "I met MARK at noon. It WILL rain and you MAY leave.",
            "I met THE PERSON at noon. It WILL rain and you MAY leave.",
        ),
        ("Grace Miller came. We thanked Grace warmly.", "The person came. We thanked the person warmly."),
        ("Sir, yes sir. Sir John left, ma'am.", "[MASK], yes [MASK]. The person left, [MASK]."),
        ("Xe likes xyr job; ze does too. I saw zir.", "They like their job; they do too. I saw them."),
        ("Paul's Boutique sells man-made pearls.", "Paul's Boutique sells man-made pearls."),
        ("MARK HOLM, NURSE. MS. BERG LEFT.", "THE PERSON, NURSE. BERG LEFT."),
        (
            "Will Ian find her? Will Smith, a cook, came.",
            "Will the person find them? The person, a cook, came.",
        ),
        ("Her 50th birthday.", "Their 50th birthday."),
    ],
)  # fmt: skip
@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_a_careful_editor(text, expected, form):
    assert ENGLISH(unicodedata.normalize(form, text))[0] == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("An Arab nurse met a Muslim.", "A nurse met a person."),
        ("A Black woman and a blind teacher spoke.", "A person and a teacher spoke."),
        ("She is blind.", "They are [MASK]."),
        ("An African American surgeon met Asian-Americans.", "A surgeon met people."),
        (
            "A Christian charity opened; one Christian and a Hindu came.",
            "A Christian charity opened; one person and a person came.",
        ),
        ("A 67-year-old man, aged 67, is in his sixties.", "A person, aged [MASK], is in their [MASK]."),
        ("A 20-year-old bridge, a whisky aged 12 years and a 3-year project.", None),
        ("In the sixties the Black Sea and African elephants; snow was white.", None),
        (
            "A teenage girl met Anna Miller, 41, and a young Anna.",
            "A child met the person, [MASK], and the person.",
        ),
        (
            "The Brazilian Society of Surgeons met at the Brazilian Embassy.",
            "The Brazilian Society of Surgeons met at the [MASK] Embassy.",
        ),
        (
            "A wheelchair user and a woman of color are in their early thirties.",
            "A person and a person are in their early [MASK].",
        ),
        ("A white coat, a black box, old data, a blind review and poor weather.", None),
    ],
)
def test_every_dimension_without_harm_to_ordinary_words(text, expected):
    assert EVERY(text)[0] == (text if expected is None else expected)


@pytest.mark.parametrize(
    ("language", "text", "expected"),
    [
        (
            "pt", "O livro é dele; o pai dela mora com ela.",
            "O livro é dessa pessoa; a família dessa pessoa mora com essa pessoa.",
        ),
        ("es", "El libro del padre.", "El libro de la familia."),
        ("zh", "其他人弹吉他，他走了。", "其他人弹吉他，TA走了。"),
        ("ar", "هل هو هنا أم هناك؟", "هل الشخص هنا أم هناك؟"),
    ],
)  # fmt: skip
def test_contractions_compounds_and_lookalikes(language, text, expected):
    assert masker(language=language)(text)[0] == expected


@pytest.mark.parametrize("mode", ["neutral", "mask"])
@pytest.mark.parametrize("language", ["en", "es", "pt", "zh", "ar"])
def test_undo_gives_any_text_back(language, mode):
    rng = random.Random(7)
    pieces = ["Anna", "ANNA", "José", "an Arab nurse", "she", "Is she", "her", "he or she", "e\u0301",
              "\u0301", "\u200b", "😀", "ﬁ", "한국", "Will",
              "the", "A", "ela", "o pai", "del padre", "él", "他们", "其他", "هو", "وهو", "أم", "anna@x.org",
              "Dr. ", "Mr.", "-", "'s", ".", "\n", "İ"]  # fmt: skip
    call = masker("gender", "culture", language=language, mode=mode)
    for _ in range(300):
        text = rng.choice(["", " "]).join(rng.choices(pieces, k=rng.randint(1, 14)))
        found, changes = call(text)
        assert undo(found, changes) == text


def test_swapping_twice_with_word_names_and_questions():
    for text in [
        "Grace periods end. Is she late? Grace said her leave was hers.",
        "They saw her leave, and he met Helen.",
    ]:
        assert swap(swap(text, GENDER), GENDER) == text
    assert swap("They saw her leave.", GENDER) == "They saw him leave."
    assert "Grace periods" in swap("Grace periods end; she left.", GENDER)


FRAMES = [
    "{n} said that {s} had lost {p} keys.", "Is {s} late? {n} {f} knows, and so does {p} {k}.",
    "{N} {F}, ENGINEER.", "We met {n}. The book is {a}.",
    "Nobody saw {o}, but {n} came with {p} {k}.", "{t} {f} taught {r}, and {t} {n} too.",
    "Mail {n}: anna@x.org or www.x.org/her.", "They saw {o} yesterday.",
    "Grace periods end in May; the Adam optimizer will mark the rose for {n}.",
    "{n}-{m} and {n} {f} asked whether {s} was there.", "The {k} of {n}, and {p} {k}.",
    "{t} {f} met {t} {n} {f} at St. Mary Hospital.", "MS Word, the MR scan and a miss for {n}.",
    "Can {s} swim? {n} asked {o} about {p} work.",
]  # fmt: skip
WORDS = {
    "n": ["Anna", "Paul", "Sarah", "James", "Rose", "Will", "Grace", "Mark", "Hope"],
    "m": ["Maria", "Peter", "Jane"], "s": ["she", "he"],
    "o": ["him"], "p": ["her", "his"], "a": ["hers", "his"], "r": ["herself", "himself"],
    "k": ["mother", "brother", "wife", "nephew"],
    "t": ["Mr.", "Mrs."], "f": ["Martin", "Lee", "James", "O'Brien"],
}  # fmt: skip


def generated(rng):
    chosen = {k: rng.choice(v) for k, v in WORDS.items()}
    return rng.choice(FRAMES).format(**chosen, N=chosen["n"].upper(), F=chosen["f"].upper())


@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_swapping_twice_gives_any_text_back(form):
    rng = random.Random(3)
    for _ in range(600):
        text = unicodedata.normalize(form, " ".join(generated(rng) for _ in range(rng.randint(1, 3))))
        once = swap(text, GENDER)
        assert swap(once, GENDER) == text, once


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "ANNA MILLER left. Sarah James said she met Mary-Jane.",
            "PAUL MILLER left. {Sarah} James said he met {Mary}-{Jane}.",
        ),
        ("Will Hope said he will mark the rose.", "Rose Hope said she will mark the rose."),
        ("Rose petals fell on Rose, who left.", "Rose petals fell on Will, who left."),
        (
            "I miss the MR scan. Mail her at anna@x.org, Miss Lee.",
            "I miss the MR scan. Mail him at anna@x.org, Mr Lee.",
        ),
        (
            "Mr. Martin works at Henry Ford Hospital, St. Mary.",
            "Mrs. Martin works at Henry Ford Hospital, St. Mary.",
        ),
        ("Stephen King met Queen Anna; Mother Nature.", "{Stephen} King met King Paul; Mother Nature."),
        ("Ru\u0301th and A\u0301nna", "{Ruth} and Paul"),
    ],
)  # fmt: skip
def test_swap_as_a_careful_editor(text, expected):
    other = {n: m for pair in gendered_words("en")["counterparts"] for n, m in (pair, pair[::-1])}
    assert swap(text, GENDER) == re.sub(r"\{(\w+)\}", lambda m: other[m.group(1)], expected)


def test_a_name_without_a_counterpart_is_left_and_said():
    record = Record("a:1", "Jean-Paul said he came.", "nurse", {"gender": "male"}, "augmented")
    (found,) = mitigate(
        [record], [load_mitigation("counterfactual")], MitigationContext("gender", [], [], (GENDER,), "en")
    ).records
    assert found.text == record.text
    assert found.provenance["mitigations"][0]["skipped"] == "the name Jean-Paul has no counterpart"


def test_the_detector_takes_no_word_for_a_woman():
    assert shown_group("Grace periods end in June.", GENDER) is None
    assert shown_group("Grace said so.", GENDER) == "female"


def test_work_grows_with_the_length_and_not_with_its_square():
    def calls(times):
        text = "".join(f"Paul Moss met her at gate {i}. " for i in range(250 * times))
        count = itertools.count()
        sys.setprofile(lambda *_: next(count))
        try:
            ENGLISH(text)
        finally:
            sys.setprofile(None)
        return next(count)

    once = calls(1)
    assert once > 250 and calls(8) < 8.5 * once


def test_a_label_protects_its_own_record_only():
    rows = [
        Record("1", "She is a waitress.", "waitress", {}, "augmented"),
        Record("2", "She is a waitress.", "cook", {}, "augmented"),
    ]
    where = MitigationContext("gender", [], [], (GENDER,), "en")
    assert [r.text for r in mitigate(rows, [load_mitigation("mask")], where).records] == [
        "They are a waitress.",
        "They are a server.",
    ]


@pytest.mark.parametrize(("entities", "recall", "precision"), [(False, 0.91, 0.97), (True, 0.95, 0.85)])
def test_labelled_sentences(entities, recall, precision):
    bench = runpy.run_path(str(Path(__file__).parents[2] / "benchmarks" / "masking.py"))
    rows = list(bench["sentences"]())
    call = bench["masker"](entities)
    counts = [bench["counted"](text, labels, call) for _, text, labels in rows]
    found, right, replaced = (sum(column) for column in zip(*counts, strict=True))
    assert len(rows) >= 600
    assert found >= recall * sum(len(labels) for _, _, labels in rows)
    assert right >= precision * replaced
