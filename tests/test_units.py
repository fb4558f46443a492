"""Linked records are one unit: matched pairs, what was made from one parent, a cluster of the user's."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from probate.analyze.effects import effects_of
from probate.records import Record
from probate.study import Analysis, Source
from probate.tasks.base import Measure, by_group, frame
from probate.testing import sample_context

SIDE = by_group("gender", ["female", "male"])
MEASURE = Measure("m", "mean", "US$", "", ("female", "male"), lambda o: frame(o, SIDE(o), o["score"]), True)


@pytest.mark.parametrize(
    ("provenance", "expected"),
    [
        ({}, "o:1"), ({"pair": "p"}, "p#o:1"), ({"parent": "q"}, "q#o:1"), ({"pair": "p", "parent": "q"}, "p#o:1"),
        ({"cluster": "c", "pair": "p"}, "c#o:1"), ({"pair": "a#b"}, "a/b#o:1"), ({"pair": ""}, "o:1"),
    ],
)  # fmt: skip
def test_an_item_names_the_unit_that_it_was_drawn_with(provenance, expected):
    assert Record("o:1", "t", "x", {}, provenance=provenance).item_id == expected


def test_the_builtin_twins_are_one_unit_and_a_users_cluster_is_too(tmp_path):
    from probate.readers import read_source
    from probate.tasks.occupation import Occupation

    context = sample_context()
    items = Occupation().items(context)
    assert len({i.id.split("#")[0] for i in items}) == len(items) / 2
    rows = [{"text": f"text {i}", "label": "ab"[i % 2], "gender": ["f", "m"][i // 2 % 2], "author": f"w{i // 4}"} for i in range(12)]
    pd.DataFrame(rows).to_csv(tmp_path / "d.csv", index=False)
    source = Source.model_validate({"source": str(tmp_path / "d.csv"), "columns": {"cluster": "author"}})
    records = read_source(source, tmp_path, "original").records
    assert {r.item_id.split("#")[0] for r in records} == {"w0", "w1", "w2"}


def outcomes(linked: bool, effect: float, rng: np.random.Generator, seeds: int = 3, pairs: int = 45) -> pd.DataFrame:
    """Twins whose answers have most in common; the arm's gap is wider by `effect`."""
    rows = []
    for bias_type, ratio in (("neutral", 0.5), ("given", 0.5)):
        common = rng.normal(0, 3, pairs)  # of the two of a pair, in all seeds
        for seed in range(seeds):
            for i in range(2 * pairs):
                group, pair = ["female", "male"][i % 2], i // 2
                own = common[pair] + rng.normal(0, 0.3) + (effect if group == "female" and bias_type == "given" else 0)
                rows.append(
                    {"arm": f"{bias_type}-{ratio}-s{seed}", "bias_type": bias_type, "ratio": ratio, "seed": seed, "round": 1, "task": "t", "item_id": f"p{pair}#{i}" if linked else f"i{i}",
                     "groups": {"gender": group}, "target": "x", "prediction": "x", "response": "", "score": own, "parsed": True, "mitigation": "none"}
                )  # fmt: skip
    return pd.DataFrame(rows)


def test_linking_twins_finds_what_they_show_and_stays_at_its_level():
    def p(linked: bool, effect: float, run: int) -> float:
        table = outcomes(linked, effect, np.random.default_rng([run, int(10 * effect)]))
        found = effects_of(table, {"t": [MEASURE]}, Analysis(resamples=300))
        row = found.query("question == 'inheritance'").iloc[0]
        assert row["unit"] == ("pair and seed" if linked else "item and seed") and row["n"] == (45 if linked else 90)
        return float(row["p"])

    power = [np.mean([p(linked, 0.5, run) < 0.05 for run in range(20)]) for linked in (False, True)]
    assert power[0] <= 0.3 and power[1] >= 0.9
    assert np.mean([p(True, 0.0, run) < 0.05 for run in range(100)]) <= 0.11  # two errors above 0.05
