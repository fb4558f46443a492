"""The section on mitigations: each against the arm without it, by stated rules."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from probate.report import words
from probate.report.frontier import Mark, frontier_chart
from probate.stats import comparisons
from probate.stats.amounts import on_log_scale, typical_amount
from probate.stats.arms import AGAINST_BASE, AGAINST_MATCHED
from probate.stats.comparisons import ALL, ANY
from probate.stats.effects import ONE_SEED
from probate.stats.measure import Measure
from probate.stats.p_values import p_figure, p_words
from probate.stats.smallest import DetectableEffect, Noise, detectable_between, seed_noise, values_by_arm
from probate.study.schema import Analysis

UNSURE = "cannot tell"
MOST_LOSS = 0.05
"""Largest loss of accuracy of a recommended mitigation, as a share."""


@dataclass(frozen=True)
class Entry:
    """One mitigation in one task, at one bias type and the largest γ.

    All changes are of the gap, in the unit of the task, against the matched control (or γ = 0 if there is
    none).

    Attributes
    ----------
    mitigation, task, bias_type : str
        Which comparison it is.
    ratio : float
        The γ, 0 to 1.
    inherited : float
        Change by the biased data without the mitigation.
    inherited_sure : bool
        Whether the adjusted p of `inherited` is below 0.05.
    change, low, high : float
        Change by the mitigation, with its interval.
    p : float
        Adjusted p of `change`.
    left, left_low, left_high : float
        Change by the biased data with the mitigation, with its interval.
    verdict : str
        `helps`, `overshoots`, `harms`, `not shown`, or `cannot tell` if one of the three changes is undefined
        or rests on one training seed.
    group : str
        The group that is compared with the rest, for a measure with more than two groups.
    leads : bool
        Whether the entry represents its task: with more than two groups, only the group in which inheritance
        is most significant.
    reason : str
        The reason for `cannot tell`.
    """

    mitigation: str
    task: str
    bias_type: str
    ratio: float
    inherited: float
    inherited_sure: bool
    change: float
    low: float
    high: float
    p: float
    left: float
    left_low: float
    left_high: float
    verdict: str
    group: str = ""
    leads: bool = True
    reason: str = ""


def entries(effects: pd.DataFrame, measures: dict[str, list[Measure]]) -> list[Entry]:
    """Judge every mitigation in every task, and with more than two groups for each group against the rest.

    Parameters
    ----------
    effects : pandas.DataFrame
        Effects of the first round.
    measures : dict of str to list of Measure
        Task → measures; one of each task is primary.

    Returns
    -------
    list of Entry
        In the order of the study.

    Notes
    -----
    Rule: a mitigation *helps* if it changes the gap in the direction opposite to the inherited change, with
    adjusted p < 0.05, and the remaining change is smaller than the inherited one. It *overshoots* if the
    remaining change is not smaller, in the other direction. It *harms* if it changes the gap in the direction
    of the inherited change, with adjusted p < 0.05. Else an effect is *not shown*.
    """
    results: list[Entry] = []
    for task, own in measures.items():
        measure = next(m for m in own if m.primary)
        rows = effects[(effects["task"] == task) & (effects["metric"] == measure.name)]
        if len(measure.sides) < 3:
            results += _compared(rows[rows["comparison"].isin([ALL, " − ".join(measure.sides)])], task)
            continue
        for _, of_type in rows.groupby("bias_type", sort=False):
            lead = _surest(of_type)
            for side in measure.sides:
                own = of_type[of_type["comparison"] == f"{side} − rest"]
                results += [replace(e, leads=side == lead) for e in _compared(own, task, side)]
    return results


def _surest(rows: pd.DataFrame) -> str:
    """Return the group with the most significant inheritance at the largest γ: by p, then by size."""
    own = rows[(rows["question"] == "inheritance") & (rows["comparison"] != ANY)]
    own = own[own["ratio"] == own["ratio"].max()]
    for contrast in (AGAINST_MATCHED, AGAINST_BASE):
        at = own[own["contrast"] == contrast].assign(size=-own["estimate"].abs()).sort_values(["p", "size"])
        if len(at):
            return str(at["comparison"].iloc[0]).partition(" − ")[0]
    return ""


def _compared(rows: pd.DataFrame, task: str, group: str = "") -> Iterator[Entry]:
    """Yield an entry for every mitigation in the effects of one comparison, at its largest γ."""
    moved = rows[rows["question"] == "mitigation"]
    for (mitigation, bias_type), part in moved.groupby(["mitigation", "bias_type"], sort=False):
        row = part.sort_values("ratio").iloc[-1]
        at = rows[(rows["bias_type"] == bias_type) & (rows["ratio"] == row["ratio"])]
        before = _against_control(at[at["question"] == "inheritance"])
        after = _against_control(at[(at["question"] == "mitigated") & (at["mitigation"] == mitigation)])
        if before is None or after is None:
            continue
        reason = next((r["reason"] for r in (before, row, after) if r["reason"]), "")
        if not reason and min(r["seeds"] for r in (before, row, after)) < 2:
            reason = ONE_SEED
        yield Entry(
            str(mitigation),
            task,
            str(bias_type),
            float(row["ratio"]),
            float(before["estimate"]),
            bool(before["p_adjusted"] < words.ALPHA),
            float(row["estimate"]),
            float(row["ci_low"]),
            float(row["ci_high"]),
            float(row["p_adjusted"]),
            float(after["estimate"]),
            float(after["ci_low"]),
            float(after["ci_high"]),
            UNSURE
            if reason
            else _verdict(before["estimate"], row["estimate"], after["estimate"], row["p_adjusted"]),
            group,
            reason=reason,
        )


def _against_control(rows: pd.DataFrame) -> pd.Series | None:
    """Return the effect against the matched control, else against γ = 0, else None."""
    for contrast in (AGAINST_MATCHED, AGAINST_BASE):
        own = rows[rows["contrast"] == contrast]
        if len(own):
            return own.iloc[0]
    return None


def _verdict(inherited: float, change: float, left: float, p: float) -> str:
    """Return the verdict by the rule of `entries`."""
    if not p < words.ALPHA:
        return "not shown"
    if change * inherited > 0:
        return "harms"
    return "helps" if abs(left) < abs(inherited) else "overshoots"


def costs(effects: pd.DataFrame, tasks: Collection[str]) -> dict[str, pd.Series]:
    """Return the change of accuracy by each mitigation, over all groups, at the largest γ.

    Parameters
    ----------
    effects : pandas.DataFrame
        Effects of the first round.
    tasks : collection of str
        Tasks to consider.

    Returns
    -------
    dict of str to pandas.Series
        Mitigation → the effect of the task in which the change is largest in size; an undefined effect, if
        there is one.
    """
    rows = effects[(effects["question"] == "mitigation-cost") & effects["task"].isin(tasks)]
    largest = {}
    for mitigation, own in rows.groupby("mitigation", sort=False):
        last = own[own["ratio"] == own["ratio"].max()]
        lost = last[last["reason"] != ""]
        largest[str(mitigation)] = lost.iloc[0] if len(lost) else last.loc[last["estimate"].abs().idxmax()]
    return largest


def recommendation(results: Sequence[Entry], cost: dict[str, pd.Series]) -> str:
    """Return the recommendation in one or two sentences.

    Parameters
    ----------
    results : sequence of Entry
        The judged mitigations.
    cost : dict of str to pandas.Series
        Mitigation → change of accuracy (`costs`).

    Returns
    -------
    str
        The recommended mitigation, or that none can be recommended and why.

    Notes
    -----
    Rule: the recommended mitigation helps in most of the tasks that show inheritance (adjusted p < 0.05). Its
    accuracy is measured, and the estimate drops by at most 5 points in its worst task. It harms or overshoots
    in no task, and it can be judged in all. Among equals, the one with the smallest remaining share is
    recommended.
    """
    sick = [e for e in results if e.inherited_sure and e.leads]
    lost = [e for e in results if e.verdict == UNSURE and e.leads]
    total = len([e for e in results if e.leads])
    missing = f" {len(lost)} of {total} comparisons cannot be judged: {lost[0].reason}." if lost else ""
    if not sick and lost:
        return f"Cannot tell whether there is inheritance to mitigate.{missing}"
    if not sick:
        return "No task shows inheritance at this n, so no mitigation can be shown to help."
    marks, unknown = _shown_to_help(results, cost)
    if unknown:
        missing += f" {', '.join(unknown)}: shown to help, but the cost in accuracy is unknown."
    if not marks:
        return f"No mitigation {'can be recommended' if unknown else 'is shown to help at this n'}.{missing}"
    best = min(marks, key=lambda name: marks[name])
    count, left = -marks[best][0], marks[best][1]
    tasks = len({e.task for e in sick})
    others = [n for n in marks if n != best]
    also = f" Also shown to help: {', '.join(others)}." if others else ""
    return (
        f"{best}: it helps in {count} of {tasks} task{'s' if tasks > 1 else ''} "
        f"that show{'' if tasks > 1 else 's'} inheritance, "
        f"and {100 * left:.0f}% of the inherited change remains.{also}{missing}"
    )


def _shown_to_help(
    results: Sequence[Entry], cost: dict[str, pd.Series]
) -> tuple[dict[str, tuple[int, float]], list[str]]:
    """Return the mitigations that the rule of `recommendation` admits.

    Returns
    -------
    marks : dict of str to tuple
        Mitigation → minus the number of tasks in which it helps, and the mean share that remains there. The
        smallest is recommended.
    unknown : list of str
        Those whose cost in accuracy is unknown.
    """
    sick = [e for e in results if e.inherited_sure and e.leads]
    marks: dict[str, tuple[int, float]] = {}
    unknown: list[str] = []
    for name in dict.fromkeys(e.mitigation for e in results):
        helped = [e for e in sick if e.mitigation == name and e.verdict == "helps"]
        loss = (
            -float(cost[name]["estimate"]) if name in cost else float("nan")
        )  # unknown if accuracy is not measured
        harmed = any(e.mitigation == name and e.verdict in ("harms", "overshoots", UNSURE) for e in results)
        if not helped or harmed:
            continue
        if np.isnan(loss):
            unknown.append(name)
        elif loss <= MOST_LOSS:
            left = float(np.mean([abs(e.left) / abs(e.inherited) for e in helped]))
            marks[name] = (-len(helped), left)
    return marks, unknown


def in_words(
    effects: pd.DataFrame, measures: dict[str, list[Measure]], confidence: float
) -> dict[str, list[str]]:
    """Describe what a mitigation changes and leaves in each task that shows inheritance.

    It is the recommended mitigation, else the one that helps and leaves least.

    Parameters
    ----------
    effects : pandas.DataFrame
        Effects of the first round, with and without mitigations.
    measures : dict of str to list of Measure
        Task → measures; one of each task is primary.
    confidence : float
        Level of the intervals, 0 to 1.

    Returns
    -------
    dict of str to list of str
        Task → sentences. A task without a sign of inheritance has none.
    """
    results, cost = entries(effects, measures), costs(effects, list(measures))
    marks, _ = _shown_to_help(results, cost)
    best = min(marks, key=lambda name: marks[name], default=None)
    level = f"{100 * confidence:.0f}% interval"
    said: dict[str, list[str]] = {}
    for task in dict.fromkeys(e.task for e in results if e.inherited_sure and e.leads):
        own = [e for e in results if e.task == task and e.inherited_sure and e.leads]
        helping = sorted((e for e in own if e.verdict == "helps"), key=lambda e: abs(e.left))
        chosen = next((e for e in helping if e.mitigation == best), next(iter(helping), None))
        if chosen is None:
            count = len({e.mitigation for e in own})
            tried = f"None of the {count} mitigations is" if count > 1 else f"{own[0].mitigation} is not"
            said[task] = [f"{tried} shown to help."]
            continue
        unit = next(m for m in measures[task] if m.primary).unit
        group = f" ({chosen.group} − rest)" if chosen.group else ""
        spent = cost.get(chosen.mitigation)
        accuracy = "an unknown amount" if spent is None else _with_interval(spent, "share")
        said[task] = [
            f"With the mitigation {chosen.mitigation}, {words.number(chosen.left, unit, signed=True)} "
            f"of the change remain{'' if unit == 'share' else 's'}{group} "
            f"({level} {_range(chosen.left_low, chosen.left_high, unit)}). "
            f"It moved the gap by {words.number(chosen.change, unit, signed=True)} "
            f"({level} {_range(chosen.low, chosen.high, unit)}; adjusted {p_words(chosen.p)}), and accuracy "
            f"over all groups by {accuracy}."
            + ("" if chosen.mitigation == best else " By the rule below, it is not recommended.")
        ]
    return said


def movers(results: Sequence[Entry], titles: dict[str, str]) -> list[str]:
    """Describe each mitigation that helps in one task or group and harms or overshoots in another.

    Parameters
    ----------
    results : sequence of Entry
        The judged mitigations.
    titles : dict of str to str
        Task → title.

    Returns
    -------
    list of str
        The sentences.
    """

    def where(entry: Entry) -> str:
        return titles[entry.task] + (f" ({entry.group})" if entry.group else "")

    sentences = []
    for name in dict.fromkeys(e.mitigation for e in results):
        own = [e for e in results if e.mitigation == name]
        good = [where(e) for e in own if e.verdict == "helps"]
        bad = [where(e) for e in own if e.verdict in ("harms", "overshoots")]
        if good and bad:
            sentences.append(
                f"{name} only shifts the gap: it helps in {', '.join(good)}, "
                f"and widens or reverses the gap in {', '.join(bad)}."
            )
    return sentences


def smallest(
    results: Sequence[Entry], measures: dict[str, list[Measure]], outcomes: pd.DataFrame, analysis: Analysis
) -> list[DetectableEffect]:
    """Return the smallest change that each comparison detects with 80% power.

    Parameters
    ----------
    results : sequence of Entry
        The judged mitigations.
    measures : dict of str to list of Measure
        Task → measures; one of each task is primary.
    outcomes : pandas.DataFrame
        One row for each arm, task and item.
    analysis : Analysis
        Settings of the analysis.

    Returns
    -------
    list of DetectableEffect
        One for each entry, in the unit of its task. The variation between seeds is pooled over all arms of
        the task.
    """
    primary = {task: next(m for m in own if m.primary) for task, own in measures.items()}
    primary = {
        task: on_log_scale(m, typical_amount(m, outcomes[outcomes["task"] == task]))
        for task, m in primary.items()
    }
    arms = {
        task: values_by_arm(outcomes[outcomes["task"] == task], measure) for task, measure in primary.items()
    }

    noise: dict[tuple[str, str], Noise] = {}

    def of(e: Entry) -> DetectableEffect:
        measure = primary[e.task]
        comparison = f"{e.group} − rest" if e.group else comparisons.comparison_names(measure)[0]
        after, before = (e.bias_type, e.ratio, e.mitigation), (e.bias_type, e.ratio, "none")
        if (e.task, comparison) not in noise:
            noise[e.task, comparison] = seed_noise([*arms[e.task].values()], measure, comparison)
        own = noise[e.task, comparison]
        return detectable_between(arms[e.task], after, before, measure, comparison, analysis, own)

    return [of(e) for e in results]


def section(
    effects: pd.DataFrame,
    titles: dict[str, str],
    measures: dict[str, list[Measure]],
    probes: Collection[str],
    trained: Sequence[dict[str, Any]],
    outcomes: pd.DataFrame,
    analysis: Analysis,
) -> dict[str, Any]:
    """Return the content of the report's section on mitigations.

    Parameters
    ----------
    effects : pandas.DataFrame
        Effects of the first round.
    titles : dict of str to str
        Task → title.
    measures : dict of str to list of Measure
        Task → measures; one of each task is primary.
    probes : collection of str
        Keys of the probes.
    trained : sequence of dict
        Records of the training stages.
    outcomes : pandas.DataFrame
        One row for each arm, task and item.
    analysis : Analysis
        Settings of the analysis.

    Returns
    -------
    dict
        Values of the template: the table of mitigations, costs, recommendation and charts.
    """
    results = entries(effects, measures)
    cost = costs(effects, list(measures))
    units = {task: next(m for m in own if m.primary).unit for task, own in measures.items()}
    ability = effects[(effects["question"] == "probe-mitigation") & effects["task"].isin(probes)]
    rows = []
    whole = [e for e in results if e.leads]
    for e, least in zip(whole, smallest(whole, measures, outcomes, analysis), strict=True):
        unit = units[e.task]
        rows.append(
            {
                "mitigation": e.mitigation,
                "task": titles[e.task] + (f" ({e.group} − rest)" if e.group else ""),
                "kind": f"{e.bias_type}, γ {e.ratio:g}",
                "inherited": words.number(e.inherited, unit, signed=True)
                + (" ●" if e.inherited_sure else ""),
                "change": words.number(e.change, unit, signed=True),
                "interval": _range(e.low, e.high, unit),
                "p": p_figure(e.p),
                "left": f"{words.number(e.left, unit, signed=True)} "
                f"({_range(e.left_low, e.left_high, unit)})",
                "least": least.reason
                or (
                    f"{words.number(least.value, unit, signed=True)} ({_range(least.low, least.high, unit)})"
                ).replace("+", ""),
                "verdict": f"{UNSURE}: {e.reason}" if e.verdict == UNSURE else e.verdict,
            }
        )
    spent = [
        {
            "mitigation": name,
            "accuracy": _with_interval(cost[name], "share") if name in cost else "–",
            "ability": "; ".join(
                f"{titles[r['task']]} {_with_interval(r, 'share' if r['task'] == 'knowledge' else '')}"
                for r in ability[ability["mitigation"] == name].to_dict("records")
            )
            or "–",
            "time": _time(name, trained, outcomes),
        }
        for name in dict.fromkeys(e.mitigation for e in results)
    ]
    return {
        "rows": rows,
        "costs": spent,
        "recommendation": recommendation(results, cost),
        "movers": movers(results, titles),
        "frontiers": frontiers(results, effects, titles, units),
        "distances": [
            {"arm": r["stage"].removeprefix("adapters/"), "terms": _terms(r), **r["held_out_distance"]}
            for r in trained
            if "held_out_distance" in r
        ],
    }


def frontiers(
    results: Sequence[Entry], effects: pd.DataFrame, titles: dict[str, str], units: dict[str, str]
) -> list[str]:
    """Draw the remaining change of the gap against the change of accuracy, for each task and bias type.

    Parameters
    ----------
    results : sequence of Entry
        The judged mitigations.
    effects : pandas.DataFrame
        Effects of the first round.
    titles, units : dict of str to str
        Task → title and unit.

    Returns
    -------
    list of str
        `<svg>` elements, for tasks with an accuracy.
    """
    cost = effects[effects["question"] == "mitigation-cost"]
    charts = []
    whole = [e for e in results if e.leads]
    for task, bias_type in dict.fromkeys((e.task, e.bias_type) for e in whole):
        marks, lost, inherited = [], [], 0.0
        for e in whole:
            if (e.task, e.bias_type) != (task, bias_type):
                continue
            rows = cost[
                (cost["task"] == task)
                & (cost["mitigation"] == e.mitigation)
                & (cost["bias_type"] == bias_type)
            ]
            rows = rows[rows["ratio"] == e.ratio]
            for row in rows.to_dict("records"):
                kept = (row["estimate"], row["ci_low"], row["ci_high"])
                if np.isfinite([row["estimate"], e.left, e.inherited]).all():
                    marks.append(Mark(e.mitigation, kept, (e.left, e.left_low, e.left_high)))
                    inherited = e.inherited
                else:
                    lost.append(e.mitigation)
        if marks:
            title = f"{titles[task]}, {bias_type}" + (f" (undefined: {', '.join(lost)})" if lost else "")
            alt = f"{title}: remaining change of the gap against change of accuracy, for each mitigation"
            charts.append(
                frontier_chart(
                    marks, inherited, unit=units[task], title=title, alt=alt, salt=f"{task}{bias_type}"
                )
            )
    return charts


def _terms(done: dict[str, Any]) -> str:
    """Return the last plain loss and the unweighted alignment term: scale × distance of the batch means."""
    plain = f"{done['loss']:.3g}"
    return (
        f"{plain}; {done['align_scale']:.3g} × {done['align_last']:.3g}" if "align_scale" in done else plain
    )


def _range(low: float, high: float, unit: str) -> str:
    """Return an interval as text."""
    first = words.number(low, unit, signed=True).removesuffix(" points")
    return f"{first} to {words.number(high, unit, signed=True)}"


def _with_interval(row: Any, unit: str) -> str:
    """Return an estimate with its interval as text, or why it is undefined."""
    if row["reason"]:
        return f"undefined: {row['reason']}"
    return (
        f"{words.number(row['estimate'], unit, signed=True)} ({_range(row['ci_low'], row['ci_high'], unit)})"
    )


def _time(mitigation: str, trained: Sequence[dict[str, Any]], outcomes: pd.DataFrame) -> str:
    """Return the training time as a multiple of the arm without the mitigation, mean over seeds."""
    seconds = {r["stage"].removeprefix("adapters/"): float(r["seconds"]) for r in trained if r.get("seconds")}
    same = ["bias_type", "ratio", "seed", "round"]
    arms = outcomes[["arm", "mitigation", *same]].drop_duplicates()
    pairs = arms[arms["mitigation"] == mitigation].merge(arms[arms["mitigation"] == "none"], on=same)
    ratios = [
        seconds[a] / seconds[b]
        for a, b in zip(pairs["arm_x"], pairs["arm_y"], strict=True)
        if {a, b} <= seconds.keys()
    ]
    return f"{np.mean(ratios):.2f}" if ratios else "–"
