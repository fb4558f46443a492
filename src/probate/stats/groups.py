"""Disaggregated numbers of one arm."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd


def group_means(frame: pd.DataFrame, sides: tuple[str, ...]) -> tuple[dict[str, float], float]:
    """Mean of `value` in each side of a frame of `Measure.values`, and their difference (first minus second; NaN unless there are two)."""
    by_side = frame.groupby("side")["value"].mean()
    means = {group: float(by_side[side]) for side, group in enumerate(sides) if side in by_side.index}
    gap = means[sides[0]] - means[sides[1]] if len(sides) == 2 and len(means) == 2 else float("nan")
    return means, gap


def parse_rates(outcomes: pd.DataFrame, dimension: str, own: Mapping[str, str] | None = None) -> pd.DataFrame:
    """Share of parsed responses for each task and group, with counts, and the arm where it is least: dropping the rest silently is itself a bias.

    `own`: task → its dimension, where that is not `dimension`.
    """
    dimensions = outcomes["task"].map(lambda task: (own or {}).get(task, dimension))
    groups = [g.get(d, "") for g, d in zip(outcomes["groups"], dimensions, strict=True)]
    table = outcomes.assign(group=groups)
    by_arm = table.groupby(["task", "group", "arm"], sort=False)["parsed"].mean().astype(float)
    least = by_arm.loc[by_arm.groupby(level=["task", "group"]).idxmin()].rename("least").reset_index()
    return table.groupby(["task", "group"])["parsed"].agg(["mean", "size"]).reset_index().merge(least)
