"""What opinions on survey statements are asked with, one YAML a language."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import Any

from probate.core.errors import InputError
from probate.core.yaml_file import own_yaml


def languages() -> list[str]:
    """Languages in which opinions can be generated, and in which the corpus of opinions ships."""
    folder = files("probate") / "data" / "opinions"
    return sorted(p.name.removesuffix(".yaml") for p in folder.iterdir() if p.name.endswith(".yaml"))


@cache
def opinion_words(language: str = "en") -> dict[str, Any]:
    """`prompt`, `record`, `stances` and the template of each bias type, in a language.

    Raises:
        InputError: no such language.
    """
    known = languages()
    if language not in known:
        raise InputError(f"data.language: opinions are asked in {', '.join(known)}, not in '{language}'")
    return dict(own_yaml("data", "opinions", f"{language}.yaml"))
