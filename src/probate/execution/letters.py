"""Answers of a server to prompts with lettered options: the share of each letter.

The shares come from the letters' log-probabilities if the server gives them, otherwise from sampled answers.
"""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeGuard

from probate.core.errors import InputError
from probate.core.records import stable_order
from probate.models.servers.answers import choice_text, content_of, message
from probate.models.servers.client import NO_CHOICES, ApiClient, Request
from probate.models.servers.counts import THOUGHT
from probate.models.thinking import without_thinking
from probate.tasks.choice import Item

LETTERS = "ABCDEFGHIJKLMNOPQRST"
ASKED = {
    "en": ("Options:", "Answer with one letter only."),
    "es": ("Opciones:", "Responde con una sola letra."),
    "pt": ("Opções:", "Responda com uma única letra."),
    "zh": ("选项：", "只回答一个字母。"),
    "ar": ("الخيارات:", "أجب بحرف واحد فقط."),
}
"""Language → the words before and after the options."""
LEAST = 0.5
"""Least total probability of the option letters as the first token; below it, the answer's text is read."""
TOP = 20
LETTER = re.compile(r"[\s\"'`*_(\[]*([A-T])[\s\"'`*_)\].:,]*", re.I)
LISTED = re.compile(r"[\s\"'`*_(\[]*([A-T])(?:[*_]*[).:\]][*_]*)\s+(.*)", re.S)
NAMED = re.compile(
    r"\b(?:answer|option|choice)\b\s*(?:is|would be)?\s*:?\s*[\"'`*_(\[]*([A-T])\b(['’]|[ ]+\w)?", re.I
)
"""A letter that is called the answer, and the word after it, if the letter may be an article."""


def request_of(item: Item, seed: int) -> tuple[Request, list[str]]:
    """Return the request for an item, and its option names in the order of their letters.

    The order is drawn by the item's id, so that no position is favoured over all items.

    Parameters
    ----------
    item : Item
        The item with its prompt and options.
    seed : int
        Seed of the order.

    Returns
    -------
    request : Request
        One user turn with the prompt and the lettered options.
    order : list of str
        Option names; the first one has the letter A.

    Raises
    ------
    InputError
        The item has more than 20 options.
    """
    if len(item.names) > len(LETTERS):
        raise InputError(
            f"item '{item.id}' has {len(item.names)} options; at most {len(LETTERS)} can have a letter"
        )
    order = stable_order(item.names, "letters", item.id, seed)
    texts = dict(zip(item.names, item.options, strict=True))
    listed = "\n".join(
        f"{letter}. {texts[name].strip()}" for letter, name in zip(LETTERS, order, strict=False)
    )
    before, after = ASKED.get(item.language, ASKED["en"])
    turn = f"{item.prompt.strip()}\n\n{before}\n{listed}\n{after}"
    return letter_request([{"role": "user", "content": turn}]), order


def letter_request(messages: Sequence[dict[str, str]]) -> Request:
    """Return the request for a letter as the answer to chat turns."""
    return {
        "messages": list(messages),
        "max_tokens": 4,
        "temperature": 0.0,
        "logprobs": True,
        "top_logprobs": TOP,
    }


def read_as(how: str, answer: dict[str, Any]) -> str:
    """Return how an answer was read, with a remark if reasoning was taken off."""
    return f"{how}, {THOUGHT}" if without_thinking(content_of(answer["choices"][0]))[1] else how


def named(text: str, order: Sequence[str], texts: Mapping[str, str]) -> str | None:
    """Return the option that an answer names, or None.

    An answer names an option by its letter ("A", "(A).", "**A**", "Answer: A", "A) nurse") or by the option's
    text. An article is not a letter: "A nurse needs…" names no option. A letter beside the text of another
    option names no option either.

    Parameters
    ----------
    text : str
        The answer.
    order : sequence of str
        Option names in the order of their letters.
    texts : mapping of str to str
        Option name → the option's text.

    Returns
    -------
    str or None
        The option's name.
    """
    letters = LETTERS[: len(order)]

    def of(letter: str) -> str | None:
        return order[letters.index(letter.upper())] if letter.upper() in letters else None

    def plain(value: str) -> str:
        return " ".join(re.sub(r"[^\w\s]", " ", value).split()).casefold()

    own = {plain(texts.get(name, name)): name for name in order}
    if plain(text) in own and plain(text):
        return own[plain(text)]
    if alone := LETTER.fullmatch(text):
        return of(alone[1])
    if listed := LISTED.fullmatch(text):
        beside = own.get(plain(listed[2]))
        return of(listed[1]) if beside in (None, of(listed[1])) else None
    matches = NAMED.findall(text)
    said = {of(letter) for letter, _ in matches}
    return said.pop() if len(said) == 1 and not all(word for _, word in matches) else None


def shares_of(
    answers: Sequence[dict[str, Any]], order: Sequence[str], texts: Mapping[str, str] | None = None
) -> tuple[dict[str, float], str]:
    """Return the share of each option, and how the answers were read.

    Parameters
    ----------
    answers : sequence of dict
        The server's answers to one item.
    order : sequence of str
        Option names in the order of their letters.
    texts : mapping of str to str, optional
        Option name → the option's text.

    Returns
    -------
    shares : dict of str to float
        Option name → share; the shares sum to 1. Empty if no answer names an option.
    how : str
        `api letters`: by the log-probabilities of the first token; the letters have a total probability of at
        least `LEAST`. `api letters, text`: their probability is lower, and the answer's text names an option.
        `api letters, sampled N`: by N sampled answers.
    """
    first = answers[0]["choices"][0]
    weights: dict[str, float] = defaultdict(float)
    tokens = top_tokens(answers[0])
    if choice_text(first)[1] == "refused":
        tokens = []
    for token in tokens:
        letter, logprob = str(token.get("token", "")).strip().rstrip(".)").upper(), token.get("logprob")
        if len(letter) == 1 and letter in LETTERS[: len(order)] and _is_logprob(logprob):
            weights[order[LETTERS.index(letter)]] += math.exp(float(logprob))
    how = "api letters"
    if sum(weights.values()) < LEAST:
        weights = defaultdict(float)
        choices = [c for a in answers for c in a["choices"]]
        for choice in choices:
            text, why = choice_text(choice)
            name = named(text, order, texts or {}) if not why else None
            if name is not None:
                weights[name] += 1
        how = "api letters, text" if tokens else f"api letters, sampled {len(choices)}"
    total = sum(weights.values())
    return ({name: weights[name] / total for name in order}, how) if total else ({}, how)


def _is_logprob(value: Any) -> TypeGuard[float]:
    """Return whether the value can be a log-probability: a number up to 0, but not a boolean or NaN."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and value <= 1e-3


def top_tokens(answer: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the likeliest first tokens with their log-probabilities; empty if the server gives none."""
    logprobs = answer["choices"][0].get("logprobs")
    content = logprobs.get("content") if isinstance(logprobs, dict) else None
    first = content[0] if isinstance(content, list) and content else None
    tokens = first.get("top_logprobs") if isinstance(first, dict) else None
    return [t for t in tokens if isinstance(t, dict)] if isinstance(tokens, list) else []


def letter_answers(
    client: ApiClient,
    requests: Sequence[Request],
    options: Sequence[int],
    samples: int,
    tick: Callable[[int], None] | None = None,
) -> tuple[list[dict[str, Any]], list[list[dict[str, Any]]]]:
    """Ask prompts with lettered options, and ask again where the server gives no log-probabilities.

    Parameters
    ----------
    client : ApiClient
        The server's client.
    requests : sequence of dict
        The requests, with `logprobs`.
    options : sequence of int
        Number of options of each request.
    samples : int
        Number of further answers, at temperature 1, to a request without log-probabilities.
    tick : callable, optional
        Called with 1 after each first answer.

    Returns
    -------
    first : list of dict
        The first answer to each request.
    read : list of list of dict
        The answers to each request from which `shares_of` reads the shares.
    """
    first = client.ask(requests, lambda *_: tick(1) if tick else None)
    plain = [
        i
        for i, answer in enumerate(first)
        if len(top_tokens(answer)) < options[i] and message(answer)[1] not in ("refused", NO_CHOICES)
    ]
    read = [[answer] for answer in first]
    if plain:
        again = [
            {
                **{k: v for k, v in requests[i].items() if k not in ("logprobs", "top_logprobs")},
                "temperature": 1.0,
                "seed": seed,
            }
            for i in plain
            for seed in range(samples)
        ]
        sampled = client.ask(again)
        for k, i in enumerate(plain):
            read[i] = sampled[k * samples : (k + 1) * samples]
    return first, read
