"""Disaggregated numbers of one arm, by fairlearn's MetricFrame."""

from __future__ import annotations

import pandas as pd

from probate.tasks.base import Measure


def by_group(outcomes: pd.DataFrame, measure: Measure) -> tuple[dict[str, float], float]:
    """Mean of the measure in each group, and their difference (first minus second), through MetricFrame."""
    from fairlearn.metrics import MetricFrame, count, mean_prediction

    frame = measure.values(outcomes)
    if frame.empty:
        return {}, float("nan")
    groups = frame["side"].map(dict(enumerate(measure.sides)))
    result = MetricFrame(
        metrics={"mean": mean_prediction, "n": count},
        y_true=frame["value"],
        y_pred=frame["value"],
        sensitive_features=groups,
    )
    means = {g: float(result.by_group.loc[g, "mean"]) for g in measure.sides if g in result.by_group.index}
    gap = means[measure.sides[0]] - means[measure.sides[1]] if len(means) == 2 else float("nan")
    return means, gap


def parse_rates(outcomes: pd.DataFrame, dimension: str) -> pd.DataFrame:
    """Share of parsed responses for each task and group, with counts: dropping the rest silently is itself a bias."""
    table = outcomes.assign(group=outcomes["groups"].map(lambda g: g.get(dimension, "")))
    return table.groupby(["task", "group"])["parsed"].agg(["mean", "size"]).reset_index()
