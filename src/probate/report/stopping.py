"""What stops it: mitigations against the arm without them, by stated rules."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from probate.report import words
from probate.report.frontier import Mark, frontier_chart
from probate.stats import compare
from probate.stats.amounts import on_log_scale, typical_amount
from probate.stats.compare import ALL, ANY
from probate.stats.effects import AGAINST_BASE, AGAINST_MATCHED, ONE_SEED
from probate.stats.measure import Measure
from probate.stats.p_values import p_figure
from probate.stats.smallest import DetectableEffect, detectable_between, values_by_arm
from probate.study.schema import Analysis

UNSURE = "cannot tell"
MOST_LOSS = 0.05
"""Accuracy that a recommended mitigation may lose, as a share."""


@dataclass(frozen=True)
class Entry:
    """One mitigation in one task, at one bias type and the largest γ.

    `inherited` and `left` are the change of the gap by the biased data without and with the mitigation (against the matched
    control, or γ = 0 where there is none); `change` is what the mitigation changes. `verdict` is helps, overshoots, harms,
    not shown, or cannot tell where one of the three has no value, or rests on one training seed (`reason`).
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
    """The group that is compared with the rest, where a measure has more than two."""
    leads: bool = True
    """Whether it stands for its task: of more than two groups the one in which inheritance is surest."""
    reason: str = ""


def entries(effects: pd.DataFrame, measures: dict[str, list[Measure]]) -> list[Entry]:
    """Every mitigation in every task, in the order of the study; with more than two groups also for each group against the rest.

    Rule: *helps* if it changes the gap against the direction of what was inherited, with adjusted p < 0.05, and less is left
    than was inherited; *overshoots* if more is left, on the other side; *harms* if the change goes the way of what was
    inherited, with adjusted p < 0.05; else *not shown*.
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
    """The group in which inheritance at the largest γ is surest; by its p, then by its size."""
    own = rows[(rows["question"] == "inheritance") & (rows["comparison"] != ANY)]
    own = own[own["ratio"] == own["ratio"].max()]
    for contrast in (AGAINST_MATCHED, AGAINST_BASE):
        at = own[own["contrast"] == contrast].assign(size=-own["estimate"].abs()).sort_values(["p", "size"])
        if len(at):
            return str(at["comparison"].iloc[0]).partition(" − ")[0]
    return ""


def _compared(rows: pd.DataFrame, task: str, group: str = "") -> Iterator[Entry]:
    """Every mitigation in the effects of one comparison, at its largest γ."""
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
    for contrast in (AGAINST_MATCHED, AGAINST_BASE):
        own = rows[rows["contrast"] == contrast]
        if len(own):
            return own.iloc[0]
    return None


def _verdict(inherited: float, change: float, left: float, p: float) -> str:
    if not p < words.ALPHA:
        return "not shown"
    if change * inherited > 0:
        return "harms"
    return "helps" if abs(left) < abs(inherited) else "overshoots"


def costs(effects: pd.DataFrame, tasks: Collection[str]) -> dict[str, pd.Series]:
    """Mitigation → the change of accuracy over all groups (the task where it is largest in size, at the largest γ); an undefined one, where there is one."""
    rows = effects[(effects["question"] == "mitigation-cost") & effects["task"].isin(tasks)]
    largest = {}
    for mitigation, own in rows.groupby("mitigation", sort=False):
        last = own[own["ratio"] == own["ratio"].max()]
        lost = last[last["reason"] != ""]
        largest[str(mitigation)] = lost.iloc[0] if len(lost) else last.loc[last["estimate"].abs().idxmax()]
    return largest


def recommendation(results: Sequence[Entry], cost: dict[str, pd.Series]) -> str:
    """One sentence or two, by this rule.

    Of the tasks that show inheritance (adjusted p < 0.05), a mitigation is recommended that helps in most of them, whose
    accuracy is measured and loses at most 5 points (the estimate, in its worst task) and that harms or overshoots nowhere, and can be judged everywhere; among equals
    the one that leaves least. If none does, it says so.
    """
    sick = [e for e in results if e.inherited_sure and e.leads]
    lost = [e for e in results if e.verdict == UNSURE and e.leads]
    total = len([e for e in results if e.leads])
    missing = f" {len(lost)} of {total} comparisons cannot be judged: {lost[0].reason}." if lost else ""
    if not sick and lost:
        return f"It cannot be told whether there is something to stop.{missing}"
    if not sick:
        return "There is nothing to stop: no task shows inheritance at this n, so that no mitigation can be shown to help."
    marks: dict[str, tuple[int, float]] = {}
    unknown: list[str] = []
    for name in dict.fromkeys(e.mitigation for e in results):
        helped = [e for e in sick if e.mitigation == name and e.verdict == "helps"]
        loss = (
            -float(cost[name]["estimate"]) if name in cost else float("nan")
        )  # no accuracy measured: not known
        harmed = any(e.mitigation == name and e.verdict in ("harms", "overshoots", UNSURE) for e in results)
        if not helped or harmed:
            continue
        if np.isnan(loss):
            unknown.append(name)
        elif loss <= MOST_LOSS:
            left = float(np.mean([abs(e.left) / abs(e.inherited) for e in helped]))
            marks[name] = (-len(helped), left)
    if unknown:
        missing += f" {', '.join(unknown)}: shown to help, but what it costs in accuracy is not known."
    if not marks:
        return f"None {'can be recommended' if unknown else 'is shown to help at this n'}.{missing}"
    best = min(marks, key=lambda name: marks[name])
    count, left = -marks[best][0], marks[best][1]
    tasks = len({e.task for e in sick})
    others = [n for n in marks if n != best]
    also = f" Also shown to help: {', '.join(others)}." if others else ""
    return (
        f"{best}: it helps in {count} of {tasks} task{'s' if tasks > 1 else ''} that show{'' if tasks > 1 else 's'} inheritance, "
        f"and leaves {100 * left:.0f}% of it.{also}{missing}"
    )


def movers(results: Sequence[Entry], titles: dict[str, str]) -> list[str]:
    """Mitigations that help in one task or group and harm or overshoot in another: they move the gap."""

    def where(entry: Entry) -> str:
        return titles[entry.task] + (f" ({entry.group})" if entry.group else "")

    sentences = []
    for name in dict.fromkeys(e.mitigation for e in results):
        own = [e for e in results if e.mitigation == name]
        good = [where(e) for e in own if e.verdict == "helps"]
        bad = [where(e) for e in own if e.verdict in ("harms", "overshoots")]
        if good and bad:
            sentences.append(
                f"{name} only moves the gap: it helps in {', '.join(good)}, and widens or turns it in {', '.join(bad)}."
            )
    return sentences


def smallest(
    results: Sequence[Entry], measures: dict[str, list[Measure]], outcomes: pd.DataFrame, analysis: Analysis
) -> list[DetectableEffect]:
    """The smallest change that each entry's comparison finds four times in five; the spread between seeds is that of all arms of its task."""
    primary = {task: next(m for m in own if m.primary) for task, own in measures.items()}
    primary = {
        task: on_log_scale(m, typical_amount(m, outcomes[outcomes["task"] == task]))
        for task, m in primary.items()
    }
    arms = {
        task: values_by_arm(outcomes[outcomes["task"] == task], measure) for task, measure in primary.items()
    }

    def of(e: Entry) -> DetectableEffect:
        measure = primary[e.task]
        comparison = f"{e.group} − rest" if e.group else compare.comparisons(measure)[0]
        after, before = (e.bias_type, e.ratio, e.mitigation), (e.bias_type, e.ratio, "none")
        return detectable_between(arms[e.task], after, before, measure, comparison, analysis)

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
    """What the report's section shows: the matrix, its costs, and the sentences."""
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
                "left": f"{words.number(e.left, unit, signed=True)} ({_range(e.left_low, e.left_high, unit)})",
                "least": least.reason
                or f"{words.number(least.value, unit, signed=True)} ({_range(least.low, least.high, unit)})".replace(
                    "+", ""
                ),
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
    """A chart for each task with an accuracy and bias type: what is left of the gap against what is kept of the accuracy."""
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
            alt = f"{title}: what each mitigation leaves of the gap against the change of accuracy"
            charts.append(
                frontier_chart(
                    marks, inherited, unit=units[task], title=title, alt=alt, salt=f"{task}{bias_type}"
                )
            )
    return charts


def _terms(done: dict[str, Any]) -> str:
    """The plain loss at the end, and the alignment term before its weight: scale times distance of the batch means."""
    plain = f"{done['loss']:.3g}"
    return (
        f"{plain}; {done['align_scale']:.3g} × {done['align_last']:.3g}" if "align_scale" in done else plain
    )


def _range(low: float, high: float, unit: str) -> str:
    return f"{words.number(low, unit, signed=True).removesuffix(' points')} to {words.number(high, unit, signed=True)}"


def _with_interval(row: Any, unit: str) -> str:
    if row["reason"]:
        return f"undefined: {row['reason']}"
    return (
        f"{words.number(row['estimate'], unit, signed=True)} ({_range(row['ci_low'], row['ci_high'], unit)})"
    )


def _time(mitigation: str, trained: Sequence[dict[str, Any]], outcomes: pd.DataFrame) -> str:
    """Training time over that of the same arm without the mitigation, mean over seeds."""
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
