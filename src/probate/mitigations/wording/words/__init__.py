"""Gendered words and what replaces them, one YAML a language."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import Any

from probate.core.errors import InputError
from probate.core.yaml_file import own_yaml


@cache
def gendered_words(language: str) -> dict[str, Any]:
    """`neutral` (gendered word → neutral one), `name` (what stands for a person's name), and in English `pairs` and `names`.

    Raises:
        InputError: no list for the language.
    """
    folder = files("probate") / "mitigations" / "wording" / "words"
    path = folder / f"{language}.yaml"
    if not path.is_file():
        known = sorted(p.name.removesuffix(".yaml") for p in folder.iterdir() if p.name.endswith(".yaml"))
        raise InputError(
            f"mitigations: no list of gendered words for '{language}'; there are: {', '.join(known)}"
        )
    return dict(own_yaml("mitigations", "wording", "words", f"{language}.yaml"))


@cache
def first_names() -> frozenset[str]:
    """English: first names of many cultures, beside the common ones of `gendered_words`; spelled with or without accents."""
    lines = (
        (files("probate") / "mitigations" / "wording" / "words" / "names_en.txt")
        .read_text(encoding="utf-8")
        .splitlines()
    )
    return frozenset(name for line in lines if not line.startswith("#") for name in line.split())
