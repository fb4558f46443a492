"""Agreement of Portuguese and Spanish articles with «a pessoa» and «la persona»."""

from __future__ import annotations

import re

from probate.mitigations.wording.english import cased

FEMININE = {
    "pt": {
        "o": "a", "os": "as", "um": "uma", "uns": "umas", "do": "da", "dos": "das", "ao": "à", "aos": "às",
        "no": "na", "nos": "nas",
        "pelo": "pela", "pelos": "pelas",
    },
    "es": {"el": "la", "los": "las", "un": "una", "unos": "unas", "del": "de la", "al": "a la"},
}  # fmt: skip
BEFORE_NAME = {
    "pt": {"a": "a", "da": "da", "de": "da", "na": "na", "em": "na", "à": "à", "pela": "pela", "por": "pela"},
    "es": {"la": "la"},
}


def with_its_article(text: str, start: int, new: str, name: bool, language: str) -> tuple[int, str]:
    """Extend the replacement `new` at `start` by the article before it, in agreement.

    If `name` is True, the replacement is that of a name and already has an article. Returns the new start and
    the new replacement.
    """
    last = re.search(r"(?<!\w)(\w+)[ ]+$", text[max(0, start - 10) : start])
    table = FEMININE[language] | (BEFORE_NAME[language] if name else {})
    if not last or last.group(1).lower() not in table or not new or new.startswith(("[", "es", "des", "nes")):
        return start, new
    article = cased(table[last.group(1).lower()], last.group(1)[0])
    return start - len(last.group()), f"{article} {new.split(' ', 1)[1] if name else new}"
