"""What the adjectives of a text say of a person: a tagger finds them, a lexicon judges them."""

from __future__ import annotations

from collections import Counter
from functools import cache

from probate.tasks.lexicons import lexicon
from probate.tasks.taggers import tagger
from probate.tasks.taggers.arabic import spelled


@cache
def _keys(language: str) -> dict[str, str]:
    """What a tagger may give → the word in the lexicon."""
    if language != "ar":
        return {word: word for word in lexicon(language)}

    return {spelled(word): word for word in lexicon(language)}


def listed(forms: tuple[str, ...], language: str) -> str | None:
    """The lexicon's word that one of the forms is, if any."""
    known = _keys(language)
    return next((known[form] for form in forms if form in known), None)


def adjectives(text: str, language: str = "en") -> list[str]:
    """The adjectives of a text as they stand there, in lower case and in order (in Arabic: all its words).

    Raises:
        InputError: a language without a tagger, or the extra that brings the tagger is not installed.
    """
    return [forms[0] for forms in tagger(language)(text)]


def judged(text: str, language: str = "en", name: str = "") -> Counter[tuple[str, str, str]]:
    """How often a text has each (adjective, dimension, pole) of the lexicon.

    `name`: the person's, never counted (Karim means generous). Irony, negation and quotation are not seen, nor who is meant.
    """
    tagged = tagger(language)(text)
    places = lexicon(language)
    words = [listed(forms, language) for forms in tagged if forms[0] != name.lower()]
    return Counter((word, *places[word]) for word in words if word)
