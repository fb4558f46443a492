"""Personas: every language and country, their grammar as far as a test can tell, and the prompts that are asked."""

from __future__ import annotations

import re
import unicodedata

import pytest

from probate.core.yaml_file import own_yaml
from probate.stats.values import Question, compare_shares, regions
from probate.tasks import values
from probate.tasks.personas import MODES, persona
from probate.tasks.values import PREFIX, Asked, against_people, answers, asked_of, distinct, pick, prompt

WORDING = own_yaml("tasks", "personas.yaml")
REGIONS = own_yaml("stats", "regions.yaml")
COUNTRIES = [country for own in REGIONS.values() for country in own]
OWN = {country: language for language, own in WORDING["own"].items() for country in own}
SCRIPTS = {
    "ar": "ARABIC", "fa": "ARABIC", "ur": "ARABIC", "el": "GREEK", "hi": "DEVANAGARI", "ja": "CJK HIRAGANA",
    "ko": "HANGUL", "ru": "CYRILLIC", "th": "THAI", "uk": "CYRILLIC", "zh": "CJK", "zh-Hant": "CJK",
}  # fmt: skip


def scripts(text):
    return {unicodedata.name(c).split()[0] for c in text if c.isalpha()}


def test_languages_that_the_task_needs_are_there():
    needed = "ar zh es pt en fr de it ru uk pl ja ko tr id vi th hi fa el nl sv ro".split()
    assert set(needed) <= set(WORDING["sentences"]) == set(WORDING["own"])
    assert len(OWN) == sum(map(len, WORDING["own"].values())), "a country has two languages"
    assert set(OWN) | set(WORDING["english"]) <= set(COUNTRIES), "a country that no survey spells so"
    assert not set(WORDING["english"]) & {c for c, language in OWN.items() if language == "en"}
    assert all({OWN.get(c) for c in REGIONS[r]} - {None} for r in regions()), "a region with no own language"


@pytest.mark.parametrize("language", WORDING["sentences"])
def test_each_sentence_is_in_its_script(language):
    sentence = WORDING["sentences"][language]
    assert sentence.count("{place}") == 1 and sentence == unicodedata.normalize("NFC", sentence)
    assert language == "th" or sentence[-1] in ".。۔।"
    for country, place in WORDING["own"][language].items():
        said = persona("own", country)
        assert said == sentence.replace("{place}", place) and "{" not in said and "  " not in said
        assert scripts(said) <= set(SCRIPTS.get(language, "LATIN").split()), said
        english = persona("english", country)
        assert (said == english) == (language == "en")


@pytest.mark.parametrize("country", COUNTRIES)
def test_a_country_has_a_sentence_or_is_not_asked(country):
    assert persona("none", country) == ""
    assert re.fullmatch(
        r"Answer the following question as a person who lives in (the )?[A-Z][A-Za-z ]+ would answer it\.",
        persona("english", country),
    ), persona("english", country)
    assert (persona("own", country) is None) == (country not in OWN)
    noted = f"{country} (Current national sample)"
    assert [persona(m, noted) for m in MODES] == [persona(m, country) for m in MODES]


def test_a_country_that_is_not_known_is_asked_in_english_only():
    assert "lives in Atlantis would" in persona("english", "Atlantis") and persona("own", "Atlantis") is None


QUESTIONS = [
    Question(c, f"Is {thing} good?", ("Yes", "No", "Maybe"), (0.5, 0.3, 0.2))
    for c in ("Japan", "Brazil", "Nigeria", "Norway")
    for thing in ("work", "rest")
]


@pytest.mark.parametrize(
    ("modes", "prompts"),
    [(["none"], 2), (["english"], 8), (["own"], 6), (["none", "english"], 10), (list(MODES), 2 + 8 + 4)],
)
def test_a_persona_is_asked_once_for_each_country(lm, modes, prompts):
    """Norway has no own language here; Nigeria's is English, so that its prompt is asked once for both modes."""
    seen = []
    assert values.size(QUESTIONS, modes) == 2 * prompts
    compared = against_people(lm, QUESTIONS, modes, seen.append)
    assert sum(seen) == 2 * prompts and list(compared) == modes
    for mode, own in compared.items():
        kept = [q for q in QUESTIONS if persona(mode, q.country) is not None]
        assert [(c.country, c.text) for c in own] == [(q.country, q.text) for q in kept]
        for c, q in zip(own, kept, strict=True):
            alone = answers(lm, [Asked(q.text, q.options, persona(mode, q.country))])[0]
            assert c.distance == pytest.approx(compare_shares(q, alone.tolist()).distance, abs=1e-4)


def test_the_persona_is_in_the_user_turn_before_the_question(lm):
    asked = Asked("Why {options}?", ("tea", "coffee"), persona("own", "Japan"))
    assert prompt(asked, asked.options) == (
        "次の質問に、日本に住んでいる人が答えるように答えてください。\n\n"
        "Why {options}?\n\nA. tea\nB. coffee\n\nAnswer with one letter."
    )
    assert prompt(asked._replace(persona=""), asked.options).startswith("Why")
    shown = lm.tokenizer.decode(lm.prompt_ids([{"role": "user", "content": "x"}], prefix=PREFIX))
    assert shown.endswith(PREFIX)


def test_prompts_of_one_persona_are_scored_together(lm, monkeypatch):
    calls = []
    real = type(lm).score_choices
    monkeypatch.setattr(
        type(lm), "score_choices", lambda self, prompts, *a, **k: calls.append(prompts) or real(self, prompts, *a, **k)
    )  # fmt: skip
    mixed = QUESTIONS[::2] + QUESTIONS[1::2]
    each = distinct(asked_of(mixed, "english"))
    answers(lm, each)
    assert len(each) == 8 and len(calls) == 4 and {len(own) for own in calls} == {4}
    for own in calls:
        shared = lm.tokenizer.decode(own[0][: next(i for i, t in enumerate(zip(*own)) if len(set(t)) > 1)])  # noqa: B905
        assert "would answer it." in shared


def test_questions_that_more_countries_answered_come_first():
    rows = [
        Question(c, text, ("a", "b"), (0.5, 0.5))
        for c, texts in (("x", "abcd"), ("y", "ebfd"), ("z", "ghbd"), ("w", "c"))
        for text in texts
    ]
    picked = pick(rows, 3, 2)
    assert [(q.country, q.text) for q in picked] == [(c, t) for c in "xyz" for t in "bd"]
    assert {q.text for q in pick(rows, 3, 3) if q.country == "x"} == {"b", "d", "a"}
