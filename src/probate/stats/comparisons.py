"""Comparisons of a measure, which depend on its number of sides and its statistic."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from probate.stats import macro_f1, spread
from probate.stats.aligned import Aligned, align, align_pairs, difference, stacked
from probate.stats.contrast import EMPTY, NAN, Estimate, before_after, contrast, paired_difference
from probate.stats.groups import group_means
from probate.stats.measure import Measure
from probate.stats.usable import Asked
from probate.study.schema import Analysis

SPREAD = "max − min"
"""The range of the group means in one arm. It is not compared between arms: a maximum minus a minimum is
above 0 by chance alone.
"""
ANY = "any group − rest"
"""A change with more than two groups: whether it differs between groups at all (group x arm interaction), and
the group with the smallest p.
"""
ALL = "all"


def comparison_names(measure: Measure) -> list[str]:
    """Return the names of the comparisons that `changes` yields, in order."""
    if len(measure.sides) == 1:
        return [ALL]
    if len(measure.sides) == 2:
        return [" − ".join(measure.sides)]
    return [*(f"{group} − rest" for group in measure.sides), ANY]


def needed_sides(measure: Measure, comparison: str, asked: Asked) -> frozenset[int]:
    """Return the sides (by index) that a comparison needs; without one of them it is undefined.

    These are the sides of the comparison itself. With more than two sides, they include every side that the
    task asks about. So neither the rest nor all groups together are taken over fewer groups because one of
    them has no usable answer.
    """
    first = comparison.partition(" − ")[0]
    if len(measure.sides) <= 2:
        return frozenset(range(len(measure.sides)))
    own = {measure.sides.index(first)} if first in measure.sides else {0}
    return asked.sides | own if comparison != ANY else asked.sides or frozenset(own)


def all_asked(measure: Measure) -> Asked:
    """Return every side of the measure."""
    return Asked(frozenset(range(len(measure.sides))), frozenset())


def levels(
    frames: Sequence[pd.DataFrame], measure: Measure, analysis: Analysis, asked: Asked | None = None
) -> Iterator[tuple[str, str, str, Estimate]]:
    """Yield the levels and gaps of one kind of arm.

    A level has no test, because a share of 0 is not a hypothesis of interest. A level is computed from the
    seeds in which its group has values. All other estimates use the seeds in which every group in `asked` has
    values; they are undefined if there is no such seed.

    Parameters
    ----------
    frames : sequence of pandas.DataFrame
        The values of the measure, one frame for each seed (columns `item_id`, `side`, `value`).
    measure : Measure
        The measure.
    analysis : Analysis
        Confidence, resamples and seed.
    asked : Asked, optional
        The groups and labels that the task asks about. Default: all groups.

    Yields
    ------
    tuple of (str, str, str, Estimate)
        Question (`level`, `gap` or `worst-group`), name, comparison and estimate.
    """
    sides = measure.sides
    asked = asked or all_asked(measure)
    if measure.statistic == "macro_f1":
        yield "level", sides[0], ALL, macro_f1.level(frames, analysis, asked.labels)
        return
    share = measure.unit == "share"
    means = [group_means(f, sides) for f in frames]
    own_values = align(frames)
    for side, group in enumerate(sides):
        one = (
            own_values.of_side(side) if own_values else [f[f["side"] == side].assign(side=0) for f in frames]
        )
        own = [m[group] for m, _ in means if group in m]
        e = contrast(one, analysis, paired=False, share=share, sides=1)
        yield (
            "level",
            group,
            ALL if len(sides) == 1 else group,
            replace(_at(own, e), p=NAN, within=NAN, test="none"),
        )
    if len(sides) == 2:
        pair = f"{sides[0]} − {sides[1]}"
        gaps = [g for _, g in means if np.isfinite(g)]
        yield (
            "gap",
            pair,
            pair,
            _at(gaps, contrast(own_values or frames, analysis, paired=False, share=share)),
        )
    elif len(sides) > 2:
        whole = [(f, m) for f, (m, _) in zip(frames, means, strict=True) if has_sides(f, asked.sides)]
        own_frames = [f for f, _ in whole]
        for side, group in enumerate(sides):
            pair = f"{group} − rest"
            rest = [spread.against_rest(f, side) for f in own_frames]
            yield "gap", pair, pair, contrast(rest, analysis, paired=False, share=share)
        yield "gap", SPREAD, SPREAD, spread.level(own_frames, len(sides), spread.distance, analysis)
        if measure.better != "none":
            worst = spread.lowest if measure.better == "higher" else spread.highest
            e = spread.level(own_frames, len(sides), worst, analysis)
            average = {
                g: float(np.mean([m[g] for _, m in whole]))
                for i, g in enumerate(sides)
                if whole and i in asked.sides
            }
            pick = min if measure.better == "higher" else max
            name = pick(average, key=lambda g: average[g], default="worst group")
            yield "worst-group", name, "worst group", e


def changes(
    pairs: Sequence[tuple[pd.DataFrame, pd.DataFrame]],
    measure: Measure,
    analysis: Analysis,
    asked: Asked | None = None,
) -> Iterator[tuple[str, Estimate]]:
    """Yield each comparison of the change between two kinds of arm, paired by item and by seed.

    A change is computed over the seeds in which both arms have values of every group in `asked`, on the items
    in common. It is undefined if there is no such seed.

    Parameters
    ----------
    pairs : sequence of (pandas.DataFrame, pandas.DataFrame)
        The values (after, before), one pair for each seed.
    measure : Measure
        The measure.
    analysis : Analysis
        Confidence, resamples and seed.
    asked : Asked, optional
        The groups and labels that the task asks about. Default: all groups.

    Yields
    ------
    tuple of (str, Estimate)
        Name of the comparison and estimate (after minus before).
    """
    sides = measure.sides
    asked = asked or all_asked(measure)
    share = measure.unit == "share"
    if measure.statistic == "macro_f1":
        yield ALL, macro_f1.change(pairs, analysis, asked.labels)
    elif len(sides) == 1:
        yield ALL, contrast(_both(pairs), analysis, paired=False, share=share)
    elif len(sides) == 2:
        same = align_pairs(pairs)
        common = difference(*same) if same else [paired_difference(a, b) for a, b in pairs]
        yield f"{sides[0]} − {sides[1]}", contrast(common, analysis, paired=True, share=share)
    else:
        paired = [d for d in (paired_difference(*pair) for pair in pairs) if has_sides(d, asked.sides)]
        simultaneous = spread.simultaneous_estimates(
            {g: [spread.against_rest(d, i) for d in paired] for i, g in enumerate(sides) if i in asked.sides},
            analysis,
            lambda frames, own: contrast(frames, own, paired=True, share=share),
        )
        for group in sides:
            yield f"{group} − rest", simultaneous.get(group, EMPTY)
        yield ANY, spread.smallest_p(simultaneous)


def has_sides(frame: pd.DataFrame, sides: Collection[int]) -> bool:
    """Check whether the frame has a value of each side."""
    return set(sides) <= set(frame["side"])


def overall(pairs: Sequence[tuple[pd.DataFrame, pd.DataFrame]], analysis: Analysis) -> Estimate:
    """Estimate the change of a share over all groups together, from pairs (after, before) by item and by
    seed.
    """
    return contrast(_both(pairs), analysis, paired=False, share=True)


def _both(pairs: Sequence[tuple[pd.DataFrame, pd.DataFrame]]) -> list[pd.DataFrame] | Aligned:
    """Return the values after and before, as sides of one frame for each seed."""
    sides = [(a.assign(side=0), b.assign(side=0)) for a, b in pairs]
    same = align_pairs(sides)
    return stacked(*same) if same else [before_after(a, b) for a, b in pairs]


def _at(values: Sequence[float], e: Estimate) -> Estimate:
    """Return the estimate with the mean of the seeds' own values as its value."""
    return replace(e, value=float(np.mean(values))) if values else e
