"""Adjectives in a text by part-of-speech taggers that are Python packages, one file for each language or
family.

Each file has `adjectives(text)`. It returns the forms of each adjective: the form in the text (lower case),
then forms that a lexicon may list. For accuracy on labelled sentences and licences, see docs/tasks.md.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version

from probate.core.errors import InputError
from probate.tasks.taggers.words import Forms

TAGGERS = {
    "en": ("english", {}),
    "es": ("romance", {"language": "es"}),
    "pt": ("romance", {"language": "pt"}),
    "ar": ("arabic", {}),
    "zh": ("chinese", {}),
}
LIBRARIES = {"en": "HanTa", "es": "rippletagger", "pt": "rippletagger", "zh": "jieba"}
"""The distribution with a language's tagger; Arabic has none."""


def tagger_version(language: str) -> str:
    """Return the version of the library that tags the language; empty if there is none or it is not
    installed.
    """
    try:
        return version(LIBRARIES[language])
    except (KeyError, PackageNotFoundError):
        return ""


def tagger(language: str) -> Callable[[str], list[Forms]]:
    """Return the function `adjectives` of a language.

    Raises
    ------
    InputError
        The language has no tagger. At the first call of the function: the extra with the tagger is not
        installed.
    """
    if language not in TAGGERS:
        raise InputError(
            f"tasks: story.options.language: '{language}' has no part-of-speech tagger; "
            f"supported languages: {', '.join(TAGGERS)}"
        )
    module, options = TAGGERS[language]
    return partial(import_module(f"probate.tasks.taggers.{module}").adjectives, **options)
