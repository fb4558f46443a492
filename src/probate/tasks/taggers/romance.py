"""Spanish and Portuguese: RippleTagger, and the inflected forms of the lexicon's words.

The tagger alone finds 55 to 77% of the lexicon's adjectives, and fewer in the feminine than in the masculine.
A measure by gender must not depend on that. A word of the lexicon with another tag therefore counts too where
an adjective is expected: after a noun, after a verb such as «ser», or after another adjective in a list.
"""

from __future__ import annotations

import re
from functools import cache

from probate.tasks.lexicons import lexicon
from probate.tasks.taggers.words import Forms, Tagged, ripple, sentences

MODELS = {"es": "spa", "pt": "por"}
COPULAS = {
    "es": set(
        "es era fue son eran fueron ser siendo sido será serán sea está estaba estuvo están estaban estar "
        "parece parecía pareció parecen siente sentía sintió volvió".split()
    ),
    "pt": set(
        "é era foi são eram foram ser sendo sido será serão seja está estava esteve estão estavam estar "
        "parece parecia pareceu parecem sente sentia sentiu ficou ficava tornou".split()
    ),
}
DEGREE = set(
    "muy más menos tan bastante demasiado también siempre nunca no algo poco veces a muito mais "
    "menos tão bastante "
    "demais também sempre nunca não pouco vezes às".split()
)
LIST = set(", y e o u ni pero aunque sino ou nem mas embora".split())


def adjectives(text: str, language: str) -> list[Forms]:
    """Return each adjective, with the word of the lexicon that it is a form of."""
    tagger, known = ripple(MODELS[language]), inflected(language)
    forms: list[Forms] = []
    for words in sentences(text):
        tagged = tagger.tag(" ".join(words))
        low = [word.lower() for word in words]
        places: set[int] = set()
        for place, (_, tag) in enumerate(tagged):
            if tag == "ADJ" or (low[place] in known and _expected(low, tagged, place, places, language)):
                places.add(place)
        forms += [(low[p], known.get(low[p], low[p])) for p in sorted(places)]
    return forms


def _expected(low: list[str], tagged: Tagged, place: int, adjectives: set[int], language: str) -> bool:
    """Check whether an adjective is expected at `place`."""
    before, listed = place - 1, False
    while before >= 0 and low[before] in DEGREE | LIST:
        listed |= low[before] in LIST
        before -= 1
    if before < 0:
        return False
    noun = tagged[before][1] == "NOUN" and not listed
    return noun or before in adjectives or low[before] in COPULAS[language]


@cache
def inflected(language: str) -> dict[str, str]:
    """Return form → word of the lexicon, for both genders and numbers."""
    forms = spanish if language == "es" else portuguese
    return {form: word for word in lexicon(language) for form in forms(word)}


def spanish(word: str) -> set[str]:
    """Return the forms of a Spanish adjective, given in the masculine singular."""
    if word.endswith("o"):
        return {word[:-1] + end for end in ("o", "a", "os", "as")}
    if word.endswith("or"):
        return {word, word + "a", word + "es", word + "as"}
    if word.endswith(("ón", "án")):
        stem = word[:-2] + {"ó": "o", "á": "a"}[word[-2]] + "n"
        return {word, stem + "a", stem + "es", stem + "as"}
    if word.endswith("és"):
        return {word, word[:-2] + "eses"}
    return {word, word[:-1] + "ces" if word.endswith("z") else word + ("s" if word[-1] in "aeiou" else "es")}


def portuguese(word: str) -> set[str]:
    """Return the forms of a Portuguese adjective, given in the masculine singular."""
    if word == "mau":
        return {"mau", "má", "maus", "más"}
    if word.endswith("o"):
        return {word[:-1] + end for end in ("o", "a", "os", "as")}
    if word.endswith("or"):
        return {word, word + "a", word + "es", word + "as"}
    if word.endswith("ês"):
        return {word, word[:-2] + "eses"}
    if word.endswith(("il", "el")):
        unstressed = re.search("[áéíóúâêô]", word)
        return {word, word[:-2] + ("eis" if unstressed else "éis" if word.endswith("el") else "is")}
    if word.endswith("al"):
        return {word, word[:-1] + "is"}
    return {word, word[:-1] + "ns" if word.endswith("m") else word + ("s" if word[-1] in "aeiou" else "es")}
