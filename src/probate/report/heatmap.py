"""The table of inheritance by task, bias type and γ, and the items whose value changed most."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from probate.report import words
from probate.stats.arms import AGAINST_BASE, AGAINST_MATCHED
from probate.stats.comparisons import ALL, ANY
from probate.stats.measure import Measure
from probate.stats.p_values import p_words
from probate.study.taxonomy import NEUTRAL


@dataclass(frozen=True)
class Cell:
    """One task under one bias type at one γ.

    Attributes
    ----------
    text, title : str
        The estimate, and a description with its interval.
    strength : float
        The estimate divided by the largest absolute value in the row (estimates and ends of intervals), −1 to
        1. An uncertain effect is therefore pale.
    sure : bool
        Whether the adjusted p is below 0.05.
    """

    text: str
    title: str
    strength: float
    sure: bool


@dataclass(frozen=True)
class Row:
    """One task.

    Attributes
    ----------
    task, title, measure : str
        Key and title of the task, and title of its primary measure.
    relation : str
        How the task is related to the bias: `direct` or `indirect`.
    comparison : str
        Which groups are compared.
    cells : list of Cell or None
        One for each column; None if the effect does not exist.
    """

    task: str
    title: str
    measure: str
    relation: str
    comparison: str
    cells: list[Cell | None]


def heat_map(
    effects: pd.DataFrame,
    measures: dict[str, list[Measure]],
    titles: dict[str, str],
    relations: dict[str, str],
) -> tuple[list[tuple[str, list[float]]], list[Row]]:
    """Return the columns and rows of the table of inheritance.

    A cell shows the change of the primary measure against the matched control, or against γ = 0 if there is
    no control at that γ; the title of the cell states which. With more than two groups, the cell shows the
    group with the most significant change, with an interval for all groups together.

    Parameters
    ----------
    effects : pandas.DataFrame
        Effects of the first round without a mitigation.
    measures : dict of str to list of Measure
        Task → measures; one of each task is primary.
    titles : dict of str to str
        Task → title.
    relations : dict of str to str
        Task → `direct` or `indirect`.

    Returns
    -------
    columns : list of (str, list of float)
        Bias type and its γ.
    rows : list of Row
        Directly related tasks first.
    """
    rows = effects[effects["question"] == "inheritance"]
    kinds = list(dict.fromkeys(rows["bias_type"]))
    columns = [(k, sorted(rows[rows["bias_type"] == k]["ratio"].unique())) for k in kinds]
    heat_rows = []
    for task in sorted(measures, key=lambda t: relations[t] != "direct"):
        measure = next(m for m in measures[task] if m.primary)
        shown = {1: ALL, 2: " − ".join(measure.sides)}.get(len(measure.sides), ANY)
        own = rows[(rows["task"] == task) & (rows["comparison"] == shown)]
        picked = [_pick(own, kind, ratio) for kind, ratios in columns for ratio in ratios]
        values = [r[k] for r in picked if r is not None for k in ("estimate", "ci_low", "ci_high")]
        most = max((abs(v) for v in values if np.isfinite(v)), default=0.0) or 1.0
        cells = [None if r is None else _cell(r, measure, most) for r in picked]
        heat_rows.append(Row(task, titles[task], measure.title, relations[task], shown, cells))
    return columns, heat_rows


def _pick(rows: pd.DataFrame, kind: str, ratio: float) -> pd.Series | None:
    """Return the effect against the matched control, else against γ = 0, else None."""
    own = rows[(rows["bias_type"] == kind) & (rows["ratio"] == ratio)]
    for contrast in (AGAINST_MATCHED, AGAINST_BASE):
        exact = own[own["contrast"] == contrast]
        if len(exact):
            return exact.iloc[0]
    return None


def _cell(row: pd.Series, measure: Measure, most: float) -> Cell:
    """Return the cell of an effect."""

    def shown(value: float) -> str:
        return words.number(value, measure.unit, signed=True)

    if row["reason"]:
        return Cell(
            "undefined",
            f"{row['bias_type']}, γ {row['ratio']:g}, {row['contrast']}: undefined: {row['reason']}",
            0.0,
            False,
        )
    text = shown(row["estimate"]).removesuffix(" points")
    if row["contrast"] == AGAINST_BASE:
        text += "°"
    title = (
        f"{row['bias_type']}, γ {row['ratio']:g}, {row['contrast']}: {shown(row['estimate'])} "
        f"({shown(row['ci_low'])} to {shown(row['ci_high'])}), adjusted {p_words(row['p_adjusted'])}"
    )
    return Cell(text, title, float(row["estimate"] / most), bool(row["p_adjusted"] < words.ALPHA))


def moved_items(
    outcomes: pd.DataFrame, measures: dict[str, list[Measure]], seed: int, each: int = 5
) -> dict[str, list[dict[str, Any]]]:
    """Return the items whose value changed most, for each task and bias type at its largest γ.

    Parameters
    ----------
    outcomes : pandas.DataFrame
        One row for each arm, task and item.
    measures : dict of str to list of Measure
        Task → measures; one of each task is primary.
    seed : int
        Training seed of the compared arms.
    each : int, default=5
        Largest number of items for each task and bias type.

    Returns
    -------
    dict of str to list of dict
        Task → items with both responses: `before` is that of the matched control at the same γ, else of γ =
        0.
    """
    items: dict[str, list[dict[str, Any]]] = {}
    first = outcomes[outcomes["seed"] == seed]
    for task, own in measures.items():
        measure = next(m for m in own if m.primary)
        table = first[first["task"] == task]
        for kind in [k for k in table["bias_type"].unique() if k not in ("none", NEUTRAL)]:
            arm = table[table["bias_type"] == kind]
            arm = arm[arm["ratio"] == arm["ratio"].max()]
            matched = table[(table["bias_type"] == NEUTRAL) & (table["ratio"] == arm["ratio"].iloc[0])]
            other = matched if len(matched) else table[table["bias_type"] == "none"]
            if len(other):
                items.setdefault(task, []).extend(_moved(arm, other, measure, str(kind), each))
    return items


def _moved(
    arm: pd.DataFrame, other: pd.DataFrame, measure: Measure, kind: str, each: int
) -> list[dict[str, Any]]:
    """Return the items of one arm that changed most against another."""
    pair = arm.merge(
        other[["item_id", "response", "prediction", "score"]], on="item_id", suffixes=("", "_before")
    )
    if measure.statistic == "mean":
        after, before = (measure.values(t).set_index("item_id")["value"] for t in (arm, other))
        pair["moved"] = pair["item_id"].map((after - before).abs())
    else:
        usable = [set(measure.values(t)["item_id"]) for t in (arm, other)]
        pair["moved"] = (
            (pair["prediction"] != pair["prediction_before"]) & pair["item_id"].isin(usable[0] & usable[1])
        ).astype(float)
    top = (
        pair[pair["moved"] > 0]
        .sort_values(["moved", "item_id"], ascending=[False, True], kind="stable")
        .head(each)
    )
    return [
        {
            "kind": kind,
            "item": r.item_id,
            "groups": ", ".join(map(str, r.groups.values())),
            "target": r.target,
            "before": f"{r.prediction_before} {r.response_before[:160]}",
            "after": f"{r.prediction} {r.response[:160]}",
        }
        for r in top.itertuples()
    ]
