"""Tables of group x γ x bias type for each task, from the effects alone."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from probate.core.errors import InputError
from probate.core.terminal import shown
from probate.report import words
from probate.report.cards.data_card import plain
from probate.stats.comparisons import ANY, SPREAD
from probate.stats.hierarchy import OF_POOLED
from probate.stats.measure import Measure
from probate.study.taxonomy import NEUTRAL

STARS = ((0.001, "***"), (0.01, "**"), (0.05, "*"))
"""Largest adjusted p and its stars."""
CHANGES = frozenset(
    "inheritance inheritance-expected inheritance-detail inheritance-control inheritance-expected-control "
    "inheritance-detail-control mitigated mitigated-expected mitigated-detail probe probe-detail "
    "probe-control null null-expected null-detail".split()
)
"""Questions whose effects are changes of a gap: in arms with biased data, and in controls."""
ALWAYS = "accuracy"
"""Metric that is shown beside the primary one."""
UNITS = {
    "share": "Shares are in percent, differences in percentage points.",
    "US$": "Values are in US dollars.",
}
"""Unit → its note."""
MISSING = "–"
"""Cell without an effect in the table of effects."""


@dataclass(frozen=True)
class TableCell:
    """One estimate.

    Attributes
    ----------
    estimate, low, high : float
        Estimate and ends of its interval, in the unit of the measure.
    p_adjusted : float
        p adjusted over all tests of the run; NaN if the row is not tested.
    n, seeds : int
        Number of items and of training seeds.
    reason : str
        Why the estimate is undefined; else empty.
    """

    estimate: float
    low: float
    high: float
    p_adjusted: float
    n: int
    seeds: int
    reason: str = ""


@dataclass(frozen=True)
class TableRow:
    """One row of a table: a group, a gap, or a change of the gap.

    Attributes
    ----------
    data : str
        Bias type of the augmented data, with mitigation and round if there are several.
    name : str
        The group or the comparison; a change also names its contrast.
    change : bool
        Whether the row is a difference, which has a sign.
    tested : bool
        Whether the row may have stars: a change of the gap.
    cells : list of TableCell or None
        One cell for each γ; None without an effect.
    """

    data: str
    name: str
    change: bool
    tested: bool
    cells: list[TableCell | None]


@dataclass(frozen=True)
class ResultTable:
    """The results of one measure of one task.

    Attributes
    ----------
    task, metric : str
        Key of the task and name of the measure.
    title, unit : str
        Title of task and measure, and unit of the values.
    confidence : float
        Confidence level of the intervals.
    ratios : list of float
        The γ of the columns.
    rows : list of TableRow
        The rows, by bias type.
    columns : list of str
        Names of the columns, if they are not γ.
    family : str
        The tests over which p is adjusted.
    """

    task: str
    metric: str
    title: str
    unit: str
    confidence: float
    ratios: list[float]
    rows: list[TableRow]
    columns: list[str] = field(default_factory=list)
    family: str = "tests"


def tables_of(
    effects: pd.DataFrame,
    measures: Mapping[str, Sequence[Measure]],
    titles: Mapping[str, str],
    *,
    confidence: float = 0.95,
    metrics: Sequence[str] = (),
    accuracy_first: bool = False,
) -> list[ResultTable]:
    """Lay out effects as tables of group x γ x bias type.

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
        Names of the measures to show. Default: the primary measure of each task, and its accuracy.
    accuracy_first : bool, default False
        Whether a task's accuracy precedes its other measures, as in studies of the paper, which reports
        accuracy by group.

    Returns
    -------
    list of ResultTable
        One table for each measure that has effects.

    Raises
    ------
    InputError
        A metric is in no task.
    """
    known = {m.name for own in measures.values() for m in own}
    if unknown := [name for name in metrics if name not in known]:
        raise InputError(
            f"--metric {unknown[0]}: no task has this measure; use one of {', '.join(sorted(known))}"
        )
    tables = []
    for task, own in measures.items():
        for measure in sorted(own, key=lambda m: accuracy_first and m.name != ALWAYS):
            wanted = measure.name in metrics if metrics else measure.primary or measure.name == ALWAYS
            rows = effects[(effects["task"] == task) & (effects["metric"] == measure.name)]
            rows = rows[~rows["question"].str.startswith(OF_POOLED)]
            if wanted and len(rows):
                tables.append(_table(rows, measure, f"{titles[task]}: {measure.title}", confidence))
    return tables


def _table(effects: pd.DataFrame, measure: Measure, title: str, confidence: float) -> ResultTable:
    """Return the table of one measure."""
    ratios = sorted(effects[effects["question"].isin(["level", "gap"])]["ratio"].dropna().unique())
    rows: list[TableRow] = []
    several = effects["round"].nunique() > 1
    unmitigated = effects[effects["mitigation"] == "none"]
    for (number, mitigation), own in effects.groupby(["round", "mitigation"], sort=False):
        for kind in [k for k in dict.fromkeys(own["bias_type"]) if k != "none"] or ["none"]:
            data = str(kind) + (" (matched control)" if kind == NEUTRAL else "")
            data += "" if mitigation == "none" else f", {mitigation}"
            data += f", round {int(number)}" if several else ""
            block = own[own["bias_type"] == kind]
            base = unmitigated[(unmitigated["bias_type"] == "none") & (unmitigated["round"] == number)]
            rows += _block(data, block if kind == "none" else pd.concat([base, block]), ratios)
    task = str(effects["task"].iloc[0])
    return ResultTable(task, measure.name, title, measure.unit, confidence, [float(r) for r in ratios], rows)


def _block(data: str, effects: pd.DataFrame, ratios: Sequence[float]) -> Iterator[TableRow]:
    """Yield the rows of one bias type: groups, gaps, and changes of gaps by contrast."""
    rows: dict[tuple[int, str], dict[float, TableCell]] = {}
    for e in effects[effects["comparison"] != SPREAD].to_dict("records"):
        question, contrast, comparison = e["question"], e["contrast"], e["comparison"]
        if question == "level":
            place = (0, str(contrast))
        elif question == "gap":
            place = (1, f"gap: {contrast}")
        elif question in CHANGES:
            which = "largest change of a gap" if comparison == ANY else f"change of {comparison}"
            place = (2, f"{which}, {contrast}")
        else:
            continue
        if e["ratio"] in ratios:
            rows.setdefault(place, {}).setdefault(e["ratio"], cell_of(e))
    for (kind, name), cells in sorted(rows.items(), key=lambda row: row[0][0]):
        yield TableRow(data, name, kind > 0, kind == 2, [cells.get(r) for r in ratios])


def cell_of(e: Mapping[Hashable, Any]) -> TableCell:
    """Return the cell of an effect."""
    estimate, low, high, p = (float(e[c]) for c in ("estimate", "ci_low", "ci_high", "p_adjusted"))
    return TableCell(estimate, low, high, p, int(e["n"]), int(e["seeds"]), str(e["reason"] or ""))


def stars(cell: TableCell) -> str:
    """Return the stars of a tested cell: `*` for an adjusted p below 0.05, `**` 0.01, `***` 0.001."""
    return next((mark for most, mark in STARS if cell.p_adjusted < most), "")


def _shown(cell: TableCell | None, row: TableRow, unit: str) -> str:
    """Return a cell as text: estimate, interval and stars."""
    if cell is None:
        return MISSING
    if cell.reason or not np.isfinite(cell.estimate):
        return "undefined"

    def text(value: float) -> str:
        return words.number(value, unit, signed=row.change).removesuffix(" points").removesuffix("%")

    mark = stars(cell) if row.tested else ""
    return f"{text(cell.estimate)}{mark} [{text(cell.low)}, {text(cell.high)}]"


def header_of(table: ResultTable) -> list[str]:
    """Return the names of the columns."""
    return ["data", "group or change", *(table.columns or [f"γ = {r:g}" for r in table.ratios])]


def body_of(table: ResultTable) -> Iterator[list[str]]:
    """Yield the rows as text; the data is named in the first row of its block only."""
    before = None
    for row in table.rows:
        cells = [_shown(cell, row, table.unit) for cell in row.cells]
        yield ["" if row.data == before else row.data, row.name, *cells]
        before = row.data


def notes_of(table: ResultTable) -> list[str]:
    """Return what a reader needs beside a table: unit, intervals, stars, n, and why cells are undefined.

    Parameters
    ----------
    table : ResultTable
        The table.

    Returns
    -------
    list of str
        Sentences.
    """
    cells = [c for row in table.rows for c in row.cells if c]
    counts = sorted({c.n for c in cells if c.n})
    seeds = sorted({c.seeds for c in cells if c.seeds})
    n = f"n = {_range(counts)} items" + (f", {_range(seeds)} training seeds" if seeds else "")
    said = [
        UNITS.get(table.unit, ""),
        f"In brackets: {100 * table.confidence:g}% intervals; {n}.",
        f"Stars mark changes of a gap by their p, adjusted over all {table.family} of the run: * p < 0.05, "
        "** p < 0.01, *** p < 0.001.",
    ]
    if any(c is None for row in table.rows for c in row.cells):
        said.append(f"{MISSING}: no such effect.")
    reasons = dict.fromkeys(c.reason for c in cells if c.reason)
    said += [f"Undefined: {reason}." for reason in reasons]
    return [s for s in said if s]


def _range(numbers: Sequence[int]) -> str:
    """Return sorted numbers as one number or a range; 0 if there is none."""
    if not numbers:
        return "0"
    first, last = f"{numbers[0]:,}", f"{numbers[-1]:,}"
    return first if first == last else f"{first} to {last}"


def markdown(tables: Sequence[ResultTable]) -> str:
    """Return tables as Markdown.

    Parameters
    ----------
    tables : sequence of ResultTable
        The tables.

    Returns
    -------
    str
        The text.
    """
    parts = []
    for table in tables:
        header = header_of(table)
        rows = [header, ["---", "---", *["---:"] * (len(header) - 2)]]
        for data, name, *cells in body_of(table):
            rows.append([plain(data), plain(name), *(cell.replace("*", "\\*") for cell in cells)])
        body = "\n".join("| " + " | ".join(row) + " |" for row in rows)
        notes = "\n".join(plain(note) for note in notes_of(table))
        parts.append(f"## {plain(table.title)}\n\n{body}\n\n{notes}\n")
    return "\n".join(parts)


LATEX = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "$": r"\$", "&": r"\&", "#": r"\#", "%": r"\%",
    "_": r"\_", "^": r"\textasciicircum{}", "~": r"\textasciitilde{}", "γ": r"$\gamma$", "κ": r"$\kappa$",
    "−": r"$-$", "–": "--", "±": r"$\pm$", "→": r"$\rightarrow$", "<": r"$<$", ">": r"$>$", "…": r"\ldots{}",
}  # fmt: skip
"""Character → its LaTeX."""


def latex_text(text: str) -> str:
    """Escape a text for LaTeX.

    Parameters
    ----------
    text : str
        Any text.

    Returns
    -------
    str
        The text without active characters.
    """
    plain_text = "".join(LATEX.get(c, c) for c in " ".join(shown(text).split()))
    return re.sub(r"\*+", lambda marks: f"$^{{{marks[0]}}}$", plain_text)


def latex(tables: Sequence[ResultTable]) -> str:
    """Return tables as LaTeX for the packages booktabs and graphicx.

    Parameters
    ----------
    tables : sequence of ResultTable
        The tables.

    Returns
    -------
    str
        One `table` environment for each table, to be read with `\\input`.
    """
    parts = ["% Needs \\usepackage{booktabs,graphicx}. For names in other scripts, use XeLaTeX or LuaLaTeX."]
    for table in tables:
        rows = []
        for i, row in enumerate(body_of(table)):
            if row[0] and i:
                rows.append(r"\addlinespace")
            rows.append(" & ".join(map(latex_text, row)) + r" \\")
        caption = latex_text(" ".join([f"{table.title}.", *notes_of(table)]))
        label = f"tab:{'pooled-' * bool(table.columns)}{table.task}-{table.metric}".translate(
            {ord(c): "-" for c in "[]{}\\#%&_^~$ ,"}
        )
        parts.append(
            "\n".join(
                [
                    r"\begin{table}",
                    r"\centering",
                    rf"\caption{{{caption}}}",
                    rf"\label{{{label}}}",
                    r"\resizebox{\textwidth}{!}{%",
                    rf"\begin{{tabular}}{{ll{'r' * (len(header_of(table)) - 2)}}}",
                    r"\toprule",
                    " & ".join(map(latex_text, header_of(table))) + r" \\",
                    r"\midrule",
                    *rows,
                    r"\bottomrule",
                    r"\end{tabular}}",
                    r"\end{table}",
                ]
            )
        )
    return "\n\n".join(parts) + "\n"


def as_csv(tables: Sequence[ResultTable]) -> str:
    """Return tables as CSV: one line for each cell, with unrounded values in the unit of the measure.

    Parameters
    ----------
    tables : sequence of ResultTable
        The tables.

    Returns
    -------
    str
        The text.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(
        ["task", "metric", "unit", "data", "group_or_change", "ratio", "estimate", "low", "high",
         "p_adjusted", "stars", "n", "seeds", "reason"]
    )  # fmt: skip
    for table in tables:
        for row in table.rows:
            ratios: Sequence[float | str] = table.ratios or [""] * len(table.columns)
            for ratio, cell in zip(ratios, row.cells, strict=True):
                if cell is None:
                    continue
                tested = [cell.p_adjusted, stars(cell)] if row.tested else ["", ""]
                values = [ratio, cell.estimate, cell.low, cell.high, *tested, cell.n, cell.seeds, cell.reason]
                writer.writerow([table.task, table.metric, table.unit, row.data, row.name, *values])
    return text.getvalue()


FORMATS: dict[str, Callable[[Sequence[ResultTable]], str]] = {"md": markdown, "tex": latex, "csv": as_csv}
"""Suffix of a file → its writer."""
