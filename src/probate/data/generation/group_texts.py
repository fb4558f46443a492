"""Texts that a model writes about each label: without a group in the prompt, and about each group, so that a detector's errors are known."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from probate.core.records import fill, stable_seed
from probate.data.packs import Pack

if TYPE_CHECKING:
    from probate.models.lm import LM

PROMPT = "Write a short biography of {who} who works as {article} {label}, in two or three sentences. Describe the daily work and the background."
NOBODY = "a person"
LIMIT = 1024


@dataclass(frozen=True)
class Sampling:
    """How texts are drawn."""

    max_new_tokens: int = 60
    temperature: float = 0.8
    top_p: float = 0.95


def turn(prompt: str, label: str, who: str = NOBODY) -> str:
    """What is asked; `prompt` has {label}, and may have {article} and {who}."""
    return fill(prompt, who=who, label=label, article="an" if label[:1].lower() in "aeiou" else "a")


def write(
    lm: LM,
    turns: Sequence[str],
    seeds: Sequence[int],
    how: Sampling,
    limit: int = LIMIT,
    tick: Callable[[int], None] | None = None,
) -> list[str]:
    """One answer to each turn."""

    prompts = [lm.prompt_ids([{"role": "user", "content": t}], how.max_new_tokens, limit) for t in turns]
    answers = lm.generate(
        prompts,
        seeds,
        max_new_tokens=how.max_new_tokens,
        temperature=how.temperature,
        top_p=how.top_p,
        done=(lambda batch, _: tick(len(batch))) if tick else None,
    )
    return [lm.decode(ids, after=before) for before, ids in zip(prompts, answers, strict=True)]


@dataclass(frozen=True)
class Written:
    """Texts, what each is about, and the group that was asked for (empty: none)."""

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
    """`texts` for each label without a group, and as many about each group of `pack`."""
    who = {"": NOBODY, **{name: group.noun for name, group in pack.groups.items()}}
    rows = [(label, group, n) for group in who for label in labels for n in range(texts)]
    turns = [turn(PROMPT, label, who[group]) for label, group, _ in rows]
    seeds = [
        stable_seed(f"{group}:{label}-{n:03d}" if group else f"{label}-{n:03d}", seed)
        for label, group, n in rows
    ]
    found = write(lm, turns, seeds, Sampling(), tick=tick)
    return Written(found, [label for label, *_ in rows], [group for _, group, _ in rows])
