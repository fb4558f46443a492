"""Adjectives in a text, by a part-of-speech tagger that installs as a package: one file a language or family.

Each has `adjectives(text)`: for each adjective its forms, first as it stands in the text (lower case), then what a lexicon
may list it as. Accuracy on labelled sentences, and licences: docs/tasks.md.
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
"""Distribution that a language's tagger comes from; Arabic has none."""


def tagger_version(language: str) -> str:
    """Version of the library that tags the language; empty where there is none, or it is not installed."""
    try:
        return version(LIBRARIES[language])
    except (KeyError, PackageNotFoundError):
        return ""


def tagger(language: str) -> Callable[[str], list[Forms]]:
    """The `adjectives` of a language.

    Raises:
        InputError: a language without a tagger, here; at its first use, the extra that brings the tagger is not installed.
    """
    if language not in TAGGERS:
        raise InputError(
            f"tasks: story.options.language: '{language}' has no part-of-speech tagger; "
            f"supported languages: {', '.join(TAGGERS)}"
        )
    module, options = TAGGERS[language]
    return partial(import_module(f"probate.tasks.taggers.{module}").adjectives, **options)
