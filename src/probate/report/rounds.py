"""The section on rounds: how each measure changes when models write the data of their successors."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from probate.core.records import read_records
from probate.execution.folder import RunFolder
from probate.report import charts, words
from probate.report.lineage import lineage_chart
from probate.stats.calibration import calibration
from probate.stats.comparisons import ALL, ANY, SPREAD
from probate.stats.measure import Measure
from probate.stats.wording import distinct
from probate.study.taxonomy import NEUTRAL

ABILITY = {"knowledge", "held_out_text"}
"""Probes of ability; all others measure gaps, values or representation."""
NEVER = 1000


def section(
    effects: pd.DataFrame,
    titles: dict[str, str],
    measures: dict[str, list[Measure]],
    folder: RunFolder,
    outcomes: pd.DataFrame,
) -> dict[str, Any]:
    """Return the content of the report's section on rounds.

    Parameters
    ----------
    effects : pandas.DataFrame
        Effects of all rounds.
    titles : dict of str to str
        Task → title.
    measures : dict of str to list of Measure
        Task → measures; one of each task is primary.
    folder : RunFolder
        The run.
    outcomes : pandas.DataFrame
        One row for each arm, task and item.

    Returns
    -------
    dict
        Values of the template: lineage, a chart for each task, the first changed round of each measure,
        groups and calibration by round, and the generated texts.
    """
    study = folder.study()
    probes = {p.key for p in study.probes}
    svgs, leaving = [], []
    for task, own in measures.items():
        measure = next(m for m in own if m.primary)
        rows = effects[(effects["task"] == task) & (effects["metric"] == measure.name)]
        comparison = {1: ALL, 2: " − ".join(measure.sides)}.get(len(measure.sides), SPREAD)
        shown = rows[
            (rows["question"] == ("level" if len(measure.sides) == 1 else "gap"))
            & (rows["comparison"] == comparison)
        ]
        if shown["round"].max() > 1:
            svgs.append(_chart(shown, task, titles[task], measure, comparison))
        changed = rows[rows["comparison"] == (ANY if comparison == SPREAD else comparison)]
        leaving += [{**r, "ability": task in ABILITY} for r in _leaving(changed, titles[task], measure)]
    leaving.sort(key=lambda r: r["order"])
    return {
        "svgs": svgs,
        "leaving": leaving,
        "warning": _warning(leaving, bool(probes & ABILITY)),
        "groups": list(_by_group(effects, titles, measures)),
        "calibration": list(_calibration(outcomes, folder)),
        "lineage": _lineage(outcomes, folder),
        "written": list(_written(folder)),
    }


def _warning(leaving: list[dict[str, Any]], probed: bool) -> str:
    """Return a sentence on which changes first over rounds: a gap or a measure of ability."""
    first = {
        ability: min((r["order"] for r in leaving if r["ability"] == ability), default=NEVER)
        for ability in (False, True)
    }
    if not probed:
        return "No ability probe was run, so it is unknown whether gaps change before ability does."
    unsure = sum(r["when"] == "cannot tell" for r in leaving)
    if unsure and NEVER in first.values():
        return (
            f"It is unknown what changes first: {unsure} of {len(leaving)} rows below cannot be judged "
            "(undefined, or one training seed), and none of these is significant."
        )
    if first[False] == first[True] == NEVER:
        return "Neither a gap nor a measure of ability changed significantly against round 1."
    said = [
        f"{what} "
        + (
            f"changed significantly first in round {first[ability]}"
            if first[ability] < NEVER
            else "did not change significantly"
        )
        for what, ability in (("a gap", False), ("a measure of ability", True))
    ]
    order = (
        "before ability"
        if first[False] < first[True]
        else "after ability"
        if first[False] > first[True]
        else "together with ability"
    )
    line = f"{said[0]}, {said[1]}: fairness changes {order}."
    return line[:1].upper() + line[1:]


def _by_group(
    effects: pd.DataFrame, titles: dict[str, str], measures: dict[str, list[Measure]]
) -> Iterator[dict[str, Any]]:
    """Return the accuracy of each group and the groups in neutral texts, by round, at the largest γ."""
    rows = effects[(effects["question"] == "level") & (effects["ratio"] == effects["ratio"].max())]
    rows = rows[(rows["metric"] == "accuracy") | rows["metric"].str.startswith("shown[")]
    rows = rows[~rows["task"].isin(ABILITY)]
    for (task, metric, kind, mitigation, group), own in rows.groupby(
        ["task", "metric", "bias_type", "mitigation", "contrast"], sort=False
    ):
        measure = next(m for m in measures[task] if m.name == metric)
        yield {
            "measure": f"{titles[task]}: {measure.title}" + ("" if group == "all" else f", {group}"),
            "arm": str(kind) if mitigation == "none" else f"{kind}, {mitigation}",
            "rounds": [
                (
                    int(r["round"]),
                    f"{words.number(r['estimate'], measure.unit)} "
                    f"[{words.number(r['ci_low'], measure.unit)}, "
                    f"{words.number(r['ci_high'], measure.unit)}]",
                )
                for r in own.sort_values("round").to_dict("records")
            ],
        }


def _calibration(outcomes: pd.DataFrame, folder: RunFolder) -> Iterator[dict[str, Any]]:
    """Return label calibration of tasks on the study's own labels, for the first seed and the largest γ."""
    study, labels, trained = folder.study(), folder.info()["labels"], folder.trained_on()
    rows = outcomes[(outcomes["seed"] == study.seeds[0]) & (outcomes["ratio"] == outcomes["ratio"].max())]
    rows = rows[
        (rows["mitigation"] == "none") & rows["target"].isin(labels) & rows["response"].str.startswith("{")
    ]
    for (task, kind, number, arm), own in rows.groupby(["task", "bias_type", "round", "arm"], sort=False):
        if set(own["prediction"]) - {*labels, ""} or arm not in trained:
            continue
        for c in calibration(own, trained[arm], labels, study.bias.dimension, float(own["ratio"].iloc[0])):
            errors = [_points(v) for v in (c.sampled_error, c.greedy_error)]
            drifts = [_points(v) for v in (c.sampled_drift, c.greedy_drift)]
            bounds = [_points(v) for v in (c.sampled_bound, c.greedy_bound)]
            yield {
                "task": task,
                "arm": kind,
                "round": number,
                "group": c.group,
                "n": c.n,
                "errors": errors,
                "drifts": drifts,
                "bounds": bounds,
                "reason": c.reason,
            }


def _points(share: float) -> str:
    """Return a share in percentage points, or a dash."""
    return f"{100 * share:.1f}" if np.isfinite(share) else "–"


def _lineage(outcomes: pd.DataFrame, folder: RunFolder) -> str:
    """Return the chart of the lineage, for the first seed and the largest γ."""
    study = folder.study()
    rows = outcomes[(outcomes["seed"] == study.seeds[0]) & (outcomes["ratio"] == outcomes["ratio"].max())]
    written = {
        r["stage"].removeprefix("stages/generate-"): r["accepted"] for r in folder.reports("stages/generate-")
    }
    trained = {
        arm: sum(sum(g.values()) for g in cells.values()) for arm, cells in folder.trained_on().items()
    }
    kinds: dict[str, list[tuple[str, str]]] = {}
    for r in (
        rows[["bias_type", "mitigation", "round", "arm"]].drop_duplicates().sort_values("round").itertuples()
    ):
        kind = r.bias_type if r.mitigation == "none" else f"{r.bias_type}, {r.mitigation}"
        accepted = written.get(r.arm if r.round > 1 else r.bias_type)
        step = f"round {r.round}:\n{accepted} texts" if accepted else f"round {r.round}"
        kinds.setdefault(kind, []).append(
            (
                step,
                f"trained on {trained.get(r.arm, '?')},\nwrites the next"
                if r.round < study.rounds
                else f"trained on {trained.get(r.arm, '?')}",
            )
        )
    return lineage_chart(kinds, folder.info()["originals"]) if kinds else ""


def _chart(rows: pd.DataFrame, task: str, title: str, measure: Measure, comparison: str) -> str:
    """Return the chart of one task over rounds, at the largest γ."""
    rows = rows[rows["ratio"] == rows["ratio"].max()]
    series = []
    for place, ((bias_type, mitigation), own) in enumerate(
        rows.groupby(["bias_type", "mitigation"], sort=False)
    ):
        name = (
            "control"
            if bias_type == NEUTRAL
            else str(bias_type)
            if mitigation == "none"
            else f"{bias_type}, {mitigation}"
        )
        own = own.sort_values("round")
        points = [
            charts.Point(float(r["round"]), r["estimate"], r["ci_low"], r["ci_high"])
            for r in own.to_dict("records")
        ]
        series.append(
            charts.Series(name, charts.SOFT if bias_type == NEUTRAL else charts.group_colour(place), points)
        )
    values = [v for s in series for p in s.points for v in (p.value, p.low, p.high) if np.isfinite(v)] + [0.0]
    pad = 0.05 * (max(values) - min(values) or 1.0)
    what = f"{measure.title}, {comparison}" if comparison != ALL else measure.title
    return charts.dose_chart(
        series,
        unit=measure.unit,
        title=f"{title}: {what}",
        alt=f"{title}: {what} over rounds",
        limits=(min(values) - pad, max(values) + pad),
        zero=True,
        salt=f"rounds-{task}",
        across="round",
    )


def _leaving(rows: pd.DataFrame, title: str, measure: Measure) -> Iterator[dict[str, Any]]:
    """Return, for each kind of arm, the first round that differs from round 1 (adjusted p < 0.05)."""
    changes = rows[rows["question"].isin(["round", "probe-round"])]
    for (bias_type, ratio, mitigation), own in changes.groupby(
        ["bias_type", "ratio", "mitigation"], sort=False
    ):
        own = own.sort_values("round")
        sure = own[own["p_adjusted"] < words.ALPHA]
        row = sure.iloc[0] if len(sure) else own.iloc[-1]
        kind = "matched control" if bias_type == NEUTRAL else bias_type
        yield {
            "measure": f"{title}: {measure.title}",
            "arm": f"{kind}, γ {ratio:g}" + ("" if mitigation == "none" else f", {mitigation}"),
            "when": f"round {int(row['round'])}"
            if len(sure)
            else "cannot tell"
            if (own["reason"] != "").any() or (own["seeds"] < 2).any()
            else "in no round",
            "change": f"undefined: {row['reason']}"
            if row["reason"]
            else words.number(row["estimate"], measure.unit, signed=True),
            "interval": f"{words.number(row['ci_low'], measure.unit, signed=True)} to "
            f"{words.number(row['ci_high'], measure.unit, signed=True)}",
            "p": f"{row['p_adjusted']:.4f}" if np.isfinite(row["p_adjusted"]) else "–",
            "order": int(row["round"]) if len(sure) else NEVER,
        }


def _written(folder: RunFolder) -> Iterator[dict[str, Any]]:
    """Return yield and diversity of the generated texts of each round, in equal amounts of texts."""
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
            "distinct": f"{100 * distinct(own):.0f}%" if own else "–",
        }
