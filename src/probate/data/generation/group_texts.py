"""Texts that a model writes about each label, without a group in the prompt and about each group.

The texts about a group measure the error rates of a detector of groups.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from probate.core.records import fill, stable_seed
from probate.data.languages import article
from probate.data.packs import Pack
from probate.models.thinking import without_thinking

if TYPE_CHECKING:
    from probate.models.lm import LM

PROMPT = (
    "Write a short biography of {who} who works as {article} {label}, in two or three sentences. "
    "Describe the daily work and the background."
)
NOBODY = "a person"
LIMIT = 1024


@dataclass(frozen=True)
class Sampling:
    """Sampling settings: maximum length in tokens, temperature and nucleus."""

    max_new_tokens: int = 60
    temperature: float = 0.8
    top_p: float = 0.95


def turn(prompt: str, label: str, who: str = NOBODY) -> str:
    """Return the user turn: `prompt` with its fields {label}, {article} and {who} filled in."""
    return fill(prompt, who=who, label=label, article=article(label))


def write(
    lm: LM,
    turns: Sequence[str],
    seeds: Sequence[int],
    how: Sampling,
    limit: int = LIMIT,
    tick: Callable[[int], None] | None = None,
) -> list[str]:
    """Generate one answer to each user turn.

    Parameters
    ----------
    lm : LM
        The model.
    turns : sequence of str
        User turns.
    seeds : sequence of int
        A seed for each turn.
    how : Sampling
        Sampling settings.
    limit : int
        Maximum number of tokens of prompt and answer.
    tick : callable, optional
        Called with the number of new answers.

    Returns
    -------
    list of str
        The answers, in the order of `turns`, without reasoning.
    """
    prompts = [lm.prompt_ids([{"role": "user", "content": t}], how.max_new_tokens, limit) for t in turns]
    answers = lm.generate(
        prompts,
        seeds,
        max_new_tokens=how.max_new_tokens,
        temperature=how.temperature,
        top_p=how.top_p,
        done=(lambda batch, _: tick(len(batch))) if tick else None,
    )
    return [
        without_thinking(lm.decode(ids, after=before))[0]
        for before, ids in zip(prompts, answers, strict=True)
    ]


@dataclass(frozen=True)
class Written:
    """Generated texts, with the label of each and the requested group, which may be empty."""

    texts: list[str]
    labels: list[str]
    asked: list[str]


def written(
    lm: LM,
    labels: Sequence[str],
    pack: Pack,
    texts: int,
    seed: int = 0,
    tick: Callable[[int], None] | None = None,
) -> Written:
    """Generate texts about each label, without a group and about each group of a pack.

    Parameters
    ----------
    lm : LM
        The model.
    labels : sequence of str
        Occupations.
    pack : Pack
        Identity pack of the dimension.
    texts : int
        Number of texts for each label without a group, and for each label and group.
    seed : int
        Seed of the sampling.
    tick : callable, optional
        Called with the number of new texts.

    Returns
    -------
    Written
        The texts with their labels and groups.
    """
    who = {"": NOBODY, **{name: group.noun for name, group in pack.groups.items()}}
    rows = [(label, group, n) for group in who for label in labels for n in range(texts)]
    turns = [turn(PROMPT, label, who[group]) for label, group, _ in rows]
    seeds = [
        stable_seed(f"{group}:{label}-{n:03d}" if group else f"{label}-{n:03d}", seed)
        for label, group, n in rows
    ]
    answers = write(lm, turns, seeds, Sampling(), tick=tick)
    return Written(answers, [label for label, *_ in rows], [group for _, group, _ in rows])
