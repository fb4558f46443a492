"""What is said against an original, or of groups read from texts, is said of estimates.

Equal files are not flagged, unequal ones are.
"""

from __future__ import annotations

import numpy as np
import pytest

from probate.audits.groups import dimensions_of
from probate.audits.read import AuditSet
from probate.audits.verdict import of_groups, verdict
from probate.data.shape import Shape
from probate.data.spellings import group_column


def file(table=None, groups=(), texts=None, numbers=None) -> AuditSet:
    """A file by counts of shape (labels, groups), by its groups alone, or by its texts alone."""
    labels = [""] * len(groups or texts or ())
    if table is not None:
        cells = [
            (f"l{i}", f"g{j}") for i, row in enumerate(table) for j, n in enumerate(row) for _ in range(n)
        ]
        labels, groups = ([x for x, _ in cells], [g for _, g in cells])
    columns = {"region": group_column("region", groups)} if groups else {}
    if numbers:
        labels, columns = [x for x, _ in numbers], {"points": group_column("points", [n for _, n in numbers])}
    texts = texts or ["texto"] * len(labels)
    shape = Shape(
        "table",
        "text",
        label="label" if any(labels) else None,
        groups={c: c for c in columns},
        language="en" if not columns else "es",
    )
    known = {name: own.values for name, own in columns.items()}
    return AuditSet(
        "x", shape, texts, list(labels), [""] * len(texts), [""] * len(texts), known, columns=columns
    )


def heard(*files):
    """Kind → (weight, sentence) of the heaviest finding."""
    order = ("note", "cannot tell", "look", "stop")
    return {
        f.kind: (f.weight, f.sentence)
        for f in sorted(of_groups(dimensions_of(*files)), key=lambda f: order.index(f.weight))
    }


def tied(v: float, n: int = 200):
    more, less = round(n * (1 + v) / 4), round(n * (1 - v) / 4)
    return [[more, less], [less, more]]


def shares(count: int, n: int):
    return file(groups=["a"] * count + ["b"] * (n - count))


def test_a_share_against_one_of_sixty_texts():
    weight, said = heard(shares(150, 300), shares(37, 60))["balance"]
    assert weight == "note" and "against the original's 61.7% of 60: -11.7 points [-24." in said
    assert heard(shares(150, 300), shares(48, 60))["balance"][0] == "look"
    assert heard(shares(1500, 3000), shares(1850, 3000))["balance"][0] == "look"


@pytest.mark.parametrize(
    ("own", "before", "weight"),
    [
        ((0.60, 200), (0.47, 200), "note"),  # what two samples of one V often differ by
        ((0.70, 200), (0.20, 200), "stop"),
        ((0.96, 100), (0.20, 100), "stop"),
        ((0.60, 2000), (0.47, 2000), "stop"),
        ((0.50, 200), (0.33, 24), "cannot tell"),  # the original shows no tie, and none weaker
        ((0.70, 200), (0.00, 40), "stop"),
        ((0.70, 200), (-0.70, 200), "stop"),
        ((0.30, 200), (0.30, 24), "note"),
    ],
)
def test_a_tie_against_the_originals(own, before, weight):
    found, said = heard(file(tied(*own)), file(tied(*before)))["ties"]
    assert found == weight, said
    assert "in the same direction" in said and f"(n {before[1]:,}" in said


def test_numbers_by_rank_against_the_originals():
    def ranks(v: float, n: int = 200):
        rng = np.random.default_rng(0)
        return file(numbers=[("ab"[i % 2], 10 * (i % 2) * v + x) for i, x in enumerate(rng.normal(0, 5, n))])

    assert verdict(of_groups(dimensions_of(ranks(1.0), ranks(0.9)))) == "note"
    assert verdict(of_groups(dimensions_of(ranks(1.0), ranks(0.1)))) == "stop"


def people(women: int, men: int, neither: int):
    says = ["She"] * women + ["He"] * men + ["Somebody"] * neither
    return file(texts=[f"{who} came to the town and is at work." for who in says])


def test_shares_that_are_read_hold_whatever_the_other_texts_are():
    """Of 150 women 88 are read and of 150 men 137: the shares of those read differ, the file's do not."""
    weight, said = heard(people(88, 137, 75))["balance"]
    assert weight == "cannot tell" and "the interval allows for any group of the other 75" in said
    assert heard(people(110, 115, 75))["balance"][0] == "note"
    assert heard(people(40, 185, 75))["balance"][0] == "look"
    assert heard(people(100, 200, 0))["balance"][0] == "look"
