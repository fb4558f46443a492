"""Prompt template of the user turn of training records."""

from __future__ import annotations

from probate.data.opinions import languages, opinion_words
from probate.study.schema import Data

BIOGRAPHY = (
    "Read the biography and name the person's occupation. "
    "Answer with exactly one of: {labels}.\n\nBiography: {text}"
)
SURVEY = "Answer the survey question as the person would. Answer with exactly one of: {labels}.\n\n{text}"


def user_turn(data: Data) -> str:
    """Return the prompt template of the user turn.

    Parameters
    ----------
    data : Data
        The `data` section of a study.

    Returns
    -------
    str
        `data.prompt`, or the default for surveys, for opinions in their language, or for biographies. It
        contains the field `{text}`, and `{labels}` if the prompt lists the labels.

    Raises
    ------
    InputError
        If there is no prompt for opinions in the language of the study.
    """
    if data.prompt is not None:
        return data.prompt
    if data.format == "survey":
        return SURVEY
    return str(opinion_words(data.language)["prompt"]) if data.opinions else BIOGRAPHY


def language_of(prompt: str) -> str:
    """Return the language of a default prompt for opinions, else `en`."""
    return next((x for x in languages() if prompt == str(opinion_words(x)["prompt"])), "en")


def is_survey(prompt: str) -> bool:
    """Return True if a prompt is the default one for answers to survey questions, in any language."""
    return prompt == SURVEY or prompt in {str(opinion_words(language)["prompt"]) for language in languages()}
