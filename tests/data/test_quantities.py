"""Amounts, measures and dates in a column of text are numbers; codes and ranges are not."""

from __future__ import annotations

import math

import pytest

from probate.data.quantities import days_of, numbers_of
from probate.data.spellings import group_column


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        (["1", "2.5", "-3e2"], [1, 2.5, -300]),
        (["$55,000", "$7", "", "$1,234,567.50"], [55000, 7, math.nan, 1234567.5]),
        (["55k", "60K", "1.5k"], [55e3, 60e3, 1500]),
        (["900 €", "1.200 €", "12.500 €"], [900, 1200, 12500]),
        (["1.200,50 €", "3,75 €"], [1200.5, 3.75]),
        (["EUR 1,200", "eur 90"], [1200, 90]),
        (["25 years", "1 year"], [25, 1]),
        (["40 %", "7.25%"], [40, 7.25]),
        (["12 000 kr", "900 kr"], [12000, 900]),
        (["165 cm", "1,70 cm"], [165, 1.7]),
        (["0.123", "0.5"], [0.123, 0.5]),
        (["$0.125", "$0.25"], [0.125, 0.25]),
    ],
)
def test_numbers(texts, expected):
    assert numbers_of(texts) == pytest.approx(expected, nan_ok=True)


@pytest.mark.parametrize(
    "texts",
    [
        ["A12", "A7"],
        ["18-24", "25-34"],
        ["5 km", "5 cm"],
        ["$5", "5"],
        ["12b", "3rd"],
        ["inf", "1"],
        ["", ""],
        ["female", "male"],
        ["1", "x"],
        ["c12", "c13"],
    ],
)
def test_no_numbers(texts):
    assert numbers_of(texts) is None


def test_days():
    assert (
        days_of(["2020-01-02", "2020/01/01", "", "2020-01-03T10:00:00"])[1] + 1 == days_of(["2020-01-02"])[0]
    )
    assert days_of(["31/12/1990", "1.1.1990"]) == days_of(["1990-01-01", "1990-01"])
    assert (
        days_of(["2020-13-01"]) is None and days_of(["2020-01-01", "today"]) is None and days_of([""]) is None
    )


def test_columns_of_dates_and_years_are_banded_by_quartiles_whatever_the_pack():
    born = [f"{1950 + i}-05-0{1 + i % 9}" for i in range(40)]
    own = group_column("age", born)
    assert (
        own.rule.startswith("dates by their quartiles: 1950-05-01 to") and len(own.groups) == 4 and own.dates
    )
    assert group_column("age", [1950 + i for i in range(40)]).rule.startswith("numbers by their quartiles")
    assert group_column("age", [f"{20 + i} years" for i in range(40)]).groups == ["young", "middle", "old"]
    again = group_column("age", own.numbers, dates=True)
    assert again.groups == own.groups and again.rule == own.rule
