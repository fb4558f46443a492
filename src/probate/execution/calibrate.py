"""`probate calibrate`: the error rate, coverage and power of a study, before it is run."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from probate.core.errors import InputError
from probate.execution.folder import RunFolder
from probate.execution.prepare import read_data
from probate.stats import resample
from probate.stats.contrast import cluster_table, clusters, paired_difference
from probate.stats.measure import Measure
from probate.stats.simulate import Design, required_size, simulate, smallest_visible
from probate.stats.smallest import seed_noise
from probate.study.plan import REPLICATE_SEED
from probate.study.schema import Analysis, Study
from probate.study.taxonomy import NEUTRAL
from probate.tasks.catalogue import load_task

EFFECTS = (0.05, 0.1, 0.2, 0.3)
RESAMPLES = 400


@dataclass(frozen=True)
class Planned:
    """The design of one task.

    Attributes
    ----------
    design : Design
        Items, rate, seeds, agreement and standard deviation between seeds (`seed_sd`).
    sd_low, sd_high : float
        95% interval of `seed_sd` if a run measured it; otherwise both equal `seed_sd`.
    freedom : int
        Degrees of freedom of the measured `seed_sd`; 0 if it is assumed.
    """

    design: Design
    sd_low: float
    sd_high: float
    freedom: int = 0


def assumed(study: Study, base: Path, rate: float, agreement: float, seed_sd: float) -> dict[str, Planned]:
    """Return the design of the study's classification task, with assumed rates.

    Parameters
    ----------
    study : Study
        The study.
    base : Path
        Folder that relative paths start from.
    rate : float
        Assumed share of right answers, in (0, 1).
    agreement : float
        Assumed share of answers that two trainings have in common beyond chance, in [0, 1).
    seed_sd : float
        Assumed standard deviation of a change between training seeds, as a share.

    Returns
    -------
    dict of str to Planned
        One entry, "held-out items"; n is the number of held-out items of the first two groups.

    Raises
    ------
    InputError
        The study's data cannot be used.
    """
    data = read_data(study, base)
    n = sum(r.groups.get(study.bias.dimension) in study.bias.groups[:2] for r in data.split.test)
    return {
        "held-out items": Planned(Design(n, rate, len(study.seeds), agreement, seed_sd), seed_sd, seed_sd)
    }


def observed(study: Study, folder: RunFolder, seed_sd: float) -> dict[str, Planned]:
    """Return the designs of a finished run's tasks whose primary measure is a share.

    Parameters
    ----------
    study : Study
        The planned study; its number of seeds is used.
    folder : RunFolder
        The finished run.
    seed_sd : float
        Standard deviation of a change between seeds, used if the run has one seed only.

    Returns
    -------
    dict of str to Planned
        Task → design. The rate is the mean over all controls (γ = 0 and matched). The agreement is the share
        of answers that two controls have in common beyond chance. The standard deviation between seeds is
        that of a change, which has the noise of two arms: it is pooled over all unmitigated arms of the first
        round, and the part that comes from the items is subtracted.

    Raises
    ------
    InputError
        No task of the run compares a share between two groups, or a task has no usable answers of a group.
    """
    outcomes, context, planned = folder.outcomes(), folder.context(), {}
    outcomes = outcomes[(outcomes["mitigation"] == "none") & (outcomes["round"] == 1)]
    for spec in folder.study().tasks:
        task = load_task(spec.name, spec.options, spec.alias)
        measure = next(m for m in task.measures(context) if m.primary)
        own = outcomes[outcomes["task"] == task.key]
        if measure.unit != "share" or len(measure.sides) != 2 or own.empty:
            continue
        planned[task.key] = _design(own, measure, len(study.seeds), seed_sd)
    if not planned:
        raise InputError(f"{folder.path}: no task of this run compares a share between two groups")
    return planned


def _design(outcomes: pd.DataFrame, measure: Measure, seeds: int, seed_sd: float) -> Planned:
    kinds: dict[tuple[str, float], dict[int, pd.DataFrame]] = {}
    for (bias_type, ratio, seed), part in outcomes.groupby(["bias_type", "ratio", "seed"], sort=False):
        values = measure.values(part).dropna(subset=["value"])
        if {0, 1} <= set(values["side"]):
            kinds.setdefault((bias_type, ratio), {})[seed] = values
    controls = [
        f for (bias_type, _), own in kinds.items() if bias_type in ("none", NEUTRAL) for f in own.values()
    ]
    arms = [f.set_index(["item_id", "side"])["value"] for f in controls]
    if not arms:
        raise InputError(
            f"calibrate: no arm of '{outcomes['task'].iloc[0]}' has a usable answer of each group"
        )
    rate = float(np.clip(np.mean([own.mean() for own in arms]), 0.01, 0.99))
    answers = pd.concat(arms, axis=1).to_numpy()
    pairs = [
        (a[both], b[both])
        for a, b in itertools.combinations(answers.T, 2)
        if (both := np.isfinite(a + b)).any()
    ]
    same = float(np.mean([np.isclose(a, b).mean() for a, b in pairs])) if pairs else 0.85
    chance = rate**2 + (1 - rate) ** 2
    items = _items(controls, same)
    agreement = float(np.clip((same - chance) / (1 - chance), 0, 0.98)) if chance < 1 else 0.9
    first = [{s: f for s, f in own.items() if s < REPLICATE_SEED} for own in kinds.values()]
    noise = seed_noise(first, measure, " − ".join(measure.sides))
    design = Design(items // 2 * 2, rate, seeds, agreement, seed_sd)
    if not noise.freedom:
        return Planned(design, seed_sd, seed_sd)
    sampling = _sampling(first)
    sd, low, high = (float(np.sqrt(max(0.0, v - sampling))) for v in (noise.variance, *noise.ends(0.95)))
    return Planned(replace(design, seed_sd=sd), low, high, noise.freedom)


def _items(controls: Sequence[pd.DataFrame], same: float) -> int:
    """Return the effective number of independent items, between the number of units and the number of rows.

    It is the n for which independent items, half of each group, give the observed variance of a gap's change
    over units: 4 (1 − agreement) / n.
    """
    units, rows = len(set(clusters(controls[0]))), len(controls[0])
    variance = _sampling([dict(enumerate(controls))])
    return int(np.clip(round(4 * (1 - same) / variance), units, rows)) if variance > 0 and same < 1 else units


def _sampling(arms: Sequence[Mapping[int, pd.DataFrame]]) -> float:
    """Return the part of the variance of a gap's change that comes from the items.

    The change is that between two trainings of the same arm; the variance is the mean over arms and pairs of
    seeds.
    """
    variances = []
    for own in arms:
        for one, other in itertools.pairwise(own.values()):
            table = cluster_table(paired_difference(one, other))
            variances.append(
                resample.covariance(resample.influences(table)[None], resample.strata(table))[0][0, 0]
            )
    return float(np.nanmean(variances)) if np.isfinite(variances).any() else 0.0


def table(
    planned: Mapping[str, Planned],
    analysis: Analysis,
    goal: float | None,
    runs: int,
    tick: Callable[[int], None] | None = None,
) -> dict[str, dict[str, Any]]:
    """Simulate each design: error rate, coverage, power and smallest detectable change.

    Parameters
    ----------
    planned : mapping of str to Planned
        Task → design.
    analysis : Analysis
        Settings of intervals and tests; the number of bootstrap resamples is reduced to 400.
    goal : float or None
        A change, as a share, for which the needed items and seeds are computed.
    runs : int
        Simulated studies for each figure.
    tick : callable, optional
        Called with 1 after each step.

    Returns
    -------
    dict of str to dict
        Task → `design`, `effects` (for each effect: share of studies with p ≤ 0.05 as `found`, and `coverage`
        of the interval), `smallest` (the smallest change found four times in five), `largest` (the largest
        change that the rate allows), `seed_sd_interval`, `seed_sd_freedom`, and with a measured `seed_sd`
        `smallest_interval` (`smallest` at both ends of its interval). With a goal: `goal`.
    """
    analysis, rows = analysis.model_copy(update={"resamples": RESAMPLES}), {}
    tick = tick or (lambda _: None)
    for name, plan in planned.items():
        cells, design = [], plan.design
        for effect in (0.0, *EFFECTS):
            cell = simulate(design, effect, analysis, runs)
            tick(1)
            if effect <= 2 * min(design.rate, 1 - design.rate):  # the rate leaves room for it
                cells.append({"effect": effect, "found": cell.rejected, "coverage": cell.coverage})
        found = smallest_visible(design, analysis)
        rows[name] = {
            "design": asdict(design),
            "effects": cells,
            "smallest": found,
            "largest": 2 * min(design.rate, 1 - design.rate),
            "seed_sd_interval": [plan.sd_low, plan.sd_high],
            "seed_sd_freedom": plan.freedom,
        }
        if plan.freedom:
            low, high = (
                smallest_visible(replace(design, seed_sd=sd), analysis) for sd in (plan.sd_low, plan.sd_high)
            )
            # All three are simulated, so an end can pass the middle by chance.
            rows[name]["smallest_interval"] = [min(low, found), max(high, found)]
        tick(1)
        if goal is not None:
            rows[name]["goal"] = {
                "effect": goal,
                "items": required_size(design, goal, analysis, what="n"),
                "seeds": required_size(design, goal, analysis, what="seeds"),
            }
    return rows


def sentences(result: dict[str, Any]) -> list[str]:
    """Return the result of `calibrate` as sentences."""
    said = [
        f"{result['runs']:,} simulated studies for each figure; change of a gap against the control, "
        "two-sided p ≤ 0.05, not adjusted"
    ]
    for name, row in result["tasks"].items():
        d = row["design"]
        said.append(
            f"{name}: {d['n']} items, {d['seeds']} seed{'s' if d['seeds'] > 1 else ''}, rate "
            f"{d['rate']:.2f}, agreement {d['agreement']:.2f}, sd of a change between seeds "
            f"{d['seed_sd']:.3f} {_known(row)}"
        )
        if d["seeds"] == 1:
            said.append(
                "  with one training seed a study tests no effect of training; these figures compare two "
                "given models by their items: use at least three seeds"
            )
        for cell in row["effects"]:
            right = f"the interval contains the true change in {100 * cell['coverage']:.1f}%"
            said.append(
                f"  a change of {100 * cell['effect']:g} points: found in {100 * cell['found']:.0f}%, {right}"
                if cell["effect"]
                else f"  without an effect: found in {100 * cell['found']:.1f}%, {right}"
            )
        said.append(
            f"  smallest change found four times in five: {100 * row['smallest']:.1f} points{_between(row)}"
            if np.isfinite(row["smallest"])
            else (
                "  no change is found four times in five, not even the largest one that the rate allows "
                f"({100 * row['largest']:.0f} points)"
            )
        )
        if "goal" in row:
            goal = row["goal"]
            items = f"{goal['items']} items" if goal["items"] else f"more than {10 * d['n']} items"
            seeds = f"{goal['seeds']} seeds" if goal["seeds"] else "no number of seeds up to 20"
            said.append(
                f"  to find {100 * goal['effect']:g} points four times in five: {items} at {d['seeds']} "
                f"seed(s), or {seeds} at {d['n']} items"
            )
    return said


def _known(row: dict[str, Any]) -> str:
    low, high = row["seed_sd_interval"]
    freedom = row["seed_sd_freedom"]
    return f"[{low:.3f}, {high:.3f}] ({freedom} degrees of freedom)" if freedom else "(assumed)"


def _between(row: dict[str, Any]) -> str:
    """Return the smallest change at both ends of the interval of `seed_sd`."""
    if "smallest_interval" not in row:
        return ""
    ends = [
        f"{100 * v:.1f}" if np.isfinite(v) else f"more than {100 * row['largest']:.0f}"
        for v in row["smallest_interval"]
    ]
    return f" [{ends[0]}, {ends[1]}]"


def calibrate(
    study: Study,
    base: Path,
    *,
    source: Path | None,
    rate: float,
    agreement: float,
    seed_sd: float,
    items: int | None,
    goal: float | None,
    runs: int,
    tick: Callable[[int], None] | None = None,
) -> dict[str, Any]:
    """Compute what `probate calibrate` reports.

    Parameters
    ----------
    study : Study
        The planned study.
    base : Path
        Folder that relative paths start from.
    source : Path or None
        A finished run whose rates are used; with None, `rate`, `agreement` and `seed_sd` are assumed.
    rate : float
        Share of right answers, in (0, 1).
    agreement : float
        Share of answers that two trainings have in common beyond chance, in [0, 1).
    seed_sd : float
        Standard deviation of a change between training seeds, as a share.
    items : int or None
        Number of items, in place of the design's own; at least 8.
    goal : float or None
        A change, as a share, for which the needed items and seeds are computed.
    runs : int
        Simulated studies for each figure.
    tick : callable, optional
        Called with 1 after each step.

    Returns
    -------
    dict
        `runs`, `tasks` (see `table`), and `designs`, which `probate.report.recovery` plots.

    Raises
    ------
    InputError
        A design has fewer than 8 items, or the data or the run cannot be used.
    """
    planned = (
        observed(study, RunFolder(source), seed_sd)
        if source
        else assumed(study, base, rate, agreement, seed_sd)
    )
    if items:
        planned = {name: replace(p, design=replace(p.design, n=items)) for name, p in planned.items()}
    designs = {name: p.design for name, p in planned.items()}
    small = next((name for name, d in designs.items() if d.n < 8), None)
    if small:
        raise InputError(f"calibrate: {small} has {designs[small].n} items; at least 8 are needed")
    rows = table(planned, study.analysis, goal, runs, tick)
    return {"runs": runs, "tasks": rows, "designs": designs}
