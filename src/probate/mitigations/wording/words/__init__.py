"""Gendered words and their replacements, one YAML file for each language."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import Any

from probate.core.errors import InputError
from probate.core.yaml_file import own_yaml


@cache
def gendered_words(language: str) -> dict[str, Any]:
    """Return the gendered words of a language.

    Parameters
    ----------
    language : str
        ISO 639-1 code.

    Returns
    -------
    dict
        `neutral` (gendered word → neutral word), `name` (replacement of a person's name), and for English
        also `pairs` and `names`.

    Raises
    ------
    InputError
        If there is no list for the language.
    """
    folder = files("probate") / "mitigations" / "wording" / "words"
    path = folder / f"{language}.yaml"
    if not path.is_file():
        known = sorted(p.name.removesuffix(".yaml") for p in folder.iterdir() if p.name.endswith(".yaml"))
        raise InputError(
            f"mitigations: no list of gendered words for '{language}'; choose from: {', '.join(known)}"
        )
    return dict(own_yaml("mitigations", "wording", "words", f"{language}.yaml"))


@cache
def first_names() -> frozenset[str]:
    """Return English spellings of first names of many cultures, in addition to those of `gendered_words`."""
    lines = (
        (files("probate") / "mitigations" / "wording" / "words" / "names_en.txt")
        .read_text(encoding="utf-8")
        .splitlines()
    )
    return frozenset(name for line in lines if not line.startswith("#") for name in line.split())
