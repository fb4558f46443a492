"""The page of a grid: what each learner inherits from each generator."""

from __future__ import annotations

import html
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from probate.core.files import write_atomic
from probate.report import words
from probate.report.policy import guarded
from probate.stats.effects import AGAINST_BASE, AGAINST_MATCHED
from probate.study.schema import Study

STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:1000px;margin:2rem auto;padding:0 1rem;color-scheme:light dark}"
    "table{border-collapse:collapse;font-size:.9rem;margin:1rem 0}th,td{padding:.35rem .7rem;border-bottom:1px solid #8886;text-align:left}"
    "td.sure{font-weight:700}caption{text-align:left;font-weight:600;padding:.3rem 0}.soft{opacity:.7}.fail{color:#c33}"
)


def write_grid_report(
    folder: Path,
    study: Study,
    effects: pd.DataFrame,
    runs: Mapping[tuple[str, str], Path],
    failures: Sequence[Mapping[str, str]],
) -> Path:
    """Write `grid.html`: for each task and bias type a table of generators by learners, at the largest γ, with links to the pairs' reports."""
    rows = effects[effects["question"].isin(["inheritance", "coefficient"]) & (effects["round"] == 1)]
    matched = rows[rows["contrast"] == AGAINST_MATCHED]
    rows = matched if len(matched) else rows[rows["contrast"] == AGAINST_BASE]
    contrast = AGAINST_MATCHED if len(matched) else AGAINST_BASE
    generators, learners = (list(dict.fromkeys(pair[i] for pair in runs)) for i in (0, 1))
    parts = []
    for (task, metric, kind, comparison), own in rows.groupby(
        ["task", "metric", "bias_type", "comparison"], sort=False
    ):
        caption = html.escape(f"{task}: {metric}, {comparison}; {kind} data, {contrast}")
        head = "".join(f"<th>learner {html.escape(m)}</th>" for m in learners)
        body = "".join(
            f"<tr><th>generator {html.escape(g)}</th>{''.join(_cell(own, g, m, runs, folder) for m in learners)}</tr>"
            for g in generators
        )
        parts.append(f"<table><caption>{caption}</caption><tr><th></th>{head}</tr>{body}</table>")
    failed = "".join(
        f"<p class='fail'>{html.escape(f['stage'])}: {html.escape(f['error'])}</p>" for f in failures
    )
    page = (
        f"<!doctype html><html lang=en><meta charset=utf-8><title>{html.escape(study.name)}: generator x learner</title><style>{STYLE}</style>"
        f"<h1>What each learner inherits from each generator</h1><p>{html.escape(study.description)}</p>{failed}"
        f"<p>Change of each task's primary measure at the largest γ, with its {100 * study.analysis.confidence:g}% interval; bold: p &lt; 0.05, "
        f"adjusted for all tests of its own pair. κ: inheritance coefficient (change of the gap per unit of bias in the training data). A cell leads to the pair's report.</p>"
        f"{''.join(parts)}</html>"
    )
    path = folder / "grid.html"
    write_atomic(path, guarded(page))
    return path


def _cell(
    own: pd.DataFrame, generator: str, learner: str, runs: Mapping[tuple[str, str], Path], folder: Path
) -> str:
    if (generator, learner) not in runs:
        return "<td>failed</td>"
    found = own[(own["generator"] == generator) & (own["learner"] == learner)]
    change, kappa = (
        found[found["question"] == q].sort_values("ratio") for q in ("inheritance", "coefficient")
    )
    if change.empty:
        return "<td>–</td>"
    row = change.iloc[-1]
    if row["reason"]:
        return f"<td>undefined: {html.escape(row['reason'])}</td>"
    text = f"{row['estimate']:+.3f} [{row['ci_low']:+.3f}, {row['ci_high']:+.3f}]"
    more = f"<br><span class=soft>κ {_kappa(kappa.iloc[-1])}</span>" if len(kappa) else ""
    link = os.path.relpath(runs[generator, learner] / "report.html", folder)
    sure = " class=sure" if row["p_adjusted"] < words.ALPHA else ""
    return f"<td{sure}><a href='{html.escape(link)}'>{text}</a>{more}</td>"


def _kappa(row: pd.Series) -> str:
    return "undefined" if row["reason"] else f"{row['estimate']:+.2f}"
