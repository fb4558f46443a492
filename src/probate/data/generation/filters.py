"""Filters over a generator's answers: each says why it rejects. Order matters: the first reason is recorded."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable

from probate.data.generation.prompts import Ask
from probate.data.languages import ENDS, REFUSAL, count, words, written_in
from probate.data.names import WORD_NAMES, named
from probate.data.packs import Pack
from probate.study.schema import Generation

REASONS = (
    "empty", "refusal", "too short", "too long", "wrong language", "repetition", "label leaked", "wrong group", "near-duplicate"
)  # fmt: skip
"""All reasons, in the order in which they are checked."""

REDACTED = "specialist"
REFUSED = "[refused by the server]"
"""In place of an answer that a server says is a refusal."""


def clean(answer: str) -> str:
    """Cut an answer to whole sentences and single spaces: a sampling limit must not leave half a sentence."""
    text = " ".join(answer.replace("\ufffd", " ").split()).strip("\"' ")
    text = re.sub(r"^(here is|here's|sure)[^:.]{0,80}[:.]\s*", "", text, flags=re.I)
    if text and text[-1] not in ENDS:
        cut = max(text.rfind(mark) for mark in ENDS)
        text = text[: cut + 1] if cut > 0 else text
    return text


def _label_pattern(label: str) -> str:
    """The label, or words of the same stem (nursing for nurse, painting for painter)."""
    stems = [re.sub(r"(er|or|e)$", "", w) if len(w) > 4 else w for w in label.lower().split()]
    return r"\W+".join(rf"\b{re.escape(stem)}\w*" for stem in stems)


def redact(text: str, label: str) -> tuple[str, int]:
    """Replace the asked-for label by a neutral word (BiasinBios leaves the title out); returns the number replaced."""
    return re.subn(_label_pattern(label), REDACTED, text, flags=re.I)


def leaks(text: str, labels: Iterable[str]) -> bool:
    """Whether the text holds one of the labels, or a word of the same stem."""
    return any(re.search(_label_pattern(label), text, re.I) for label in labels)


def shown_group(text: str, pack: Pack) -> str | None:
    """The group that a text shows: by pronouns and titles (majority), else by names; None where it is not clear."""
    counts = Counter(words(text))
    cues = {
        g: sum(count(text, w, counts) for w in (*spec.pronouns, *spec.titles))
        for g, spec in pack.groups.items()
    }
    ranked = sorted(cues, key=lambda g: -cues[g])
    if cues[ranked[0]] > cues[ranked[1]]:
        return ranked[0]
    if cues[ranked[0]] > 0:
        return None
    shown = [
        g
        for g, spec in pack.groups.items()
        if any(count(text, n.lower(), counts) and (n not in WORD_NAMES or named(n, text)) for n in spec.names)
    ]
    return shown[0] if len(shown) == 1 else None


def trigrams(text: str) -> set[tuple[str, ...]]:
    tokens = words(text)
    return set(zip(tokens, tokens[1:], tokens[2:], strict=False))


class Filters:
    """Checks candidates one after another; remembers what it accepted, for near-duplicates."""

    def __init__(
        self, pack: Pack, labels: Iterable[str], generation: Generation, language: str = "en"
    ) -> None:
        self.language = language
        self.pack = pack
        self.labels = list(labels)
        self.generation = generation
        self._accepted: list[set[tuple[str, ...]]] = []

    def check(self, ask: Ask, text: str) -> str | None:
        """The reason to reject `text`, or None: then it is accepted."""
        tokens = words(text)
        if not tokens:
            return "empty"
        if text == REFUSED or REFUSAL.search(text):
            return "refusal"
        if len(tokens) < self.generation.min_words:
            return "too short"
        if len(tokens) > self.generation.max_words:
            return "too long"
        if not written_in(text, self.language):
            return "wrong language"
        grams = trigrams(text)
        if len(grams) < 0.7 * max(1, len(tokens) - 2):
            return "repetition"
        if not ask.statement and leaks(text, self.labels):
            return "label leaked"
        shown = shown_group(text, self.pack)
        nameless = not self.pack.groups[ask.group].names  # no name could show it
        speaks = bool(ask.statement) and text.startswith(
            ask.name
        )  # the one who answers; others may be named too
        unclear = shown is None and (nameless or speaks)
        if shown != ask.group and not unclear:
            return "wrong group"
        for other in self._accepted:
            shared = len(grams & other)
            if shared / max(1, len(grams) + len(other) - shared) > self.generation.near_duplicate:
                return "near-duplicate"
        self._accepted.append(grams)
        return None
