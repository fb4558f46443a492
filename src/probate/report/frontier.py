"""The frontier of mitigations: the remaining change of a gap against the change of accuracy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from probate.report.charts import INK, SOFT, TITLE, drawn, figure_of, formatter, shown, svg_of


@dataclass(frozen=True)
class Mark:
    """One mitigation.

    Attributes
    ----------
    label : str
        Name of the mitigation.
    accuracy : tuple of (float, float, float)
        Change of accuracy, as a share: estimate and ends of the interval.
    left : tuple of (float, float, float)
        Remaining change of the gap, in its unit: estimate and ends of the interval.
    """

    label: str
    accuracy: tuple[float, float, float]
    left: tuple[float, float, float]


def best(marks: Sequence[Mark]) -> list[Mark]:
    """Return the marks on the frontier.

    Parameters
    ----------
    marks : sequence of Mark
        The mitigations.

    Returns
    -------
    list of Mark
        The marks that no other mark dominates. A mark dominates another if it is at least as good in accuracy
        and in the size of the remaining change, and better in one of them.
    """

    def beaten(own: Mark) -> bool:
        return any(
            other.accuracy[0] >= own.accuracy[0]
            and abs(other.left[0]) <= abs(own.left[0])
            and (other.accuracy[0], -abs(other.left[0])) != (own.accuracy[0], -abs(own.left[0]))
            for other in marks
        )

    return [m for m in marks if not beaten(m)]


@drawn
def frontier_chart(
    marks: Sequence[Mark], inherited: float, *, unit: str, title: str, alt: str, salt: str
) -> str:
    """Draw every mitigation with its intervals; marks on the frontier (`best`) are filled.

    Parameters
    ----------
    marks : sequence of Mark
        The mitigations.
    inherited : float
        Change of the gap without a mitigation, in its unit.
    unit : str
        Unit of the gap.
    title, alt : str
        Title and text alternative of the chart.
    salt : str
        Source of the ids in the SVG.

    Returns
    -------
    str
        An `<svg>` element.
    """
    figure, axes = figure_of(6.4, 4.2, salt)
    filled = best(marks)
    axes.axhline(0, color=INK, linewidth=0.9)
    axes.axvline(0, color=INK, linewidth=0.9)
    axes.axhline(inherited, color=SOFT, linewidth=1, linestyle="dashed")
    values = [v for m in marks for v in m.left if np.isfinite(v)] + [0.0, inherited]
    low, high = min(values), max(values)
    pad = 0.06 * (high - low or 1.0)
    axes.set_ylim(low - pad, high + pad)
    last, gap = -np.inf, 0.055 * (high - low or 1.0)
    edge = max([v for m in marks for v in m.accuracy if np.isfinite(v)] + [0.0])
    for m in sorted(marks, key=lambda m: m.left[0]):
        (x, *across), (y, *along) = m.accuracy, m.left
        if np.isfinite(across).all():
            axes.hlines(y, *across, color=SOFT, linewidth=0.9)
        if np.isfinite(along).all():
            axes.vlines(x, *along, color=SOFT, linewidth=0.9)
        axes.plot(
            [x], [y], "o", color=INK, markersize=6, markerfacecolor=INK if m in filled else "white", zorder=3
        )
        last = max(y, last + gap)
        axes.annotate(
            shown(m.label),
            (x, y),
            xytext=(edge, last),
            textcoords="data",
            fontsize=8.5,
            color=INK,
            va="center",
            annotation_clip=False,
            arrowprops={"arrowstyle": "-", "color": SOFT, "linewidth": 0.4},
        )
    axes.set_xlabel("change of accuracy, all groups", color=SOFT, fontsize=9)
    axes.set_ylabel("remaining change of the gap", color=SOFT, fontsize=9)
    axes.xaxis.set_major_formatter(formatter("share"))
    axes.yaxis.set_major_formatter(formatter(unit))
    axes.set_title(shown(title, TITLE), loc="left", fontsize=10, color=INK)
    return svg_of(figure, alt)
