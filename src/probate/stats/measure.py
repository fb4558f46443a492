"""A number with a value for each item that is compared between groups, and the frames that its values come in."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import pandas as pd


def _unsaid(first: str, second: str) -> str:
    return ""


@dataclass(frozen=True, kw_only=True)
class Measure:
    """A number with a value for each item, compared between groups. All arguments are given by name.

    `values` takes the task's outcomes and returns a frame with columns `item_id`, `side` (index into `sides`) and
    `value`; rows that do not count are left out. With one side there is no gap, and what is inherited is the change of
    the level. `statistic` `macro_f1` needs the columns `target` and `prediction` instead of `value`, and one side.
    `toward` takes the names of two groups and says in words what a gap above 0 between the first and the second means;
    a measure with one side needs none.
    """

    name: str
    title: str
    unit: str
    sides: tuple[str, ...]
    values: Callable[[pd.DataFrame], pd.DataFrame]
    toward: Callable[[str, str], str] = _unsaid
    primary: bool = False
    better: str = "none"
    """`higher` or `lower` is better for a person in the group, or `none` where neither is."""
    statistic: Literal["mean", "macro_f1"] = "mean"
    scale: Literal["plain", "log"] = "plain"
    """`log`: amounts above 0 that are compared by their logarithms (`probate.stats.amounts`)."""


def by_group(dimension: str, groups: Sequence[str]) -> Callable[[pd.DataFrame], pd.Series]:
    """Side of each outcome: the index of its group, missing for any other."""
    index = {group: number for number, group in enumerate(groups)}

    def side(outcomes: pd.DataFrame) -> pd.Series:
        return outcomes["groups"].map(lambda g: index.get(g.get(dimension)))

    return side


def everyone(outcomes: pd.DataFrame) -> pd.Series:
    """One side for all outcomes."""
    return pd.Series(0, index=outcomes.index)


def stereotyped_for(label: str, group: str, stereotypes: Mapping[str, str | Sequence[str]]) -> bool:
    """Whether `label` is stereotyped for `group`."""
    found = stereotypes.get(label, ())
    return group == found if isinstance(found, str) else group in found


def labels_frame(outcomes: pd.DataFrame, side: pd.Series) -> pd.DataFrame:
    """What `Measure.values` returns for `macro_f1`."""
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
    """The frame that `Measure.values` returns: unparsed rows and rows of no side are left out."""
    keep = outcomes["parsed"] & side.notna()
    return pd.DataFrame(
        {
            "item_id": outcomes["item_id"][keep],
            "side": side[keep].astype(int),
            "value": value[keep].astype(float),
        }
    )
