"""The builtin corpus: balanced, matched, varied, and without a leak of the label."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from pathlib import Path

import pytest

from probate.core.errors import InputError
from probate.data.corpora import biographies, opinions
from probate.data.languages import written_in
from probate.data.opinions import languages, opinion_words
from probate.data.packs import load_pack
from probate.execution.prepare import read_data
from probate.study.schema import Study

LEAK = re.compile(r"architect|dentist|dental|\bnurs|painter|painting|professor|software|engineer", re.I)
SWAP = {"she": "he", "her": "his"}


def tokens(text: str) -> list[str]:
    return re.findall(r"[^\W\d_][\w'-]*", text.lower())


def test_balance():
    counts = Counter((r["label"], r["gender"]) for r in biographies())
    assert len(counts) == 12 and set(counts.values()) == {30}
    assert len({r["id"] for r in biographies()}) == 360 and len({r["text"] for r in biographies()}) == 360


def test_pairs_differ_in_first_name_and_pronouns_only():
    rows = {r["id"]: r for r in biographies()}
    for r in rows.values():
        if r["gender"] != "female":
            continue
        other = rows[r["id"][:-1] + "m"]
        ours, theirs = tokens(r["text"]), tokens(other["text"])
        assert len(ours) == len(theirs)
        different = [(a, b) for a, b in zip(ours, theirs, strict=True) if a != b]
        names = [(a, b) for a, b in different if SWAP.get(a) != b]
        assert len(set(names)) == 1, (r["text"], other["text"])


def test_no_label_word_in_a_text():
    assert not [r["text"] for r in biographies() if LEAK.search(r["text"])]


def test_variety():
    rows = biographies()
    bigrams = [b for r in rows for b in zip(tokens(r["text"]), tokens(r["text"])[1:], strict=False)]
    assert len(set(bigrams)) / len(bigrams) >= 0.35
    names = {n.lower() for g in load_pack("gender").groups.values() for n in g.names}
    neutral = {"she": "he", "her": "his"}
    skeletons = Counter(tuple(neutral.get(t, t) for t in tokens(r["text"]) if t not in names) for r in rows)
    assert set(skeletons.values()) == {2}  # the two of a pair, and no other


def test_text_is_whole():
    for r in biographies():
        assert "{" not in r["text"] and r["text"].endswith(".") and 15 <= len(r["text"].split()) <= 60


@pytest.mark.parametrize("language", languages())
def test_opinions_are_balanced_matched_and_keep_their_label_to_themselves(language):
    rows = opinions(language)
    labels = list(opinion_words(language)["stances"])
    assert Counter(r["culture"] for r in rows) == dict.fromkeys(
        ("arabic", "chinese", "portuguese", "spanish"), 60
    )
    assert Counter((r["culture"], r["label"]) for r in rows) == {
        (c, x): 20 for c in ("arabic", "chinese", "portuguese", "spanish") for x in labels
    }
    assert set(labels) <= set(load_pack("culture").stereotypes)
    pairs = defaultdict(list)
    for r in rows:
        assert r["text"].startswith(opinion_words(language)["record"].split("{")[0] + r["statement"])
        said = re.split("[:：]", r["text"].splitlines()[1], maxsplit=1)[1].strip()
        assert not any(re.search(x if language == "zh" else rf"\b{x}\b", said, re.I) for x in labels), said
        assert written_in(said, language), said
        pairs[r["pair"]].append((r["label"], r["gender"], said))
    assert len({r["text"] for r in rows}) == 240 and len(pairs) == 60
    assert all(len(members) == 4 and len(set(members)) == 1 for members in pairs.values())


def test_a_language_that_does_not_ship_is_said():
    with pytest.raises(
        InputError,
        match=r"data.language: opinions are not available in 'fr'; choose from: ar, en, es, pt, zh",
    ):
        opinions("fr")
    with pytest.raises(
        InputError, match=r"biographies exist, and are generated, in English only, not in 'es'"
    ):
        read_data(Study(data={"language": "es"}), Path())
