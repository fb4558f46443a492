"""Columns as groups: known spellings are joined, every other value is a group of its own.

Numbers in bands, missing ones counted.
"""

from __future__ import annotations

from decimal import Decimal

import numpy as np
import pytest

from probate.data.spellings import group_column


@pytest.mark.parametrize(
    ("name", "values", "groups"),
    [
        ("gender", ["W", "M", "N"], ["female", "male", "nonbinary"]),
        ("sex", ["F", "female", "Women", " a woman", "M"], ["female", "male"]),
        ("gender", ["non-binary", "NB", "agender", "f"], ["female", "nonbinary", "agender"]),
        ("gender", ["F", "W"], ["female", "W"]),  # W beside F may be anything
        (
            "ethnicity",
            ["a White", "an Asian", "a Black person", "Latine"],
            ["asian", "black", "hispanic", "white"],
        ),
        ("race", ["W", "B"], ["black", "white"]),
        ("region", ["North", "north", "south"], ["North", "south"]),
        ("gender", [0, 1], ["0", "1"]),
        ("is_female", [0, 1], ["female", "not female"]),
        ("female", ["true", "False"], ["female", "not female"]),
        ("religion", ["none", "Muslims"], ["muslim", "none"]),
        ("age", ["33", "70.5"], ["young", "old"]),
    ],
)
def test_spellings_are_joined_and_nothing_is_dropped(name, values, groups):
    found = group_column(name, values)
    assert found.groups == groups and found.missing == 0 and all(found.values)


def test_missing_is_counted():
    found = group_column("gender", ["F", None, float("nan"), "", " NA ", "null", "M"])
    assert found.missing == 5 and found.values == ["female", "", "", "", "", "", "male"]


@pytest.mark.parametrize(
    "values",
    [
        [1, 2],
        [1.0, 2.0],
        ["1", "2.0"],
        [b"1", b"2"],
        [Decimal("1.0"), Decimal(2)],
        list(np.array([1, 2], np.int8)),
    ],
)
def test_types_do_not_matter(values):
    assert group_column("x", values).values == ["1", "2"]


def test_numbers_are_grouped_by_a_stated_rule():
    found = group_column("income", [*range(40), None])
    assert (
        len(found.groups) == 4
        and "quartiles" in found.rule
        and found.missing == 1
        and found.groups[0] == "0 to 9"
    )
