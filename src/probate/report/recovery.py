"""The chart of `probate calibrate`: planted effects and their estimates."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from probate.report import charts
from probate.stats.simulate import Design, simulate
from probate.study.schema import Analysis

RESAMPLES = 400
MOST = 500
"""Largest number of simulated studies for each point."""


@charts.drawn
def recovery_plot(
    designs: dict[str, Design], analysis: Analysis, runs: int, tick: Callable[[int], None] | None = None
) -> str:
    """Draw planted effects and their estimates: mean and central 95% over simulated studies.

    Parameters
    ----------
    designs : dict of str to Design
        Name → design of the simulated studies.
    analysis : Analysis
        Settings of the analysis; `resamples` is lowered to `RESAMPLES`.
    runs : int
        Simulated studies for each point; at most `MOST` are run.
    tick : callable, optional
        Called with 1 after each point.

    Returns
    -------
    str
        An SVG document. A mark is filled if at least 80% of the studies detect the effect.
    """
    runs, analysis = min(runs, MOST), analysis.model_copy(update={"resamples": RESAMPLES})
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
        axes.vlines(
            x, [c.spread[0] for c in cells], [c.spread[1] for c in cells], color=colour, linewidth=1.2
        )
        axes.plot(
            x,
            x + [c.bias for c in cells],
            "o-",
            color=colour,
            markersize=5,
            markerfacecolor="none",
            linewidth=0.8,
            label=charts.shown(name),
        )
        detected = [c for c in cells if c.rejected >= 0.8]
        axes.plot(
            [c.effect for c in detected],
            [c.effect + c.bias for c in detected],
            "o",
            color=colour,
            markersize=5,
        )
        said.append(
            f"{name}: "
            + ", ".join(f"{c.effect:+.2f} planted, {c.effect + c.bias:+.2f} estimated" for c in cells)
        )
    ends = axes.get_xlim()
    axes.plot(ends, ends, color=charts.SOFT, linewidth=0.8, linestyle="dotted")
    for formatted in (axes.xaxis, axes.yaxis):
        formatted.set_major_formatter(charts.formatter("share"))
    axes.set_xlabel("planted change of the gap", color=charts.SOFT, fontsize=9)
    axes.set_title(
        "estimated change, with the central 95% of studies", loc="left", fontsize=10, color=charts.INK
    )
    axes.legend(frameon=False, fontsize=9, labelcolor=charts.INK)
    return charts.standalone(charts.svg_of(figure, "Recovery of planted effects. " + "; ".join(said)))
