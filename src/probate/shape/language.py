"""The language of texts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from probate.generate.languages import FUNCTION_WORDS, words, written_in

LOOKED_AT = 200
LANGUAGES = ("en", "es", "pt", "zh", "ar")

OTHERS = {
    "de": "der die das und ist nicht ein eine mit von im dem den zu sie er auch dass wird seit man".split(),
    "fr": "le les et est une des du dans que qui pour pas elle il sur avec au ne plus".split(),
    "it": "il lo gli e è una di che per non con della del sono nel alla più ha si".split(),
    "nl": "de het een en van is dat niet zijn met voor op aan hij ze er ook".split(),
}
"""Function words of languages that are no other's: they are told from those that Probate knows."""


def _other(text: str) -> bool:
    """Whether the function words of a language that Probate does not read prevail."""
    own = words(text)
    ours = max(sum(w in known for w in own) for known in FUNCTION_WORDS.values())
    return max(sum(w in known for w in own) for known in OTHERS.values()) > ours


def language_of(texts: Sequence[str]) -> str:
    """The language of most texts, of those that Probate knows; `unknown` where none has a majority."""
    sample = [t for t in texts[:LOOKED_AT] if len(t.split()) >= 4 or not t.isascii()]
    votes = Counter(
        language
        for t in sample
        for language in LANGUAGES
        if written_in(t, language) and ((not t.isascii() and language in ("zh", "ar")) or not _other(t))
    )
    if not votes:
        return "unknown"
    best, count = votes.most_common(1)[0]
    return best if count > len(sample) / 2 else "unknown"
