"""Names in charts are drawn as they are: each chart, each kind of name.

No mathematics, no colours of the page, no control characters.
"""

import re
import xml.etree.ElementTree as ET

import numpy as np
import pytest

from probate.report.charts import TITLE, Bar, Point, Series, dose_chart, forest_chart, share_chart, standalone
from probate.report.frontier import Mark, frontier_chart
from probate.report.lineage import lineage_chart
from probate.report.maps import text_map

NAMES = {
    "money": "$50k to $90k", "one dollar": "costs $5", "broken mathematics": r"$\frac{$",
    "underscore": "_hidden", "index": "a_1^2", "percent": "100 % {x}",
    "backslash": r"C:\new\table", "angle brackets": "<script>alert(1)</script>", "entity": "R&D &amp; more",
    "colour": "#d55e00 var(--g0)", "attribute": 'x id="abc" y',
    "font": "'DejaVu Sans' DejaVu Sans", "right to left": "\u0639\u0631\u0628\u064a", "emoji": "👩‍⚕️ nurse",
    "empty": "",
}  # fmt: skip
KEPT = {
    **NAMES,
    "lines": "two\nlines",
    "escape": "\x1b[31mred\x00",
    "long": "very " * 200,
    "surrogate": "half \ud800",
}


def charts(name):
    """Each kind of chart with `name` wherever it takes one."""
    point = Point(0.0, 0.1, 0.0, 0.2), Point(0.5, 0.2, 0.1, 0.3)
    yield dose_chart(
        [Series(name, "#d55e00", point)],
        unit="share",
        title=name,
        alt="x",
        limits=(0, 1),
        zero=True,
        salt="s",
        across=name,
    )
    yield forest_chart([Bar(name, 0.1, 0.0, 0.2, True)], unit="US$", title=name, alt="x", salt="s")
    yield share_chart([name, "b"], ["F"], [(name, np.array([[0.5], [0.5]]))], alt="x", salt="s")
    mark = Mark(name, (0.0, -0.1, 0.1), (0.1, 0.0, 0.2))
    yield frontier_chart([mark], 0.3, unit="share", title=name, alt="x", salt="s")
    yield lineage_chart({name: [(name, name)]}, 10)
    spots = {"original": [(0.0, 1.0, name)], "augmented": [(1.0, 0.0, name)], "axes": name}
    yield text_map(spots, name, "s")


def words(svg):
    root = ET.fromstring(standalone(svg))
    return ["".join(node.itertext()) for node in root.iter() if node.tag.endswith("text")]


@pytest.mark.parametrize("kind", NAMES)
def test_a_name_is_drawn_as_it_is(kind):
    name = NAMES[kind]
    for number, svg in enumerate(charts(name)):
        found = words(svg)
        assert any(name in text for text in found), (number, found)


@pytest.mark.parametrize("kind", KEPT)
def test_every_chart_is_well_formed_and_of_bounded_width(kind):
    for svg in charts(KEPT[kind]):
        assert not re.search("[\x00-\x08\x0b-\x1f\x7f\ud800-\udfff]", svg)
        assert all(len(text) <= TITLE for text in words(svg))
        assert float(re.search(r'viewBox="0 0 ([\d.]+)', svg)[1]) < 2500
        assert "<script" not in svg
