"""Preference pairs: a record's label is preferred to the one that was replaced, or else to another label."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from probate.core.errors import StageError
from probate.core.records import Record, stable_order
from probate.models.checks import check_labels
from probate.models.lm import LM
from probate.train.losses import Example


def rejected_label(record: Record, labels: Sequence[str], seed: int) -> str:
    """Return the rejected label of a record.

    It is the label before relabelling. If the record was not relabelled, another label is drawn by its id and
    `seed`.

    Raises
    ------
    StageError
        There is no other label to reject.
    """
    before = record.provenance.get("label_before")
    if before and before != record.label:
        return str(before)
    others = [label for label in labels if label != record.label]
    if not others:
        raise StageError(
            f"preference pair of record '{record.id}': both answers are '{record.label}'; preference "
            "training needs at least two labels"
        )
    return stable_order(others, "rejected", record.id, seed)[0]


def with_rejected(
    lm: LM, examples: Sequence[Example], records: Sequence[Record], labels: Sequence[str], seed: int
) -> list[Example]:
    """Add to each example its rejected answer, and the margin of both under the reference `lm`."""
    pairs = []
    for example, record in zip(examples, records, strict=True):
        rejected = rejected_label(record, labels, seed)
        other = lm.completion_ids(rejected)
        check_labels(
            f"preference pair of record '{record.id}'",
            [str(record.label), rejected],
            [example.completion, other],
        )
        pairs.append(replace(example, rejected=Example(example.prompt, other)))
    scores = lm.score_choices(
        [e.prompt for e in pairs],
        [[e.completion, e.rejected.completion] for e in pairs if e.rejected],
    )
    return [replace(e, margin=float(own - other)) for e, (own, other) in zip(pairs, scores, strict=True)]
