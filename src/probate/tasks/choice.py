"""Tasks whose answer is one of given options: the common code of these tasks, probes and data sets."""

from __future__ import annotations

import json
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from probate.core.errors import InputError
from probate.models.checks import check_labels
from probate.tasks.base import Options, Outcome, Task, TaskContext, Tick

if TYPE_CHECKING:
    from probate.models.lm import LM

Scoring = Literal["sum", "bytes", "pmi"]


@dataclass(frozen=True)
class Item:
    """One question with options.

    Attributes
    ----------
    id : str
        Id of the item.
    prompt : str
        The prompt.
    options, names : tuple of str
        The strings that are scored, and what they stand for, in the same order.
    target : str
        Name of the correct option.
    groups : dict of str
        Dimension → group.
    blank : str
        The prompt without its content, for the scoring `pmi`.
    chat : bool
        Whether the prompt is put into the chat template. If not, the options are continuations of plain text;
        an empty prompt is the model's first token.
    end : bool
        Whether the end of turn is scored, so that an option that is a prefix of another has no advantage.
    language : str
        Language of the prompt, for the words with which a server is asked for a letter.
    """

    id: str
    prompt: str
    options: tuple[str, ...]
    names: tuple[str, ...]
    target: str
    groups: dict[str, str]
    blank: str = ""
    chat: bool = True
    end: bool = True
    """Whether the end of turn is scored, so that an option that is a prefix of another has no advantage."""
    language: str = "en"


class ChoiceOptions(Options):
    scoring: Scoring = Field(
        "sum",
        description="`sum`: sum of the option's log-probabilities; `bytes`: the sum divided by the option's "
        "UTF-8 bytes; `pmi`: the sum minus the sum after a prompt without content.",
    )


class ChoiceTask(Task):
    """A task whose items are choices. Subclasses implement `items` and `measures`.

    Evaluation is batched, and options of one item share the computation of its prompt.
    """

    option_type: ClassVar[type[Options]] = ChoiceOptions

    @abstractmethod
    def items(self, context: TaskContext) -> Sequence[Item]:
        """Return all questions, in a fixed order."""

    def size(self, context: TaskContext) -> int:
        return len(self.items(context))

    def reads(self, context: TaskContext) -> list[Any]:
        return [*super().reads(context), self.items(context)]

    def evaluate(self, lm: LM, context: TaskContext, tick: Tick | None = None) -> list[Outcome]:
        items = self.items(context)
        scores = score_items(lm, items, context.max_length, self.options.scoring, tick)
        return [outcome(item, row, self.options.scoring) for item, row in zip(items, scores, strict=True)]


def encode_item(lm: LM, item: Item, limit: int) -> tuple[list[int], list[list[int]]]:
    """Return the token ids of the prompt and of each option.

    If one option is a prefix of another, the end of turn is scored for all options.

    Parameters
    ----------
    lm : LM
        The model.
    item : Item
        The question.
    limit : int
        Maximum length of prompt and option, in tokens.

    Returns
    -------
    tuple of (list of int, list of list of int)

    Raises
    ------
    InputError
        An option without tokens, two options with equal tokens, or an option that is a prefix of another if
        the tokenizer has no end-of-sequence token.
    """

    if item.chat:
        options = [lm.completion_ids(option, end=item.end) for option in item.options]
        if _one_begins_another(options):
            options = [lm.completion_ids(option, end=True) for option in item.options]
        prompt = lm.prompt_ids([{"role": "user", "content": item.prompt}], max(map(len, options)), limit)
    else:
        options = [lm.text_ids(option) for option in item.options]
        if _one_begins_another(options):
            if lm.tokenizer.eos_token_id is None:
                raise InputError(
                    f"item '{item.id}': one option is a prefix of another, and the tokenizer has no "
                    "end-of-sequence token; change the options"
                )
            options = [[*ids, int(lm.tokenizer.eos_token_id)] for ids in options]
        first = lm.tokenizer.bos_token_id
        prompt = [lm.stop_ids[0] if first is None else int(first), *lm.text_ids(item.prompt)]
    check_labels(f"item '{item.id}'", item.options, options)
    return prompt, options


def _one_begins_another(options: Sequence[Sequence[int]]) -> bool:
    """Check whether an option is a prefix of another. In sorted order, it directly precedes one of them."""
    ordered = sorted(map(tuple, options))
    return any(other[: len(one)] == one and one != other for one, other in pairwise(ordered))


def score_items(
    lm: LM, items: Sequence[Item], limit: int, scoring: Scoring = "sum", tick: Tick | None = None
) -> list[np.ndarray]:
    """Score the options of each item.

    Parameters
    ----------
    lm : LM
        The model.
    items : sequence of Item
        The questions.
    limit : int
        Maximum length of prompt and option, in tokens.
    scoring : {'sum', 'bytes', 'pmi'}
        See `ChoiceOptions.scoring`.
    tick : callable, optional
        Called with the number of items that have been scored since the last call.

    Returns
    -------
    list of array of shape (options,)
        In nats; higher is likelier.
    """

    encoded = [encode_item(lm, item, limit) for item in items]
    prompts, options = [p for p, _ in encoded], [o for _, o in encoded]
    scores = lm.score_choices(prompts, options, tick=tick)
    if scoring == "bytes":
        return [
            row / np.array([len(option.encode()) for option in item.options])
            for item, row in zip(items, scores, strict=True)
        ]
    if scoring == "pmi":
        before = lm.truncated
        blanks = {
            (i.blank, i.options): Item("", i.blank, i.options, i.names, "", {}, chat=i.chat, end=i.end)
            for i in items
        }
        priors = score_items(lm, list(blanks.values()), limit)
        lm.truncated = before
        prior = dict(zip(blanks, priors, strict=True))
        return [row - prior[item.blank, item.options] for item, row in zip(items, scores, strict=True)]
    return scores


def outcome(item: Item, row: np.ndarray, scoring: str) -> Outcome:
    """Return the outcome of one item.

    The score is 1 if the likeliest option is the target, else 0. The response holds the shares of the
    options.
    """
    finite = bool(np.isfinite(row).all())
    shares = np.exp(row - np.logaddexp.reduce(row)) if finite else np.full(len(row), np.nan)
    prediction = item.names[int(np.argmax(row))] if finite else ""
    response = json.dumps(
        {k: round(float(p), 4) for k, p in zip(item.names, shares, strict=True)}, ensure_ascii=False
    )
    return Outcome(
        item.id,
        item.groups,
        item.target,
        response,
        prediction,
        float(prediction == item.target),
        finite,
        scoring,
    )
