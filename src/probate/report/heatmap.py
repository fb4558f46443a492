"""The table of everything: task x bias type x γ, signed inheritance, coloured; and the items that moved most."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from probate.report import words
from probate.stats.compare import ALL, ANY
from probate.stats.effects import AGAINST_BASE, AGAINST_MATCHED
from probate.stats.measure import Measure
from probate.stats.p_values import p_words
from probate.study.taxonomy import NEUTRAL


@dataclass(frozen=True)
class Cell:
    """One task under one bias type at one γ. `strength` is the estimate over the farthest end of the row's intervals,
    in [−1, 1]: an uncertain effect is pale."""

    text: str
    title: str
    strength: float
    sure: bool


@dataclass(frozen=True)
class Row:
    """One task; `contrast` says what its cells are against."""

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
    """Columns (bias type and its γ) and rows (direct tasks first).

    A cell is the change of the primary measure against the matched control, or against γ = 0 where there is none at that γ
    (its title says which). Significance is that of the adjusted p; with more than two groups the cell shows the group whose change is surest, with an interval for all groups together.
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
    own = rows[(rows["bias_type"] == kind) & (rows["ratio"] == ratio)]
    for contrast in (AGAINST_MATCHED, AGAINST_BASE):
        exact = own[own["contrast"] == contrast]
        if len(exact):
            return exact.iloc[0]
    return None


def _cell(row: pd.Series, measure: Measure, most: float) -> Cell:
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
    title = f"{row['bias_type']}, γ {row['ratio']:g}, {row['contrast']}: {shown(row['estimate'])} ({shown(row['ci_low'])} to {shown(row['ci_high'])}), adjusted {p_words(row['p_adjusted'])}"
    return Cell(text, title, float(row["estimate"] / most), bool(row["p_adjusted"] < words.ALPHA))


def moved_items(
    outcomes: pd.DataFrame, measures: dict[str, list[Measure]], seed: int, each: int = 5
) -> dict[str, list[dict[str, Any]]]:
    """Task → the items whose value changed most, response against response, for each bias type at its largest γ.

    Against the matched control at that γ, else against γ = 0; first seed only.
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
            "kind": kind, "item": r.item_id, "groups": ", ".join(map(str, r.groups.values())), "target": r.target,
            "before": f"{r.prediction_before} {r.response_before[:160]}", "after": f"{r.prediction} {r.response[:160]}",
        }
        for r in top.itertuples()
    ]  # fmt: skip
