"""Rows of pooled effects: over all bias types and γ of the first round.

- `pooled-inheritance`: for each task, the mean change of the primary measure by the biased data.
- `pooled-mitigation`: for each task and mitigation, the mean change against the arm without it; over all
  tasks, how far the arms move toward the control (`probate.stats.pooled.toward_control`).
- `pooled-relation`: mean change of macro-F1 in direct tasks minus that in indirect ones.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from probate.stats import amounts
from probate.stats.arms import AGAINST_BASE, AGAINST_MATCHED, AGAINST_UNMITIGATED, ArmKind
from probate.stats.bounds import change_bounds
from probate.stats.comparisons import ANY
from probate.stats.contrast import EMPTY, Estimate, contrast
from probate.stats.pooled import Piece, estimate, toward_control
from probate.stats.pooled_grid import Condition, Grid, complete
from probate.stats.relation import DIRECT_INDIRECT
from probate.stats.spread import simultaneous_estimates, smallest_p
from probate.stats.usable import most_unusable, undefined, usable_counts
from probate.study.schema import Analysis

INHERITANCE, MITIGATION, RELATION = "pooled-inheritance", "pooled-mitigation", "pooled-relation"
EVERY = "all"
"""Task, bias type and measure of effects over several of them."""
TOWARD = {
    AGAINST_MATCHED: "toward the matched control",
    AGAINST_BASE: "toward γ = 0",
}
"""Contrast → name of the pooled contrast over all tasks."""
ABSENT = "conditions have no such control"
"""Words of the note on conditions for which no control is planned."""
STANDARD = "standard deviations of an item"
"""Unit of changes over several tasks."""


@dataclass(frozen=True)
class PooledRow:
    """One pooled effect. `ratio` is the largest γ of its conditions."""

    question: str
    task: str
    metric: str
    contrast: str
    mitigation: str
    ratio: float
    comparison: str
    effect: Estimate
    unusable: float = 0.0
    bounds: tuple[float, float] = (np.nan, np.nan)


def pooled_rows(
    grids: Sequence[Grid], macro: Sequence[Grid], relations: Mapping[str, str], analysis: Analysis
) -> Iterator[PooledRow]:
    """Yield all pooled effects of a study.

    Parameters
    ----------
    grids : sequence of Grid
        The primary measure of each task.
    macro : sequence of Grid
        Macro-F1 of each task that has it.
    relations : mapping
        Task → `direct` or `indirect`.
    analysis : Analysis
        Confidence and planned seeds.

    Yields
    ------
    PooledRow
        A task with one condition has no row of its own, because it would repeat the single effect. A study
        with one task has no row over all tasks unless it has several conditions.
    """
    for grid in grids:
        for name in (AGAINST_BASE, AGAINST_MATCHED):
            conditions = _inherited(grid, name)
            if len(conditions) > 1:
                yield from _of_task(grid, INHERITANCE, name, "none", conditions, len(grid.kinds()), analysis)
    for mitigation in dict.fromkeys(m for grid in grids for m in grid.mitigations):
        own = [grid for grid in grids if mitigation in grid.mitigations]
        for grid in own:
            conditions = _mitigated(grid, mitigation)
            if len(conditions) > 1:
                yield from _of_task(
                    grid, MITIGATION, AGAINST_UNMITIGATED, mitigation, conditions, len(conditions), analysis
                )
        if sum(len(_mitigated(grid, mitigation)) for grid in own) > 1:
            yield _toward(own, mitigation, analysis)
    yield from _relation(macro, relations, analysis)


def _inherited(grid: Grid, name: str) -> list[Condition]:
    pairs = ((k, grid.control(k, name)) for k in grid.kinds())
    return [((k,), other) for k, other in pairs if other]


def _mitigated(grid: Grid, mitigation: str) -> list[Condition]:
    pairs = ((k, replace(k, mitigation="none")) for k in grid.kinds(mitigation))
    return [((k,), other) for k, other in pairs if other in grid.frames]


def _of_task(
    grid: Grid,
    question: str,
    name: str,
    mitigation: str,
    conditions: list[Condition],
    planned: int,
    analysis: Analysis,
) -> Iterator[PooledRow]:
    """Yield the mean change in one task, for each comparison."""
    (chosen,), seeds, note, reason = complete([grid], [conditions])
    found: dict[str, Estimate] = {}
    if not reason:
        pieces = grid.pieces(chosen, seeds)
        if len(grid.measure.sides) > 2:
            found = simultaneous_estimates(pieces, analysis, estimate)
            found[ANY] = smallest_p(found)
        else:
            found = {comparison: estimate(piece, analysis) for comparison, piece in pieces.items()}
    else:
        names = [f"{g} − rest" for g in grid.measure.sides] + [ANY]
        few = names if len(grid.measure.sides) > 2 else [" − ".join(grid.measure.sides)]
        found = dict.fromkeys(few if len(grid.measure.sides) > 1 else [EVERY], undefined(reason))
    kinds = [k for own, other in conditions for k in (*own, other)]
    values = grid.values(kinds)
    aside = usable_counts(values, grid.measure, grid.asked)
    sides = grid.asked.sides or frozenset(range(len(grid.measure.sides)))
    absent = f"{planned - len(conditions)} of {planned} {ABSENT}" if planned > len(conditions) else ""
    for comparison, e in found.items():
        bounds = (np.nan, np.nan)
        if aside and not reason:
            ends = [
                change_bounds(
                    [grid.frames[own[0]][s] for s in seeds],
                    [grid.frames[other][s] for s in seeds],
                    grid.measure,
                    comparison,
                )
                for own, other in chosen
            ]
            bounds = float(np.mean([low for low, _ in ends])), float(np.mean([high for _, high in ends]))
        notes = [e.note, _over([k for own, _ in chosen for k in own]), note, absent, aside]
        yield PooledRow(
            question,
            grid.task,
            grid.measure.name,
            name,
            mitigation,
            max(k.ratio for own, _ in conditions for k in own),
            comparison,
            amounts.with_scale(_noted(e, notes), grid.typical, level=False),
            most_unusable(values, sides) if aside else 0.0,
            bounds,
        )


def _noted(e: Estimate, notes: Sequence[str]) -> Estimate:
    """Return an estimate with notes; an undefined one has its reason instead."""
    if not np.isfinite(e.value):
        return undefined(e.reason or "no item has a usable answer wherever one is needed")
    return replace(e, note="; ".join(filter(None, notes)))


def _over(kinds: Sequence[ArmKind]) -> str:
    """Return which conditions a mean is over."""
    types, ratios = {k.bias_type for k in kinds}, {k.ratio for k in kinds}
    return f"mean over {len(kinds)} conditions (bias types: {len(types)}, γ: {len(ratios)})"


def _toward(grids: Sequence[Grid], mitigation: str, analysis: Analysis) -> PooledRow:
    """Return how far a mitigation moves all tasks toward the control."""
    matched = all(grid.contrast() == AGAINST_MATCHED for grid in grids)
    name = AGAINST_MATCHED if matched else AGAINST_BASE
    planned: list[list[Condition]] = []
    for grid in grids:
        triples = ((other, own[0], grid.control(own[0], name)) for own, other in _mitigated(grid, mitigation))
        planned.append([((b, m), c) for b, m, c in triples if c])
    total = sum(map(len, planned))

    def row(e: Estimate) -> PooledRow:
        ratio = max(k.ratio for grid in grids for k in grid.kinds(mitigation))
        return PooledRow(MITIGATION, EVERY, EVERY, TOWARD[name], mitigation, ratio, EVERY, e)

    if not total:
        return row(undefined("there is no control to compare with"))
    chosen, seeds, note, reason = complete(grids, planned)
    if reason:
        return row(undefined(reason))
    changes: list[Piece] = []
    deviations: list[Piece] = []
    scales: list[float] = []
    still = []
    for grid, own in zip(grids, chosen, strict=True):
        if not own:
            continue
        spread = grid.spread(own, seeds)
        if not spread > 0:
            still.append(grid.task)
            continue
        moved = grid.pieces([((b,), m) for (b, m), _ in own], seeds)
        apart = grid.pieces(own, seeds)
        changes += moved.values()
        deviations += apart.values()
        scales += [1 / (spread * np.sqrt(len(moved)))] * len(moved)
    tasks = len([own for own in chosen if own]) - len(still)
    e = (
        toward_control(changes, deviations, np.asarray(scales) / np.sqrt(tasks), analysis)
        if changes
        else undefined("every answer is the same in all arms")
    )
    over = sum(map(len, chosen))
    noted = [
        f"{over} conditions in {tasks} tasks, in {STANDARD}; above 0 is closer to the control",
        note,
        f"no answer varies in {', '.join(still)}" if still else "",
        _unusable(grids, chosen),
    ]
    return row(_noted(e, noted))


def _unusable(grids: Sequence[Grid], chosen: Sequence[Sequence[Condition]]) -> str:
    """Return the numbers of usable answers of each task in which some cannot be used."""
    parts = []
    for grid, own in zip(grids, chosen, strict=True):
        aside = usable_counts(
            grid.values([k for both, other in own for k in (*both, other)]), grid.measure, grid.asked
        )
        parts += [f"{grid.task}: {aside}"] if aside else []
    return "; ".join(parts)


def _relation(grids: Sequence[Grid], relations: Mapping[str, str], analysis: Analysis) -> Iterator[PooledRow]:
    """Yield the change of macro-F1 in direct minus indirect tasks.

    The units are the data set and the seed: a data set is one observation, and a seed affects all of them.
    """
    grids = [g for g in grids if relations.get(g.task) in ("direct", "indirect")]
    if {relations[g.task] for g in grids} != {"direct", "indirect"}:
        return
    for name in (AGAINST_BASE, AGAINST_MATCHED):
        planned = [_inherited(g, name) for g in grids]
        if not all(planned):
            continue
        ratio = max(k.ratio for own in planned for ks, _ in own for k in ks)
        common = set.intersection(*({(own[0].bias_type, own[0].ratio) for own, _ in p} for p in planned))
        planned = [[c for c in p if (c[0][0].bias_type, c[0][0].ratio) in common] for p in planned]
        chosen, seeds, note, reason = complete(grids, planned)
        whole = set.intersection(*({(own[0].bias_type, own[0].ratio) for own, _ in p} for p in chosen))
        if not reason and not whole:
            lost = [g.task for g, own in zip(grids, chosen, strict=True) if not own]
            reason = (
                f"no condition is complete in all data sets ({', '.join(lost) or 'none in common'}; {note})"
            )
        if reason:
            yield PooledRow(
                RELATION, EVERY, "macro_f1", name, "none", ratio, DIRECT_INDIRECT, undefined(reason)
            )
            continue
        parts = [
            next(
                iter(
                    grid.pieces(
                        [c for c in own if (c[0][0].bias_type, c[0][0].ratio) in whole], seeds
                    ).values()
                )
            ).parts
            for grid, own in zip(grids, chosen, strict=True)
        ]
        e = direct_minus_indirect(
            parts, [relations[g.task] == "direct" for g in grids], [g.task for g in grids], analysis
        )
        aside = (
            ""
            if len(whole) == len(common)
            else f"{len(common) - len(whole)} of {len(common)} in all data sets"
        )
        over = _over([ArmKind(b, r) for b, r in sorted(whole)])
        yield PooledRow(
            RELATION, EVERY, "macro_f1", name, "none", ratio, DIRECT_INDIRECT, _noted(e, [over, note, aside])
        )


def direct_minus_indirect(
    parts: Sequence[np.ndarray], direct: Sequence[bool], names: Sequence[str], analysis: Analysis
) -> Estimate:
    """Estimate the mean change in direct data sets minus that in indirect ones, over data sets and seeds.

    The data sets take the place of items: the variance is their mean covariance between seeds, plus that of
    the seeds (`contrast`).

    Parameters
    ----------
    parts : sequence of array of shape (2, seeds)
        For each data set, the contribution of the biased arms and of the controls under each seed.
    direct : sequence of bool
        Whether each data set is directly related to the bias.
    names : sequence of str
        The data sets.
    analysis : Analysis
        Confidence and planned seeds.

    Returns
    -------
    Estimate
        Without interval and p if a side has one data set.
    """
    side = np.where(direct, 0, 1)
    table = np.array(parts)
    frames = [
        pd.DataFrame(
            {"item_id": names, "side": side, "value": table[:, :, s].sum(1),
             "part0": table[:, 0, s], "part1": table[:, 1, s]}
        )
        for s in range(table.shape[2])
    ]  # fmt: skip
    e = contrast(frames, analysis, paired=True, share=False)
    if e == EMPTY:
        return e
    few = min(np.bincount(side, minlength=2)) < 2
    return replace(
        e,
        unit=e.unit.replace("item", "data set"),
        test="none" if few else e.test.replace("items", "data sets"),
        interval="undefined (one data set)" if few else e.interval.replace("items", "data sets"),
    )
