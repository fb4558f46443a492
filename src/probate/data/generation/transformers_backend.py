"""A loaded model as generator."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from probate.data.generation.prompts import Ask
from probate.models.lm import LM
from probate.study.schema import Generation


class TransformersBackend:
    """Batched sampling from a loaded model by its own backend, a seed for each record; the answer is made to begin with the name."""

    def __init__(self, lm: LM) -> None:
        self.lm = lm

    def describe(self) -> dict[str, Any]:
        return self.lm.describe()

    def answer(
        self,
        batch: Sequence[Ask],
        generation: Generation,
        done: Callable[[list[tuple[Ask, str]]], None],
        have: set[str],
    ) -> None:

        def save(indices: list[int], answers: list[list[int]]) -> None:
            done(
                [
                    (batch[i], batch[i].name + self.lm.decode(ids, after=prompts[i]))
                    for i, ids in zip(indices, answers, strict=True)
                ]
            )

        prompts = [
            self.lm.prompt_ids(
                [{"role": "user", "content": ask.prompt}], generation.max_new_tokens, prefix=ask.name
            )
            for ask in batch
        ]
        self.lm.generate(
            prompts,
            [ask.seed for ask in batch],
            max_new_tokens=generation.max_new_tokens,
            temperature=generation.temperature,
            top_p=generation.top_p,
            max_rows=generation.batch_size,
            done=save,
            skip=lambda indices: all(batch[i].id in have for i in indices),
        )
