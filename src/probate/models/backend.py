"""What a backend is: how a model is loaded, made to write, and asked for probabilities.

A backend is one class, found by an entry point of the group `probate.backends`; a study names it in `model.backend`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

from probate.study.schema import ModelSpec

Done = Callable[[list[int], list[list[int]]], None]
"""Called with the places of prompts that are finished, and their answers."""
Skip = Callable[[list[int]], bool]
"""Whether a batch, given by the places of its prompts, is left out."""


@dataclass(frozen=True)
class Loaded:
    """What `Backend.load` gives. `model`: an object of any class, which is handed back to the other methods.

    `tokenizer`: one of transformers, with a chat template. `path`: the folder or id that was loaded. `warnings`: what the libraries
    warned of.
    """

    model: Any
    tokenizer: Any
    path: str
    warnings: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Facts:
    """What a loaded model is, for its fingerprint and the provenance. `commit`: of a model from a hub. `parameters`: their number, if known."""

    dtype: str
    device: str
    commit: str | None = None
    parameters: int | None = None


class Backend(ABC):
    """A way to run models. Prompts, options and answers are token ids, which `probate.models.lm.LM` makes from text.

    Subclasses declare `name` (as in `model.backend`) and `title`, and implement `load`, `facts`, `context`, `generate` and
    `score_choices`. Fine-tuning, tasks of lm-evaluation-harness and comparisons of hidden states need a `model` of transformers;
    generators and tasks take any.
    """

    name: ClassVar[str]
    title: ClassVar[str]

    @abstractmethod
    def load(self, spec: ModelSpec) -> Loaded:
        """Load a model with its tokenizer.

        Args:
            spec: the model as the study names it: `name`, `adapter`, `revision`, `device`, `dtype`, `chat_template`.

        Raises:
            InputError: no such model, or one that this backend cannot run.
        """

    @abstractmethod
    def facts(self, model: Any) -> Facts:
        """What the model is. Finished stages are taken as they are while its facts, its files and the code of the backend are the same."""

    @abstractmethod
    def context(self, model: Any) -> int:
        """Longest sequence that the model was built for, in tokens."""

    @abstractmethod
    def generate(
        self,
        model: Any,
        prompts: Sequence[Sequence[int]],
        seeds: Sequence[int],
        *,
        stop_ids: Sequence[int],
        pad_id: int,
        max_new_tokens: int,
        temperature: float = 1.0,
        top_p: float = 1.0,
        max_rows: int = 32,
        done: Done | None = None,
        skip: Skip | None = None,
    ) -> list[list[int]]:
        """Sample one answer to each prompt.

        Args:
            prompts: token ids of each prompt, at least one token each.
            seeds: of each answer, which must not depend on the other prompts of its batch but for rounding.
            stop_ids: tokens that each end an answer.
            pad_id: the padding token; it is masked, so any id will do.
            max_new_tokens: most tokens of an answer.
            temperature: 0 takes the likeliest token.
            top_p: nucleus sampling: the smallest set of tokens that reaches this probability.
            max_rows: most prompts in one batch.
            done: to be called after each batch, so that a caller can save what is finished.
            skip: batches for which it is true are left out; their answers are empty.

        Returns:
            The token ids of each answer, without the one that ended it.
        """

    @abstractmethod
    def score_choices(
        self,
        model: Any,
        prompts: Sequence[Sequence[int]],
        options: Sequence[Sequence[Sequence[int]]],
        *,
        pad_id: int,
        tick: Callable[[int], None] | None = None,
    ) -> list[np.ndarray]:
        """Log-likelihood of each prompt's own options.

        Args:
            prompts: token ids of each prompt, at least one token each.
            options: for each prompt, token ids of its options, at least one token each.
            pad_id: the padding token; it is masked, so any id will do.
            tick: to be called with the number of prompts that were finished since the last call.

        Returns:
            For each prompt a float64 array of shape (its options,): sums of natural-log probabilities, in (-inf, 0].
        """

    def score_options(
        self,
        model: Any,
        prompts: Sequence[Sequence[int]],
        options: Sequence[Sequence[int]],
        *,
        pad_id: int,
        tick: Callable[[int], None] | None = None,
    ) -> np.ndarray:
        """Log-likelihood of every option after every prompt, the same options for all prompts.

        Returns:
            float64 array of shape (prompts, options); otherwise as `score_choices`.
        """
        found = self.score_choices(model, prompts, [options] * len(prompts), pad_id=pad_id, tick=tick)
        return np.array(found).reshape(len(prompts), len(options))
