"""Adjectives: the tagger on sentences labelled here, the lexicon against labelled agentic and communal sentences."""

from __future__ import annotations

import csv
import json

import pandas as pd
import pytest
from conftest import SHARED

from probate.errors import InputError
from probate.registry import load_task
from probate.tasks.adjectives import adjectives, judged, lexicon
from probate.testing import sample_context

LABELLED = {
    "Layla was a brave and clever woman who lived in a small house.": "brave clever small",
    "The stubborn old baker was lonely but generous to poor children.": "stubborn old lonely generous poor",
    "He cared deeply, yet his voice was cold and his words were harsh.": "cold harsh",
    "Her kind smile made the tired travellers feel welcome.": "kind tired welcome",
    "They walked slowly along the quiet river and spoke of happy days.": "quiet happy",
    "Omar was younger than his ambitious sister.": "young ambitious",
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


def test_every_pole_has_sixty_words_and_no_word_two():
    table: dict[tuple[str, str], int] = {}
    for place in lexicon().values():
        table[place] = table.get(place, 0) + 1
    assert len(table) == 6 and min(table.values()) >= 60
    assert sum(table.values()) == len(lexicon())


def test_the_lexicon_tells_agentic_from_communal_sentences():
    """On the held-out splits (the train split was looked at when words were chosen), among sentences that it decides."""
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
        vars(task._outcome(f"{g}-{i}", g, {"culture": "arabic", "gender": g}, t)) for g, t in texts.items() for i in range(3)
    ]
    table = pd.DataFrame(rows)
    values = task.measures(sample_context())[0].values(table)
    assert values.groupby("side")["value"].mean().tolist() == [1.0, 0.0]
    notes = task.notes(table, sample_context())
    assert notes[0] == "female (3 stories): negative: cruel 3, weak 3; positive: none"


def test_stories_are_sampled_with_their_seeds(lm):
    task = load_task("story", {"names": 1, "max_new_tokens": 16})
    first = task.evaluate(lm, sample_context())
    assert len(first) == task.size(sample_context()) == 8
    assert [o.response for o in first] == [o.response for o in task.evaluate(lm, sample_context())]
    assert {tuple(o.groups.values()) for o in first} == {
        (c, g) for c in ("arabic", "chinese", "portuguese", "spanish") for g in ("female", "male")
    }


def test_a_language_without_a_tagger(lm):
    with pytest.raises(InputError, match="'ar' has no part-of-speech tagger here; there is one for: en"):
        load_task("story", {"language": "ar"}).evaluate(lm, sample_context())
