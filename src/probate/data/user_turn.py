"""The user turn of training records."""

from __future__ import annotations

from probate.data.opinions import opinion_words
from probate.study.schema import Data

BIOGRAPHY = "Read the biography and name the person's occupation. Answer with exactly one of: {labels}.\n\nBiography: {text}"
SURVEY = "Answer the survey question as the person would. Answer with exactly one of: {labels}.\n\n{text}"


def user_turn(data: Data) -> str:
    """`data.prompt`, or what it defaults to: for surveys, for opinions in their language, or for biographies. Holds `{text}`, and `{labels}` where they are listed.

    Raises:
        InputError: opinions in a language in which they are not asked.
    """
    if data.prompt is not None:
        return data.prompt
    if data.format == "survey":
        return SURVEY
    return str(opinion_words(data.language)["prompt"]) if data.opinions else BIOGRAPHY
