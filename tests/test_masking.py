"""Masking like a careful editor: names in any spelling, words that are names by context, agreement, and what must stay."""

from __future__ import annotations

import random
import time
import unicodedata

import pytest

from probate.bias.packs import load_pack, pack_names
from probate.generate.filters import shown_group
from probate.mitigate.base import MitigationContext, mitigate
from probate.mitigate.swap import swap
from probate.mitigate.mask import undo
from probate.records import Record
from probate.registry import load_mitigation

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
        ("Anne-Marie and Hans-Peter work with Marie-Louise.", "The person and the person work with the person."),
        ("José works. Andréa and Hélena wrote.", "The person works. The person and the person wrote."),
        ("Anna\u200b Miller and s\u200bhe laughed.", "The person and they laughed."),
        ("The network was trained with the Adam optimizer.", "The network was trained with the Adam optimizer."),
        ("A Christian charity opened.", "A Christian charity opened."),
        ("Grace periods end in June. By the grace of the court, Grace left.", "Grace periods end in June. By the grace of the court, the person left."),
        ("May I ask? In May we met May Lee.", "May I ask? In May we met the person."),
        ("I met Will at noon. Will said so.", "I met the person at noon. The person said so."),
        ("Is she a doctor? Does he work here? When does he leave?", "Are they a doctor? Do they work here? When do they leave?"),
        ("Can she swim? She paints, doesn't she?", "Can they swim? They paint, don't they?"),
        ("They saw her leave. Her leave was approved.", "They saw them leave. Their leave was approved."),
        ("It made her happy. Give her two books.", "It made them happy. Give them two books."),
        ("Ask him/her about his/her plan; s/he agrees.", "Ask them about their plan; they agree."),
        ("An actress and an aunt met a widow.", "An actor and a relative met a widowed person."),
        ("We met the Anna of old.", "We met the person of old."),
        ("Mr. and Mrs. Smith met Ms. Jones.", "Smith met Jones."),
        ("Her mother tongue and the Virgin Mary.", "Their mother tongue and the Virgin Mary."),
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
        ("A white coat, a black box, old data, a blind review and poor weather.", None),
    ],
)
def test_every_dimension_without_harm_to_ordinary_words(text, expected):
    assert EVERY(text)[0] == (text if expected is None else expected)


@pytest.mark.parametrize(
    ("language", "text", "expected"),
    [
        ("pt", "O livro é dele; o pai dela mora com ela.", "O livro é dessa pessoa; a família dessa pessoa mora com essa pessoa."),
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
    pieces = ["Anna", "ANNA", "José", "an Arab nurse", "she", "Is she", "her", "he or she", "e\u0301", "\u0301", "\u200b", "😀", "ﬁ", "한국", "Will",
              "the", "A", "ela", "o pai", "del padre", "él", "他们", "其他", "هو", "وهو", "أم", "anna@x.org", "Dr. ", "Mr.", "-", "'s", ".", "\n", "İ"]  # fmt: skip
    call = masker("gender", "culture", language=language, mode=mode)
    for _ in range(300):
        text = rng.choice(["", " "]).join(rng.choices(pieces, k=rng.randint(1, 14)))
        found, changes = call(text)
        assert undo(found, changes) == text


def test_swapping_twice_with_word_names_and_questions():
    for text in ["Grace periods end. Is she late? Grace said her leave was hers.", "They saw her leave, and he met Helen."]:
        assert swap(swap(text, GENDER), GENDER) == text
    assert swap("They saw her leave.", GENDER) == "They saw him leave."
    assert "Grace periods" in swap("Grace periods end; she left.", GENDER)


def test_the_detector_takes_no_word_for_a_woman():
    assert shown_group("Grace periods end in June.", GENDER) is None
    assert shown_group("Grace said so.", GENDER) == "female"


def test_time_grows_with_the_length_and_not_with_its_square():
    def seconds(times):
        text = "".join(f"Paul Moss met her at gate {i}. " for i in range(250 * times))
        start = time.process_time()
        ENGLISH(text)
        return time.process_time() - start

    seconds(1)
    assert min(seconds(8) for _ in range(2)) < 24 * min(seconds(1) for _ in range(3))


def test_a_label_protects_its_own_record_only():
    rows = [Record("1", "She is a waitress.", "waitress", {}, "augmented"), Record("2", "She is a waitress.", "cook", {}, "augmented")]
    where = MitigationContext("gender", [], [], (GENDER,), "en")
    assert [r.text for r in mitigate(rows, [load_mitigation("mask")], where).records] == ["They are a waitress.", "They are a server."]
