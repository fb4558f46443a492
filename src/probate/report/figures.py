"""The charts of a report, drawn from effects."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from probate.report import charts, words
from probate.stats.arms import AGAINST_MATCHED
from probate.stats.comparisons import SPREAD
from probate.stats.dose import shape
from probate.stats.effects import ONE_SEED
from probate.stats.measure import Measure
from probate.study.taxonomy import NEUTRAL, SECOND


def forests(
    effects: pd.DataFrame, measures: dict[str, list[Measure]], titles: dict[str, str]
) -> list[dict[str, str]]:
    """Draw a forest plot of the changes of each task's gap.

    Parameters
    ----------
    effects : pandas.DataFrame
        Effects of the first round without a mitigation.
    measures : dict of str to list of Measure
        Task → measures; one of each task is primary.
    titles : dict of str to str
        Task → title.

    Returns
    -------
    list of dict of str to str
        `svg`: the chart of a task.
    """
    panels = []
    for task, own in measures.items():
        measure = next(m for m in own if m.primary)
        rows = effects[(effects["task"] == task) & effects["question"].isin(["inheritance", "null"])]
        if rows.empty:
            continue
        bars = []
        many = rows["comparison"].nunique() > 1
        for r in rows.itertuples():
            matched = r.contrast == AGAINST_MATCHED
            colour = charts.INK if matched else charts.SOFT
            bars.append(
                charts.Bar(
                    f"{r.bias_type}, γ {r.ratio:g}, {r.contrast}"
                    + (f", {r.comparison}" if many else "")
                    + (" (undefined)" if r.reason else ""),
                    r.estimate,
                    r.ci_low,
                    r.ci_high,
                    r.p_adjusted < words.ALPHA,
                    colour,
                )
            )
        title = f"{titles[task]}: change of the {_what(measure)}{measure.title}"
        alt = f"{title}. " + "; ".join(
            f"{b.label}: {words.number(b.value, measure.unit, signed=True)} "
            f"({words.number(b.low, measure.unit, signed=True)} to "
            f"{words.number(b.high, measure.unit, signed=True)})"
            for b in bars
        )
        panels.append(
            {"svg": charts.forest_chart(bars, unit=measure.unit, title=title, alt=alt, salt=f"forest-{task}")}
        )
    return panels


def _alone(row: dict[Any, Any]) -> str:
    """Return what an interval of one training seed leaves out."""
    return f" (over items only: {ONE_SEED})" if row["seeds"] == 1 else ""


def _what(measure: Measure) -> str:
    """Return "gap in " for a measure with more than one side."""
    return "gap in " if len(measure.sides) > 1 else ""


def _above(measure: Measure) -> str:
    """Return what a gap above 0 means, for two groups."""
    if len(measure.sides) != 2:
        return ""
    return f" Above 0: {measure.toward(*measure.sides)}."


def _points(effects: pd.DataFrame, planned: Sequence[float] = ()) -> list[charts.Point]:
    """Return points in the order of γ; a planned γ without an effect has no value and breaks the line."""
    there = {r.ratio: charts.Point(r.ratio, r.estimate, r.ci_low, r.ci_high) for r in effects.itertuples()}
    return [
        there.get(ratio, charts.Point(ratio, *[float("nan")] * 3)) for ratio in sorted({*there, *planned})
    ]


def doses(
    effects: pd.DataFrame,
    measures: dict[str, list[Measure]],
    titles: dict[str, str],
    planned: Sequence[float],
) -> list[dict[str, Any]]:
    """Draw levels and gap over γ, for each task and bias type.

    Parameters
    ----------
    effects : pandas.DataFrame
        Effects of the first round without a mitigation.
    measures : dict of str to list of Measure
        Task → measures; one of each task is primary.
    titles : dict of str to str
        Task → title.
    planned : sequence of float
        The γ of the study, 0 to 1.

    Returns
    -------
    list of dict
        For each task: `svgs` (charts), `said` (sentences on the dose-response) and `note`.
    """
    sections = []
    for task, own in measures.items():
        measure = next(m for m in own if m.primary)
        rows = effects[(effects["task"] == task) & (effects["metric"] == measure.name)]
        level, gap = rows[rows["question"] == "level"], rows[rows["question"] == "gap"]
        types = [t for t in rows["bias_type"].unique() if t not in ("none", NEUTRAL, SECOND)]
        shown = " − ".join(measure.sides) if len(measure.sides) == 2 else SPREAD
        gap = gap[gap["comparison"] == shown]
        bounds = _limits(level), _limits(gap, zero=True)
        svgs = []
        for bias_type in types:
            own_levels, own_gaps = _with_base(level, bias_type), _with_base(gap, bias_type)
            series = []
            for g, group in enumerate(measure.sides):
                colour = charts.group_colour(g)
                series.append(
                    charts.Series(
                        group, colour, _points(own_levels[own_levels["contrast"] == group], planned)
                    )
                )
                control = level[(level["bias_type"] == NEUTRAL) & (level["contrast"] == group)]
                if len(control):
                    series.append(charts.Series(f"{group}, control", colour, _points(control), control=True))
            gaps = [charts.Series("biased", charts.INK, _points(own_gaps, planned))]
            control = gap[gap["bias_type"] == NEUTRAL]
            if len(control):
                gaps.append(charts.Series("control", charts.SOFT, _points(control), control=True))
            for curves, what, limits, zero in (
                (series, measure.title, bounds[0], False),
                (gaps, f"gap, {shown}", bounds[1], True),
            )[: 1 if len(measure.sides) == 1 else 2]:
                alt = f"{titles[task]}, {bias_type}: {what} over γ. " + "; ".join(
                    f"{s.label}: "
                    + ", ".join(f"{words.number(p.value, measure.unit)} at {p.ratio:g}" for p in s.points)
                    for s in curves
                )
                svgs.append(
                    charts.dose_chart(
                        curves,
                        unit=measure.unit,
                        title=f"{what}" if len(types) == 1 else f"{bias_type}: {what}",
                        alt=alt,
                        limits=limits,
                        zero=zero,
                        salt=f"{task}-{bias_type}-{what}",
                    )
                )
        methods = ", ".join(sorted(set(pd.concat([level, gap])["interval"]) - {"none"}))
        shown_rows = gap if len(gap) else level
        counts = sorted(set(shown_rows.loc[shown_rows["reason"] == "", "n"])) or [0]
        n = f"{counts[0]}" if len(set(counts)) == 1 else f"{counts[0]} to {counts[-1]}"
        sections.append(
            {
                "task": task,
                "title": titles[task],
                "svgs": svgs,
                "said": [
                    sentence
                    for t in types
                    for sentence in _dose_words(rows[rows["bias_type"] == t], t, measure, planned)
                ],
                "note": f"n = {n} {rows['unit'].iloc[0].split()[0]}s in each arm; "
                f"intervals: {methods}.{_above(measure)}",
            }
        )
    return sections


SHAPES = {
    "rises": "the gap rises with γ",
    "falls": "the gap falls with γ",
    "turns": "the gap both rises and falls with γ",
    "flat": "no change of the gap from one γ to the next is significant",
}


UNDEFINED = {
    "dose-slope": "the slope of the gap over γ",
    "coefficient": "the inheritance coefficient",
    "threshold": "the γ at which the gap exceeds its budget",
}


def _dose_words(rows: pd.DataFrame, bias_type: str, measure: Measure, planned: Sequence[float]) -> list[str]:
    """Return sentences on failed doses, shape, slope, coefficient and threshold of one bias type."""
    sentences = []
    failed = sorted(
        {r for r in planned if r > 0}
        - set(rows.loc[(rows["question"] == "level") & (rows["reason"] == ""), "ratio"])
    )
    if failed:
        sentences.append(
            f"{bias_type}: γ {', '.join(f'{r:g}' for r in failed)} failed; "
            "no curve is drawn or computed across a failed γ."
        )
    steps = rows[rows["question"] == "dose-step"]
    lost = steps[steps["reason"] != ""]
    if len(steps):
        kind = shape(list(zip(steps["estimate"], steps["p_adjusted"], strict=True)))
        blind = len(lost) or (steps["seeds"] == 1).any()
        said = SHAPES[kind] if kind != "flat" or not blind else "cannot tell whether the gap changes with γ"
        undefined = f" {words.undefined_of(lost, len(steps))}" if len(lost) else ""
        sentences.append(f"{bias_type}: {said} ({len(steps)} steps, adjusted p < 0.05).{undefined}")
    for row in rows.to_dict("records"):
        value, low, high = row["estimate"], row["ci_low"], row["ci_high"]
        if row["reason"] and row["question"] in UNDEFINED:
            sentences.append(f"{bias_type}: {UNDEFINED[row['question']]} is undefined: {row['reason']}.")
        elif row["question"] == "dose-slope":
            show = [
                words.number(v / 10, measure.unit, signed=True).removesuffix(" points")
                for v in (value, low, high)
            ]
            points = " points" if measure.unit == "share" else ""
            sentences.append(
                f"{bias_type}: the gap changes by {show[0]}{points} [{show[1]}, {show[2]}] for each 0.1 of "
                f"γ, {row['contrast']}{_alone(row)}."
            )
        elif row["question"] == "coefficient":
            meaning = (
                " (1: the model reproduces the bias of the data)"
                if measure.name == "stereotyped_share"
                else ""
            )
            sentences.append(
                f"{bias_type}: inheritance coefficient {words.number(value, '', signed=True)} "
                f"[{words.number(low, '', signed=True)}, "
                f"{words.number(high, '', signed=True)}]: change of the gap per unit of bias in the "
                f"training data{meaning}."
            )
        elif row["question"] == "threshold":
            passed = (
                f"is exceeded {words.at_ratio(value)}"
                if np.isfinite(value)
                else "is not exceeded within the γ of the study"
            )
            sentences.append(
                f"{bias_type}: the gap budget (analysis.budget) {passed} [{words.ratios(low, high)}], "
                "interpolated linearly between doses."
            )
    return sentences


def _with_base(rows: pd.DataFrame, bias_type: str) -> pd.DataFrame:
    """Return the rows of a bias type and of γ = 0."""
    return rows[rows["bias_type"].isin([bias_type, "none"])]


def _limits(rows: pd.DataFrame, zero: bool = False) -> tuple[float, float]:
    """Return limits of an axis for estimates and intervals."""
    values = rows[["estimate", "ci_low", "ci_high"]].to_numpy(dtype=float)
    values = values[np.isfinite(values)]
    low, high = (float(values.min()), float(values.max())) if len(values) else (0.0, 1.0)
    if zero:
        low, high = min(low, 0.0), max(high, 0.0)
    room = 0.08 * (high - low) or 0.05
    return low - room, high + room


def shares(effects: pd.DataFrame, labels: list[str], groups: list[str]) -> str:
    """Draw the shares of predicted labels: γ = 0, each bias type and the matched control at the largest γ.

    Parameters
    ----------
    effects : pandas.DataFrame
        Effects of the first round without a mitigation.
    labels, groups : list of str
        Labels and groups of the study.

    Returns
    -------
    str
        An `<svg>` element; empty without predicted labels.
    """
    rows = effects[(effects["question"] == "level") & effects["metric"].str.startswith("predicted[")]
    rows = rows[rows["task"] == rows["task"].iloc[0]] if len(rows) else rows
    arms, lost = [], []
    for bias_type, part in rows.groupby("bias_type", sort=False):
        if bias_type == SECOND:
            continue
        part = part[part["ratio"] == part["ratio"].max()]
        lookup = {(r.metric, r.contrast): r.estimate for r in part.itertuples()}
        values = np.array([[lookup.get((f"predicted[{x}]", g), np.nan) for g in groups] for x in labels])
        name = "γ = 0" if bias_type == "none" else f"{bias_type}\nγ = {part['ratio'].iloc[0]:g}"
        if np.isfinite(values).any():
            arms.append((name, values))
        else:
            lost.append(f"{name}: undefined")
    if not arms:
        return ""
    alt = "Share of each predicted label by group. " + "; ".join(
        f"{name}: "
        + ", ".join(
            f"{label} {100 * v[0]:.0f}% {groups[0]}, {100 * v[1]:.0f}% {groups[1]}"
            for label, v in zip(labels, values, strict=True)
        )
        for name, values in arms[:8]
    )
    alt = "; ".join([alt, *lost]).replace("nan%", "undefined")
    return charts.share_chart(labels, groups, arms[:8], alt=alt, salt="shares")
