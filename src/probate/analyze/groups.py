"""Disaggregated numbers of one arm, by fairlearn's MetricFrame."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from probate.tasks.base import Measure


def group_means(frame: pd.DataFrame, sides: tuple[str, ...]) -> tuple[dict[str, float], float]:
    """Mean of `value` in each side of a frame of `Measure.values`, and their difference (first minus second; NaN unless there are two)."""
    from fairlearn.metrics import MetricFrame, mean_prediction

    if frame.empty:
        return {}, float("nan")
    result = MetricFrame(
        metrics=mean_prediction,
        y_true=frame["value"],
        y_pred=frame["value"],
        sensitive_features=frame["side"].map(dict(enumerate(sides))),
    )
    means = {group: float(result.by_group[group]) for group in sides if group in result.by_group.index}
    gap = means[sides[0]] - means[sides[1]] if len(sides) == 2 and len(means) == 2 else float("nan")
    return means, gap


def by_group(outcomes: pd.DataFrame, measure: Measure) -> tuple[dict[str, float], float]:
    """`group_means` of one arm's outcomes."""
    return group_means(measure.values(outcomes), measure.sides)


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
