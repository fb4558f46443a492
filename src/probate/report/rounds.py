"""Over rounds: what each measure does when models write for their successors, and which leaves its first round first."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from probate.analyze.compare import ALL, SPREAD
from probate.analyze.wording import distinct
from probate.bias.taxonomy import NEUTRAL
from probate.folder import RunFolder
from probate.records import read_records
from probate.report import charts, words
from probate.tasks.base import Measure


def section(
    effects: pd.DataFrame, titles: dict[str, str], measures: dict[str, list[Measure]], folder: RunFolder
) -> dict[str, Any]:
    """What the report's section shows: a chart a task, when each measure leaves its first round, what was written in each round."""
    svgs, leaving = [], []
    for task, own in measures.items():
        measure = next(m for m in own if m.primary)
        rows = effects[(effects["task"] == task) & (effects["metric"] == measure.name)]
        comparison = {1: ALL, 2: " − ".join(measure.sides)}.get(len(measure.sides), SPREAD)
        shown = rows[(rows["question"] == ("level" if len(measure.sides) == 1 else "gap")) & (rows["comparison"] == comparison)]
        if shown["round"].max() > 1:
            svgs.append(_chart(shown, task, titles[task], measure, comparison))
        leaving += list(_leaving(rows[rows["comparison"] == comparison], titles[task], measure))
    leaving.sort(key=lambda r: r["order"])
    return {"svgs": svgs, "leaving": leaving, "written": list(_written(folder))}


def _chart(rows: pd.DataFrame, task: str, title: str, measure: Measure, comparison: str) -> str:
    rows = rows[rows["ratio"] == rows["ratio"].max()]
    series = []
    for place, ((bias_type, mitigation), own) in enumerate(rows.groupby(["bias_type", "mitigation"], sort=False)):
        name = "control" if bias_type == NEUTRAL else str(bias_type) if mitigation == "none" else f"{bias_type}, {mitigation}"
        own = own.sort_values("round")
        points = [charts.Point(float(r["round"]), r["estimate"], r["ci_low"], r["ci_high"]) for r in own.to_dict("records")]
        series.append(charts.Series(name, charts.SOFT if bias_type == NEUTRAL else charts.group_colour(place), points))
    values = [v for s in series for p in s.points for v in (p.value, p.low, p.high) if np.isfinite(v)] + [0.0]
    pad = 0.05 * (max(values) - min(values) or 1.0)
    what = f"{measure.title}, {comparison}" if comparison != ALL else measure.title
    return charts.dose_chart(
        series, unit=measure.unit, title=f"{title}: {what}", alt=f"{title}: {what} over rounds",
        limits=(min(values) - pad, max(values) + pad), zero=True, salt=f"rounds-{task}", across="round",
    )  # fmt: skip


def _leaving(rows: pd.DataFrame, title: str, measure: Measure) -> Iterator[dict[str, Any]]:
    """For each kind of arm: the first round whose change against round 1 is sure (adjusted p < 0.05, over all rounds of all measures)."""
    changes = rows[rows["question"].isin(["round", "probe-round"])]
    for (bias_type, ratio, mitigation), own in changes.groupby(["bias_type", "ratio", "mitigation"], sort=False):
        own = own.sort_values("round")
        sure = own[own["p_adjusted"] < words.ALPHA]
        row = sure.iloc[0] if len(sure) else own.iloc[-1]
        kind = "matched control" if bias_type == NEUTRAL else bias_type
        yield {
            "measure": f"{title}: {measure.title}",
            "arm": f"{kind}, γ {ratio:g}" + ("" if mitigation == "none" else f", {mitigation}"),
            "when": f"round {int(row['round'])}" if len(sure) else "not up to the last",
            "change": words.number(row["estimate"], measure.unit, signed=True),
            "interval": f"{words.number(row['ci_low'], measure.unit, signed=True)} to {words.number(row['ci_high'], measure.unit, signed=True)}",
            "p": f"{row['p_adjusted']:.4f}" if np.isfinite(row["p_adjusted"]) else "–",
            "order": int(row["round"]) if len(sure) else 1000,
        }


def _written(folder: RunFolder) -> Iterator[dict[str, Any]]:
    """Yield and diversity of what was generated in each round, in equal amounts of texts."""
    reports = folder.reports("stages/generate-")
    texts = {}
    for report in reports:
        path = folder.path / report["stage"] / "records.jsonl"
        texts[report["stage"]] = [r.text for r in read_records(path)] if path.exists() else []
    least = min((len(t) for t in texts.values() if t), default=0)
    for report in reports:
        own = texts[report["stage"]][:least]
        yield {
            "set": report["stage"].removeprefix("stages/generate-"),
            "accepted": report["accepted"],
            "candidates": report["candidates"],
            "distinct": f"{100 * distinct(own):.0f}%",
        }
