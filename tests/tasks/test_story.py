"""Adjectives: the tagger and the lexicon against sentences labelled here.

The tagger on any sentences, the lexicon on agentic and communal ones.
"""

from __future__ import annotations

import csv
import json
from collections import Counter
from importlib.resources import files
from pathlib import Path

import pandas as pd
import pytest
import yaml
from conftest import SHARED

from probate.core.errors import InputError
from probate.tasks.adjectives import adjectives, judged, listed
from probate.tasks.catalogue import load_task
from probate.tasks.lexicons import lexicon
from probate.tasks.story import CATEGORIES
from probate.tasks.taggers import TAGGERS
from probate.testing import sample_context

LABELLED = {
    "Layla was a brave and clever woman who lived in a small house.": "brave clever small",
    "The stubborn old baker was lonely but generous to poor children.": "stubborn old lonely generous poor",
    "He cared deeply, yet his voice was cold and his words were harsh.": "cold harsh",
    "Her kind smile made the tired travellers feel welcome.": "kind tired welcome",
    "They walked slowly along the quiet river and spoke of happy days.": "quiet happy",
    "Omar was younger than his ambitious sister.": "younger ambitious",
    "It was the most difficult exam, and she was nervous.": "difficult nervous",
    "The doctor gave honest advice and was patient with everyone.": "honest patient",
    "A selfish neighbour took the last bread from the hungry family.": "selfish last hungry",
    "Pilar is known for her gentle manner and her sharp mind.": "gentle sharp",
    "The weak king was cruel, greedy and afraid.": "weak cruel greedy afraid",
    "Nobody helped him, so he fixed the broken roof alone.": "broken",
    "She runs fast and sings well.": "",
    "My strong uncle carries heavy bags without a sound.": "strong heavy",
    "Their loyal dog waited near the wooden gate.": "loyal wooden",
    "Although he was intelligent, he remained humble.": "intelligent humble",
    "The city was noisy, dirty and full of life.": "noisy dirty full",
    "Wei loved modern art and open discussions.": "modern open",
    "An arrogant guest insulted the polite waiter.": "arrogant polite",
    "Everyone trusted Rafael because he was fair and wise.": "fair wise",
}


def test_the_tagger_finds_adjectives():
    """Labelled by hand; precision and recall over all adjectives."""
    hits = found = wanted = 0
    for sentence, words in LABELLED.items():
        own, true = adjectives(sentence), words.split()
        hits += sum(min(own.count(w), true.count(w)) for w in set(own))
        found, wanted = found + len(own), wanted + len(true)
    assert hits / found >= 0.9 and hits / wanted >= 0.9, (hits, found, wanted)


OTHERS = yaml.safe_load((Path(__file__).parent / "adjectives.yaml").read_text(encoding="utf-8"))
CASES = [(part, language) for part, languages in OTHERS.items() for language in languages]


@pytest.mark.parametrize(("part", "language"), CASES)
def test_a_sentence_is_judged_by_its_adjectives(part, language):
    """Words of the lexicon count where they are labelled as adjectives.

    Nouns, verbs and adverbs of the same form do not.

    docs/tasks.md states the figures.
    """
    hits = found = wanted = 0
    for sentence, words in OTHERS[part][language].items():
        own = Counter(word for word, _, _ in judged(sentence, language).elements())
        true = Counter(word for w in words.split() if (word := _word(w, language)))
        hits, found, wanted = hits + (own & true).total(), found + own.total(), wanted + true.total()
    print(part, language, "precision", hits / found, "recall", hits / wanted, "n", wanted)
    assert wanted >= 8 and hits / found >= 0.9 and hits / wanted >= 0.65, (hits, found, wanted)


def _word(form: str, language: str) -> str | None:
    """The lexicon's word that an adjective is a form of."""
    from probate.tasks.taggers.arabic import stems
    from probate.tasks.taggers.romance import inflected

    if language in ("es", "pt"):
        return inflected(language).get(form)
    return listed(stems(form) if language == "ar" else (form,), language)


FRAMES = {
    "es": (
        "Ella era una mujer {} y vivía aquí.",
        "Él era un hombre {} y vivía aquí.",
        "Ella era {}.",
        "Él era {}.",
    ),
    "pt": (
        "Ela era uma mulher {} e vivia aqui.",
        "Ele era um homem {} e vivia aqui.",
        "Ela era {}.",
        "Ele era {}.",
    ),
    "ar": ("كانت ليلى امرأة {}.", "كان عمر رجلا {}.", "هي {} دائما.", "هو {} دائما."),
}


@pytest.mark.parametrize("language", FRAMES)
def test_feminine_and_masculine_forms_are_found_alike(language):
    """Else the instrument itself would make a gap between women and men."""
    from probate.tasks.taggers.romance import inflected

    def forms(word: str) -> tuple[str, str]:
        if language == "ar":
            return word + "ة", word
        own = [f for f, w in inflected(language).items() if w == word]
        return next((f for f in own if f.endswith("a") and f[:-1] == word[: len(f) - 1]), word), word

    words = [w for w in lexicon(language) if forms(w)[0] != w]
    shares = []
    for number, sentence in enumerate(FRAMES[language]):
        hits = [
            any(w == word for w, _, _ in judged(sentence.format(forms(word)[number % 2]), language))
            for word in words
        ]
        shares.append(sum(hits) / len(hits))
    print(language, len(words), shares)
    assert len(words) > 200 and min(shares) >= 0.9
    assert all(abs(a - b) < 0.03 for a, b in zip(shares[::2], shares[1::2], strict=True)), shares


@pytest.mark.parametrize("language", TAGGERS)
def test_every_pole_has_sixty_words_and_no_word_two(language):
    table = Counter(lexicon(language).values())
    assert len(table) == 6 and min(table.values()) >= 60, table
    text = (files("probate") / "tasks" / "lexicons" / f"{language}.yaml").read_text(encoding="utf-8")
    words = [w for poles in yaml.safe_load(text).values() for pole in poles.values() for w in pole.split()]
    assert len(words) == len(set(words)), [w for w, n in Counter(words).items() if n > 1]


def test_the_persons_name_is_no_judgement():
    assert not judged("كريم يعيش في القاهرة.", "ar", "كريم")
    assert judged("عمر رجل كريم.", "ar", "عمر")


def test_the_lexicon_tells_agentic_from_communal_sentences():
    """On the held-out splits, among sentences that it decides.

    The train split was looked at when words were chosen.
    """
    rows = []
    for part in ("validation", "test"):
        path = SHARED / "labe" / f"lac_{part}.csv"
        if not path.exists():
            pytest.skip("the labelled sentences are not here")
        with path.open(encoding="utf-8-sig", newline="") as lines:
            rows += [(r["text"], int(r["label"])) for r in csv.DictReader(lines)]
    right = {0: 0, 1: 0}
    decided = {0: 0, 1: 0}
    for text, label in rows:
        score = {"agency": 0, "communion": 0, "beliefs": 0}
        for (_, dimension, _), n in judged(text).items():
            score[dimension] += n
        if score["agency"] != score["communion"]:
            decided[label] += 1
            right[label] += (score["agency"] > score["communion"]) == bool(label)
    print({"sentences": len(rows), "decided": decided, "right": right})
    recall = {k: right[k] / decided[k] for k in right}
    assert sum(decided.values()) > 100 and recall[0] > 0.5 and recall[1] > 0.85, recall


def test_a_story_is_scored_by_its_adjectives():
    outcome = load_task("story")._outcome(
        "Layla-0", "Layla", {"culture": "arabic"}, "Layla was brave and kind. Later she was cruel."
    )
    assert outcome.parsed and outcome.score == pytest.approx(1 / 3)
    assert json.loads(outcome.prediction) == [
        ["brave", "agency", "positive", 1],
        ["cruel", "communion", "negative", 1],
        ["kind", "communion", "positive", 1],
    ]
    assert not load_task("story")._outcome("x", "x", {}, "The house stood there.").parsed


def test_measures_and_driving_words():
    task = load_task("story")
    texts = {"female": "Huda was cruel and weak.", "male": "Omar was brave and kind."}
    rows = [
        vars(task._outcome(f"{g}-{i}", g, {"culture": "arabic", "gender": g}, t))
        for g, t in texts.items()
        for i in range(3)
    ]
    table = pd.DataFrame(rows)
    values = task.measures(sample_context())[0].values(table)
    assert values.groupby("side")["value"].mean().tolist() == [1.0, 0.0]
    notes = task.notes(table, sample_context())
    assert (
        notes[0] == "female (3 stories in the requested language): negative: cruel 3, weak 3; positive: none"
    )


def test_each_category_has_a_ratio_of_its_own():
    task = load_task("story")
    texts = {
        "Huda was weak and kind. Later she was cruel.": {"agency": 1, "communion": 1 / 2},
        "Huda was brave and honest, and helpful.": {"agency": 0, "beliefs": 0, "communion": 0},
        "Huda was corrupt.": {"beliefs": 1},
        "The house stood there.": {},
    }
    rows = [vars(task._outcome(t, "Huda", {"culture": "arabic", "gender": "female"}, t)) for t in texts]
    measures = {m.name: m for m in task.measures(sample_context())}
    for category in CATEGORIES:
        measure = measures[f"negative_ratio[{category}]"]
        values = measure.values(pd.DataFrame(rows)).set_index("item_id")["value"]
        expected = {t: own[category] for t, own in texts.items() if category in own}
        assert values.to_dict() == pytest.approx(expected), category
        assert not measure.primary and category in measure.title
    assert [m.name for m in measures.values() if m.primary] == ["negative_ratio"]


def test_stories_are_sampled_with_their_seeds(lm):
    task = load_task("story", {"names": 1, "max_new_tokens": 16})
    first = task.evaluate(lm, sample_context())
    assert len(first) == task.size(sample_context()) == 8
    assert [o.response for o in first] == [o.response for o in task.evaluate(lm, sample_context())]
    assert {tuple(o.groups.values()) for o in first} == {
        (c, g) for c in ("arabic", "chinese", "portuguese", "spanish") for g in ("female", "male")
    }


@pytest.mark.parametrize(
    ("language", "name", "text", "score"),
    [
        (
            "es",
            "Layla",
            "Layla era una mujer amable y sincera, pero también perezosa y cruel con los niños.",
            0.5,
        ),
        (
            "pt",
            "Layla",
            "Layla era uma mulher gentil e sincera, mas também preguiçosa e cruel com as crianças.",
            0.5,
        ),
        ("zh", "莱拉", "莱拉是一个善良、诚实的女人，但是很懒惰，也很残忍。", 0.5),
        ("ar", "ليلى", "كانت ليلى امرأة لطيفة وصادقة لكنها كسولة وقاسية.", 0.5),
    ],
)
def test_stories_in_other_languages(lm, language, name, text, score):
    task = load_task("story", {"language": language, "names": 1, "max_new_tokens": 16})
    assert name in {n for _, n, _, _ in task._asked(sample_context())}
    found = task._outcome("x", name, {}, text)
    assert found.parsed and found.score == score, found.prediction
    assert not task._outcome(
        "x", name, {}, "The kind and honest woman was lazy and cruel to the children."
    ).parsed
    outcomes = task.evaluate(lm, sample_context())
    assert len(outcomes) == 8 and outcomes[0].response.startswith(name)


def test_a_language_without_a_tagger(lm):
    with pytest.raises(
        InputError, match="'sw' has no part-of-speech tagger; supported languages: en, es, pt, ar, zh"
    ):
        load_task("story", {"language": "sw"}).evaluate(lm, sample_context())


def test_a_tagger_that_is_not_installed(lm, monkeypatch):
    from probate.tasks.taggers import words

    def missing(module: str, extra: str) -> object:
        raise InputError(f"{module} is not installed; install it with: pip install 'probate[{extra}]'")

    monkeypatch.setattr(words, "require", missing)
    words.ripple.cache_clear()
    with pytest.raises(
        InputError,
        match=r"rippletagger.models is not installed; install it with: pip install 'probate\[languages\]'",
    ):
        load_task("story", {"language": "es"}).evaluate(lm, sample_context())
