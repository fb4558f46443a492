"""Tokenized training examples of records."""

from __future__ import annotations

from collections.abc import Sequence

from probate.core.records import Record
from probate.models.checks import check_labels
from probate.models.lm import LM
from probate.train.losses import Example


def encode_records(
    lm: LM, records: Sequence[Record], max_length: int, weights: Sequence[float] | None = None
) -> tuple[list[Example], int]:
    """Tokenize records for training.

    A record longer than `max_length` or the model's context is truncated at the beginning of its text. Its
    label is never truncated.

    Parameters
    ----------
    lm : LM
        The model whose tokenizer and template are used.
    records : sequence of Record
        Records with `messages`.
    max_length : int
        Maximum length in tokens of prompt and completion.
    weights : sequence of float, optional
        Weight of each record's loss; default 1.

    Returns
    -------
    examples : list of Example
        One per record, in order.
    truncated : int
        Number of truncated prompts.

    Raises
    ------
    InputError
        Two labels have the same tokens.
    """
    before = lm.truncated
    examples = []
    labels = {r.label: r.messages[-1]["content"] for r in records}
    check_labels("labels", list(labels.values()), [lm.completion_ids(answer) for answer in labels.values()])
    for r, weight in zip(records, weights or [1.0] * len(records), strict=True):
        completion = lm.completion_ids(r.messages[-1]["content"])
        prompt = lm.prompt_ids(r.messages[:-1], room=len(completion), limit=max_length)
        examples.append(Example(prompt, completion, weight, r.origin == "augmented", r.label))
    return examples, lm.truncated - before
