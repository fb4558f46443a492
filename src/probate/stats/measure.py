"""Measures: a number with a value for each item, compared between groups."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import pandas as pd


def _unsaid(first: str, second: str) -> str:
    return ""


@dataclass(frozen=True, kw_only=True)
class Measure:
    """A number with a value for each item, compared between groups. All arguments are keyword-only.

    Parameters
    ----------
    name : str
        Name in the outcomes and effects.
    title : str
        Name in the report.
    unit : str
        `share` for values in [0, 1]; else the unit of the values.
    sides : tuple of str
        The compared groups. With one side there is no gap; inheritance is then the change of the level.
    values : callable
        Takes the outcomes of the task. Returns a frame with the columns `item_id`, `side` (index into
        `sides`) and `value`; for the statistic `macro_f1`, `target` and `prediction` instead of `value`. Rows
        that do not count are left out.
    toward : callable
        Takes the names of two groups. Returns the meaning of a gap above 0 between the first and the second.
        A measure with one side needs none.
    primary : bool
        Whether this is the task's primary measure. Each task has exactly one.
    expected : bool
        Whether this is the primary measure in expectation: shares of probability in place of choices. Its
        changes are first questions beside those of the primary measure. Each task has at most one.
    better : {'higher', 'lower', 'none'}
        The direction that is better for a person in the group.
    statistic : {'mean', 'macro_f1'}
        Statistic over items. `macro_f1` needs exactly one side.
    scale : {'plain', 'log'}
        `log`: amounts above 0 that are compared by their logarithms (see `probate.stats.amounts`).
    """

    name: str
    title: str
    unit: str
    sides: tuple[str, ...]
    values: Callable[[pd.DataFrame], pd.DataFrame]
    toward: Callable[[str, str], str] = _unsaid
    primary: bool = False
    expected: bool = False
    better: str = "none"
    """The direction that is better for a person in the group; `none` if there is none."""
    statistic: Literal["mean", "macro_f1"] = "mean"
    scale: Literal["plain", "log"] = "plain"
    """`log`: amounts above 0 that are compared by their logarithms (see `probate.stats.amounts`)."""


def by_group(dimension: str, groups: Sequence[str]) -> Callable[[pd.DataFrame], pd.Series]:
    """Return a function from outcomes to sides: the index of each outcome's group, missing for any other
    group.

    Parameters
    ----------
    dimension : str
        The dimension of the groups, such as `gender`.
    groups : sequence of str
        The compared groups.

    Returns
    -------
    callable
        Takes outcomes, returns a Series of sides.
    """
    index = {group: number for number, group in enumerate(groups)}

    def side(outcomes: pd.DataFrame) -> pd.Series:
        return outcomes["groups"].map(lambda g: index.get(g.get(dimension)))

    return side


def everyone(outcomes: pd.DataFrame) -> pd.Series:
    """Return side 0 for all outcomes, for a measure with one side."""
    return pd.Series(0, index=outcomes.index)


def stereotyped_for(label: str, group: str, stereotypes: Mapping[str, str | Sequence[str]]) -> bool:
    """Check whether `label` is stereotyped for `group`."""
    groups = stereotypes.get(label, ())
    return group == groups if isinstance(groups, str) else group in groups


def labels_frame(outcomes: pd.DataFrame, side: pd.Series) -> pd.DataFrame:
    """Build the frame that `Measure.values` returns for `macro_f1`. Rows that are not parsed or have no side
    are left out.
    """
    keep = outcomes["parsed"] & side.notna()
    kept = outcomes[keep]
    return pd.DataFrame(
        {
            "item_id": kept["item_id"],
            "side": side[keep].astype(int),
            "target": kept["target"],
            "prediction": kept["prediction"],
        }
    )


def frame(outcomes: pd.DataFrame, side: pd.Series, value: pd.Series) -> pd.DataFrame:
    """Build the frame that `Measure.values` returns. Rows that are not parsed or have no side are left out.

    Parameters
    ----------
    outcomes : pandas.DataFrame
        Outcomes of one task.
    side : pandas.Series
        Index of the group of each outcome, missing for other groups (see `by_group` and `everyone`).
    value : pandas.Series
        Value of each outcome.

    Returns
    -------
    pandas.DataFrame
        Columns `item_id`, `side` and `value`.
    """
    keep = outcomes["parsed"] & side.notna()
    return pd.DataFrame(
        {
            "item_id": outcomes["item_id"][keep],
            "side": side[keep].astype(int),
            "value": value[keep].astype(float),
        }
    )
