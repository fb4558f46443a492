"""A model behind a server, with the methods of `LM` that tasks use.

Prompts are chat turns and options are letters, because a server accepts no token ids. The beginning of an
answer cannot be forced: it is put before the answer's text, if the text lacks it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from probate.core.errors import InputError
from probate.execution.letters import LETTERS, letter_answers, letter_request, read_as, shares_of
from probate.models.servers.answers import message
from probate.models.servers.client import ApiClient, Request


@dataclass(frozen=True)
class ServerPrompt:
    """Chat turns, and the beginning of an answer of a local model."""

    messages: list[dict[str, str]]
    prefix: str = ""


@dataclass(frozen=True)
class ServerAnswer:
    """Text of an answer without reasoning, and the reason why it is unusable ("" if it is not)."""

    text: str
    reason: str


@dataclass
class ServerLM:
    """A server's model for tasks that are written for a local one.

    Parameters
    ----------
    client : ApiClient
        The server's client.
    samples : int
        Number of sampled answers per prompt, if the server gives no log-probabilities.
    tick : callable, optional
        Called with the number of prompts that have been answered since the last call.

    Attributes
    ----------
    asked : list of (str, str)
        How each prompt's answer was read, and the reason why it is unusable, in the order of the prompts.
    """

    client: ApiClient
    samples: int = 8
    tick: Callable[[int], None] | None = None
    asked: list[tuple[str, str]] = field(default_factory=list)
    scores_tokens = False
    """Whether the probability of any text can be computed; a server gives that of letters only."""

    def prompt_ids(
        self, messages: Sequence[dict[str, str]], room: int = 0, limit: int | None = None, prefix: str = ""
    ) -> ServerPrompt:
        """Return the prompt. A server limits its own prompts, so `room` and `limit` are not used."""
        return ServerPrompt([dict(m) for m in messages], prefix)

    def completion_ids(self, text: str, *, end: bool = True, begins: bool = True) -> str:
        """Return the option's text."""
        return text

    def score_options(
        self,
        prompts: Sequence[ServerPrompt],
        options: Sequence[str],
        *,
        tick: Callable[[int], None] | None = None,
    ) -> list[np.ndarray]:
        """Return the logarithm of each letter's share after every prompt; see `score_choices`."""
        return self.score_choices(prompts, [options] * len(prompts), tick=tick)

    def score_choices(
        self,
        prompts: Sequence[ServerPrompt],
        options: Sequence[Sequence[str]],
        *,
        tick: Callable[[int], None] | None = None,
    ) -> list[np.ndarray]:
        """Return the logarithm of the share of each prompt's own letters; NaN if an answer names no letter.

        Raises
        ------
        InputError
            The options are not the first letters of the alphabet.
        """
        own = [list(LETTERS[: len(letters)]) for letters in options]
        if [[letter.strip() for letter in letters] for letters in options] != own:
            raise InputError("ask: a server can score single letters only; leave this task out")
        requests = [letter_request(p.messages) for p in prompts]
        first, read = letter_answers(
            self.client, requests, [len(letters) for letters in own], self.samples, self.tick
        )
        rows = []
        for answer, answers, letters in zip(first, read, own, strict=True):
            shares, how = shares_of(answers, letters)
            self._note(answer, how, "" if shares else message(answer)[1])
            with np.errstate(divide="ignore"):
                rows.append(np.log([shares[x] if shares else np.nan for x in letters]))
        return rows

    def generate(
        self,
        prompts: Sequence[ServerPrompt],
        seeds: Sequence[int],
        *,
        max_new_tokens: int,
        temperature: float,
        top_p: float,
        done: Callable[..., None] | None = None,
    ) -> list[ServerAnswer]:
        """Return one answer to each prompt."""
        requests: list[Request] = [
            {
                "messages": p.messages,
                "max_tokens": max_new_tokens,
                "temperature": temperature,
                "top_p": top_p,
                "seed": seed % 2**31,
            }
            for p, seed in zip(prompts, seeds, strict=True)
        ]
        answers = self.client.ask(requests, lambda *_: self.tick(1) if self.tick else None)
        texts = []
        for answer in answers:
            text, reason = message(answer)
            self._note(answer, "api text", reason)
            texts.append(ServerAnswer("" if reason else text.strip(), reason))
        return texts

    def decode(self, answer: ServerAnswer, after: ServerPrompt | None = None) -> str:
        """Return the text of an answer after the prompt's `prefix`, or as a new sentence after it."""
        prefix = after.prefix if after else ""
        if not answer.text or answer.text.startswith(prefix):
            return answer.text.removeprefix(prefix)
        return f". {answer.text}" if prefix else answer.text

    def _note(self, answer: dict[str, Any], how: str, reason: str) -> None:
        self.asked.append((read_as(how, answer), reason))
