"""The page of a grid: what each learner inherits from each generator."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from probate.report import words
from probate.report.render import write_page
from probate.stats.arms import AGAINST_BASE, AGAINST_MATCHED
from probate.study.schema import Study


@dataclass(frozen=True)
class PairCell:
    """The effect of one pair of generator and learner.

    Attributes
    ----------
    text : str
        Estimate and interval.
    link : str
        Relative path of the pair's report.
    coefficient : str
        The inheritance coefficient κ.
    sure : bool
        Whether the adjusted p is below 0.05.
    """

    text: str
    link: str = ""
    coefficient: str = ""
    sure: bool = False


def write_grid_report(
    folder: Path,
    study: Study,
    effects: pd.DataFrame,
    runs: Mapping[tuple[str, str], Path],
    failures: Sequence[Mapping[str, str]],
) -> Path:
    """Write `grid.html`: a table of generators by learners for each task and bias type, at the largest γ.

    Parameters
    ----------
    folder : Path
        Folder of the grid.
    study : Study
        The study of the grid.
    effects : pandas.DataFrame
        Effects of all pairs, with the columns `generator` and `learner`.
    runs : mapping of (str, str) to Path
        (generator, learner) → run folder of the pair. Each cell links to its report.
    failures : sequence of mapping
        The failed stages: `stage` and `error`.

    Returns
    -------
    Path
        The page.
    """
    rows = effects[effects["question"].isin(["inheritance", "coefficient"]) & (effects["round"] == 1)]
    matched = rows[rows["contrast"] == AGAINST_MATCHED]
    rows = matched if len(matched) else rows[rows["contrast"] == AGAINST_BASE]
    contrast = AGAINST_MATCHED if len(matched) else AGAINST_BASE
    generators, learners = (list(dict.fromkeys(pair[i] for pair in runs)) for i in (0, 1))
    tables = [
        {
            "caption": f"{task}: {metric}, {comparison}; {kind} data, {contrast}",
            "rows": [(g, [_cell(own, g, m, runs, folder) for m in learners]) for g in generators],
        }
        for (task, metric, kind, comparison), own in rows.groupby(
            ["task", "metric", "bias_type", "comparison"], sort=False
        )
    ]
    return write_page(
        folder / "grid.html",
        "report/grid.html.j2",
        study=study,
        failures=failures,
        confidence=f"{100 * study.analysis.confidence:g}%",
        learners=learners,
        tables=tables,
    )


def _cell(
    effects: pd.DataFrame, generator: str, learner: str, runs: Mapping[tuple[str, str], Path], folder: Path
) -> PairCell:
    """Return the cell of one pair, at the largest γ."""
    if (generator, learner) not in runs:
        return PairCell("failed")
    own = effects[(effects["generator"] == generator) & (effects["learner"] == learner)]
    change, coefficient = (
        own[own["question"] == q].sort_values("ratio") for q in ("inheritance", "coefficient")
    )
    if change.empty:
        return PairCell("–")
    row = change.iloc[-1]
    if row["reason"]:
        return PairCell(f"undefined: {row['reason']}")
    return PairCell(
        f"{row['estimate']:+.3f} [{row['ci_low']:+.3f}, {row['ci_high']:+.3f}]",
        os.path.relpath(runs[generator, learner] / "report.html", folder),
        _coefficient(coefficient.iloc[-1]) if len(coefficient) else "",
        bool(row["p_adjusted"] < words.ALPHA),
    )


def _coefficient(row: pd.Series) -> str:
    """Return an inheritance coefficient as text."""
    return "undefined" if row["reason"] else f"{row['estimate']:+.2f}"
