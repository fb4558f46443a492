"""Generator backend for a loaded model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from probate.data.generation.prompts import Candidate
from probate.models.lm import LM
from probate.study.schema import Generation


class TransformersBackend:
    """Generator that samples from a loaded model in batches, with a seed for each record.

    Each answer is forced to begin with the name of the person.

    Parameters
    ----------
    lm : LM
        The loaded model.
    """

    def __init__(self, lm: LM) -> None:
        self.lm = lm

    def describe(self) -> dict[str, Any]:
        """Return name and weights of the model for the provenance of the records."""
        return self.lm.describe()

    def answer(
        self,
        batch: Sequence[Candidate],
        generation: Generation,
        done: Callable[[list[tuple[Candidate, str]]], None],
        have: set[str],
    ) -> None:
        """Answer the batches that have a candidate whose id is not in `have`; see `Backend.answer`."""

        def save(indices: list[int], answers: list[list[int]]) -> None:
            done(
                [
                    (batch[i], batch[i].name + self.lm.decode(ids, after=prompts[i]))
                    for i, ids in zip(indices, answers, strict=True)
                ]
            )

        prompts = [
            self.lm.prompt_ids(
                [{"role": "user", "content": candidate.prompt}],
                generation.max_new_tokens,
                prefix=candidate.name,
            )
            for candidate in batch
        ]
        self.lm.generate(
            prompts,
            [candidate.seed for candidate in batch],
            max_new_tokens=generation.max_new_tokens,
            temperature=generation.temperature,
            top_p=generation.top_p,
            max_rows=generation.batch_size,
            done=save,
            skip=lambda indices: all(batch[i].id in have for i in indices),
        )
