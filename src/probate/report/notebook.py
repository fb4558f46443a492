"""Results in a notebook: tables and sentences as HTML, charts as SVG. All text is escaped."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from probate.core.errors import InputError
from probate.core.files import write_atomic
from probate.report.charts import standalone

ROWS = 12
"""Largest number of rows of a table in a notebook."""
GAP = 14


@dataclass(frozen=True)
class Figure:
    """Charts of a report as one SVG image, which a notebook shows.

    Attributes
    ----------
    name : str
        Name of the figure, as in `Run.figures`.
    svg : str
        The image: an SVG document with fixed colours, which a browser or an editor opens.

    Examples
    --------
    >>> import probate as pb
    >>> figure = pb.Run("runs/self-written").plot("dose")
    >>> figure
    <Figure dose>
    >>> figure.save("dose.svg").name
    'dose.svg'
    """

    name: str
    svg: str

    def __repr__(self) -> str:
        return f"<Figure {self.name}>"

    def _repr_svg_(self) -> str:
        return self.svg[self.svg.index("<svg") :]

    def save(self, path: str | Path) -> Path:
        """Write the image to a file.

        Parameters
        ----------
        path : str or path
            File to write; its name ends in `.svg`.

        Returns
        -------
        Path
            The file.

        Raises
        ------
        InputError
            `path` does not end in `.svg`.
        """
        target = Path(path)
        if target.suffix.lower() != ".svg":
            raise InputError(f"Figure.save: {target}: must end in .svg")
        write_atomic(target, self.svg)
        return target


def figure_of(name: str, svgs: Sequence[str]) -> Figure:
    """Return charts, one below the other, as a figure.

    Parameters
    ----------
    name : str
        Name of the figure.
    svgs : sequence of str
        `<svg>` elements.

    Returns
    -------
    Figure
        The figure.
    """
    return Figure(name, standalone(stacked(svgs)))


def stacked(svgs: Sequence[str]) -> str:
    """Place SVG elements one below the other in one SVG element.

    Parameters
    ----------
    svgs : sequence of str
        `<svg>` elements.

    Returns
    -------
    str
        An `<svg>` element.
    """
    placed, height, width = [], 0.0, 0.0
    for svg in svgs:
        box = re.search(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', svg)
        wide, high = (float(box[1]), float(box[2])) if box else (400.0, 300.0)
        svg = re.sub(r' style="width:100%[^"]*"', "", svg, count=1)
        placed.append(svg.replace("<svg", f'<svg y="{height:g}" width="{wide:g}" height="{high:g}"', 1))
        height, width = height + high + GAP, max(width, wide)
    height = max(height - GAP, 1.0)
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" '
        f'viewBox="0 0 {width:g} {height:g}" width="{width * 4 / 3:.0f}" height="{height * 4 / 3:.0f}">'
        f'<rect width="100%" height="100%" fill="#ffffff"/>{"".join(placed)}</svg>'
    )


def block(title: str, sentences: Iterable[str] = (), *frames: pd.DataFrame) -> str:
    """Return a title, sentences and tables as HTML.

    Parameters
    ----------
    title : str
        The title.
    sentences : iterable of str
        Items of a list.
    *frames : pandas.DataFrame
        Tables, of which the first `ROWS` rows are shown.

    Returns
    -------
    str
        HTML.
    """
    items = "".join(f"<li>{html.escape(s)}</li>" for s in sentences)
    parts = [f"<p><strong>{html.escape(title)}</strong></p>", f"<ul>{items}</ul>" if items else ""]
    for frame in frames:
        more = f"<p>{ROWS} of {len(frame):,} rows</p>" if len(frame) > ROWS else ""
        parts.append(frame.head(ROWS).to_html(index=False, border=0, na_rep="–") + more)
    return "".join(parts)
