"""Mitigations: the conformance suite, grammar, and what is bad input."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from probate.core.errors import InputError
from probate.core.records import Record
from probate.data.corpora import biographies, opinions
from probate.data.packs import load_pack
from probate.mitigations.base import Mitigation, MitigationContext, check_together, marked, mitigate
from probate.mitigations.catalogue import load_mitigation, mitigation_names
from probate.mitigations.files.mitigate import mitigate_file
from probate.mitigations.mask import undo
from probate.mitigations.wording.swap import groups_shown, swap
from probate.testing import check_mitigation, sample_records

GENDER = load_pack("gender")
CULTURE = load_pack("culture")


def context(*packs: str, language: str = "en", labels: tuple[str, ...] = ()) -> MitigationContext:
    return MitigationContext(
        "gender", ["female", "male"], labels, tuple(map(load_pack, packs or ("gender",))), language
    )


def masked(
    text: str, *packs: str, language: str = "en", labels: tuple[str, ...] = (), **options: object
) -> str:
    return load_mitigation("mask", options).masker(context(*packs, language=language, labels=labels))(text)[0]


def augmented(n: int, label: str = "nurse", group: str = "female", text: str = "She works.") -> list[Record]:
    return [Record(f"a:{label}-{group}-{i}", text, label, {"gender": group}, "augmented") for i in range(n)]


@pytest.mark.parametrize("name", mitigation_names())
def test_every_mitigation_keeps_the_contract(name):
    if name != "cap":  # it needs a finished run: tests/mitigations/test_generating.py
        check_mitigation(load_mitigation(name))


@pytest.mark.parametrize(
    "options", [{"mode": "mask"}, {"names": ["Xaver"], "words": ["nurse"]}, {"entities": True}]
)
def test_mask_keeps_it_with_options(options):
    check_mitigation(load_mitigation("mask", options))


@pytest.mark.parametrize("placement", ["prefix", "user", "system"])
def test_token_keeps_it_wherever_it_stands(placement):
    check_mitigation(load_mitigation("token", {"placement": placement}))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("She is kind.", "They are kind."),
        (
            "Anna Kowal is a nurse. She was born in Graz and now lives in Bern.",
            "The person is a nurse. They were born in Graz and now live in Bern.",
        ),
        (
            "She paints and is often away, but her brother is here and was ill.",
            "They paint and are often away, but their sibling is here and was ill.",
        ),
        ("He has two sons, and he often teaches.", "They have two children, and they often teach."),
        ("Her patients trust her, and she trusts them.", "Their patients trust them, and they trust them."),
        (
            "The choice was his. His work is known, and I thanked him.",
            "The choice was theirs. Their work is known, and I thanked them.",
        ),
        (
            "She's tired; she's been up all night, but she'll stay.",
            "They're tired; they've been up all night, but they'll stay.",
        ),
        ("Mrs. Smith raised her daughter herself.", "Smith raised their child themselves."),
        ("She carries boxes, she watches, she does it.", "They carry boxes, they watch, they do it."),
        ("We met Anna's brother.", "We met the person's sibling."),
        ("The report was written by Paul.", "The report was written by the person."),
        ("SHE said so.", "THEY said so."),
        (
            "Anna holds an MS in nursing from St. Paul University; we miss Miss Weiss.",
            "The person holds an MS in nursing from St. Paul University; we miss Weiss.",
        ),
        ("Thomas W. Lloyd met Martin Luther King.", "The person met the person."),
        ("Zelvina and the other shelf heroes.", "Zelvina and the other shelf heroes."),
        ("**Dr. Samuel A. Friedman**\nDr. Sarah Thomas, MD", "**The person**\nThe person, MD"),
        (
            "She trained at St Thomas Hospital, Brigham and Women's Hospital and the Peter Gilgan Center.",
            "They trained at St Thomas Hospital, Brigham and Women's Hospital and the Peter Gilgan Center.",
        ),
        (
            "One of the first two female firefighters, she is a female engineer, not a male who paints.",
            "One of the first two firefighters, they are an engineer, not a person who paints.",
        ),
        (
            "Mr. John Mooring treats female and male patients; females come first.",
            "The person treats patients; people come first.",
        ),
        (
            "Ask Dr. Siddharth Verma or Prof. Rao at 12 Maple Dr. Boston.",
            "Ask the person or the person at 12 Maple Dr. Boston.",
        ),
        ("Dr. Wu's Letter from Lake Mary", "The person's Letter from Lake Mary"),
        ("Women's Health matters to women.", "Women's Health matters to people."),
    ],
)  # fmt: skip
def test_english_keeps_its_grammar(text, expected):
    assert masked(text) == expected


def test_entities_are_masked_too():
    text = (
        "John Orallo trained in Maryville and works at St. Luke's Hospital.\nShe is a nurse in New York City."
    )
    assert (
        masked(text, entities=True)
        == "The person trained in [MASK] and works at [MASK] Hospital.\nThey are a nurse in [MASK]."
    )
    found, changes = load_mitigation("mask", {"entities": True}).masker(context())(text)
    assert undo(found, changes) == text
    assert (
        masked("The Paris Nurse met Anna in Rome.", entities=True, labels=("nurse",))
        == "The [MASK] Nurse met the person in [MASK]."
    )
    with pytest.raises(InputError, match="proper nouns are tagged only in English, not in 'es'"):
        mitigate(augmented(1), [load_mitigation("mask", {"entities": True})], context(language="es"))


def test_other_languages_and_cultures():
    assert (
        masked("Layla is Arab and her mother lives in Cairo.", "gender", "culture")
        == "The person is [MASK] and their parent lives in [MASK]."
    )
    assert (
        masked("Su madre dijo que ella vive en Madrid.", "gender", "culture", language="es")
        == "Su familia dijo que esa persona vive en [MASK]."
    )
    assert (
        masked("A mãe disse que ela mora no Brasil.", "gender", "culture", language="pt")
        == "A família disse que essa pessoa mora no [MASK]."
    )
    assert (
        masked("秀英说她的母亲住在北京。", "gender", "culture", language="zh")
        == "这个人说TA的家长住在[MASK]。"
    )
    assert masked("ليلى امرأة من مصر.", "gender", "culture", language="ar") == "الشخص شخص من [MASK]."
    assert masked("Anna says she knows.", mode="mask") == "[MASK] says [MASK] knows."


def test_words_of_the_labels_are_never_touched():
    assert masked("She is a waitress.", labels=("waitress", "cook")) == "They are a waitress."
    assert masked("She is a waitress.") == "They are a server."


@pytest.mark.parametrize("mode", ["neutral", "mask"])
def test_every_replacement_can_be_undone(mode):
    masker = load_mitigation("mask", {"mode": mode}).masker(context())
    for row in biographies():
        text, changes = masker(row["text"])
        assert changes and undo(text, changes) == row["text"]
        assert not groups_shown(text, GENDER), text


@pytest.mark.parametrize("language", ["en", "es", "pt", "ar", "zh"])
def test_no_cue_of_the_culture_is_left_in_the_corpus(language):
    packs = (CULTURE,)
    where = MitigationContext("culture", list(CULTURE.groups), [], packs, language)
    masker = load_mitigation("mask").masker(where)
    spoken = CULTURE.speaking(language)
    for row in opinions(language):
        text, changes = masker(row["text"])
        assert undo(text, changes) == row["text"]
        assert not any(name in text.split() for g in spoken.groups.values() for name in g.names), text


def test_swapping_twice_gives_the_corpus_back():
    rows = biographies()
    same = sum(swap(swap(r["text"], GENDER), GENDER) == r["text"] for r in rows)
    assert same / len(rows) >= 0.98
    for r in rows:
        other = {"female": "male", "male": "female"}[r["gender"]]
        assert groups_shown(swap(r["text"], GENDER), GENDER) == {other}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Anna said her mother loves her.", "Paul said his father loves him."),
        (
            "The choice is his, and his wife agrees with him.",
            "The choice is hers, and her husband agrees with her.",
        ),
        ("Mrs. Novak taught herself.", "Mr. Novak taught himself."),
    ],
)
def test_swaps_agree(text, expected):
    assert swap(text, GENDER) == expected


def test_a_record_of_both_groups_is_left_alone_and_says_so():
    record = Record("a:1", "She met him.", "nurse", {"gender": "female"}, "augmented")
    (found,) = mitigate([record], [load_mitigation("counterfactual")], context()).records
    assert found.text == record.text and found.provenance["mitigations"] == [
        {"name": "counterfactual", "skipped": "names both groups"}
    ]


def test_counterfactuals_have_the_other_group_and_their_parent():
    one, two = mitigate(augmented(1), [load_mitigation("counterfactual")], context()).records
    assert (one.text, two.text, two.groups, two.label) == (
        "She works.",
        "He works.",
        {"gender": "male"},
        "nurse",
    )
    assert two.provenance["mitigations"][0] == {"name": "counterfactual", "swapped": True, "parent": one.id}


def test_rebalance_and_reweight_make_group_and_label_independent():
    cells = [("nurse", "female", 8), ("nurse", "male", 2), ("surgeon", "female", 4), ("surgeon", "male", 6)]
    records = [r for label, group, n in cells for r in augmented(n, label, group)]
    even = mitigate(records, [load_mitigation("rebalance")], context())
    assert len(even.records) == 8 and len(even.dropped) == 12
    assert all("its cell has more than 2 records" in why for _, why in even.dropped)
    weighted = mitigate(records, [load_mitigation("reweight")], context())
    total: dict[tuple[str, str], float] = {}
    for r, w in zip(weighted.records, weighted.weights, strict=True):
        total[r.label, r.groups["gender"]] = total.get((r.label, r.groups["gender"]), 0.0) + w
    assert sum(total.values()) == pytest.approx(20)
    assert total["nurse", "female"] / total["nurse", "male"] == pytest.approx(12 / 8)
    assert total["surgeon", "female"] / total["surgeon", "male"] == pytest.approx(12 / 8)
    odd = mitigate([*records, *augmented(1, "nurse", "nonbinary")], [load_mitigation("rebalance")], context())
    assert len(odd.records) == 8 and "its group is not compared" in {why for _, why in odd.dropped}
    with pytest.raises(InputError, match="no augmented record has label 'nurse' and gender=male"):
        mitigate(augmented(3), [load_mitigation("rebalance")], context())


def test_select_leaves_out_what_fits_the_stereotype_most():
    caring = "She cares warmly for families."
    records = [*augmented(4, "surgeon"), *augmented(4, "nurse"), *augmented(2, "nurse", text=caring)]
    records = [replace(r, id=f"{r.id}-{i}") for i, r in enumerate(records)]
    found = mitigate(records, [load_mitigation("select", {"share": 0.2})], context())
    assert [r.text for r, _ in found.dropped] == [caring, caring] and len(found.records) == 8
    assert all("its stereotype score is among the highest 20%" in why for _, why in found.dropped)


def test_select_leaves_out_what_a_classifier_tells_apart():
    original = [
        Record(f"o:{i}", f"The report of day {i % 7} came late.", "nurse", {"gender": "female"})
        for i in range(30)
    ]
    alike = [
        Record(f"a:{i}", f"The report of day {i % 7} came late.", "nurse", {"gender": "female"}, "augmented")
        for i in range(15)
    ]
    apart = [
        Record(
            f"b:{i}", f"As a language model, day {i % 7} shines.", "nurse", {"gender": "female"}, "augmented"
        )
        for i in range(15)
    ]
    found = mitigate(
        [*original, *alike, *apart],
        [load_mitigation("select", {"by": "two_sample", "share": 0.5})],
        context(),
    )
    assert {r.id[0] for r, _ in found.dropped} == {"b"} and len(found.dropped) == 15
    with pytest.raises(InputError, match="needs at least 5 original"):
        mitigate(alike, [load_mitigation("select", {"by": "two_sample"})], context())


def test_strategies_compose_and_leave_their_trace():
    records, where = sample_records()
    found = mitigate(
        records, [load_mitigation("counterfactual"), load_mitigation("mask"), load_mitigation("token")], where
    )
    made = [r for r in found.records if r.origin == "augmented"]
    assert [m["name"] for m in made[0].provenance["mitigations"]] == ["counterfactual", "mask", "token"]
    assert made[0].text.startswith("The following text may contain bias. ")
    assert not groups_shown(made[0].text, GENDER)
    weights = mitigate(records, [load_mitigation("reweight"), load_mitigation("mask")], where).weights
    assert weights == mitigate(records, [load_mitigation("reweight")], where).weights


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["mask", "mask"], "'mask' is duplicated"),
        (["mask", "counterfactual"], "put counterfactual first"),
        (["rebalance", "reweight"], "use only one"),
        (["reweight", "rebalance"], "use only one"),
    ],
)
def test_contradictions(names, message):
    with pytest.raises(InputError, match=message):
        mitigate(augmented(2), [load_mitigation(n) for n in names], context())


class Blank(Mitigation):
    """A stranger's: every text becomes the same one."""

    name, title, source, removes_groups = "blank", "Blank", "a test", True

    def change(self, record, context):
        return [marked(replace(record, text="A person works here."), self.name)]


class Fair(Mitigation):
    """A stranger's: weights that do what `rebalance` does."""

    name, title, source, purpose = "fair", "Fair", "a test", "make group and label independent"

    def weight(self, records, context):
        return [2.0] * len(records)


@pytest.mark.parametrize(
    ("strategies", "message"),
    [
        (
            [Blank(), load_mitigation("counterfactual")],
            "blank before counterfactual: .* put counterfactual first",
        ),
        (
            [load_mitigation("rebalance"), Fair()],
            "rebalance before fair: both make group and label independent; use only one",
        ),
    ],
)
def test_the_rules_hold_for_the_mitigations_of_others(strategies, message):
    with pytest.raises(InputError, match=message):
        check_together(strategies)
    check_together(strategies[::-1] if strategies[0].removes_groups else strategies[:1])


def test_what_a_strategy_overrides_says_how_it_works_on_a_file(tmp_path):
    assert Fair().whole and Fair().weighs and not Blank().whole and not Blank().weighs
    assert {n for n in mitigation_names() if n != "cap" and load_mitigation(n).whole} == {
        "rebalance",
        "reweight",
        "select",
    }
    source = tmp_path / "in.jsonl"
    source.write_text('{"text": "She is a nurse in a small town."}\n')
    mitigate_file(
        source, tmp_path / "out.jsonl", [Fair()], MitigationContext("gender", [], [], generated=False)
    )
    assert json.loads((tmp_path / "out.jsonl").read_text())["weight"] == 2.0


def test_groups_that_are_not_removed_fail_the_suite():
    class Loose(Blank):
        def change(self, record, context):
            return [marked(replace(record, text=f"She {record.text}"), self.name)]

    check_mitigation(Blank())
    with pytest.raises(AssertionError, match="still shows a group"):
        check_mitigation(Loose())


def test_what_cannot_be_done():
    with pytest.raises(InputError, match=r"no mitigation 'masc' \(did you mean 'mask'\?\)"):
        load_mitigation("masc")
    with pytest.raises(InputError, match=r"mask.options.mod: .*did you mean 'mode'"):
        load_mitigation("mask", {"mod": "mask"})
    with pytest.raises(InputError, match="no list of gendered words for 'fr'"):
        mitigate(
            augmented(1), [load_mitigation("mask")], MitigationContext("gender", ["female"], [], (), "fr")
        )
    with pytest.raises(InputError, match="groups.buddhist.words has no 'es'"):
        mitigate(augmented(1), [load_mitigation("mask")], context("religion", language="es"))
    with pytest.raises(InputError, match="counterfactual: only English is supported"):
        mitigate(augmented(1), [load_mitigation("counterfactual")], context(language="es"))
    with pytest.raises(InputError, match="no sentence in 'fr'"):
        mitigate(augmented(1), [load_mitigation("token")], context(language="fr"))


def test_a_lost_record_is_found_by_the_suite():
    from probate.mitigations.base import Mitigation

    class Loses(Mitigation):
        name, title, source = "loses", "Loses", "test"

        def change(self, record, context):
            return []

    class Relabels(Mitigation):
        name, title, source = "relabels", "Relabels", "test"

        def change(self, record, context):
            return [replace(record, label="other")]

    with pytest.raises(AssertionError, match="removed without a reason"):
        check_mitigation(Loses())
    with pytest.raises(AssertionError, match="the label was changed"):
        check_mitigation(Relabels())


def test_provenance_can_be_written():
    records, where = sample_records()
    for r in mitigate(records, [load_mitigation("counterfactual"), load_mitigation("mask")], where).records:
        json.dumps(r.provenance)
