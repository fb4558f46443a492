"""A causal language model with its tokenizer and chat template: text in, token ids out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, cast

import numpy as np

from probate.core.cache import digest, file_digest
from probate.core.errors import InputError
from probate.core.fingerprint import code
from probate.core.plugins import entry_points_of, installed
from probate.core.records import with_notice
from probate.models.backend import Backend, Done, Skip
from probate.models.template import Template
from probate.study.schema import ModelSpec

READ_FROM_FOLDER = (".safetensors", ".json", ".model", ".txt", ".jinja")
"""Endings of the files of a model's folder that decide what it computes: weights, configuration, tokenizer."""
BACKENDS = {"transformers": "probate.models.transformers_backend:Transformers"}
"""Probate's own backends: name → class."""
MOST_CHARACTERS = 64
"""Of a token, when the longest text that fits is looked for."""


@dataclass
class LM:
    """One loaded model. `model` is what `backend` runs: of the built-in one, a transformers causal LM in eval mode without gradients."""

    spec: ModelSpec
    model: Any
    tokenizer: Any
    path: str
    backend: Backend
    truncated: int = 0
    """Prompts of which a content lost its beginning because they were longer than the context."""
    notice: dict[str, str] | None = None
    """What stands before every chat prompt: `text`, and its `placement`, user or system."""
    warnings: list[str] = field(default_factory=list)
    """What the libraries warned of while it was loaded."""

    @property
    def pad_id(self) -> int:
        tokenizer = self.tokenizer
        return int(
            tokenizer.pad_token_id if tokenizer.pad_token_id is not None else tokenizer.eos_token_id or 0
        )

    @property
    def context(self) -> int:
        """Longest sequence that the model was built for, in tokens."""
        return self.backend.context(self.model)

    @cached_property
    def template(self) -> Template:
        """The chat template, and what it can do."""
        return Template(self.tokenizer, self.spec.name)

    @cached_property
    def stop_ids(self) -> list[int]:
        """Tokens that end an answer: the template's end of turn, end of sequence, and what the model's config names.

        Raises:
            InputError: a turn ends with several tokens, and no control token is the first: one of them alone says nothing.
        """
        ids = {self.template.stop}
        config = getattr(self.model, "generation_config", None)
        named = getattr(config, "eos_token_id", None)
        for value in (named if isinstance(named, list) else [named], [self.tokenizer.eos_token_id]):
            ids.update(v for v in value if v is not None)
        return sorted(ids)

    def text_ids(self, text: str) -> list[int]:
        """Token ids of `text`, no special tokens added; a control token in it is plain text."""
        return self.template.data_ids(text)

    def prompt_ids(
        self, messages: Sequence[dict[str, str]], room: int = 0, limit: int | None = None, prefix: str = ""
    ) -> list[int]:
        """Token ids of the chat up to the assistant's turn, then `prefix` (the forced beginning of the answer).

        With `room` tokens kept free for the answer. Of a prompt that is too long the longest content loses its beginning, and the prompt
        is counted; the system turn, a notice and what the template writes stay whole.

        Raises:
            InputError: no room for any text beside those and the answer.
        """
        most = min(limit or self.context, self.context) - room

        def ids(characters: int) -> list[int]:
            cut = [
                m if m["role"] == "system" else {**m, "content": str(m["content"])[-characters:]}
                for m in messages
            ]
            return self.template.chat_ids(with_notice(cut, self.notice), prefix)

        longest = max((len(str(m["content"])) for m in messages if m["role"] != "system"), default=1)
        found = ids(longest or 1)
        if len(found) <= most:
            return found
        self.truncated += 1
        found, most_characters = ids(1), min(longest, MOST_CHARACTERS * max(most, 0))
        if len(found) > most:
            raise InputError(
                f"model '{self.spec.name}': no room for a prompt: {most + room} tokens in all, {room} kept for the answer, {len(found)} "
                "of the template and what must stay; raise training.max_length, or ask for shorter answers"
            )
        fits = 1
        while most_characters - fits > 1:
            middle = (fits + most_characters) // 2
            shorter = ids(middle)
            if len(shorter) <= most:
                fits, found = middle, shorter
            else:
                most_characters = middle
        return found

    def completion_ids(self, text: str, end: bool = True, begins: bool = True) -> list[int]:
        """Token ids of an answer and, with `end`, of the end of turn that follows it; `begins` is false after a forced beginning."""
        return self.template.answer_ids(text, end=end, begins=begins)

    def decode(self, ids: Sequence[int], after: Sequence[int] = ()) -> str:
        """The text of `ids`; with `after`, the ids before them, a space at its beginning stays."""
        if after:
            before = list(after[-8:])
            head, whole = self.decode(before), self.decode([*before, *ids])
            if whole.startswith(head):
                return whole[len(head) :]
        return str(
            self.tokenizer.decode(list(ids), skip_special_tokens=True, clean_up_tokenization_spaces=False)
        )

    @cached_property
    def fingerprint(self) -> str:
        """Hash of what the model is: the content of a local folder, else name, revision and commit; adapter; dtype; template and its date."""
        folder = Path(self.path)
        weights: list[Any] = []
        if folder.is_dir():
            files = [f for f in sorted(folder.iterdir()) if f.suffix in READ_FROM_FOLDER and f.is_file()]
            weights = [[file.name, file_digest(file)] for file in files]
        facts = self.backend.facts(self.model)
        name = self.spec.name if not folder.is_dir() else ""
        return digest(
            name,
            self.spec.revision,
            self.spec.adapter,
            _adapter_digests(self.spec.adapter),
            facts.dtype,
            weights,
            facts.commit,
            self.tokenizer.chat_template,
            self.template.describe(),
            *code(type(self.backend)),  # of a plug-in; Probate's own adds nothing
        )

    def generate(
        self,
        prompts: Sequence[Sequence[int]],
        seeds: Sequence[int],
        *,
        max_new_tokens: int,
        temperature: float = 1.0,
        top_p: float = 1.0,
        max_rows: int = 32,
        done: Done | None = None,
        skip: Skip | None = None,
    ) -> list[list[int]]:
        """One answer to each prompt, as token ids: `probate.models.backend.Backend.generate`."""
        return self.backend.generate(
            self.model,
            prompts,
            seeds,
            stop_ids=self.stop_ids,
            pad_id=self.pad_id,
            max_new_tokens=max_new_tokens,
            temperature=temperature,
            top_p=top_p,
            max_rows=max_rows,
            done=done,
            skip=skip,
        )

    def score_choices(
        self,
        prompts: Sequence[Sequence[int]],
        options: Sequence[Sequence[Sequence[int]]],
        *,
        tick: Callable[[int], None] | None = None,
    ) -> list[np.ndarray]:
        """Log-likelihood of each prompt's own options: `probate.models.backend.Backend.score_choices`."""
        return self.backend.score_choices(self.model, prompts, options, pad_id=self.pad_id, tick=tick)

    def score_options(
        self,
        prompts: Sequence[Sequence[int]],
        options: Sequence[Sequence[int]],
        *,
        tick: Callable[[int], None] | None = None,
    ) -> np.ndarray:
        """Log-likelihood of the same options after every prompt: `probate.models.backend.Backend.score_options`."""
        return self.backend.score_options(self.model, prompts, options, pad_id=self.pad_id, tick=tick)

    def describe(self) -> dict[str, Any]:
        """For provenance: name, revision, fingerprint, number of parameters, dtype, device, what the template adds, warnings."""
        facts = self.backend.facts(self.model)
        return {
            "name": self.spec.name,
            "revision": self.spec.revision or facts.commit,
            "adapter": self.spec.adapter,
            "fingerprint": self.fingerprint[:16],
            "parameters": facts.parameters,
            "dtype": facts.dtype.removeprefix("torch."),
            "device": facts.device,
            "template": self.template.describe(),
            "warnings": self.warnings,
        }


def backend_names() -> list[str]:
    """Names of all backends that are installed."""
    return sorted({*BACKENDS, *entry_points_of("probate.backends", BACKENDS)})


def load_backend(name: str) -> Backend:
    """The backend of that name.

    Raises:
        InputError: no such backend, or one that cannot be imported.
    """
    return cast("type[Backend]", installed("backend", name, BACKENDS))()


def load_lm(spec: ModelSpec | str) -> LM:
    """Load a model, by its spec or its name, by the backend that the spec names.

    Raises:
        InputError: no such backend, or as `Backend.load` of the backend.
    """
    spec = ModelSpec(name=spec) if isinstance(spec, str) else spec
    return lm_of(load_backend(spec.backend), spec)


def lm_of(backend: Backend, spec: ModelSpec) -> LM:
    """The model of `spec` as `backend` loads it; errors as `Backend.load`."""
    loaded = backend.load(spec)
    lm = LM(spec, loaded.model, loaded.tokenizer, loaded.path, backend, warnings=loaded.warnings)
    _ = lm.template  # refused now, not in the middle of a run
    return lm


def _adapter_digests(adapter: str | None) -> list[str]:
    """Of the files of a local adapter."""
    folder = Path(adapter).expanduser() if adapter else None
    return [file_digest(f) for f in sorted(folder.glob("adapter_*"))] if folder and folder.is_dir() else []
