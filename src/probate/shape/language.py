"""The language of texts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from probate.generate.languages import written_in

LOOKED_AT = 200
LANGUAGES = ("en", "es", "pt", "zh", "ar")


def language_of(texts: Sequence[str]) -> str:
    """The language of most texts, of those that Probate knows; `unknown` where none has a majority."""
    sample = [t for t in texts[:LOOKED_AT] if len(t.split()) >= 4 or not t.isascii()]
    votes = Counter(language for t in sample for language in LANGUAGES if written_in(t, language))
    if not votes:
        return "unknown"
    best, count = votes.most_common(1)[0]
    return best if count > len(sample) / 2 else "unknown"
