"""The language of texts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from probate.generate.languages import FUNCTION_WORDS, SCRIPTS, words, written_in

LOOKED_AT = 200
LANGUAGES = ("en", "es", "pt", "zh", "ar")
OTHERS = {
    "de": "der die das und ist nicht ein eine mit von im dem den zu sie er auch dass wird seit man".split(),
    "fr": "le les et est une des du dans que qui pour pas elle il sur avec au ne plus la un".split(),
    "it": "il lo gli e è una di che per non con della del sono nel alla più ha si la un".split(),
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
"""Function words of languages that are not read: they only tell these from the others."""
NO_OTHER = 5
"""Words from which a text without one function word that is known is in no language that is read."""


def language_of(texts: Sequence[str]) -> str:
    """The language of most texts, of those that Probate knows; `unknown` where none has a majority."""
    sample = [t for t in texts[:LOOKED_AT] if len(t.split()) >= 4 or not t.isascii()]
    votes = Counter(language for t in sample if (language := language_of_text(t)) in LANGUAGES)
    if not votes:
        return "unknown"
    best, count = votes.most_common(1)[0]
    return best if count > len(sample) / 2 else "unknown"


def language_of_text(text: str) -> str:
    """The language of one text: one that is read, another that is recognised, `other`, or "" where too little is said to tell."""
    letters = [c for c in text if c.isalpha()]
    if not letters or (len(text.split()) < 4 and text.isascii()):
        return ""
    for language in SCRIPTS:
        if written_in(text, language) and not (language == "zh" and _kana(text)):
            return language
    if sum(c < "\u0250" or "\u1e00" <= c < "\u1f00" for c in letters) * 2 < len(letters):
        return "other"
    own = words(text)
    hits = {k: sum(w in known for w in own) for k, known in {**OTHERS, **FUNCTION_WORDS}.items()}
    best = max(hits, key=lambda k: (hits[k], k in FUNCTION_WORDS))
    if not hits[best]:
        return "other" if len(own) >= 2 * NO_OTHER else ""
    return best


def _kana(text: str) -> bool:
    """Japanese, which also writes Chinese characters."""
    return sum("\u3040" <= c <= "\u30ff" for c in text) * 10 > len(text)
