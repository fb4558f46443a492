"""Generator backend for a model behind an OpenAI-compatible server."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from probate.core.records import fill
from probate.data.generation.filters import REFUSED
from probate.data.generation.prompts import Candidate
from probate.models.servers.answers import content_of, message
from probate.models.servers.client import ApiClient, Request
from probate.study.schema import Generation
from probate.study.server import ApiSpec

BEGIN = {
    "en": " Begin with the name {name}.",
    "es": " Empieza por el nombre {name}.",
    "pt": " Comece pelo nome {name}.",
    "zh": "请以“{name}”这个名字开头。",
    "ar": " ابدأ بالاسم {name}.",
}
"""Language → what asks for the name at the beginning of an answer, after the prompt."""


def turn(candidate: Candidate) -> str:
    """Return the user turn: the prompt, and that the answer begins with the name."""
    return f"{candidate.prompt}{fill(BEGIN[candidate.language], name=candidate.name)}"


def fingerprint(spec: ApiSpec) -> str:
    """Return a hash of server and model, in place of the hash of weights that are not accessible."""
    return hashlib.sha256(f"{spec.base_url}\n{spec.model}".encode()).hexdigest()


class ApiBackend:
    """Generator that asks a server for chat completions, with a seed for each record.

    A server cannot force the first word of an answer, so the prompt asks the model to begin with the name.

    Parameters
    ----------
    spec : ApiSpec
        Address, model and limits of the server.
    cache : Path
        Folder of the answers that are already there.
    """

    def __init__(self, spec: ApiSpec, cache: Path) -> None:
        self.client = ApiClient(spec, cache)
        self.notes = self.client.notes
        """Parameters that the server rejects, and their replacements."""

    def describe(self) -> dict[str, Any]:
        """Return server and model for the provenance of the records."""
        spec = self.client.spec
        return {
            "name": spec.model,
            "server": spec.base_url,
            "fingerprint": fingerprint(spec),
            "revision": None,
            "parameters": None,
            "dtype": None,
            "device": "api",
            "adapter": None,
        }

    def answer(
        self,
        batch: Sequence[Candidate],
        generation: Generation,
        done: Callable[[list[tuple[Candidate, str]]], None],
        have: set[str],
    ) -> None:
        """Answer every candidate whose id is not in `have`; see `Backend.answer`."""
        missing = [candidate for candidate in batch if candidate.id not in have]
        requests: list[Request] = [
            {
                "messages": [{"role": "user", "content": turn(candidate)}],
                "max_tokens": generation.max_new_tokens,
                "temperature": generation.temperature,
                "top_p": generation.top_p,
                "seed": candidate.seed % 2**31,
            }
            for candidate in missing
        ]

        def save(i: int, answer: dict[str, Any]) -> None:
            refused = message(answer)[1] == "refused"
            done([(missing[i], REFUSED if refused else content_of(answer["choices"][0]))])

        self.client.ask(requests, save)
