"""The interface of backends: how a model is loaded, generates text and scores options.

A backend is one class, registered by an entry point of the group `probate.backends`. A study names it in
`model.backend`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

from probate.study.schema import ModelSpec

Done = Callable[[list[int], list[list[int]]], None]
"""Callback that receives the indices of the finished prompts, and their answers as token ids."""
Skip = Callable[[list[int]], bool]
"""Callback that receives the indices of a batch's prompts and returns True to skip the batch."""


@dataclass(frozen=True)
class Loaded:
    """The result of `Backend.load`.

    Attributes
    ----------
    model : object
        The loaded model, of any class. It is passed to the other methods of the backend.
    tokenizer : PreTrainedTokenizerBase
        A tokenizer of transformers with a chat template.
    path : str
        The folder or hub id that was loaded.
    warnings : list of str
        Warnings that the libraries issued during loading.
    """

    model: Any
    tokenizer: Any
    path: str
    warnings: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Facts:
    """Properties of a loaded model, for its fingerprint and the provenance.

    Attributes
    ----------
    dtype, device : str
        Data type of the weights, and the device that holds them.
    commit : str, optional
        Commit of a model from a hub.
    parameters : int, optional
        Number of parameters, if known.
    """

    dtype: str
    device: str
    commit: str | None = None
    parameters: int | None = None


class Backend(ABC):
    """A way to run models.

    Prompts, options and answers are token ids, which `probate.models.lm.LM` makes from text.

    Subclasses declare `name` (the value of `model.backend`) and `title`, and implement `load`, `facts`,
    `context`, `generate` and `score_choices`. Fine-tuning, lm-evaluation-harness tasks and comparisons of
    hidden states need a `model` of transformers. Generators and tasks accept any model.
    """

    name: ClassVar[str]
    title: ClassVar[str]

    @abstractmethod
    def load(self, spec: ModelSpec) -> Loaded:
        """Load a model with its tokenizer.

        Parameters
        ----------
        spec : ModelSpec
            The model section of the study: `name`, `adapter`, `revision`, `device`, `dtype`, `chat_template`.

        Returns
        -------
        Loaded
            The model, its tokenizer, its path and the libraries' warnings.

        Raises
        ------
        InputError
            The model does not exist, or this backend cannot run it.
        """

    @abstractmethod
    def facts(self, model: Any) -> Facts:
        """Return the properties of a model that decide whether finished stages are reused.

        Parameters
        ----------
        model : object
            The `model` that `load` returned.

        Returns
        -------
        Facts
            A finished stage is reused while these facts, the model's files and the backend's code are
            unchanged.
        """

    @abstractmethod
    def context(self, model: Any) -> int:
        """Return the length of the longest sequence that the model was built for.

        Parameters
        ----------
        model : object
            The `model` that `load` returned.

        Returns
        -------
        int
            Context length in tokens.
        """

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

        Parameters
        ----------
        model : object
            The `model` that `load` returned.
        prompts : sequence of sequences of int
            Token ids of each prompt, at least one token each.
        seeds : sequence of int, of shape (prompts,)
            Random seed of each answer. Apart from rounding, an answer must not depend on the other prompts of
            its batch.
        stop_ids : sequence of int
            Tokens that each end an answer.
        pad_id : int
            The padding token. It is masked, so any id works.
        max_new_tokens : int
            Maximum length of an answer in tokens.
        temperature : float, default=1.0
            Sampling temperature. 0 always takes the most likely token.
        top_p : float, default=1.0
            Nucleus sampling: sample from the smallest set of tokens whose total probability reaches this
            value.
        max_rows : int, default=32
            Maximum number of prompts in a batch.
        done : callable, optional
            Called after each batch with the indices of its prompts and their answers, so that the caller can
            save them.
        skip : callable, optional
            Called with the indices of each batch. If it returns True, the batch is skipped and its answers
            are empty.

        Returns
        -------
        list of list of int, of length prompts
            Token ids of each answer, without the token that ended it.
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
        """Compute the log-likelihood of each prompt's own options.

        Parameters
        ----------
        model : object
            The `model` that `load` returned.
        prompts : sequence of sequences of int
            Token ids of each prompt, at least one token each.
        options : sequence of sequences of sequences of int
            For each prompt, the token ids of its options, at least one token each.
        pad_id : int
            The padding token. It is masked, so any id works.
        tick : callable, optional
            Called with the number of prompts that were finished since the last call.

        Returns
        -------
        list of ndarray, of length prompts
            For each prompt, a float64 array of shape (options,): sums of natural-log token probabilities, in
            (-inf, 0]. Higher is more likely.
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
        """Compute the log-likelihood of every option after every prompt; the prompts share their options.

        Parameters
        ----------
        model, prompts, pad_id, tick
            As for `score_choices`.
        options : sequence of sequences of int
            Token ids of each option, at least one token each.

        Returns
        -------
        ndarray of shape (prompts, options)
            Sums of natural-log token probabilities, float64, in (-inf, 0]. Higher is more likely.
        """
        scores = self.score_choices(model, prompts, [options] * len(prompts), pad_id=pad_id, tick=tick)
        return np.array(scores).reshape(len(prompts), len(options))
