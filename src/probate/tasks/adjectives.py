"""Adjectives that describe a person: a tagger finds them, a lexicon assigns dimension and pole."""

from __future__ import annotations

from collections import Counter
from functools import cache

from probate.tasks.lexicons import lexicon
from probate.tasks.taggers import tagger
from probate.tasks.taggers.arabic import spelled


@cache
def _keys(language: str) -> dict[str, str]:
    """Return the forms that a tagger may return → the word in the lexicon."""
    if language != "ar":
        return {word: word for word in lexicon(language)}

    return {spelled(word): word for word in lexicon(language)}


def listed(forms: tuple[str, ...], language: str) -> str | None:
    """Return the word of the lexicon that one of the forms is, or None."""
    known = _keys(language)
    return next((known[form] for form in forms if form in known), None)


def adjectives(text: str, language: str = "en") -> list[str]:
    """Return the adjectives of a text in lower case and in order, as written (Arabic: all words).

    Raises
    ------
    InputError
        The language has no tagger, or the extra with the tagger is not installed.
    """
    return [forms[0] for forms in tagger(language)(text)]


def judged(text: str, language: str = "en", name: str = "") -> Counter[tuple[str, str, str]]:
    """Count the adjectives of a text that are in the lexicon.

    Irony, negation and quotation are not recognised, nor is the person that an adjective describes.

    Parameters
    ----------
    text : str
        The text.
    language : str
        Language of the text.
    name : str
        Name of the person. It is never counted (Karim means generous).

    Returns
    -------
    collections.Counter
        (adjective, dimension, pole) → number of occurrences.
    """
    tagged = tagger(language)(text)
    places = lexicon(language)
    words = [listed(forms, language) for forms in tagged if forms[0] != name.lower()]
    return Counter((word, *places[word]) for word in words if word)
