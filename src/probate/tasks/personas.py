"""Personas: the sentence before a survey question that asks for the answer of a person of a country."""

from __future__ import annotations

from functools import cache
from typing import Any, Literal, get_args

from probate.core.yaml_file import own_yaml
from probate.stats.values import country_name

Mode = Literal["none", "english", "own"]
"""No persona, a sentence in English, or the same sentence in the country's language."""
MODES: tuple[Mode, ...] = get_args(Mode)


@cache
def _wording() -> dict[str, Any]:
    return dict(own_yaml("tasks", "personas.yaml"))


@cache
def _languages() -> dict[str, str]:
    return {country: language for language, own in _wording()["own"].items() for country in own}


def persona(mode: Mode, country: str) -> str | None:
    """Return the sentence that comes before a question.

    Parameters
    ----------
    mode : {'none', 'english', 'own'}
        No persona, a sentence in English, or the same sentence in the country's language.
    country : str
        Country as surveys spell it. A note in brackets after the name is set aside.

    Returns
    -------
    str or None
        The sentence; empty for `none`. None for `own` if Probate has no sentence for the country.
    """
    if mode == "none":
        return ""
    wording, name = _wording(), country_name(country)
    language = _languages().get(name)
    if mode == "english" and language != "en":
        place = wording["english"].get(name, f"in {name}")
        return str(wording["sentences"]["en"].replace("{place}", place))
    if language is None:
        return None
    return str(wording["sentences"][language].replace("{place}", wording["own"][language][name]))
