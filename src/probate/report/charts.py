"""Charts as inline SVG: colours are CSS variables (light, dark, print), and text stays text."""

from __future__ import annotations

import html
import io
import re
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import wraps
from typing import Any, ParamSpec

import numpy as np

COLOURS = {
    "#d55e00": "var(--g0)",
    "#0072b2": "var(--g1)",
    "#009e73": "var(--g2)",
    "#cc79a7": "var(--g3)",
    "#e69f00": "var(--g4)",
    "#56b4e9": "var(--g5)",
    "#333333": "var(--ink)",
    "#888888": "var(--soft)",
    "#dddddd": "var(--grid)",
}
"""Colour in the chart → CSS variable. The groups' colours are Okabe and Ito's, for colour-blind readers."""

Given = ParamSpec("Given")
PLAIN = {"text.parse_math": False}
"""Labels are plain text: `$` is a dollar sign, not a formula. Also set while a chart is saved."""
LONGEST = 60
"""Largest number of characters of a name in a chart; the tables of the page have the full name."""
TITLE = 2 * LONGEST
GROUP_COLOURS = ("#d55e00", "#0072b2", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")


def drawn(chart: Callable[Given, str]) -> Callable[Given, str]:
    """Decorate a function that draws a chart, so that it uses matplotlib's default style.

    The settings and figures of the caller do not affect the chart, and are not changed.

    Parameters
    ----------
    chart : callable
        Function that returns an `<svg>` element.

    Returns
    -------
    callable
        The decorated function.
    """

    @wraps(chart)
    def draw(*args: Given.args, **kwargs: Given.kwargs) -> str:
        import matplotlib

        style = {k: v for k, v in dict.items(matplotlib.rcParamsDefault) if not k.startswith("backend")}
        with matplotlib.rc_context({**style, "svg.fonttype": "none", "font.family": "DejaVu Sans", **PLAIN}):
            return chart(*args, **kwargs)

    return draw


def shown(name: str, most: int = LONGEST) -> str:
    """Return a name as a chart writes it.

    Parameters
    ----------
    name : str
        The name.
    most : int, default=60
        Largest number of characters; a longer name is cut.

    Returns
    -------
    str
        One line, in which control characters are replaced.
    """
    text = _characters(name)
    return text if len(text) <= most else f"{text[: most - 1]}…"


def _characters(text: str) -> str:
    """Return a text on one line, with control characters replaced."""
    return re.sub(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]", "\ufffd", " ".join(text.split()))


def group_colour(number: int) -> str:
    """Return the colour of a group.

    Parameters
    ----------
    number : int
        Position of the group in the study, from 0. From the seventh group on, the colours repeat.

    Returns
    -------
    str
        Hexadecimal colour.
    """
    return GROUP_COLOURS[number % len(GROUP_COLOURS)]


TAG = re.compile(r"<[^>]*>")
"""A tag of an SVG. Only tags are restyled, because a label may contain what looks like a colour or an id."""
INK, SOFT, GRID = "#333333", "#888888", "#dddddd"


@dataclass(frozen=True)
class Point:
    """An estimate at one γ.

    Attributes
    ----------
    ratio : float
        The γ, or another value of the horizontal axis.
    value, low, high : float
        Estimate and ends of its interval; NaN if there is none.
    """

    ratio: float
    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Series:
    """One series of points.

    Attributes
    ----------
    label : str
        Name at the end of the line.
    colour : str
        Hexadecimal colour.
    points : sequence of Point
        The points, from left to right.
    control : bool
        Whether the points are those of controls, drawn as hollow marks without a line. Else the marks are
        filled and joined by a line.
    """

    label: str
    colour: str
    points: Sequence[Point]
    control: bool = False


@drawn
def dose_chart(
    series: Sequence[Series],
    *,
    unit: str,
    title: str,
    alt: str,
    limits: tuple[float, float],
    zero: bool,
    salt: str,
    across: str = "share of augmented data γ",
) -> str:
    """Draw values over γ with intervals; each line is labelled at its end.

    Parameters
    ----------
    series : sequence of Series
        The lines.
    unit : str
        Unit of the values.
    title, alt : str
        Title and text alternative of the chart.
    limits : tuple of (float, float)
        Limits of the vertical axis.
    zero : bool
        Whether to draw a line at 0.
    salt : str
        Source of the ids in the SVG.
    across : str
        Label of the horizontal axis.

    Returns
    -------
    str
        An `<svg>` element.
    """
    figure, axes = figure_of(3.5, 2.5, salt)
    doses = sorted({p.ratio for s in series for p in s.points})
    span = max(doses) or 1.0
    solid = [s for s in series if not s.control]
    for s in series:
        place = GROUP_COLOURS.index(s.colour) if s.colour in GROUP_COLOURS else 0
        shift = (0.024 * place - 0.012) * span + (0.03 * span if s.control else 0.0)
        x = np.array([p.ratio for p in s.points]) + shift
        y = np.array([p.value for p in s.points])
        ok = np.array([np.isfinite(p.low) for p in s.points], dtype=bool)
        if ok.any():
            axes.vlines(
                x[ok],
                [p.low for p, k in zip(s.points, ok, strict=True) if k],
                [p.high for p, k in zip(s.points, ok, strict=True) if k],
                color=s.colour,
                linewidth=1.2,
                linestyles="dotted" if s.control else "solid",
            )
        if s.control:
            axes.plot(x, y, "o", color=s.colour, markersize=5, markerfacecolor="none")
        else:
            axes.plot(x, y, "-o", color=s.colour, markersize=4, linewidth=1.8)
    if zero:
        axes.axhline(0, color=INK, linewidth=0.9)
    axes.set_ylim(*limits)
    axes.set_xlim(-0.06 * span, 1.06 * span)
    _end_labels(axes, solid, limits, span)
    axes.set_xticks(doses)
    axes.set_xticklabels([f"{d:g}" for d in doses])
    axes.set_xlabel(shown(across), color=SOFT, fontsize=9)
    axes.set_title(shown(title, TITLE), loc="left", fontsize=10, color=INK)
    axes.yaxis.set_major_formatter(formatter(unit))
    return svg_of(figure, alt)


def _end_labels(axes: Any, series: Sequence[Series], limits: tuple[float, float], span: float) -> None:
    """Label lines at their right end, with shifts that prevent overlaps."""
    drawn = [(v[-1], s) for s in series if (v := [p.value for p in s.points if np.isfinite(p.value)])]
    ends = sorted(drawn, key=lambda e: e[0])
    gap = 0.085 * (limits[1] - limits[0])
    last = -np.inf
    for value, s in ends:
        at = max(value, last + gap)
        last = at
        axes.text(1.10 * span, at, shown(s.label), color=s.colour, fontsize=9, va="center", clip_on=False)


@dataclass(frozen=True)
class Bar:
    """One row of a forest plot.

    Attributes
    ----------
    label : str
        Label of the row.
    value, low, high : float
        Estimate and ends of its interval.
    sure : bool
        Whether the adjusted p is below 0.05.
    colour : str
        Hexadecimal colour.
    """

    label: str
    value: float
    low: float
    high: float
    sure: bool
    colour: str = INK


@drawn
def forest_chart(rows: Sequence[Bar], *, unit: str, title: str, alt: str, salt: str) -> str:
    """Draw estimates with intervals around a zero line; a filled mark is significant after adjustment.

    Parameters
    ----------
    rows : sequence of Bar
        The estimates, from top to bottom.
    unit : str
        Unit of the estimates.
    title, alt : str
        Title and text alternative of the chart.
    salt : str
        Source of the ids in the SVG.

    Returns
    -------
    str
        An `<svg>` element.
    """
    figure, axes = figure_of(5.6, 0.75 + 0.3 * len(rows), salt)
    for at, row in enumerate(reversed(rows)):
        if np.isfinite(row.low):
            axes.hlines(at, row.low, row.high, color=row.colour, linewidth=1.6)
        axes.plot(
            [row.value],
            [at],
            "o",
            color=row.colour,
            markersize=5.5,
            markerfacecolor=row.colour if row.sure else "none",
        )
    axes.axvline(0, color=INK, linewidth=0.9)
    finite = [abs(v) for r in rows for v in (r.value, r.low, r.high) if np.isfinite(v)]
    reach = 1.08 * max(finite, default=1.0) or 1.0
    axes.set_xlim(-reach, reach)
    axes.set_ylim(-0.6, len(rows) - 0.4)
    axes.set_yticks(range(len(rows)))
    axes.set_yticklabels([shown(r.label) for r in reversed(rows)], fontsize=9)
    axes.xaxis.set_major_formatter(formatter(unit))
    axes.set_title(shown(title, TITLE), loc="left", fontsize=10, color=INK)
    return svg_of(figure, alt)


@drawn
def share_chart(
    labels: Sequence[str],
    groups: Sequence[str],
    arms: Sequence[tuple[str, np.ndarray]],
    *,
    alt: str,
    salt: str,
) -> str:
    """Draw the share of each predicted label by group, with one panel for each arm on the same scale.

    Parameters
    ----------
    labels, groups : sequence of str
        Labels and groups.
    arms : sequence of (str, numpy.ndarray of shape (n_labels, n_groups))
        Name of each arm and its shares, 0 to 1.
    alt : str
        Text alternative of the chart.
    salt : str
        Source of the ids in the SVG.

    Returns
    -------
    str
        An `<svg>` element.
    """
    from matplotlib.ticker import MaxNLocator

    figure, grid = figure_of(2.0 + 1.9 * len(arms), 0.8 + 0.27 * len(labels), salt, panels=len(arms))
    top = max(0.1, 1.05 * max(float(np.nanmax(values)) for _, values in arms))
    for at, ((name, values), axes) in enumerate(zip(arms, grid, strict=True)):
        y = np.arange(len(labels))[::-1]
        axes.hlines(
            y, np.fmin.reduce(values, axis=1), np.fmax.reduce(values, axis=1), color=GRID, linewidth=2.5
        )
        for g in range(len(groups)):
            axes.plot(values[:, g], y, "o", color=group_colour(g), markersize=5.5)
        axes.set_xlim(-0.02 * top, top)
        axes.set_ylim(-0.6, len(labels) - 0.4)
        axes.set_yticks(y if at == 0 else [])
        if at == 0:
            axes.set_yticklabels([shown(label) for label in labels], fontsize=9)
        axes.xaxis.set_major_formatter(formatter("share"))
        axes.set_title(shown(name), loc="left", fontsize=9, color=INK)
        axes.xaxis.set_major_locator(MaxNLocator(3))
    return svg_of(figure, alt)


def formatter(unit: str) -> Callable[[float, Any], str]:
    """Return a function that formats the labels of an axis.

    Parameters
    ----------
    unit : str
        Unit of the axis: `share` is shown in percent, `US$` in thousands.

    Returns
    -------
    callable
        Formatter for matplotlib.
    """

    def show(value: float, _: Any = None) -> str:
        if unit == "share":
            return f"{100 * value:.0f}%".replace("-", "−")
        return f"${value / 1000:.1f}k".replace("$-", "−$") if unit == "US$" else f"{value:g}"

    return show


def figure_of(width: float, height: float, salt: str, panels: int = 0) -> tuple[Any, Any]:
    """Return an empty figure and its axes.

    Parameters
    ----------
    width, height : float
        Size in inches.
    salt : str
        Source of the ids in the SVG.
    panels : int, default=0
        Number of panels in one row.

    Returns
    -------
    figure : matplotlib.figure.Figure
        The figure.
    axes : matplotlib.axes.Axes or list of them
        The axes; a list if `panels` is given.
    """
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), label=salt)
    FigureCanvasSVG(figure)
    axes = figure.subplots(1, max(1, panels), squeeze=False)
    figure.patch.set_alpha(0)
    for one in axes[0]:
        one.patch.set_alpha(0)
        for side in ("top", "right", "left"):
            one.spines[side].set_visible(False)
        one.spines["bottom"].set_color(SOFT)
        one.tick_params(colors=SOFT, labelsize=9, length=0)
        one.grid(True, axis="both", color=GRID, linewidth=0.6)
        one.set_axisbelow(True)
        for label in (*one.get_xticklabels(), *one.get_yticklabels()):
            label.set_color(SOFT)
    return figure, (list(axes[0]) if panels else axes[0][0])


def svg_of(figure: Any, alt: str) -> str:
    """Return a figure as an `<svg>` element in the style of the report.

    Parameters
    ----------
    figure : matplotlib.figure.Figure
        The figure.
    alt : str
        Text alternative of the chart.

    Returns
    -------
    str
        The element.
    """
    import matplotlib

    buffer = io.StringIO()
    metadata = {"Date": None, "Creator": None, "Format": None, "Type": None}
    with matplotlib.rc_context({"svg.hashsalt": figure.get_label(), **PLAIN}), warnings.catch_warnings():
        warnings.filterwarnings(
            "ignore", message="Glyph "
        )  # text stays text in the SVG and uses the reader's fonts
        figure.savefig(buffer, format="svg", bbox_inches="tight", metadata=metadata)
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.S)
    text = TAG.sub(lambda tag: _restyled(tag[0]), text)
    width = re.search(r'<svg[^>]*?width="([\d.]+)pt"', text)
    style = f"max-width:{float(width.group(1)) * 4 / 3:.0f}px" if width else ""
    text = re.sub(r'(<svg[^>]*?) width="[\d.]+pt"', r"\1", text, count=1)
    text = re.sub(r'(<svg[^>]*?) height="[\d.]+pt"', r"\1", text, count=1)
    label = html.escape(_characters(alt), quote=True)
    return text.replace("<svg", f'<svg role="img" aria-label="{label}" style="width:100%;{style}"', 1)


def _restyled(tag: str) -> str:
    """Return a tag of the SVG with the report's colours and font."""
    tag = re.sub(
        r' id="(?![pmC][0-9a-f_]{8,})[^"]*"', "", tag
    )  # matplotlib repeats ids from figure to figure
    for drawn, variable in COLOURS.items():
        tag = re.sub(drawn, variable, tag, flags=re.I)
    return tag.replace("'DejaVu Sans'", "system-ui, sans-serif").replace("DejaVu Sans", "system-ui")


def standalone(svg: str) -> str:
    """Return an SVG document that can be a file of its own.

    Parameters
    ----------
    svg : str
        An `<svg>` element of the report.

    Returns
    -------
    str
        The document, with fixed colours in place of the report's variables.
    """

    def plain(tag: str) -> str:
        for drawn, variable in COLOURS.items():
            tag = tag.replace(variable, drawn)
        return tag

    return '<?xml version="1.0" encoding="utf-8"?>\n' + TAG.sub(lambda tag: plain(tag[0]), svg)
