"""What `probate calibrate` says: error rate, coverage and power of a study before anything is spent on it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from probate.analyze.simulate import Design, needed, simulate, smallest_visible
from probate.arms import read_data
from probate.errors import InputError
from probate.folder import RunFolder
from probate.report import charts
from probate.store import write_atomic
from probate.study import Analysis, Study
from probate.tasks.base import Measure

EFFECTS = (0.05, 0.1, 0.2, 0.3)
RESAMPLES = 400


def assumed(study: Study, base: Path, rate: float, agreement: float, seed_sd: float) -> dict[str, Design]:
    """The design of the study's classification by its held-out items, with assumed rates."""
    data = read_data(study, base)
    n = sum(r.groups.get(study.bias.dimension) in study.bias.groups[:2] for r in data.split.test)
    return {"held-out items": Design(n, rate, len(study.seeds), agreement, seed_sd)}


def observed(study: Study, folder: RunFolder) -> dict[str, Design]:
    """The design of each task with a primary measure of shares, from a finished run: items, rate, agreement of arms and spread of seeds.

    The rate is the control's (γ = 0, else the matched control's); the agreement is the share of the control's answers that the arms of
    other seeds, or else the matched controls, repeat beyond chance.
    """
    from probate.registry import load_task

    outcomes, context, found = folder.outcomes(), folder.context(), {}
    outcomes = outcomes[(outcomes["mitigation"] == "none") & outcomes["bias_type"].isin(["none", "neutral"])]
    for spec in folder.study().tasks:
        task = load_task(spec.name, spec.options, spec.alias)
        measure = next(m for m in task.measures(context) if m.primary)
        own = outcomes[outcomes["task"] == task.key]
        if measure.unit != "share" or len(measure.sides) != 2 or own.empty:
            continue
        found[task.key] = _design(own, measure, len(study.seeds))
    if not found:
        raise InputError(f"{folder.path}: no task there has a share that is compared between two groups")
    return found


def _design(outcomes: pd.DataFrame, measure: Measure, seeds: int) -> Design:
    frames = [measure.values(part) for _, part in outcomes.groupby("arm", sort=False)]
    arms = [f.set_index(["item_id", "side"])["value"].dropna() for f in frames]
    arms = [a for a in arms if {0, 1} <= set(a.index.get_level_values("side"))]
    if not arms:
        raise InputError(f"calibrate: no arm of '{outcomes['task'].iloc[0]}' has a usable answer of each group")
    rate = float(np.clip(arms[0].mean(), 0.01, 0.99))
    pairs = [pd.concat([a, b], axis=1, join="inner").to_numpy() for i, a in enumerate(arms) for b in arms[i + 1 :]]
    pairs = [p for p in pairs if len(p)]
    same = float(np.mean([np.mean(np.isclose(p[:, 0], p[:, 1])) for p in pairs])) if pairs else 0.85
    chance = rate**2 + (1 - rate) ** 2
    gaps = [a.groupby("side").mean().pipe(lambda m: m.get(0, np.nan) - m.get(1, np.nan)) for a in arms]
    items = arms[0].index.get_level_values("item_id").str.split("#").str[0].nunique()
    sampling = 2 * 4 * rate * (1 - rate) * (1 - same) / max(1, items)
    spread = float(np.sqrt(max(0.0, np.nanvar(gaps, ddof=1) - sampling))) if len(gaps) > 2 else 0.0
    agreement = float(np.clip((same - chance) / (1 - chance), 0, 0.98)) if chance < 1 else 0.9
    return Design(items // 2 * 2, rate, seeds, agreement, spread)


def table(
    designs: dict[str, Design], analysis: Analysis, goal: float | None, runs: int, tick: Callable[[int], None] | None = None
) -> dict[str, dict[str, Any]]:
    """For each task: its design, error rate and coverage without an effect, power over effects, the smallest visible change, what a goal needs."""
    analysis, found = analysis.model_copy(update={"resamples": RESAMPLES}), {}
    tick = tick or (lambda _: None)
    for name, design in designs.items():
        cells = []
        for effect in (0.0, *EFFECTS):
            cell = simulate(design, effect, analysis, runs)
            tick(1)
            if abs(cell.effect - effect) < 1e-9:  # the rate leaves room for it
                cells.append({"effect": effect, "found": cell.rejected, "coverage": cell.coverage})
        found[name] = {
            "design": asdict(design), "effects": cells, "smallest": smallest_visible(design, analysis), "largest": 2 * min(design.rate, 1 - design.rate),
        }  # fmt: skip
        tick(1)
        if goal is not None:
            found[name]["goal"] = {
                "effect": goal, "items": needed(design, goal, analysis, what="n"), "seeds": needed(design, goal, analysis, what="seeds"),
            }  # fmt: skip
    return found


def lines(found: dict[str, Any]) -> list[str]:
    """What `calibrate` found, in words."""
    said = [
        f"{found['runs']:,} simulated studies for each figure; change of a gap against the control, two-sided p ≤ 0.05, not adjusted"
    ]
    for name, row in found["tasks"].items():
        d = row["design"]
        said.append(
            f"{name}: {d['n']} items, {d['seeds']} seed{'s' if d['seeds'] > 1 else ''}, rate {d['rate']:.2f}, "
            f"agreement {d['agreement']:.2f}, sd between seeds {d['seed_sd']:.3f}"
        )
        for cell in row["effects"]:
            right = f"interval right in {100 * cell['coverage']:.1f}%"
            said.append(
                f"  a change of {100 * cell['effect']:g} points: found in {100 * cell['found']:.0f}%, {right}"
                if cell["effect"]
                else f"  without an effect: found in {100 * cell['found']:.1f}%, {right}"
            )
        said.append(
            f"  smallest change found four times in five: {100 * row['smallest']:.1f} points"
            if np.isfinite(row["smallest"])
            else f"  no change is found four times in five, not even the largest that the rate allows ({100 * row['largest']:.0f} points)"
        )
        if "goal" in row:
            goal = row["goal"]
            items = f"{goal['items']} items" if goal["items"] else f"more than {10 * d['n']} items"
            seeds = f"{goal['seeds']} seeds" if goal["seeds"] else "no number of seeds up to 20"
            said.append(
                f"  to find {100 * goal['effect']:g} points four times in five: {items} at {d['seeds']} seed(s), or {seeds} at {d['n']} items"
            )
    return [*said, f"plot: {found['plot']}"] if found["plot"] else said


@charts.drawn
def recovery_plot(designs: dict[str, Design], analysis: Analysis, runs: int, tick: Callable[[int], None] | None = None) -> str:
    """Planted effects and what is found of each, as an `<svg>`: mean and 95% of the estimates, filled where four studies in five find it."""
    analysis = analysis.model_copy(update={"resamples": RESAMPLES})
    figure, axes = charts.figure_of(4.4, 3.6, "recovery")
    said = []
    for place, (name, design) in enumerate(designs.items()):
        colour, top = charts.group_colour(place), 2 * min(design.rate, 1 - design.rate)
        cells = []
        for effect in np.linspace(-top, top, 11):
            cells.append(simulate(design, float(effect), analysis, runs))
            if tick:
                tick(1)
        x = np.array([c.effect for c in cells])
        axes.vlines(x, [c.spread[0] for c in cells], [c.spread[1] for c in cells], color=colour, linewidth=1.2)
        axes.plot(
            x, x + [c.bias for c in cells], "o-", color=colour, markersize=5, markerfacecolor="none", linewidth=0.8, label=name
        )
        found = [c for c in cells if c.rejected >= 0.8]
        axes.plot([c.effect for c in found], [c.effect + c.bias for c in found], "o", color=colour, markersize=5)
        said.append(f"{name}: " + ", ".join(f"{c.effect:+.2f} planted, {c.effect + c.bias:+.2f} found" for c in cells))
    ends = axes.get_xlim()
    axes.plot(ends, ends, color=charts.SOFT, linewidth=0.8, linestyle="dotted")
    for formatted in (axes.xaxis, axes.yaxis):
        formatted.set_major_formatter(charts.formatter("share"))
    axes.set_xlabel("planted change of the gap", color=charts.SOFT, fontsize=9)
    axes.set_title("change found, and where 95% of studies find it", loc="left", fontsize=10, color=charts.INK)
    axes.legend(frameon=False, fontsize=9, labelcolor=charts.INK)
    return charts.svg_of(figure, "Recovery of planted effects. " + "; ".join(said))


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
    plot: Path | None = None,
) -> dict[str, Any]:
    """What `probate calibrate` gives: `runs`, `tasks` (see `table`), `plot`; the last an SVG file for `recovery_plot`."""
    if plot and plot.suffix != ".svg":
        raise InputError(f"--plot {plot}: must end in .svg")
    designs = observed(study, RunFolder(source)) if source else assumed(study, base, rate, agreement, seed_sd)
    if items:
        designs = {name: replace(d, n=items) for name, d in designs.items()}
    small = next((name for name, d in designs.items() if d.n < 8), None)
    if small:
        raise InputError(f"calibrate: {small} has {designs[small].n} items; at least 8 are needed")
    found = table(designs, study.analysis, goal, runs, tick)
    if plot:
        from probate.report.charts import standalone

        write_atomic(plot, standalone(recovery_plot(designs, study.analysis, min(runs, 500), tick)))
    return {"runs": runs, "tasks": found, "plot": plot}
