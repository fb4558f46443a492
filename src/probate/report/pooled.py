"""Pooled effects in the report: mitigations over all conditions, by stated rules, and tables."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from probate.report import words
from probate.report.tables import ResultTable, TableRow, cell_of
from probate.stats.arms import AGAINST_BASE, AGAINST_MATCHED
from probate.stats.comparisons import ANY
from probate.stats.effects import ONE_SEED
from probate.stats.measure import Measure
from probate.stats.p_values import p_figure
from probate.stats.pooled_effects import ABSENT, EVERY, INHERITANCE, MITIGATION, RELATION
from probate.stats.pooled_grid import LEFT_OUT

UNSURE = "cannot tell"
ALL_TASKS = "all tasks"
Effect = Mapping[Hashable, Any]


@dataclass(frozen=True)
class Pooled:
    """A mitigation over all conditions, in one task or in all tasks, as text.

    Attributes
    ----------
    mitigation, task : str
        Which effect it is.
    inherited : str
        Change by the biased data without the mitigation. An en dash over all tasks.
    change, interval : str
        Change by the mitigation. Over all tasks: how far it moves toward the control.
    p, adjusted : str
        p, and p adjusted over all pooled tests.
    n : str
        Numbers of items and seeds.
    verdict : str
        See `verdict` and `verdict_over_tasks`.
    note : str
        Which conditions it is over, and what is left out.
    how : str
        The methods.
    sure : bool
        Whether the verdict states an effect.
    """

    mitigation: str
    task: str
    inherited: str
    change: str
    interval: str
    p: str
    adjusted: str
    n: str
    verdict: str
    note: str
    how: str
    sure: bool


def _doubt(row: Effect) -> str:
    """Return why an effect is undefined or untested; empty if it is tested."""
    if row["reason"]:
        return str(row["reason"])
    if row["seeds"] == 1:
        return ONE_SEED
    return "" if np.isfinite(row["p_adjusted"]) else "it has no test"


def _shown(row: Effect) -> bool:
    """Check whether an effect is significant and its interval excludes 0."""
    return bool(row["p_adjusted"] < words.ALPHA and (row["ci_low"] > 0 or row["ci_high"] < 0))


def verdict_over_tasks(row: Effect) -> str:
    """Judge a mitigation over all tasks.

    Parameters
    ----------
    row : mapping
        The pooled effect over all tasks; above 0 is closer to the control.

    Returns
    -------
    str
        `cannot tell` with the reason if the effect is undefined or rests on one seed; `not shown` unless
        adjusted p < 0.05 and the interval excludes 0; else `farther from the control` or `closer to the
        control`. `closer` needs every planned condition; otherwise it is `cannot tell`.
    """
    if doubt := _doubt(row):
        return f"{UNSURE}: {doubt}"
    if not _shown(row):
        return "not shown"
    if row["estimate"] < 0:
        return "farther from the control"
    return f"{UNSURE}: {LEFT_OUT}" if _incomplete(row) else "closer to the control"


def verdict(inherited: Effect | None, row: Effect) -> str:
    """Judge a mitigation in one task.

    Parameters
    ----------
    inherited : mapping or None
        The pooled change by the biased data without the mitigation, for the same groups.
    row : mapping
        The pooled change by the mitigation.

    Returns
    -------
    str
        `cannot tell` with the reason if the change is undefined or rests on one seed. `not shown` unless
        adjusted p < 0.05 and the interval excludes 0. Then, if inheritance is shown by the same rule:
        `harms` if the change has its direction, else `helps` if the remaining change is smaller than the
        inherited one, else `overshoots`. If inheritance is not shown: `changes the gap, inheritance not
        shown`. `helps` needs every planned condition; otherwise it is `cannot tell`.
    """
    if doubt := _doubt(row):
        return f"{UNSURE}: {doubt}"
    if not _shown(row):
        return "not shown"
    if inherited is None or _doubt(inherited) or not _shown(inherited):
        return "changes the gap, inheritance not shown"
    if row["estimate"] * inherited["estimate"] > 0:
        return "harms"
    if abs(row["estimate"] + inherited["estimate"]) >= abs(inherited["estimate"]):
        return "overshoots"
    return f"{UNSURE}: {LEFT_OUT}" if _incomplete(row) or _incomplete(inherited) else "helps"


def _incomplete(row: Effect) -> bool:
    return "left out" in str(row["note"])


def mitigations(
    effects: pd.DataFrame, titles: Mapping[str, str], measures: Mapping[str, Sequence[Measure]]
) -> list[Pooled]:
    """Return the mitigations over all conditions: first over all tasks, then in each task.

    Parameters
    ----------
    effects : pandas.DataFrame
        Effects of the run.
    titles : mapping of str to str
        Task → title.
    measures : mapping of str to sequence of Measure
        Task → measures; one of each task is primary.

    Returns
    -------
    list of Pooled
        In the order of the study.
    """
    rows = effects[effects["question"] == MITIGATION]
    before = effects[effects["question"] == INHERITANCE]
    found = []
    for mitigation in dict.fromkeys(rows["mitigation"]):
        own = rows[(rows["mitigation"] == mitigation) & (rows["comparison"] != ANY)]
        for row in [
            *own[own["task"] == EVERY].to_dict("records"),
            *own[own["task"] != EVERY].to_dict("records"),
        ]:
            if row["task"] == EVERY:
                said, inherited, title, unit = verdict_over_tasks(row), "–", ALL_TASKS, ""
            else:
                measure = next(m for m in measures[row["task"]] if m.primary)
                other = _inherited(before, row)
                unit, title = measure.unit, titles[row["task"]]
                title += f" ({row['comparison']})" if len(measure.sides) > 2 else ""
                said = verdict(other, row)
                inherited = "–" if other is None else words.number(other["estimate"], unit, signed=True)
                inherited += " ●" if other is not None and not _doubt(other) and _shown(other) else ""
            low, high = (words.number(row[end], unit, signed=True) for end in ("ci_low", "ci_high"))
            found.append(
                Pooled(
                    str(mitigation),
                    title,
                    inherited,
                    "undefined" if row["reason"] else words.number(row["estimate"], unit, signed=True),
                    "–" if row["reason"] else f"{low.removesuffix(' points')} to {high}",
                    p_figure(row["p"]),
                    p_figure(row["p_adjusted"]),
                    f"{row['n']} {str(row['unit']).split()[0]}s, {row['seeds']} seeds",
                    said,
                    str(row["note"]),
                    f"test: {row['test']}; interval: {row['interval']}; unit: {row['unit']}",
                    not said.startswith((UNSURE, "not shown")),
                )
            )
    return found


def _inherited(before: pd.DataFrame, row: Effect) -> Effect | None:
    """Return the pooled inheritance for the same groups, against the matched control if all conditions have
    one.
    """
    own = before[(before["task"] == row["task"]) & (before["comparison"] == row["comparison"])]
    own = own[~own["note"].str.contains(ABSENT)]
    for contrast in (AGAINST_MATCHED, AGAINST_BASE):
        rows = own[own["contrast"] == contrast].to_dict("records")
        if rows:
            return rows[0]
    return None


def pooled_tables(
    effects: pd.DataFrame,
    measures: Mapping[str, Sequence[Measure]],
    titles: Mapping[str, str],
    *,
    confidence: float = 0.95,
    metrics: Sequence[str] = (),
) -> list[ResultTable]:
    """Lay out the pooled effects: a table for each task, one of macro-F1 and one over all tasks.

    Parameters
    ----------
    effects : pandas.DataFrame
        Rows of `effects.parquet`.
    measures : mapping of str to sequence of Measure
        Task → its measures.
    titles : mapping of str to str
        Task → its title.
    confidence : float, default 0.95
        Confidence level of the intervals in `effects`.
    metrics : sequence of str, optional
        Names of the measures to show. Default: all.

    Returns
    -------
    list of ResultTable
        Only tables with rows. They have one column, over all conditions.
    """
    rows = effects[effects["question"].isin((INHERITANCE, MITIGATION, RELATION))]
    rows = rows[rows["metric"].isin(metrics)] if metrics else rows
    units = {
        (task, m.name): (m.unit, f"{titles[task]}: {m.title}") for task, own in measures.items() for m in own
    }
    units |= {
        (EVERY, "macro_f1"): ("share", "Direct and indirect tasks: change of macro-F1"),
        (EVERY, EVERY): ("", "All tasks: standard deviations of an item toward the control"),
    }
    tables = []
    for (task, metric), own in rows.groupby(["task", "metric"], sort=False):
        unit, title = units[str(task), str(metric)]
        lines = [
            TableRow(
                "without mitigation" if e["mitigation"] == "none" else str(e["mitigation"]),
                f"{e['comparison']}, {e['contrast']}",
                True,
                True,
                [cell_of(e)],
            )
            for e in own.to_dict("records")
        ]
        tables.append(
            ResultTable(
                str(task), str(metric), f"{title}, pooled", unit, confidence, [], lines, ["all conditions"],
                "pooled tests",
            )
        )  # fmt: skip
    return tables
