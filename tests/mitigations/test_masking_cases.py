"""Masking what went wrong once, line by line, as a careful editor would write it.

Every dimension that has the language.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from probate.data.packs import load_pack, pack_names
from probate.mitigations.base import MitigationContext
from probate.mitigations.catalogue import load_mitigation

CASES = Path(__file__).resolve().parents[3] / "shared" / "cases"
EXPECTED = {
    "english": (
        "en",
        [
            "A Christian charity opened; many people and one person came.",
            "The person and the person moved; the person wrote.",
            "THE PERSON, ENGINEER. THE PERSON, NURSE.",
            "The person and the person work with the person.",
            "Can they swim? Were they there? When do they leave? How have they been?",
            "They saw them leave. We helped them move. It made them happy.",
            "The person and the person wrote.",
        ],
    ),
    "names": (
        "en",
        [
            "THE PERSON - SENIOR NURSE. The person has ten years of practice.",
            "The person works at the harbour. The person and the person left. The person stayed.",
            (
                "The person works at the harbour. The person and the person "
                "left. The person stayed. The person and the person came."
            ),
            "They were raised in a home and went to a Christian school in town.",
            "The network was trained with the Adam optimizer and a small rate.",
            "Grace periods end in June. By the grace of the court, the person left.",
            "May I ask whether the person will mark the rose that the person and the person planted in May?",
            "Are they a doctor? Do they work here? Have they arrived? Were they late?",
            "they’re here and they’d go; they'll be late; they’ve been there.",
            "Smith met Jones, Lee and the person.",
            "The book is theirs, the pen is theirs, and I saw them.",
            "Ask them about their plan; they agree, they said.",
            "Their pronouns are they/them and they/them. They like their job; they do too.",
            "The person and they laughed. The person left.",
            "Contact [MASK] or [MASK]",
            "The person and the person met the person; the person came.",
            "They 😀 and they 👩‍⚕️ work.",
            "The Virgin Mary, Saint Martin, Paul's Boutique, Victoria's Secret, Robin Hood and Henry VIII.",
            "They are HE staff; MS Word; Ms Word; the MR scan; [MASK], yes [MASK].",
            "The person was there. Dr. Who is a show. The person spoke.",
            "The men's room and women's shelter; a boyish man-made freshman chair; manpower, mankind.",
            'They said: "Her Majesty" greeted the Son of God and Mother Nature.',
            (
                "mother tongue, father figure, sister company, sibling-in-law, "
                "child-in-law, daughter cell, male connector, female plug"
            ),
            "The person, the person, the person and the person went; the person too.",
            "«The person» and “the person” and ‘the person’ spoke.",
            "Let them know. Give them two books. I made them laugh. I asked them why.",
        ],
    ),
    "portuguese": (
        "pt",
        [
            (
                "Essa pessoa é médica e a família dessa pessoa é "
                "engenheiro. Essa pessoa mora em [MASK] com a descendente."
            ),
            "O livro é dessa pessoa; a casa é dessa pessoa. Falei com essa pessoa e nessa pessoa confio.",
        ],
    ),
    "arabic": (
        "ar",
        [
            "الشخص طبيبة في المستشفى والشخص مهندس. [MASK] سامي وشخص الحي.",
            "هل الشخص هنا أم هناك؟ قرأ زوج الكتب.",
        ],
    ),
}


def masker(language):
    packs = [p for p in map(load_pack, pack_names()) if p.speaks(language)]
    return load_mitigation("mask").masker(MitigationContext("gender", [], [], tuple(packs), language))


def texts(name):
    path = CASES / f"{name}.jsonl"
    if not path.is_file():
        pytest.skip(f"the case is not here ({path.name})")
    return [json.loads(line)["text"] for line in path.read_text(encoding="utf-8").splitlines()]


@pytest.mark.parametrize("name", EXPECTED)
def test_masked_as_a_careful_editor_would(name):
    language, expected = EXPECTED[name]
    call = masker(language)
    assert [call(t)[0] for t in texts(f"masking-{name}")] == expected


def test_a_long_text_of_many_names_is_masked_throughout():
    (text,) = texts("long-text-many-names")
    found = masker("en")(text)[0]
    assert found == text.replace("Paul Moss met her", "the person met them").replace("the", "The", 1).replace(
        ". the", ". The"
    )
