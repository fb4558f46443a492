"""The section on causes: augmented sets against D_o, and misalignments that correlate with inheritance."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from probate.execution.folder import RunFolder
from probate.execution.folder_schema import kept_json
from probate.execution.misalignment.words import nulls, sources_said
from probate.report.maps import text_map
from probate.stats.cause import FEWEST, partial_spearman
from probate.stats.databias import cell_bias
from probate.stats.measure import Measure
from probate.stats.p_values import p_words
from probate.study.plan import REPLICATE_SEED
from probate.study.schema import Study
from probate.study.taxonomy import NEUTRAL

BIAS = "bias in the training data"
APART = "distance of the augmented texts"
PROBES = {"values": "farther from people's values", "representation": "stereotyped groups in neutral texts"}


def section(
    folder: RunFolder,
    study: Study,
    outcomes: pd.DataFrame,
    measures: Mapping[str, list[Measure]],
    titles: Mapping[str, str],
) -> dict[str, Any] | None:
    """Return the content of the report's section on causes.

    Parameters
    ----------
    folder : RunFolder
        The run.
    study : Study
        Its study.
    outcomes : pandas.DataFrame
        One row for each arm, task and item.
    measures : mapping of str to list of Measure
        Task → measures; one of each task is primary.
    titles : mapping of str to str
        Task → title.

    Returns
    -------
    dict or None
        Values of the template. None if the study measures no misalignment and has too few arms to compare.
    """
    sets = _distributions(folder, study)
    arms = arm_table(folder, study, outcomes, measures, sets)
    tasks = [t.key for t in study.tasks if t.key in arms.columns]
    misaligned = probe_titles(study).values()
    named = [c for c in (BIAS, APART, *misaligned) if c in arms.columns and arms[c].notna().any()]
    if not sets and (len(arms) < FEWEST or not named):
        return None
    rows = [row for name, comparison in sets.items() for row in _distribution_rows(name, comparison)]
    return {
        "distributions": rows,
        "nulls": list(dict.fromkeys(null for row in rows for null in row["nulls"])),
        "maps": [
            text_map(s["map"], f"{name} and D_o, {n}", f"map-{name}-{n}")
            for name, f in _mapped(sets, study)
            for n, s in f.items()
        ],
        "arms": _arm_rows(arms, named),
        "named": named,
        "causes": [
            r
            for t in tasks
            for c in named
            for r in [_cause(arms, t, titles[t], c, study.analysis.confidence)]
        ],
        "enough": len(arms) >= FEWEST,
        "fewest": FEWEST,
        "count": len(arms),
    }


def probe_titles(study: Study) -> dict[str, str]:
    """Return probe → title of the misalignment that it measures; an alias is named in the title."""
    return {
        p.key: f"{PROBES[p.name]} ({p.alias})" if p.alias else PROBES[p.name]
        for p in study.probes
        if p.name in PROBES
    }


def _distributions(folder: RunFolder, study: Study) -> dict[str, dict[str, Any]]:
    """Return set → result of `probate.execution.misalignment.distribution.compare_distributions`."""
    paths = (
        sorted((folder.path / "stages").glob("distribution-*/distribution.json"))
        if study.distribution
        else []
    )
    return {
        p.parent.name.removeprefix("distribution-"): kept_json(folder.path, p, dict[str, Any]) for p in paths
    }


def _distribution_rows(name: str, comparison: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the rows of the table of distributions for one set."""
    rows = []
    for space, parts in comparison["spaces"].items():
        for what, part in (("all texts", parts["all"]), ("pairs of equal length", parts["matched"])):
            if part is None:
                continue
            mmd, auc, inside = (part["distances"] or [None])[0], part["auc"], part["manifold"]
            rows.append(
                {
                    "set": name,
                    "space": space,
                    "what": what,
                    "n": f"{part['n']} and {part['m']}",
                    "sources": sources_said(part).replace(" sources", "") or "–",
                    "mmd": f"{mmd['value']:.3g}" if mmd else "–",
                    "p": f"{mmd['p']:.4f}" if mmd else "–",
                    "auc": f"{auc['value']:.2f} [{auc['low']:.2f}, {auc['high']:.2f}]" if auc else "–",
                    "auc_p": f"{auc['p']:.4f}" if auc else "–",
                    "inside": ", ".join(f"{inside[k]:.2f}" for k in ("precision", "recall", "coverage"))
                    if inside
                    else "–",
                    "vendi": " and ".join(f"{v:.1f}" for v in part["vendi"]),
                    "nulls": nulls(part),
                }
            )
    return rows


def _mapped(sets: dict[str, dict[str, Any]], study: Study) -> list[tuple[str, dict[str, Any]]]:
    """Return the sets of the first round and first seed, with the maps of their spaces."""
    first = [f"{kind}-s{study.seeds[0]}" for kind in (*study.bias.types, NEUTRAL)]
    return [(name, sets[name]["spaces"]) for name in first if name in sets]


def arm_table(
    folder: RunFolder,
    study: Study,
    outcomes: pd.DataFrame,
    measures: Mapping[str, list[Measure]],
    sets: Mapping[str, dict[str, Any]],
) -> pd.DataFrame:
    """Return a row for each unmitigated arm with augmented data.

    Parameters
    ----------
    folder : RunFolder
        The run.
    study : Study
        Its study.
    outcomes : pandas.DataFrame
        One row for each arm, task and item.
    measures : mapping of str to list of Measure
        Task → measures; one of each task is primary.
    sets : mapping of str to dict
        Augmented set → its comparison with the original texts.

    Returns
    -------
    pandas.DataFrame
        Columns: `arm`, `ratio` (γ), for each task the change of its primary measure against γ = 0 of the same
        seed, and the misalignments of the arm.
    """
    plain = outcomes[(outcomes["mitigation"] == "none") & (outcomes["seed"] < REPLICATE_SEED)]
    primary = {key: next(m for m in own if m.primary) for key, own in measures.items()}
    primary = {key: m for key, m in primary.items() if m.statistic == "mean"}
    level = {
        (arm, task): _level(primary[task], own)
        for (arm, task), own in plain.groupby(["arm", "task"], sort=False)
        if task in primary
    }
    known = plain[["arm", "bias_type", "ratio", "seed", "round"]].drop_duplicates()
    base = {r.seed: r.arm for r in known.itertuples() if r.bias_type == "none"}
    trained = folder.trained_on()
    stereotypes, groups, titles = folder.info()["stereotypes"], study.bias.groups, probe_titles(study)
    rows = []
    for r in known[known["bias_type"] != "none"].itertuples():
        name = r.arm if r.round > 1 else f"{r.bias_type}-s{r.seed}"
        row: dict[str, Any] = {"arm": r.arm, "ratio": r.ratio}
        for task in primary:
            if (r.arm, task) in level and (base.get(r.seed), task) in level:
                change = level[r.arm, task] - level[base[r.seed], task]
                row[titles.get(task, task)] = change
        if r.arm in trained and len(groups) == 2:
            row[BIAS] = cell_bias(trained[r.arm], groups, stereotypes)
        comparison = sets.get(name) or sets.get(f"{r.bias_type}-s{study.seeds[0]}" if r.round == 1 else "")
        if comparison:
            space = next(iter(comparison["spaces"].values()))["all"]
            row[APART] = space["distances"][0]["value"] if space["distances"] else np.nan
        rows.append(row)
    return pd.DataFrame(rows, columns=None if rows else ["arm", "ratio"])


def _level(measure: Measure, outcomes: pd.DataFrame) -> float:
    """Return the primary measure of an arm: the mean of one side, the gap of two, or the range of more."""
    means = measure.values(outcomes).groupby("side")["value"].mean()
    if len(means) < len(measure.sides):
        return float("nan")
    return float(
        {1: means.iloc[0], 2: means.iloc[0] - means.iloc[-1]}.get(len(means), means.max() - means.min())
    )


def _arm_rows(arms: pd.DataFrame, named: list[str]) -> list[dict[str, Any]]:
    """Return the rows of the table of arms."""
    return [
        {
            "arm": r["arm"],
            "values": ["–" if not np.isfinite(r.get(c, np.nan)) else f"{r[c]:+.3f}" for c in named],
        }
        for r in arms.to_dict("records")
    ]


def _cause(arms: pd.DataFrame, task: str, title: str, name: str, confidence: float) -> dict[str, Any]:
    """Return the correlation of a misalignment with inheritance in a task, as text."""
    correlation = partial_spearman(
        arms[name].tolist(), arms[task].tolist(), arms["ratio"].tolist(), confidence
    )
    if not np.isfinite(correlation.rho):
        why = (
            f"cannot be estimated from {correlation.n} arms"
            if correlation.n < FEWEST
            else "undefined: one of the two is constant over the arms"
        )
        return {"task": title, "name": name, "n": correlation.n, "rho": why, "interval": "–", "p": "–"}
    return {
        "task": title,
        "name": name,
        "n": correlation.n,
        "rho": f"{correlation.rho:+.2f}",
        "interval": f"{correlation.low:+.2f} to {correlation.high:+.2f}",
        "p": p_words(correlation.p),
    }
