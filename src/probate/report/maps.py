"""A map of texts: two dimensions, colour for the group, shape for the origin."""

from __future__ import annotations

from typing import Any

from probate.report import charts


@charts.drawn
def text_map(coordinates: dict[str, Any], title: str, salt: str) -> str:
    """Draw a map of original and augmented texts.

    Parameters
    ----------
    coordinates : dict
        `original` and `augmented`: lists of (x, y, group); `axes`: label of the axes. See
        `probate.execution.misalignment.distribution.mapped`.
    title : str
        Title of the chart.
    salt : str
        Source of the ids in the SVG.

    Returns
    -------
    str
        An `<svg>` element.
    """
    figure, axes = charts.figure_of(4.2, 3.6, salt)
    groups = sorted({g for side in ("original", "augmented") for *_, g in coordinates[side]})
    for side, filled in (("original", False), ("augmented", True)):
        for place, group in enumerate(groups):
            own = [(x, y) for x, y, g in coordinates[side] if g == group]
            colour = charts.group_colour(place) if group else charts.INK
            face = colour if filled else "none"
            name = charts.shown(", ".join(filter(None, (side, group))))
            if own:
                axes.plot(
                    *zip(*own, strict=True),
                    "o" if filled else "s",
                    color=colour,
                    markersize=3.5,
                    markerfacecolor=face,
                    markeredgewidth=0.7,
                    linestyle="none",
                    label=name,
                )
    axes.set_xticks([])
    axes.set_yticks([])
    axes.set_xlabel(charts.shown(coordinates["axes"]), color=charts.SOFT, fontsize=9)
    axes.set_title(charts.shown(title, charts.TITLE), loc="left", fontsize=10, color=charts.INK)
    axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), frameon=False, fontsize=9, labelcolor=charts.INK)
    counts = "; ".join(f"{len(coordinates[side])} {side}" for side in ("original", "augmented"))
    return charts.svg_of(figure, f"{title}. {counts} texts; {coordinates['axes']}")
