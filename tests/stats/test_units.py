"""Linked records are one unit: matched pairs, what was made from one parent, a cluster of the user's."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from probate.core.records import Record
from probate.stats.contrast import contrast
from probate.stats.effects import effects_of
from probate.stats.measure import Measure, by_group, frame
from probate.stats.resample import Dyads
from probate.study.schema import Analysis, Source
from probate.tasks.hiring import Hiring
from probate.testing import sample_context

SIDE = by_group("gender", ["female", "male"])
MEASURE = Measure(
    name="m",
    title="mean",
    unit="US$",
    sides=("female", "male"),
    values=lambda o: frame(o, SIDE(o), o["score"]),
    primary=True,
)


@pytest.mark.parametrize(
    ("provenance", "expected"),
    [
        ({}, "o:1"), ({"pair": "p"}, "p#o:1"), ({"parent": "q"}, "q#o:1"),
        ({"pair": "p", "parent": "q"}, "p#o:1"),
        ({"cluster": "c", "pair": "p"}, "c#o:1"), ({"pair": "a#b"}, "a/b#o:1"), ({"pair": ""}, "o:1"),
    ],
)  # fmt: skip
def test_an_item_names_the_unit_that_it_was_drawn_with(provenance, expected):
    assert Record("o:1", "t", "x", {}, provenance=provenance).item_id == expected


def test_the_builtin_twins_are_one_unit_and_a_users_cluster_is_too(tmp_path):
    from probate.data.readers import read_source
    from probate.tasks.occupation import Occupation

    context = sample_context()
    items = Occupation().items(context)
    assert len({i.id.split("#")[0] for i in items}) == len(items) / 2
    rows = [
        {"text": f"text {i}", "label": "ab"[i % 2], "gender": ["f", "m"][i // 2 % 2], "author": f"w{i // 4}"}
        for i in range(12)
    ]
    pd.DataFrame(rows).to_csv(tmp_path / "d.csv", index=False)
    source = Source.model_validate({"source": str(tmp_path / "d.csv"), "columns": {"cluster": "author"}})
    records = read_source(source, tmp_path, "original").records
    assert {r.item_id.split("#")[0] for r in records} == {"w0", "w1", "w2"}


def outcomes(
    linked: bool, effect: float, rng: np.random.Generator, seeds: int = 3, pairs: int = 45
) -> pd.DataFrame:
    """Twins whose answers have most in common; the arm's gap is wider by `effect`."""
    rows = []
    for bias_type, ratio in (("neutral", 0.5), ("given", 0.5)):
        common = rng.normal(0, 3, pairs)  # of the two of a pair, in all seeds
        for seed in range(seeds):
            for i in range(2 * pairs):
                group, pair = ["female", "male"][i % 2], i // 2
                own = (
                    common[pair]
                    + rng.normal(0, 0.3)
                    + (effect if group == "female" and bias_type == "given" else 0)
                )
                rows.append(
                    {"arm": f"{bias_type}-{ratio}-s{seed}", "bias_type": bias_type, "ratio": ratio,
                     "seed": seed, "round": 1, "task": "t", "item_id": f"p{pair}#{i}" if linked else f"i{i}",
                     "groups": {"gender": group}, "target": "x", "prediction": "x", "response": "",
                     "score": own, "parsed": True, "mitigation": "none"}
                )  # fmt: skip
    return pd.DataFrame(rows)


def test_linking_twins_finds_what_they_show_and_stays_at_its_level():
    def p(linked: bool, effect: float, run: int) -> float:
        table = outcomes(linked, effect, np.random.default_rng([run, int(10 * effect)]))
        found = effects_of(table, {"t": [MEASURE]}, Analysis(resamples=300))
        row = found.query("question == 'inheritance'").iloc[0]
        assert row["unit"] == ("pair and seed" if linked else "item and seed") and row["n"] == (
            45 if linked else 90
        )
        return float(row["p"])

    power = [np.mean([p(linked, 0.5, run) < 0.05 for run in range(20)]) for linked in (False, True)]
    assert power[0] <= 0.3 and power[1] >= 0.9
    assert np.mean([p(True, 0.0, run) < 0.05 for run in range(100)]) <= 0.11  # two errors above 0.05


def hired(rng: np.random.Generator, names: float, effect: float = 0.0, jobs: int = 6) -> pd.DataFrame:
    """The hiring task's own pairs.

    Each name is liked more or less (sd `names`), in every job and pair that it is in.
    """
    task = Hiring.from_options({"jobs": [f"job {j}" for j in range(jobs)]})
    liked: dict[str, float] = {}
    rows = []
    for pairing in task._pairings(sample_context()):
        for _, gender, name in (pairing.one, pairing.two):
            liked.setdefault(name, rng.normal(0, names) + (effect / 2 if gender == "female" else -effect / 2))
        share = 0.5 + (liked[pairing.one[2]] - liked[pairing.two[2]]) / 2 + rng.normal(0, 0.05)
        for k, (who, own) in enumerate(((pairing.one, share), (pairing.two, 1 - share))):
            groups = {"culture": who[0], "gender": who[1]}
            rows.append({"item_id": f"{pairing.id}#{k}", "groups": groups, "score": own, "parsed": True})
    return pd.DataFrame(rows)


@pytest.mark.parametrize("metric", ["selected", "selected[arabic]"])
def test_names_that_recur_in_pairs_are_what_is_drawn(metric):
    """Without a gap between groups. By pairs alone it is found far more often than in 5% of samples."""
    measure = next(m for m in Hiring().measures(sample_context()) if m.name == metric)
    rng, found, plain = np.random.default_rng(0), [], []
    for _ in range(200):
        values = measure.values(hired(rng, 0.1))
        found.append(contrast([values], Analysis(), paired=False, share=True).p)
        values["item_id"] = values["item_id"].str.replace("@@", "+")
        plain.append(contrast([values], Analysis(), paired=False, share=True).p)
    assert np.mean(np.array(found) <= 0.05) <= 0.08 and np.mean(np.array(plain) <= 0.05) >= 0.15
    real = measure.values(hired(rng, 0.02, 0.1))
    assert metric != "selected" or contrast([real], Analysis(), paired=False, share=True).p < 0.01


def test_members_are_read_from_the_tasks_ids_only():
    """An id with the mark and no row of a member, or one member only, names nobody."""
    plain = pd.DataFrame(
        {"item_id": [f"a@@b{i}" for i in range(40)], "side": np.arange(40) % 2, "value": np.arange(40) % 3}
    )
    one, other = (
        contrast([f], Analysis(), paired=False, share=False)
        for f in (plain, plain.assign(item_id=[f"i{i}" for i in range(40)]))
    )
    assert (one.low, one.high, one.p) == pytest.approx(
        (other.low, other.high, other.p)
    ) and one.interval == other.interval


def test_dyads_are_the_double_sum_over_pairs_with_a_name_in_common():
    """The estimator of Aronow, Samii and Assenova (2015), computed pair by pair.

    With each kind of member's own n / (n − 1).
    """
    rng = np.random.default_rng(1)
    items = [f"{j}@@f{a}@@m{b}#{k}" for j in range(2) for a in range(4) for b in range(3) for k in (0, 1)]
    clusters = list(dict.fromkeys(i.partition("#")[0] for i in items))
    dyads = Dyads.of(items, [i.endswith("1") for i in items], clusters)
    u = rng.normal(0, 1, (2, len(clusters)))
    found, kinds = dyads.covariance(u)
    by_hand = np.zeros((2, 2))
    for x, c in enumerate(clusters):
        for y, d in enumerate(clusters):
            (a, b), (e, f) = c.split("@@")[1:], d.split("@@")[1:]
            weight = (a == e) * 4 / 3 + (b == f) * 3 / 2 - (a == e and b == f)
            by_hand += weight * np.outer(u[:, x], u[:, y])
    assert found == pytest.approx(by_hand) and [f for _, f in kinds] == [3, 2]


def test_a_table_s_clusters_are_the_units_of_compare(tmp_path):
    """Ten authors of twelve items each; the author, not the item, moves from A to B."""
    from probate.report.comparison.compare import run_compare

    rng, errors = np.random.default_rng(0), {"": 0, "author": 0}
    for run in range(60):
        moved = rng.normal(0, 1, 10)
        before = pd.DataFrame(
            [
                {"id": f"{a}-{i}", "author": f"w{a}", "score": rng.normal(), "sex": "fm"[a % 2]}
                for a in range(10)
                for i in range(12)
            ]
        )
        after = before.assign(score=before["score"] + np.repeat(moved, 12) + rng.normal(0, 0.3, 120))
        for name, table in (("a", before), ("b", after)):
            table.to_csv(tmp_path / f"{name}.csv", index=False)
        for cluster in errors:
            _, record = run_compare(
                str(tmp_path / "a.csv"), str(tmp_path / "b.csv"), [], ["gender=sex"], 0, 0.95, cluster
            )
            errors[cluster] += record["compared"][0]["p"] < 0.05
        if not run:
            before.rename(columns={"author": "cluster"}).to_csv(tmp_path / "a.csv", index=False)
            after.rename(columns={"author": "cluster"}).to_csv(tmp_path / "b.csv", index=False)
            own = run_compare(str(tmp_path / "a.csv"), str(tmp_path / "b.csv"), [], ["gender=sex"], 0, 0.95)[
                1
            ]
            assert [c["p"] for c in own["compared"]] == [c["p"] for c in record["compared"]]
    assert errors["author"] <= 8 and errors[""] >= 20


def test_a_column_that_is_not_there_is_said(tmp_path):
    from probate.core.errors import InputError
    from probate.report.comparison.read import read_results

    pd.DataFrame({"id": [1, 2], "score": [0, 1], "author": "x"}).to_csv(tmp_path / "a.csv", index=False)
    with pytest.raises(InputError, match=r"--cluster: .*a\.csv has no column 'autor'.*author"):
        read_results(str(tmp_path / "a.csv"), None, "autor")


def test_texts_of_one_author_are_one_unit(tmp_path):
    from probate.tasks.catalogue import load_task

    rows = [
        {"text": f"this is text {i}", "label": ["offensive", "fine"][i % 2], "author": f"a#{i // 4}"}
        for i in range(12)
    ]
    pd.DataFrame(rows).to_csv(tmp_path / "t.csv", index=False)
    task = load_task("offensive", {"data": str(tmp_path / "t.csv"), "columns": {"cluster": "author"}})
    assert {i.id.split("#")[0] for i in task.items(sample_context())} == {"a_0", "a_1", "a_2"}
