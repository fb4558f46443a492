"""Survey questions asked of a model, with or without a persona, and its answers against those of people.

Options have letters and are asked in two orders, to cancel effects of position and letter.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from itertools import groupby
from typing import NamedTuple

import numpy as np

from probate.core.errors import InputError
from probate.models.lm import LM
from probate.stats.values import Question, ShareComparison, compare_shares
from probate.tasks.personas import Mode, persona

PROMPT = "{question}\n\n{options}\n\nAnswer with one letter."
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
PREFIX = "Answer:"
ORDERS = 2
"""Number of prompts for each question: its options in both orders."""


class Asked(NamedTuple):
    """A question as it is asked: its text, its options, and the sentence before it (empty for none)."""

    text: str
    options: tuple[str, ...]
    persona: str = ""


def asked_of(questions: Iterable[Question], mode: Mode) -> list[Asked | None]:
    """Return how each question is asked in a mode; None if the mode has no sentence for its country."""
    sentences = [(q, persona(mode, q.country)) for q in questions]
    return [None if said is None else Asked(q.text, q.options, said) for q, said in sentences]


def distinct(asked: Iterable[Asked | None]) -> list[Asked]:
    """Return what is asked, each once. Equal personas follow each other, as `answers` needs them."""
    known = list(dict.fromkeys(one for one in asked if one is not None))
    first = {said: i for i, said in enumerate(dict.fromkeys(one.persona for one in known))}
    return sorted(known, key=lambda one: first[one.persona])


def answers(lm: LM, asked: Sequence[Asked], tick: Callable[[int], None] | None = None) -> list[np.ndarray]:
    """Return the model's share of each option.

    It is the mean over two orders of the options, each with its own letters, of the softmax of the letters'
    log-likelihoods. In the reversed order, each option has another position and another letter. Prompts that
    follow each other with the same persona are scored together, so that its tokens are computed once.

    Parameters
    ----------
    lm : LM
        The model.
    asked : sequence of Asked
        Questions with their options and personas.
    tick : callable, optional
        Called with the number of prompts that have been scored since the last call.

    Returns
    -------
    list of array of shape (options,)
        Shares in [0, 1] that sum to 1. NaN if a server's answer names no letter.

    Raises
    ------
    InputError
        A question with more than 26 options.
    """
    scores: list[np.ndarray] = []
    for _, own in groupby(asked, key=lambda one: one.persona):
        prompts, options = [], []
        for one in own:
            letters = _letters(lm, one)
            for order in (one.options, one.options[::-1]):
                turn = {"role": "user", "content": prompt(one, order)}
                prompts.append(lm.prompt_ids([turn], prefix=PREFIX))
                options.append(letters)
        scores += lm.score_choices(prompts, options, tick=tick)
    shares = []
    for forward, backward in zip(scores[::2], scores[1::2], strict=True):
        both = [np.exp(s - s.max()) / np.exp(s - s.max()).sum() for s in (forward, backward[::-1])]
        shares.append(np.mean(both, axis=0))
    return shares


def prompt(asked: Asked, order: Sequence[str]) -> str:
    """Return the user turn of a question with its options in an order."""
    listed = "\n".join(f"{letter}. {option}" for letter, option in zip(LETTERS, order, strict=False))
    own = PROMPT.replace("{options}", listed).replace("{question}", asked.text)
    return f"{asked.persona}\n\n{own}" if asked.persona else own


def _letters(lm: LM, asked: Asked) -> list[list[int]]:
    if len(asked.options) > len(LETTERS):
        raise InputError(
            f"the question '{asked.text[:60]}' has {len(asked.options)} options; "
            f"at most {len(LETTERS)} are supported"
        )
    return [
        lm.completion_ids(f" {letter}", end=False, begins=False) for letter in LETTERS[: len(asked.options)]
    ]


def against_people(
    lm: LM,
    questions: Sequence[Question],
    modes: Sequence[Mode] = ("none",),
    tick: Callable[[int], None] | None = None,
    non_answers: bool = False,
) -> dict[Mode, list[ShareComparison]]:
    """Ask the model, and compare its answers with those of people.

    Without a persona, a question is asked once and compared with every country that answered it. With one, it
    is asked once for each country. Equal prompts are asked once for all modes.

    Parameters
    ----------
    lm : LM
        The model.
    questions : sequence of Question
        The questions with the shares of people.
    modes : sequence of {'none', 'english', 'own'}
        Personas, see `probate.tasks.personas.persona`.
    tick : callable, optional
        Called with the number of prompts that have been scored since the last call.
    non_answers : bool, default False
        See `probate.stats.values.compare_shares`.

    Returns
    -------
    dict of list of ShareComparison
        Mode → comparisons, in the order of the questions. Questions that a mode does not ask are left out.
    """
    by_mode = {mode: asked_of(questions, mode) for mode in modes}
    each = distinct(one for own in by_mode.values() for one in own)
    shares = dict(zip(each, answers(lm, each, tick), strict=True))
    return {
        mode: [
            compare_shares(q, shares[one].tolist(), non_answers)
            for q, one in zip(questions, own, strict=True)
            if one is not None
        ]
        for mode, own in by_mode.items()
    }


def size(questions: Sequence[Question], modes: Sequence[Mode]) -> int:
    """Return the number of prompts that `against_people` scores."""
    return ORDERS * len(distinct(one for mode in modes for one in asked_of(questions, mode)))


def pick(questions: Sequence[Question], countries: int, each: int) -> list[Question]:
    """Return up to `each` questions of each of the `countries` countries with the most questions.

    Of each country, the questions that most of these countries answered come first, so that countries are
    compared on the same questions as far as possible; then the order of the file decides.
    """
    by: dict[str, list[Question]] = {}
    for q in questions:
        by.setdefault(q.country, []).append(q)
    largest = sorted(sorted(by, key=lambda c: (-len(by[c]), c))[:countries])
    answered = Counter(text for c in largest for text in {q.text for q in by[c]})
    return [q for c in largest for q in sorted(by[c], key=lambda q: -answered[q.text])[:each]]
