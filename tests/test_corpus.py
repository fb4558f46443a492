"""The builtin corpus: balanced, matched, varied, and without a leak of the label."""

from __future__ import annotations

import re
from collections import Counter

from probate.bias.packs import load_pack
from probate.corpus import biographies

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


def test_opinions_are_balanced_matched_and_keep_their_label_to_themselves():
    from collections import Counter, defaultdict

    from probate.corpus import opinions

    rows = opinions()
    assert Counter(r["culture"] for r in rows) == dict.fromkeys(("arabic", "chinese", "portuguese", "spanish"), 60)
    assert set(Counter((r["culture"], r["label"]) for r in rows).values()) == {20}
    pairs = defaultdict(list)
    for r in rows:
        assert not re.search(r"agree|depend", r["text"].split("answers:")[1], re.I), r["text"]
        pairs[r["pair"]].append(r)
    assert len({r["text"] for r in rows}) == 240
    for members in pairs.values():
        assert len(members) == 4 and len({(m["label"], m["gender"], m["text"].split("answers: ")[1]) for m in members}) == 1
