"""A causal language model with its tokenizer and chat template: text in, token ids out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, cast

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
"""Suffixes of the files in a model's folder that determine its output: weights, configuration, tokenizer."""
BACKENDS = {"transformers": "probate.models.transformers_backend:Transformers"}
"""Probate's own backends: name → class."""
MAX_CHARACTERS = 64
"""Maximum characters per token that the search for the longest fitting text assumes."""


@dataclass
class LM:
    """One loaded model with its tokenizer and chat template.

    Attributes
    ----------
    spec : ModelSpec
        The model section of the study.
    model : object
        The model that `backend` runs. For the built-in backend, a transformers causal LM in eval mode,
        without gradients.
    tokenizer : PreTrainedTokenizerBase
        Its tokenizer.
    path : str
        The folder or hub id that was loaded.
    backend : Backend
        The backend that runs the model.
    truncated : int
        Number of prompts whose longest content was truncated at its beginning to fit the context.
    notice : dict, optional
        Text that precedes every chat prompt: `text`, and its `placement`, user or system.
    warnings : list of str
        Warnings that the libraries issued during loading.
    """

    spec: ModelSpec
    model: Any
    tokenizer: Any
    path: str
    backend: Backend
    scores_tokens: ClassVar[bool] = True
    truncated: int = 0
    notice: dict[str, str] | None = None
    warnings: list[str] = field(default_factory=list)

    @property
    def pad_id(self) -> int:
        """Return the padding token's id: the tokenizer's, else its end of sequence, else 0."""
        tokenizer = self.tokenizer
        return int(
            tokenizer.pad_token_id if tokenizer.pad_token_id is not None else tokenizer.eos_token_id or 0
        )

    @property
    def context(self) -> int:
        """Return the length in tokens of the longest sequence that the model was built for."""
        return self.backend.context(self.model)

    @cached_property
    def template(self) -> Template:
        """Return the chat template."""
        return Template(self.tokenizer, self.spec.name)

    @cached_property
    def stop_ids(self) -> list[int]:
        """Return the tokens that end an answer: end of turn, end of sequence, those in the config.

        Raises
        ------
        InputError
            A turn ends with several tokens, and the first is not a control token, so no single token marks
            the end.
        """
        ids = {self.template.stop}
        config = getattr(self.model, "generation_config", None)
        named = getattr(config, "eos_token_id", None)
        for value in (named if isinstance(named, list) else [named], [self.tokenizer.eos_token_id]):
            ids.update(v for v in value if v is not None)
        return sorted(ids)

    def text_ids(self, text: str) -> list[int]:
        """Return token ids of `text` without special tokens; a control token in it is plain text."""
        return self.template.data_ids(text)

    def prompt_ids(
        self, messages: Sequence[dict[str, str]], room: int = 0, limit: int | None = None, prefix: str = ""
    ) -> list[int]:
        """Return the token ids of a chat up to the assistant's turn.

        If the prompt is too long, its longest content is truncated at the beginning, and `truncated` is
        incremented. The system turn, a notice and the template's own text are never truncated.

        Parameters
        ----------
        messages : sequence of dict
            Turns with `role` and `content`.
        room : int, default=0
            Number of tokens kept free for the answer.
        limit : int, optional
            Maximum length in tokens of prompt and answer; default the model's context.
        prefix : str, default=""
            The forced beginning of the answer.

        Returns
        -------
        list of int
            Token ids of the prompt and `prefix`.

        Raises
        ------
        InputError
            The template, the parts that are never truncated and the answer leave no room for any text.
        """
        most = min(limit or self.context, self.context) - room

        def ids(characters: int) -> list[int]:
            cut = [
                m if m["role"] == "system" else {**m, "content": str(m["content"])[-characters:]}
                for m in messages
            ]
            return self.template.chat_ids(with_notice(cut, self.notice), prefix)

        longest = max((len(str(m["content"])) for m in messages if m["role"] != "system"), default=1)
        prompt = ids(longest or 1)
        if len(prompt) <= most:
            return prompt
        self.truncated += 1
        prompt, most_characters = ids(1), min(longest, MAX_CHARACTERS * max(most, 0))
        if len(prompt) > most:
            raise InputError(
                f"model '{self.spec.name}': no room for a prompt: of {most + room} tokens, {room} are kept "
                f"for the answer, and the template and its fixed parts need {len(prompt)}; raise "
                "training.max_length, or ask for shorter answers"
            )
        fits = 1
        while most_characters - fits > 1:
            middle = (fits + most_characters) // 2
            shorter = ids(middle)
            if len(shorter) <= most:
                fits, prompt = middle, shorter
            else:
                most_characters = middle
        return prompt

    def completion_ids(self, text: str, end: bool = True, begins: bool = True) -> list[int]:
        """Return token ids of an answer and, with `end`, its end of turn; not `begins` after a prefix."""
        return self.template.answer_ids(text, end=end, begins=begins)

    def decode(self, ids: Sequence[int], after: Sequence[int] = ()) -> str:
        """Return the text of `ids`; with `after`, the ids before them, a space at its beginning is kept."""
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
        """Return a hash that identifies the model.

        It covers the content of a local folder, else name, revision and commit; the adapter; dtype; the
        template and its date; and the code of a plug-in backend.
        """
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
            *code(type(self.backend)),  # of a plug-in backend; Probate's own add nothing
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
        """Sample one answer to each prompt, as token ids; see `probate.models.backend.Backend.generate`."""
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
        """Score each prompt's own options; see `probate.models.backend.Backend.score_choices`."""
        return self.backend.score_choices(self.model, prompts, options, pad_id=self.pad_id, tick=tick)

    def score_options(
        self,
        prompts: Sequence[Sequence[int]],
        options: Sequence[Sequence[int]],
        *,
        tick: Callable[[int], None] | None = None,
    ) -> np.ndarray:
        """Score the same options after every prompt; see `probate.models.backend.Backend.score_options`."""
        return self.backend.score_options(self.model, prompts, options, pad_id=self.pad_id, tick=tick)

    def describe(self) -> dict[str, Any]:
        """Return the model's properties for the provenance, such as name, revision and fingerprint."""
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
    """Return the names of all installed backends."""
    return sorted({*BACKENDS, *entry_points_of("probate.backends", BACKENDS)})


def load_backend(name: str) -> Backend:
    """Return the backend with a given name.

    Parameters
    ----------
    name : str
        A built-in backend, or the name of an entry point in `probate.backends`.

    Returns
    -------
    Backend
        An instance of the backend.

    Raises
    ------
    InputError
        There is no such backend, or it cannot be imported.
    """
    return cast("type[Backend]", installed("backend", name, BACKENDS))()


def load_lm(spec: ModelSpec | str) -> LM:
    """Load a model with the backend that its spec names.

    Parameters
    ----------
    spec : ModelSpec or str
        The model section of a study, or just a model's name.

    Returns
    -------
    LM
        The loaded model.

    Raises
    ------
    InputError
        There is no such backend, the backend cannot load the model, or the model is behind a server.
    """
    spec = ModelSpec(name=spec) if isinstance(spec, str) else spec
    if spec.api is not None:
        raise InputError(
            f"model '{spec.name}' is behind the server {spec.api.base_url}, which keeps its weights, and "
            "they are needed here; use a local model"
        )
    return lm_of(load_backend(spec.backend), spec)


def lm_of(backend: Backend, spec: ModelSpec) -> LM:
    """The model of `spec` as `backend` loads it; errors as `Backend.load`."""
    loaded = backend.load(spec)
    lm = LM(spec, loaded.model, loaded.tokenizer, loaded.path, backend, warnings=loaded.warnings)
    _ = lm.template  # checked now, not in the middle of a run
    return lm


def _adapter_digests(adapter: str | None) -> list[str]:
    """Return the digests of a local adapter's files."""
    folder = Path(adapter).expanduser() if adapter else None
    return [file_digest(f) for f in sorted(folder.glob("adapter_*"))] if folder and folder.is_dir() else []
