"""Counterfactuals by a model: it rewrites a text for another group, and checks reject bad rewritings."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from probate.core.records import fill, stable_seed
from probate.data.generation.filters import clean, shown_group
from probate.data.packs import Pack
from probate.models.thinking import without_thinking

if TYPE_CHECKING:
    from probate.models.lm import LM

PROMPT = (
    "Rewrite the text so that it is about {noun} called {name}. Change the name, the pronouns and "
    "the words of kinship. Change nothing else. "
    "Answer with the rewritten text only.\n\n{text}"
)
SHORTEST, LONGEST = 0.6, 1.7
"""Bounds of the length of an accepted text, in words, divided by that of the original."""


@dataclass(frozen=True)
class Rewriting:
    """A text for another group, or the reason for its rejection."""

    text: str
    rejected: str = ""


def rewrite(
    texts: Sequence[str],
    targets: Sequence[str],
    labels: Sequence[str],
    lm: LM,
    pack: Pack,
    *,
    similarity: float,
    seed: int,
    embed: Callable[[Sequence[str]], Any],
) -> list[Rewriting]:
    """Rewrite texts for other groups by greedy decoding, and check them as in LGSA (arXiv 2510.13202).

    A rewriting is rejected if its length differs, it does not show the target group, it mentions the label
    more or less often, or its similarity to the original is too low.

    Parameters
    ----------
    texts, targets, labels : sequence of str
        Texts, with the target group and the label of each.
    lm : LM
        The model.
    pack : Pack
        Identity pack of the groups.
    similarity : float
        Minimum cosine similarity of the sentence embeddings, in [-1, 1].
    seed : int
        Seed of the choice of names.
    embed : callable
        Function from texts to normalised embeddings of shape (n_texts, n_dimensions).

    Returns
    -------
    list of Rewriting
        One for each text, with the reason if it was rejected.
    """
    prompts, seeds = [], []
    for text, target in zip(texts, targets, strict=True):
        names = pack.named(target)
        draw = stable_seed(text, seed)
        prompts.append(fill(PROMPT, noun=pack.groups[target].noun, name=names[draw % len(names)], text=text))
        seeds.append(draw)
    answers = [""] * len(texts)
    room = [int(LONGEST * len(lm.text_ids(text))) + 8 for text in texts]

    def save(indices: list[int], outputs: list[list[int]]) -> None:
        for i, ids in zip(indices, outputs, strict=True):
            answers[i] = clean(without_thinking(lm.decode(ids, after=asked[i]))[0])

    most = max(room, default=0)
    asked = [lm.prompt_ids([{"role": "user", "content": ask}], most) for ask in prompts]
    lm.generate(
        asked,
        seeds,
        max_new_tokens=most,
        temperature=0,
        top_p=1,
        max_rows=32,
        done=save,
    )
    close = (embed(list(texts)) * embed(answers)).sum(1) if texts else []
    return [
        Rewriting(new, _why_not(old, new, target, label, pack, float(cosine), similarity))
        for old, new, target, label, cosine in zip(texts, answers, targets, labels, close, strict=True)
    ]


def _why_not(
    old: str, new: str, target: str, label: str, pack: Pack, cosine: float, similarity: float
) -> str:
    words = len(new.split()) / max(1, len(old.split()))
    if not SHORTEST <= words <= LONGEST:
        return "the rewriting has another length"
    if shown_group(new, pack) != target:
        return "the rewriting does not show the other group"
    said = re.compile(rf"(?<!\w){re.escape(label)}(?!\w)", re.IGNORECASE)
    if label and len(said.findall(old)) != len(said.findall(new)):
        return "the rewriting says the label more or less often"
    if cosine < similarity:
        return "the rewriting keeps too little of the meaning"
    return ""
