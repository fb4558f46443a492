"""Which comparisons a measure has: by the number of its sides, and by its statistic."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from probate.analyze import macro_f1, spread
from probate.analyze.contrast import Estimate, before_after, contrast, difference
from probate.analyze.groups import group_means
from probate.study import Analysis
from probate.tasks.base import Measure

SPREAD = "max − min"
ALL = "all"


def levels(frames: Sequence[pd.DataFrame], measure: Measure, analysis: Analysis) -> Iterator[tuple[str, str, str, Estimate]]:
    """(question, name, comparison, estimate) of one kind of arm; `frames` has the measure's values, one a seed."""
    sides = measure.sides
    if measure.statistic == "macro_f1":
        yield "level", sides[0], ALL, macro_f1.level(frames, analysis)
        return
    share = measure.unit == "share"
    means = [group_means(f, sides) for f in frames]
    for side, group in enumerate(sides):
        one = [f[f["side"] == side].assign(side=0) for f in frames]
        mean = float(np.mean([m.get(group, np.nan) for m, _ in means]))
        yield "level", group, ALL if len(sides) == 1 else group, _at(mean, one, analysis, share)
    if len(sides) == 2:
        pair = f"{sides[0]} − {sides[1]}"
        yield "gap", pair, pair, _at(float(np.mean([g for _, g in means])), frames, analysis, share)
    elif len(sides) > 2:
        for side, group in enumerate(sides):
            pair = f"{group} − rest"
            own = [spread.against_rest(f, side) for f in frames]
            yield "gap", pair, pair, contrast(own, analysis, paired=False, share=share)
        yield "gap", SPREAD, SPREAD, spread.level(frames, len(sides), spread.distance, analysis)
        if measure.better != "none":
            worst = spread.lowest if measure.better == "higher" else spread.highest
            e = spread.level(frames, len(sides), worst, analysis)
            average = {g: float(np.mean([m.get(g, np.nan) for m, _ in means])) for g in sides}
            pick = min if measure.better == "higher" else max
            name = pick(average, key=lambda g: average[g])
            yield "worst-group", name, "worst group", e


def changes(
    pairs: Sequence[tuple[pd.DataFrame, pd.DataFrame]], measure: Measure, analysis: Analysis
) -> Iterator[tuple[str, Estimate]]:
    """(comparison, estimate) of the change between two kinds of arm, paired by item and by seed: (after, before)."""
    sides = measure.sides
    share = measure.unit == "share"
    if measure.statistic == "macro_f1":
        yield ALL, macro_f1.change(pairs, analysis)
    elif len(sides) == 1:
        yield ALL, contrast([before_after(a, b) for a, b in pairs], analysis, paired=False, share=share)
    elif len(sides) == 2:
        common = [difference(a, b) for a, b in pairs]
        yield f"{sides[0]} − {sides[1]}", contrast(common, analysis, paired=True, share=share)
    else:
        common = [difference(a, b) for a, b in pairs]
        for side, group in enumerate(sides):
            own = [spread.against_rest(f, side) for f in common]
            yield f"{group} − rest", contrast(own, analysis, paired=True, share=share)
        yield SPREAD, spread.change(pairs, len(sides), spread.distance, analysis)


def overall(pairs: Sequence[tuple[pd.DataFrame, pd.DataFrame]], analysis: Analysis) -> Estimate:
    """Change of a share over all groups together: (after, before), paired by item and by seed."""
    return contrast([before_after(a, b) for a, b in pairs], analysis, paired=False, share=True)


def _at(value: float, frames: Sequence[pd.DataFrame], analysis: Analysis, share: bool) -> Estimate:
    return replace(contrast(frames, analysis, paired=False, share=share), value=value)
