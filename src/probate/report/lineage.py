"""Lineage over rounds: which data trained which model, which wrote the next data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from probate.report import charts


@charts.drawn
def lineage_chart(kinds: Mapping[str, Sequence[tuple[str, str]]], originals: int) -> str:
    """Draw one row of boxes for each kind of arm.

    Parameters
    ----------
    kinds : mapping of str to sequence of (str, str)
        Kind of arm → (generated texts, the arm trained on them) for each round.
    originals : int
        Number of original records.

    Returns
    -------
    str
        An `<svg>` element.
    """
    longest = max(map(len, kinds.values()))
    figure, axes = charts.figure_of(1.6 + 3.4 * longest, 0.5 + 0.9 * len(kinds), "lineage")
    axes.axis("off")
    axes.set_xlim(0, 2 * longest + 1)
    axes.set_ylim(-len(kinds) + 0.4, 0.6)
    box = {"boxstyle": "round,pad=0.35", "facecolor": "none"}
    arrow = {"arrowstyle": "-|>", "color": charts.SOFT}
    for row, (kind, steps) in enumerate(kinds.items()):
        colour = charts.group_colour(row)
        axes.text(
            0.45,
            -row,
            f"D_o: {originals}\nbase model",
            ha="center",
            va="center",
            fontsize=8,
            color=charts.INK,
            bbox={**box, "edgecolor": charts.SOFT},
        )
        for at, (written, arm) in enumerate(steps):
            for x, text, edge in ((2 * at + 1.45, written, charts.SOFT), (2 * at + 2.45, arm, colour)):
                axes.annotate("", (x - 0.36, -row), (x - 0.62, -row), arrowprops=arrow)
                axes.text(
                    x,
                    -row,
                    "\n".join(map(charts.shown, text.split("\n"))),
                    ha="center",
                    va="center",
                    fontsize=8,
                    color=charts.INK,
                    bbox={**box, "edgecolor": edge},
                )
        axes.text(0.0, -row + 0.36, charts.shown(kind), fontsize=9, color=colour)
    alt = "Which data trained which model. " + "; ".join(
        f"{kind}: " + " → ".join(f"{w} → {a}" for w, a in steps).replace("\n", " ")
        for kind, steps in kinds.items()
    )
    return charts.svg_of(figure, alt)
