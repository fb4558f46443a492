"""Prompts, stances and templates for opinions on survey statements: one YAML file for each language."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import Any

from probate.core.errors import InputError
from probate.core.yaml_file import own_yaml


def languages() -> list[str]:
    """Return the languages in which opinions can be generated and in which a corpus of opinions ships."""
    folder = files("probate") / "data" / "opinions"
    return sorted(p.name.removesuffix(".yaml") for p in folder.iterdir() if p.name.endswith(".yaml"))


@cache
def opinion_words(language: str = "en") -> dict[str, Any]:
    """Return the wording of opinions in a language.

    Parameters
    ----------
    language : str
        ISO 639-1 code; see `languages`.

    Returns
    -------
    dict
        `prompt`, `record`, `stances`, and the template of each bias type.

    Raises
    ------
    InputError
        If there is no wording in the language.
    """
    known = languages()
    if language not in known:
        raise InputError(
            f"data.language: opinions are not available in '{language}'; choose from: {', '.join(known)}"
        )
    return dict(own_yaml("data", "opinions", f"{language}.yaml"))
