"""The table of everything: what its cells are against, and that it stays small."""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd

from probate.report.heatmap import heat_map, moved_items
from probate.stats.effects import effects_of
from probate.stats.measure import Measure, by_group, frame
from probate.study.schema import Analysis

SIDE = by_group("gender", ["female", "male"])
MEASURES = {
    name: [
        Measure(
            name="m",
            title="share",
            unit="share",
            toward=lambda a, b: f"{a} more than {b}",
            sides=("female", "male"),
            values=lambda o: frame(o, SIDE(o), o["score"]),
            primary=True,
        )
    ]
    for name in ("indirect-one", "direct-one")
}
TITLES = {name: name for name in MEASURES}
RELATIONS = {"indirect-one": "indirect", "direct-one": "direct"}


def outcomes() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    rows = []
    for task in MEASURES:
        kinds = (("none", 0.0), ("a", 0.2), ("a", 0.5), ("b", 0.5), ("neutral", 0.5))
        for (bias_type, ratio), seed in itertools.product(kinds, range(3)):
            for i in range(120):
                group = ["female", "male"][i % 2]
                high = (bias_type, ratio, group) == ("a", 0.5, "female") and task == "direct-one"
                rows.append(
                    {"arm": f"{bias_type}-{ratio}" + f"-s{seed}" * bool(seed), "bias_type": bias_type,
                     "ratio": ratio, "seed": seed, "round": 1, "task": task, "item_id": f"i{i}",
                     "groups": {"gender": group}, "target": "x", "prediction": "x", "response": "{}",
                     "score": float(rng.random() < (0.95 if high else 0.4)), "parsed": True,
                     "mitigation": "none"}
                )  # fmt: skip
    return pd.DataFrame(rows)


def test_cells_are_the_effects_and_say_what_they_are_against():
    table = outcomes()
    effects = effects_of(table, MEASURES, Analysis(resamples=400))
    columns, rows = heat_map(effects, MEASURES, TITLES, RELATIONS)
    assert columns == [("a", [0.2, 0.5]), ("b", [0.5])]
    assert [r.task for r in rows] == ["direct-one", "indirect-one"]
    base, strong, none = rows[0].cells
    assert base.text.endswith("°") and "against γ = 0" in base.title
    assert "against matched control" in strong.title and strong.sure and 0.5 < strong.strength < 1
    assert not none.sure
    exact = effects.query(
        "task == 'direct-one' and bias_type == 'a' and ratio == 0.5 and contrast == 'against matched control'"
    )
    assert f"{100 * exact['estimate'].iloc[0]:+.1f}" == strong.text


def test_moved_items_are_those_that_changed():
    table = outcomes()
    found = moved_items(table, MEASURES, seed=0)
    assert len(found["direct-one"]) == 10
    lookup = table.set_index(["task", "arm", "item_id"])["score"]
    for m in found["direct-one"]:
        assert (
            lookup["direct-one", f"{m['kind']}-0.5", m["item"]]
            != lookup["direct-one", "neutral-0.5", m["item"]]
        )
