"""Language identification of texts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from probate.data.languages import FUNCTION_WORDS, SCRIPTS, words, written_in

LOOKED_AT = 200
"""Number of texts from which the language is identified."""
LANGUAGES = ("en", "es", "pt", "zh", "ar")
OTHERS = {
    "de": "der die das und ist nicht ein eine mit von im dem den zu sie er auch dass wird seit man".split(),
    "fr": "le les et est une des du dans que qui pour pas elle il sur avec au ne plus la un".split(),
    "it": (
        "il lo gli e è una di che per non con della del sono nel alla più ha si la un in da i nella "
        "dei delle al come anche questo era"
    ).split(),
    "nl": "de het een en van is dat niet zijn met voor op aan hij ze er ook te".split(),
    "pl": "i w na z się nie że jest do to jak od po o przez ale dla jego jej oraz".split(),
    "tr": "ve bir bu da de için ile olarak çok daha ne gibi sonra kadar onun olan ama".split(),
    "sv": "och att det som en är på av för med den till inte ett han hon var om".split(),
    "da": "og at det som en er på af for med den til ikke et han hun var om".split(),
    "no": "og at det som en er på av for med den til ikke et han hun var om".split(),
    "ro": "și în de la cu pe care este nu din un o pentru că mai sau ca".split(),
    "cs": "a v na se je že s z do to jako ale by pro jeho který jsou byl".split(),
    "fi": "ja on ei se hän että oli mutta myös kun joka ovat niin kuin".split(),
    "id": "yang dan di itu dengan untuk dari dalam tidak ini pada adalah dia akan".split(),
    "vi": "và của là có trong không cho một người được với các này đã".split(),
}
"""Function words of languages that Probate does not support, to tell them from the supported ones."""
MORE = {
    "en": (
        "a an as at by for from has had have on or but which who were will would been also than its we "
        "i my our if so all can no do one about into when what where how there s t"
    ).split(),
    "es": (
        "a me mi ha fue son muy cuando donde sus nos sobre entre hasta desde también este esta esto "
        "ser hay le les ella él"
    ).split(),
    "pt": (
        "a as ao aos na nas no nos das dos pela pelo foi são muito quando onde seus sobre entre até "
        "também este esta isso ser há ela ele"
    ).split(),
}
"""Further function words of supported languages, some of which other languages share."""
LETTERS = {"tr": "ığş", "pl": "łąęż", "cs": "řůě", "de": "ß"}
"""Letters that no supported language has. Each occurrence counts as a function word."""
PERSIAN = "\u067e\u0686\u0698\u06af\u06a9\u06cc\u06d2\u0679\u0688"
"""Letters of Persian and Urdu that Arabic does not have."""
KNOWN = {
    **{k: {*own, *MORE[k]} for k, own in FUNCTION_WORDS.items()},
    **{k: set(own) for k, own in OTHERS.items()},
}
NO_OTHER = 10
"""Minimum number of words for a text without known function words to count as another language."""


def language_of(texts: Sequence[str]) -> str:
    """Identify the language of most texts.

    Parameters
    ----------
    texts : sequence of str
        Texts; only the first `LOOKED_AT` are used.

    Returns
    -------
    str
        One of `LANGUAGES` (ISO 639-1), or `unknown` if none of them has the majority.
    """
    sample = [t for t in texts[:LOOKED_AT] if len(t.split()) >= 4 or not t.isascii()]
    votes = Counter(language for t in sample if (language := language_of_text(t)) in LANGUAGES)
    if not votes:
        return "unknown"
    best, count = votes.most_common(1)[0]
    return best if count > len(sample) / 2 else "unknown"


def language_of_text(text: str) -> str:
    """Identify the language of one text.

    Parameters
    ----------
    text : str
        The text.

    Returns
    -------
    str
        ISO 639-1 code of a supported or another recognised language, `other`, or an empty string if the text
        is too short.
    """
    letters = [c for c in text if c.isalpha()]
    if not letters or (len(text.split()) < 4 and text.isascii()):
        return ""
    for language in SCRIPTS:
        if written_in(text, language):
            return "other" if _neighbour(text, language) else language
    if sum(c < "\u0250" or "\u1e00" <= c < "\u1f00" for c in letters) * 2 < len(letters):
        return "other"
    own = words(text)
    hits = {k: sum(w in known for w in own) for k, known in KNOWN.items()}
    for language, own_letters in LETTERS.items():
        hits[language] += sum(c in own_letters for c in text.lower())
    best = max(hits, key=lambda k: (hits[k], k in FUNCTION_WORDS))
    if not hits[best]:
        return "other" if len(own) >= NO_OTHER else ""
    return best


def _neighbour(text: str, language: str) -> bool:
    """Check whether a text is in another language of the same script: Japanese, Persian or Urdu."""
    if language == "zh":
        return sum("\u3040" <= c <= "\u30ff" for c in text) * 10 > len(text)
    return language == "ar" and sum(c in PERSIAN for c in text) * 33 > len(text)
