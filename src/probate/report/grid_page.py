"""The page of a grid: what each learner inherits from each generator, or the results of each variant."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from probate.report import words
from probate.report.render import write_page
from probate.stats.arms import AGAINST_BASE, AGAINST_MATCHED
from probate.study.schema import Study

CHANGES = ["inheritance", "probe"]
"""Questions on changes of primary measures, of tasks and of probes."""


@dataclass(frozen=True)
class PairCell:
    """The effect in one part of a grid.

    Attributes
    ----------
    text : str
        Estimate and interval.
    link : str
        Relative path of the part's report.
    coefficient : str
        The inheritance coefficient κ.
    sure : bool
        Whether the adjusted p is below 0.05.
    """

    text: str
    link: str = ""
    coefficient: str = ""
    sure: bool = False


@dataclass(frozen=True)
class PartTable:
    """A table of the page: its caption, and a row of cells for each part or generator."""

    caption: str
    columns: list[str]
    rows: list[tuple[str, list[PairCell]]]


def write_variants_report(
    folder: Path,
    study: Study,
    effects: pd.DataFrame,
    runs: Mapping[tuple[str, ...], Path],
    failures: Sequence[Mapping[str, str]],
) -> Path:
    """Write `grid.html` for variants: a table of variants by bias types for each measure, at the largest γ.

    Parameters
    ----------
    folder : Path
        Folder of the grid.
    study : Study
        The study of the grid.
    effects : pandas.DataFrame
        Effects of all variants, with the column `variant`.
    runs : mapping of (str,) to Path
        Variant → its run folder. Each cell links to its report.
    failures : sequence of mapping
        The failed stages: `stage` and `error`.

    Returns
    -------
    Path
        The page.
    """
    kept = ("task", "metric", "comparison", "contrast")
    rows = effects[
        effects["question"].isin([*CHANGES, "coefficient"])
        & (effects["round"] == effects.groupby("variant")["round"].transform("max"))
    ]
    tables = []
    for values, own in rows.groupby(list(kept), sort=False):
        task, metric, comparison, contrast = values
        kinds = list(dict.fromkeys(own["bias_type"]))
        tables.append(
            PartTable(
                f"{task}: {metric}, {comparison}; {contrast}",
                [f"{kind} data" for kind in kinds],
                [
                    (
                        f"variant {key[0]}",
                        [
                            _cell(own[(own["variant"] == key[0]) & (own["bias_type"] == kind)], path, folder)
                            for kind in kinds
                        ],
                    )
                    for key, path in runs.items()
                ],
            )
        )
    last = "" if rows["round"].max() == 1 else " in the last round"
    return _write(
        folder,
        study,
        failures,
        rows,
        tables,
        heading="The study, variant by variant",
        subject=f"at the largest γ{last}",
        part="this variant",
        links=[(key[0], os.path.relpath(path / "report.html", folder)) for key, path in runs.items()],
    )


def write_grid_report(
    folder: Path,
    study: Study,
    effects: pd.DataFrame,
    runs: Mapping[tuple[str, ...], Path],
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
        PartTable(
            f"{task}: {metric}, {comparison}; {kind} data, {contrast}",
            [f"learner {m}" for m in learners],
            [
                (
                    f"generator {g}",
                    [
                        _cell(own[(own["generator"] == g) & (own["learner"] == m)], runs.get((g, m)), folder)
                        for m in learners
                    ],
                )
                for g in generators
            ],
        )
        for (task, metric, kind, comparison), own in rows.groupby(
            ["task", "metric", "bias_type", "comparison"], sort=False
        )
    ]
    return _write(
        folder,
        study,
        failures,
        rows,
        tables,
        heading="What each learner inherits from each generator",
        subject="at the largest γ",
        part="this pair of generator and learner",
        links=[],
    )


def _write(
    folder: Path,
    study: Study,
    failures: Sequence[Mapping[str, str]],
    rows: pd.DataFrame,
    tables: Sequence[PartTable],
    **words_of: Any,
) -> Path:
    """Write the page; `rows` are the effects that `tables` show."""
    return write_page(
        folder / "grid.html",
        "report/grid.html.j2",
        study=study,
        failures=failures,
        confidence=f"{100 * study.analysis.confidence:g}%",
        one_seed=bool((rows["seeds"] == 1).any()),
        tables=tables,
        **words_of,
    )


def _cell(effects: pd.DataFrame, run: Path | None, folder: Path) -> PairCell:
    """Return the cell of one part, at the largest γ."""
    if run is None:
        return PairCell("failed")
    change, coefficient = (
        effects[effects["question"].isin(q)].sort_values("ratio") for q in (CHANGES, ["coefficient"])
    )
    if change.empty:
        return PairCell("–")
    row = change.iloc[-1]
    if row["reason"]:
        return PairCell(f"undefined: {row['reason']}")
    return PairCell(
        f"{row['estimate']:+.3f} [{row['ci_low']:+.3f}, {row['ci_high']:+.3f}]",
        os.path.relpath(run / "report.html", folder),
        _coefficient(coefficient.iloc[-1]) if len(coefficient) else "",
        bool(row["p_adjusted"] < words.ALPHA),
    )


def _coefficient(row: pd.Series) -> str:
    """Return an inheritance coefficient as text."""
    return "undefined" if row["reason"] else f"{row['estimate']:+.2f}"
