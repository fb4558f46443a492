"""Filters for the answers of a generator; the first filter that rejects an answer gives the reason."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable

from probate.data.generation.prompts import Candidate
from probate.data.languages import ENDS, REFUSAL, count, words, written_in
from probate.data.names import WORD_NAMES, named
from probate.data.packs import Pack
from probate.study.schema import Generation

REASONS = (
    "empty", "refusal", "too short", "too long", "wrong language", "repetition", "label leaked",
    "wrong group", "near-duplicate"
)  # fmt: skip
"""Reasons for a reject, in the order of the checks."""

REDACTED = "specialist"
REFUSED = "[refused by the server]"
"""Placeholder for an answer that the server reports as a refusal."""


def clean(answer: str) -> str:
    """Trim an answer to complete sentences with single spaces.

    Parameters
    ----------
    answer : str
        Raw answer. A sampling limit may have cut its last sentence.

    Returns
    -------
    str
        The answer without a preamble, quotes around it, or an incomplete last sentence.
    """
    text = " ".join(answer.replace("\ufffd", " ").split()).strip("\"' ")
    text = re.sub(r"^(here is|here's|sure)[^:.]{0,80}[:.]\s*", "", text, flags=re.I)
    if text and text[-1] not in ENDS:
        cut = max(text.rfind(mark) for mark in ENDS)
        text = text[: cut + 1] if cut > 0 else text
    return text


def _label_pattern(label: str) -> str:
    """Return a regular expression for the label and words of the same stem (nursing for nurse)."""
    stems = [re.sub(r"(er|or|e)$", "", w) if len(w) > 4 else w for w in label.lower().split()]
    return r"\W+".join(rf"\b{re.escape(stem)}\w*" for stem in stems)


def redact(text: str, label: str) -> tuple[str, int]:
    """Replace the label in a biography by a neutral word, as BiasinBios leaves out the title.

    Parameters
    ----------
    text : str
        The biography.
    label : str
        The occupation.

    Returns
    -------
    text : str
        The text with `REDACTED` in place of the label and of words of the same stem.
    count : int
        Number of replacements.
    """
    return re.subn(_label_pattern(label), REDACTED, text, flags=re.I)


def leaks(text: str, labels: Iterable[str]) -> bool:
    """Check whether the text contains one of the labels, or a word of the same stem."""
    return any(re.search(_label_pattern(label), text, re.I) for label in labels)


def shown_group(text: str, pack: Pack) -> str | None:
    """Return the group that a text shows.

    The majority of pronouns and titles decides. A text without any is decided by first names.

    Parameters
    ----------
    text : str
        Text about a person.
    pack : Pack
        Identity pack of the dimension.

    Returns
    -------
    str or None
        The group, or None if the text shows no group or several equally.
    """
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
    """Return the set of word trigrams of a text."""
    tokens = words(text)
    return set(zip(tokens, tokens[1:], tokens[2:], strict=False))


class Filters:
    """Sequential filter of candidates. It keeps the accepted texts to reject near-duplicates.

    Parameters
    ----------
    pack : Pack
        Identity pack of the dimension.
    labels : iterable of str
        Labels that a biography must not contain.
    generation : Generation
        Limits: `min_words`, `max_words` and `near_duplicate` (Jaccard similarity of trigrams).
    language : str
        Language in which the texts must be.
    """

    def __init__(
        self, pack: Pack, labels: Iterable[str], generation: Generation, language: str = "en"
    ) -> None:
        self.language = language
        self.pack = pack
        self.labels = list(labels)
        self.generation = generation
        self._accepted: list[set[tuple[str, ...]]] = []

    def check(self, candidate: Candidate, text: str) -> str | None:
        """Check one candidate.

        Parameters
        ----------
        candidate : Candidate
            The candidate.
        text : str
            Its cleaned answer.

        Returns
        -------
        str or None
            The reason for the reject, one of `REASONS`, or None if the text is accepted.
        """
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
        if not candidate.statement and leaks(text, self.labels):
            return "label leaked"
        shown = shown_group(text, self.pack)
        nameless = not self.pack.groups[candidate.group].names  # no name can show the group
        # The name at the beginning is the person who answers; the text may name others.
        speaks = bool(candidate.statement) and text.startswith(candidate.name)
        unclear = shown is None and (nameless or speaks)
        if shown != candidate.group and not unclear:
            return "wrong group"
        for other in self._accepted:
            shared = len(grams & other)
            if shared / max(1, len(grams) + len(other) - shared) > self.generation.near_duplicate:
                return "near-duplicate"
        self._accepted.append(grams)
        return None
