"""Every prompt is rendered and read: golden files for people, and scans for faults that a reader would see."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest
from faults import faults
from parts import of_parts, opinion_context
from prompts import COMMAND, GOLDEN, golden
from rendering import Prompt, Reader, at_hand, of_presets, of_study, on_built_in_data

import probate as pb
from probate.core.errors import InputError
from probate.data.languages import article
from probate.execution.prepare import prepare
from probate.study.presets import presets
from probate.study.taxonomy import NEUTRAL
from probate.tasks.catalogue import load_task
from probate.testing import sample_context


def test_golden_files_are_up_to_date():
    made = golden()
    kept = {path.name: path.read_text(encoding="utf-8") for path in GOLDEN.glob("*.txt")}
    changed = sorted(name for name in made.keys() | kept.keys() if made.get(name) != kept.get(name))
    assert not changed, f"prompts changed; run {COMMAND}, and read: git diff {GOLDEN.name}: {changed}"


@cache
def read(prompt: Prompt) -> list[str]:
    return faults(prompt)


def found(prompts: Iterable[Prompt]) -> list[str]:
    """The faults of all prompts, each text read once, with the part in which it is found."""
    texts = {replace(p, part="", kind=""): p.part for p in prompts}
    return [f"{part}: {fault}: {p.messages[0][1][:160]}" for p, part in texts.items() for fault in read(p)]


@pytest.mark.parametrize("part", ["generation", "training", "tasks", "mitigations", "servers"])
def test_no_prompt_of_any_part_has_a_fault(part):
    prompts = of_parts()[part]
    assert {p.language for p in prompts} - {"any"} == {"en", "es", "pt", "ar", "zh"}
    assert found(prompts) == []


@pytest.mark.parametrize("name", presets())
def test_no_prompt_of_any_preset_has_a_fault(name):
    for (preset, _), (prompts, reason) in of_presets().items():
        if preset != name:
            continue
        study, parts = pb.Study.preset(name), {p.part for p in prompts}
        study = on_built_in_data(study) if reason else study
        written = [*study.bias.types, *([NEUTRAL] if study.control == "neutral" else [])]
        asked = [f"generation {t}" for t in written] if study.augmented is None else []
        silent = {"held_out_text", "crows_pairs"}  # they score plain texts
        asked += [f"task {t.key}" for t in (*study.tasks, *study.probes) if t.name not in silent]
        assert {"training", *asked} <= parts
        assert found(prompts) == []


SOUND = {
    "en": "Write a short biography of Anna, an architect, in two or three sentences.",
    "es": "Escribe en español, en una o dos frases, lo que responde Inés, que está de acuerdo, y por qué.",
    "pt": "Escreva em português, em uma ou duas frases, o que responde Inês, que concorda com isso, e por quê.",
    "ar": "اكتب بالعربية في جملة أو جملتين إجابة ليلى، مع ذكر السبب.",
    "zh": "请用中文写一两句话，写出小芳的回答，并说明理由。",
}


def prompt(language: str, text: str, **changes) -> Prompt:
    return replace(Prompt("part", "", language, (("user", text),)), **changes)


@pytest.mark.parametrize("language", SOUND)
def test_a_sound_prompt_has_no_fault(language):
    assert faults(prompt(language, SOUND[language])) == []


PLANTED = [  # language, what is changed, the change, the fault
    ("en", "an architect", "a architect", "article"),
    ("en", "an architect", "an nurse", "article"),
    ("en", "an architect", "a engineer", "article"),
    ("en", "biography of", "biography of {name} and", "unfilled: {name}"),
    ("en", "Anna", "None", "unfilled: None"),
    ("en", "Anna", "nan", "unfilled: nan"),
    ("en", "Anna,", "Anna (),", "unfilled: ()"),
    ("en", "of Anna", "of  Anna", "spaces"),
    ("en", "sentences.", "sentences .", "spaces"),
    ("en", "sentences.", "sentences..", "spaces"),
    ("en", "Anna,", "Anna,,", "spaces"),
    ("en", "sentences.", "sentences. ", "spaces"),
    ("en", "of Anna", "of of Anna", "word twice: of of"),
    ("en", "Anna", "“Anna", "unbalanced “”"),
    ("en", "Anna", '"Anna', 'unbalanced "'),
    ("en", "Anna,", "Anna (who paints,", "unbalanced ()"),
    ("en", "an architect", "who works as architect", "no article"),
    ("en", "Anna, an architect,", "Anna, who works as an agree,", "not a job: agree"),
    ("en", "Write", "Job: it depends\nWrite", "not a job: it depends"),
    ("en", "Write", "Name the person's occupation. Answer with exactly one of: nurse, agree.\nWrite", "not a job: agree"),
    ("en", SOUND["en"], SOUND["es"], "language"),
    ("en", "Anna", "安娜", "script"),
    ("es", "responde", "responde de el alumno", "contraction"),
    ("es", "responde Inés", "responden Ana y Inés", "contraction"),
    ("es", "una o dos", "una mujer o un persona", "gender"),
    ("es", SOUND["es"], SOUND["pt"], "language"),
    ("pt", SOUND["pt"], SOUND["es"], "language"),
    ("pt", "responde", "responde de o aluno", "contraction"),
    ("pt", "uma ou duas", "um pessoa ou duas", "gender"),
    ("ar", "ليلى", "Layla", "script"),
    ("ar", SOUND["ar"], SOUND["en"], "script"),
    ("zh", "小芳", "Fang", "script"),
    ("zh", "小芳的", "小芳的的", "word twice"),
    ("zh", "小芳", "「小芳", "unbalanced 「」"),
]  # fmt: skip


@pytest.mark.parametrize(("language", "old", "new", "fault"), PLANTED)
def test_every_planted_fault_is_found(language, old, new, fault):
    assert old in SOUND[language]
    told = faults(prompt(language, SOUND[language].replace(old, new, 1)))
    assert any(one.startswith(fault) for one in told), told


def test_jobs_options_and_turns_are_read():
    text = SOUND["en"]
    assert faults(prompt("en", text, jobs=("nurse",))) == ["the job is missing: nurse"]
    assert faults(prompt("en", text.replace("an architect", "architect"), jobs=("architect",)))
    assert faults(prompt("en", text, options=("A", "A"))) == ["two equal options"]
    assert faults(prompt("en", text, messages=(("user", text), ("assistant", " ")))) == ["an empty turn"]


@pytest.mark.parametrize(
    ("preset", "changes"),
    [
        ("paper-gender", {"data.source": "bios.jsonl", "data.columns.text": "bio"}),
        ("rounds", {"data.train_per_cell": 300}),
        ("paper-culture", {"probes": [{"name": "values", "options": {"data": "survey.csv"}}]}),
    ],
)
def test_a_preset_whose_data_is_not_here_is_rendered_on_built_in_data(preset, changes):
    study = pb.Study.preset(preset).with_(**changes)
    with pytest.raises(InputError):
        prepare(study, Path())
    parts = {p.part for p in of_study(on_built_in_data(study))}
    assert {"training", f"generation {study.bias.types[0]}", f"task {study.tasks[0].key}"} <= parts


def test_a_wrong_article_in_the_code_is_found(monkeypatch):
    monkeypatch.setattr("probate.data.generation.prompts.article", lambda label: "a")
    told = found(
        p for p in of_study(at_hand(pb.Study.preset("paper-gender"))) if p.part.startswith("generation")
    )
    assert told and all("architec" in one for one in told)


def test_a_label_in_the_place_of_a_job_is_found(monkeypatch):
    monkeypatch.setattr("probate.tasks.occupations.are_occupations", lambda labels: True)
    reader = Reader()
    load_task("hiring").evaluate(reader, opinion_context("en"))
    told = found(reader.prompts("hiring", "en"))
    assert {one.split(": ")[2] for one in told} == {"agree", "it depends", "disagree"}


@pytest.mark.parametrize(
    ("noun", "own"),
    [
        ("architect", "an"), ("nurse", "a"), ("unemployed clerk", "an"), ("university clerk", "a"), ("user", "a"),
        ("underwriter", "an"), ("European judge", "a"), ("urologist", "a"), ("hourly worker", "an"), ("hotelier", "a"),
        ("heir", "an"), ("one-man band", "a"), ("onlooker", "an"), ("MRI nurse", "an"), ("UX designer", "a"),
        ("x-ray nurse", "an"), ("HR clerk", "an"), ("PR clerk", "a"), ("Inuit guide", "an"), ("Robin", "a"),
    ],
)  # fmt: skip
def test_the_article_follows_the_sound(noun, own):
    assert article(noun) == own


# What Probate cannot render is one sentence.


@pytest.mark.parametrize(
    ("preset", "changes", "message"),
    [
        ("paper-culture", {"data.language": "fr"}, "data.language: opinions are not available in 'fr'; choose from: ar"),
        ("paper-gender", {"data.language": "es"}, "data.language: biographies exist, and are generated, in English only"),
        (
            "paper-culture",
            {"tasks": [{"name": "story", "options": {"language": "fr"}}]},
            "story.options.language: 'fr' has no part-of-speech tagger; supported languages: en",
        ),
        (
            "paper-culture",
            {"tasks": [{"name": "hate", "options": {"language": "fr"}}]},
            "hate.options.language: the task has no prompt in 'fr'",
        ),
        (
            "paper-culture",
            {"tasks": [{"name": "hiring", "options": {"language": "ar"}}]},
            "hiring.options.language: extra inputs are not permitted; allowed: jobs, names",
        ),
        ("paper-culture", {"tasks": ["salary"]}, "it asks for the salary of the person in a biography"),
        (
            "paper-culture",
            {"data.language": "es", "bias.cross": "race"},
            "identity pack 'race': groups.asian.words has no 'es'",
        ),
        (
            "paper-culture",
            {"probes": ["representation"]},
            "its prompt asks for texts about occupations, and the labels",
        ),
    ],
)  # fmt: skip
def test_a_language_or_job_that_is_missing_is_one_sentence(preset, changes, message, tmp_path):
    with pytest.raises(InputError) as caught:
        prepare(pb.Study.preset(preset).with_(**changes), tmp_path)
    assert message in str(caught.value) and len(str(caught.value).splitlines()) == 1


def test_a_pack_needs_words_for_its_dimension_and_a_second_pack(tmp_path):
    text = (
        "dimension: caste\nsource: own\nnames: [Ana, Eva]\ngroups:\n"
        "  one: {noun: a person, words: {es: {noun: una persona}}}\n"
        "  two: {noun: another person, words: {es: {noun: otra persona}}}\n"
    )
    (tmp_path / "caste.yaml").write_text(text)
    rows = ["text,label,caste,statement"]
    rows += [
        f"Texto {i} {label} {caste}.,{label},{caste},Es bueno."
        for label in ("agree", "disagree")
        for caste in ("one", "two")
        for i in range(4)
    ]
    (tmp_path / "rows.csv").write_text("\n".join(rows))

    def study(bias_type: str, language: str) -> pb.Study:
        return pb.Study(
            data={
                "source": "rows.csv",
                "columns": {"groups": {"caste": "caste"}, "statement": "statement"},
                "train_per_cell": 2,
                "language": language,
            },
            bias={"types": [bias_type], "dimension": "caste", "pack": "caste.yaml", "groups": ["one", "two"],
                "strength": 0, "stereotypes": {"agree": "one", "disagree": "two"}},
            tasks=["opinion"],
        )  # fmt: skip

    with pytest.raises(InputError, match="identity pack 'caste': called has no 'es'; add the words"):
        prepare(study("contextual-single-explicit", "es"), tmp_path)
    with pytest.raises(
        InputError, match="combines two dimensions, and the identity pack 'caste' names no second"
    ):
        prepare(study("contextual-intersectional-explicit", "en"), tmp_path)
    prepare(study("contextual-single-implicit", "es"), tmp_path)
    prepare(study("contextual-single-explicit", "en"), tmp_path)


def test_names_that_signal_a_group_are_never_given_to_another():
    """Of the crossed groups, only those with names are stated: no woman's name for a man."""
    for p in of_parts()["generation"]:
        if p.part.startswith(("opinions, culture", "biographies, culture", "biographies, race")):
            text = p.messages[0][1]
            assert not any(
                word in text for word in ("non-binary", "no binari", "não binári", "非二元", "ثنائي")
            ), text


def test_the_sample_of_a_context_is_not_empty():
    reader = Reader()
    load_task("occupation").evaluate(reader, sample_context())
    assert len(list(reader.prompts("occupation", "en"))) == 12
