"""Results of one arm by group."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd


def group_means(frame: pd.DataFrame, sides: tuple[str, ...]) -> tuple[dict[str, float], float]:
    """Return the mean of `value` in each side, and the gap between the first and the second side.

    Parameters
    ----------
    frame : pandas.DataFrame
        A frame of `Measure.values` (columns `side` and `value`).
    sides : tuple of str
        Names of the sides.

    Returns
    -------
    tuple of (dict, float)
        Group → mean, and the gap; the gap is NaN unless there are two sides with values.
    """
    by_side = frame.groupby("side")["value"].mean()
    means = {group: float(by_side[side]) for side, group in enumerate(sides) if side in by_side.index}
    gap = means[sides[0]] - means[sides[1]] if len(sides) == 2 and len(means) == 2 else float("nan")
    return means, gap


def parse_rates(outcomes: pd.DataFrame, dimension: str, own: Mapping[str, str] | None = None) -> pd.DataFrame:
    """Return the share of parsed responses for each task and group, with counts and the lowest share of an
    arm.

    Unparsed responses are shown because leaving them out silently is itself a bias.

    Parameters
    ----------
    outcomes : pandas.DataFrame
        The outcomes table.
    dimension : str
        The dimension of the groups.
    own : mapping, optional
        Task → its dimension, for tasks with a dimension other than `dimension`.

    Returns
    -------
    pandas.DataFrame
        Columns `task`, `group`, `mean`, `size`, `arm` and `least` (the arm with the lowest share, and that
        share).
    """
    dimensions = outcomes["task"].map(lambda task: (own or {}).get(task, dimension))
    groups = [g.get(d, "") for g, d in zip(outcomes["groups"], dimensions, strict=True)]
    table = outcomes.assign(group=groups)
    by_arm = table.groupby(["task", "group", "arm"], sort=False)["parsed"].mean().astype(float)
    least = by_arm.loc[by_arm.groupby(level=["task", "group"]).idxmin()].rename("least").reset_index()
    return table.groupby(["task", "group"])["parsed"].agg(["mean", "size"]).reset_index().merge(least)
