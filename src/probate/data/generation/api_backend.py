"""A model behind an OpenAI-compatible server as generator."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from probate.data.generation.filters import REFUSED
from probate.data.generation.prompts import Ask
from probate.models.servers.answers import content_of, message
from probate.models.servers.client import ApiClient, Request
from probate.study.schema import Generation
from probate.study.server import ApiSpec

FIRST_WORD = "Begin with the name {name}."


def fingerprint(spec: ApiSpec) -> str:
    """What stands for the weights, which nobody sees: a hash of server and model."""
    return hashlib.sha256(f"{spec.base_url}\n{spec.model}".encode()).hexdigest()


class ApiBackend:
    """Answers by chat completions, a seed for each record; a server that cannot begin an answer with a given word is asked to."""

    def __init__(self, spec: ApiSpec, cache: Path) -> None:
        self.client = ApiClient(spec, cache)
        self.notes = self.client.notes
        """Parameters that the server refuses, and what is sent instead."""

    def describe(self) -> dict[str, Any]:
        spec = self.client.spec
        return {
            "name": spec.model, "server": spec.base_url, "fingerprint": fingerprint(spec), "revision": None, "parameters": None,
            "dtype": None, "device": "api", "adapter": None,
        }  # fmt: skip

    def answer(
        self,
        batch: Sequence[Ask],
        generation: Generation,
        done: Callable[[list[tuple[Ask, str]]], None],
        have: set[str],
    ) -> None:
        missing = [ask for ask in batch if ask.id not in have]
        requests: list[Request] = [
            {
                "messages": [{"role": "user", "content": f"{ask.prompt} {FIRST_WORD.format(name=ask.name)}"}],
                "max_tokens": generation.max_new_tokens, "temperature": generation.temperature, "top_p": generation.top_p,
                "seed": ask.seed % 2**31,
            }
            for ask in missing
        ]  # fmt: skip

        def save(i: int, answer: dict[str, Any]) -> None:
            refused = message(answer)[1] == "refused"
            done([(missing[i], REFUSED if refused else content_of(answer["choices"][0]))])

        self.client.ask(requests, save)
