"""Associations of pairs of columns: labels with two groups, and groups with a possible label."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

from probate.audits.groups import READ, Dimension, tie_of
from probate.audits.read import MOST_GROUPS, AuditSet
from probate.data.shape.names import LABELS, key_of

MOST_PAIRS = 40
EXPECTED = 1.0
"""Expected number of texts in the smallest cell from which a pair is examined."""
OUTCOMES = (
    "rating", "stars", "score", "grade", "rank", "decision", "outcome", "result", "verdict", "recommendation",
    "salary", "wage", "pay", "income", "hired", "accepted", "approved", "admitted", "selected", "quality",
    "toxicity", "risk", "prediction", "answer",
)  # fmt: skip
"""Names, in addition to those of labels, of columns that a model may learn to predict."""


@dataclass(frozen=True)
class Together:
    """Association of a pair of columns.

    Attributes
    ----------
    kind : {"groups", "label", "missing group", "missing label"}
        What is associated: labels with two columns of groups combined; a column of groups with another label;
        labels with whether a group is missing; groups with whether a label is missing.
    names : tuple of str
        Names of the two columns.
    tie : dict
        The association, as in `Dimension.labels`.
    alone : float
        The larger of V above chance of the two columns alone; 0 for the other kinds.
    named : bool
        Whether both columns are groups by their name.
    """

    kind: str
    names: tuple[str, str]
    tie: dict[str, Any]
    alone: float = 0.0
    named: bool = True


def together(
    data: AuditSet, dimensions: Sequence[Dimension], original: AuditSet | None = None
) -> list[Together]:
    """Measure the associations of pairs of columns.

    Parameters
    ----------
    data : AuditSet
        The file that is audited.
    dimensions : sequence of Dimension
        Its dimensions.
    original : AuditSet, optional
        The original file.

    Returns
    -------
    list of Together
        Every pair with enough texts, at most 40 of each kind; pairs with a column that was named as a group
        come first.
    """
    known = sorted(
        (d for d in dimensions if d.known or 1 - d.undetermined >= READ), key=lambda d: not d.named
    )
    pairs = [(a, b) for a, b in combinations(known, 2) if a.named]
    groups: list[tuple[Dimension, Dimension]] = []
    labels: list[tuple[Dimension, Dimension]] = []
    for a, b in pairs:
        (labels if not b.named and may_be_label(b.column) else groups).append((a, b))
    ties = [t for a, b in groups[:MOST_PAIRS] if data.labelled and (t := _crossed(data, a, b, original))]
    ties += [t for a, b in labels[:MOST_PAIRS] if (t := _other_label(a, b))]
    return ties + [t for d in known if d.known and d.named and data.labelled for t in _gaps(data.labels, d)]


def may_be_label(column: str) -> bool:
    """Return whether the name of a column suggests what a model learns to predict.

    Parameters
    ----------
    column : str
        Name of the column.

    Returns
    -------
    bool
    """
    parts = key_of(column).rstrip("0123456789_").split("_")
    return not {*LABELS, *OUTCOMES, "label"}.isdisjoint(["_".join(parts), *parts])


def _crossed(data: AuditSet, a: Dimension, b: Dimension, original: AuditSet | None) -> Together | None:
    if a.labels is None or b.labels is None:
        return None
    values = list(_joined(a.values, b.values))
    groups = sorted(set(values) - {""})
    alone = [len(set(d.values) - {""}) for d in (a, b)]
    if not max(2, *alone) < len(groups) <= MOST_GROUPS:
        return None
    before = None
    if (
        original is not None
        and a.known
        and b.known
        and {a.name, b.name} <= original.groups.keys()
        and not (a.rule or b.rule)
    ):
        before = list(_joined(original.groups[a.name], original.groups[b.name]))
    tie = tie_of(data.labels, values, groups, original if before else None, before)
    if tie is None or tie["smallest"] < EXPECTED:
        return None
    strongest = max(d.labels["v"] - d.labels["by_chance"] for d in (a, b) if d.labels)
    return Together("groups", (_called(a), _called(b)), tie, strongest, a.named and b.named)


def _other_label(a: Dimension, b: Dimension) -> Together | None:
    tie = tie_of(b.values, a.values, a.groups)
    return Together("label", (_called(a), b.column), tie) if tie else None


def _gaps(labels: Sequence[str], d: Dimension) -> Iterator[Together]:
    """Yield the associations of labels with missing groups, and of groups with missing labels."""
    given = ["missing" if not v else "given" for v in d.values]
    if not (tie := tie_of(labels, given, ["given", "missing"])) or not any(row[1] for row in tie["table"]):
        tie = None
    labelled = ["missing" if not x else "given" for x in labels]
    for kind, own in (("missing group", tie), ("missing label", tie_of(labelled, d.values, d.groups))):
        if own:
            yield Together(kind, (_called(d), d.column), own)


def _joined(first: Sequence[str], second: Sequence[str]) -> Iterator[str]:
    return (f"{x} and {y}" if x and y else "" for x, y in zip(first, second, strict=True))


def _called(d: Dimension) -> str:
    return d.name if d.named else f"column '{d.column}'"
