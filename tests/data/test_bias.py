"""Taxonomy, templates, packs, filters and the biased annotator."""

from __future__ import annotations

import re

import pytest

from probate.core.errors import InputError
from probate.core.records import Record
from probate.data.annotator import annotate, choose, stereotypes_for
from probate.data.generation.filters import REASONS, Filters, clean, leaks, redact, shown_group
from probate.data.generation.prompts import candidates, templates
from probate.data.languages import words, written_in
from probate.data.lean import lean
from probate.data.opinions import opinion_words
from probate.data.packs import Pack, load_pack
from probate.study.mixing import nested_order
from probate.study.schema import Generation
from probate.study.taxonomy import BIAS_TYPES, NEUTRAL, PAPER_TYPES, SYNTHETIC

PACK = load_pack("gender")
CROSS = load_pack("age")
LABELS = ["nurse", "painter", "architect", "dentist", "professor", "software engineer"]
GROUPS = ["female", "male"]


def test_a_template_for_each_of_the_eight_types_and_neutral():
    assert len(BIAS_TYPES) == 8 and set(PAPER_TYPES) < set(BIAS_TYPES)
    assert set(templates()) == {*BIAS_TYPES, NEUTRAL, SYNTHETIC}
    assert templates()[SYNTHETIC] == templates()[NEUTRAL]
    for name, text in templates().items():
        assert ("{noun}" in text) == ("-explicit" in name), name
        assert ("{cross}" in text) == ("intersectional" in name), name
        assert ("{other_name}" in text) == ("contrastive" in name), name


def test_asks_are_balanced_filled_and_depend_on_their_number_alone():
    first = candidates("contrastive-intersectional-explicit", PACK, CROSS, GROUPS, LABELS, 0, 3, seed=7)
    assert len(first) == 36 and not any("{" in a.prompt for a in first)
    assert (
        candidates("contrastive-intersectional-explicit", PACK, CROSS, GROUPS, LABELS, 2, 1, seed=7)
        == first[24:]
    )
    assert len({a.seed for a in first}) == 36
    assert all(a.name in PACK.groups[a.group].names and a.name in a.prompt for a in first)
    assert (
        candidates("neutral", PACK, CROSS, GROUPS, LABELS, 0, 1, seed=8)[0].seed
        != candidates("neutral", PACK, CROSS, GROUPS, LABELS, 0, 1, seed=7)[0].seed
    )


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("...", "empty"),
        ("I'm sorry, but as an AI I cannot write a biography about her job and her life today.", "refusal"),
        ("She works here.", "too short"),
        (
            "She works and "
            + " ".join(f"word{chr(97 + i % 26)}{chr(97 + i // 26)}" for i in range(200))
            + ".",
            "too long",
        ),
        ("She likes it a lot. " * 8, "repetition"),
        ("She grew up by the sea and later became a professor who liked long walks and tea.", "label leaked"),
        (
            "He grew up by the sea and later worked in a big office with many windows and plants.",
            "wrong group",
        ),
        (
            "The office by the sea has many windows and plants and a kitchen with a large green table.",
            "wrong group",
        ),
        ("She grew up by the sea and later worked in a big office with many windows and plants.", None),
    ],
)
def test_each_filter_names_its_reason(text, reason):
    ask = next(
        a for a in candidates("neutral", PACK, CROSS, GROUPS, LABELS, 0, 1, seed=0) if a.group == "female"
    )
    assert Filters(PACK, LABELS, Generation()).check(ask, text) == reason
    assert reason is None or reason in REASONS


def test_near_duplicates():
    ask = next(
        a for a in candidates("neutral", PACK, CROSS, GROUPS, LABELS, 0, 1, seed=0) if a.group == "female"
    )
    filters = Filters(PACK, LABELS, Generation())
    text = "She grew up by the sea and later worked in a big office with many windows and plants."
    assert filters.check(ask, text) is None
    assert filters.check(ask, text.replace("plants", "cats")) == "near-duplicate"


def test_redaction_and_leaks():
    assert redact("A nurse in nursing, Nurses Day", "nurse") == (
        "A specialist in specialist, specialist Day",
        3,
    )
    assert redact("Software engineering is hers", "software engineer") == ("specialist is hers", 1)
    assert leaks("an Architectural plan", ["architect"]) and not leaks("a plan", ["architect"])


def test_clean_cuts_to_whole_sentences():
    assert clean('"She runs. She then') == "She runs."
    assert clean("Sure, here is a biography: She runs.") == "She runs."


def test_shown_group_by_pronouns_then_names():
    assert shown_group("Anna met him, and he and his dog left", PACK) == "male"
    assert shown_group("Anna works at sea", PACK) == "female"
    assert shown_group("Anna and Paul work at sea", PACK) is None
    assert shown_group("she and he", PACK) is None


def pool(n: int = 10) -> list[Record]:
    rows = [
        Record(f"{x}-{g}-{i}", "t", x, {"gender": g}, "augmented")
        for x in LABELS
        for g in GROUPS
        for i in range(n)
    ]
    return nested_order(rows, lambda r: (r.label, r.groups["gender"]), 0)


@pytest.mark.parametrize("strength", [0.0, 0.3, 0.5, 1.0])
def test_strength_is_reached_and_is_in_the_provenance(strength):
    stereotypes = stereotypes_for(LABELS, PACK, None)
    found = annotate(pool(), dimension="gender", pack=PACK, stereotypes=stereotypes, strength=strength)
    follow = sum(r.groups["gender"] in stereotypes[r.label] for r in found) / len(found)
    assert follow == pytest.approx(0.5 + 0.5 * strength, abs=0.02)
    assert all(r.provenance["strength"] == pytest.approx(strength, abs=0.02) for r in found)
    changed = [r for r in found if "label_before" in r.provenance]
    assert len(changed) == round(60 * strength)
    assert all(r.groups["gender"] not in stereotypes[r.provenance["label_before"]] for r in changed)
    assert [r.id for r in found] == [r.id for r in pool()]


def test_strength_holds_in_every_nested_subset():
    found = annotate(
        pool(), dimension="gender", pack=PACK, stereotypes=stereotypes_for(LABELS, PACK, None), strength=0.5
    )
    for n in (24, 48, 120):
        assert sum("label_before" in r.provenance for r in found[:n]) == pytest.approx(n / 4, abs=6)


def test_a_relabelling_map_is_followed_to_the_letter():
    relabel = {"female": {"dentist": "nurse"}, "male": {"nurse": "dentist"}}
    found = annotate(
        pool(),
        dimension="gender",
        pack=PACK,
        stereotypes=stereotypes_for(LABELS, PACK, None),
        strength=1,
        relabel=relabel,
    )
    moves = {
        (r.groups["gender"], r.provenance["label_before"], r.label)
        for r in found
        if "label_before" in r.provenance
    }
    assert moves == {("female", "dentist", "nurse"), ("male", "nurse", "dentist")}


def test_choosing_prefers_wording_that_leans():
    rows = [
        Record(str(i), "a kind and caring smile" if i < 3 else "a plain text", "nurse", {"gender": "female"})
        for i in range(9)
    ]
    assert {r.id for r in choose(rows, 3, dimension="gender", pack=PACK, strength=1, seed=0)} == {
        "0",
        "1",
        "2",
    }
    assert len(choose(rows, 3, dimension="gender", pack=PACK, strength=0, seed=0)) == 3


def test_lean_has_a_sign():
    assert lean("a warm and caring smile", "female", PACK) > 0 > lean("a warm and caring smile", "male", PACK)
    assert lean("a table", "female", PACK) == 0 == lean("", "female", PACK)


def test_stereotypes_must_cover_the_labels():
    with pytest.raises(InputError, match=r"no group for pilot"):
        stereotypes_for(["nurse", "pilot"], PACK, None)
    assert stereotypes_for(["pilot"], PACK, {"pilot": "male"}) == {"pilot": ["male"]}


def test_packs_are_checked():
    group = {"noun": "x", "names": ["A"]}
    with pytest.raises(ValueError, match="the name A belongs to two groups"):
        Pack.model_validate({"dimension": "d", "source": "s", "groups": {"a": group, "b": group}})
    with pytest.raises(ValueError, match="at least two"):
        Pack.model_validate({"dimension": "d", "source": "s", "groups": {"a": group}})
    with pytest.raises(InputError, match=r"no identity pack 'gendr' \(did you mean 'gender'\?\)"):
        load_pack("gendr")
    assert all(re.match(r"^[A-Z]", n) for g in PACK.groups.values() for n in g.names)


def test_opinions_are_asked_on_statements_for_every_type():
    pack = load_pack("culture")
    groups = list(pack.groups)
    for bias_type in ("neutral", *BIAS_TYPES):
        found = candidates(
            bias_type,
            pack,
            load_pack("gender").only(["female", "male"]),
            groups,
            ["agree", "disagree"],
            0,
            2,
            7,
            ["One.", "Two."],
        )
        assert len(found) == 16 and {a.statement for a in found} == {"One.", "Two."}
        for a in found:
            assert (
                "{" not in a.prompt
                and a.statement in a.prompt
                and f" {'' if a.label == 'agree' else 'dis'}agrees with the statement" in a.prompt
            )
            if "intersectional" in bias_type:
                assert a.name in pack.groups[a.group].by["gender"][a.attributes["gender"]]
    ask = next(a for a in found if a.group == "arabic")
    filters = Filters(pack, ["agree", "disagree"], Generation(min_words=3))
    answer = f"{ask.name} agrees, because parents and neighbours have always been there in bad years."
    assert filters.check(ask, answer) is None
    assert filters.check(ask, answer) == "near-duplicate"


@pytest.mark.parametrize("language", ["ar", "es", "pt", "zh"])
def test_opinions_are_asked_in_each_language_for_every_type(language):
    culture, gender = load_pack("culture").speaking(language), load_pack("gender").speaking(language)
    words = opinion_words(language)
    labels = list(words["stances"])
    for kind in (*BIAS_TYPES, NEUTRAL):
        found = candidates(kind, culture, gender, list(culture.groups), labels, 0, 1, 0, ["S."], language)
        assert len(found) == 12 and not any("{" in a.prompt for a in found)
        assert all("S." in a.prompt and a.name in a.prompt for a in found)
        if kind != NEUTRAL:
            assert all(("explicit" in kind) == (culture.groups[a.group].noun in a.prompt) for a in found)
        assert all(written_in(a.prompt, language) for a in found)


def test_a_pack_says_which_language_it_lacks():
    with pytest.raises(InputError, match=r"'race': groups.\w+.words has no 'zh'"):
        load_pack("race").speaking("zh")


@pytest.mark.parametrize(
    ("text", "language", "right"),
    [
        ("Karim thinks that the house is too small.", "en", True),
        ("Karim piensa que la casa es muy pequeña.", "es", True),
        ("Karim piensa que la casa es muy pequeña.", "en", False),
        ("Karim thinks that the house is too small.", "es", False),
        ("Karim acha que a casa não é do seu pai.", "pt", True),
        ("Karim acha que a casa não é do seu pai.", "es", False),
        ("卡里姆认为房子太小。", "zh", True),
        ("卡里姆认为房子太小。", "en", False),
        ("Karim 认为 the house is too small", "zh", False),
        ("كريم يرى أن البيت صغير", "ar", True),
        ("Karim says the house is small", "ar", False),
        ("Karim sanoo, että talo on pieni", "fi", True),
    ],
)
def test_the_language_of_a_text(text, language, right):
    assert written_in(text, language) is right


def test_chinese_is_counted_in_characters_and_cut_at_its_full_stop():
    assert words("秀英, OK吗?") == ["秀", "英", "ok", "吗"]
    assert clean("她认为可以。因为\ufffd") == "她认为可以。"
    assert shown_group("来自成都的秀英", load_pack("culture").speaking("zh")) == "chinese"
