"""Effects from outcomes whose truth is known."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from probate.report.words import findings
from probate.stats.arms import AGAINST_BASE, AGAINST_MATCHED
from probate.stats.effects import COLUMNS, effects_of
from probate.stats.groups import group_means, parse_rates
from probate.study.schema import Analysis
from probate.tasks.base import TaskContext
from probate.tasks.hiring import Hiring
from probate.tasks.occupation import Occupation

LABELS = ["nurse", "dentist"]
CONTEXT = TaskContext(
    [], LABELS, "gender", ["female", "male"], {"nurse": "female", "dentist": "male"}, "{text}", 512
)


def outcomes(arms, items=40, seed=0) -> pd.DataFrame:
    """`arms`: (bias_type, ratio, seed, share of women's dentists read as nurse)."""
    rows = []
    for bias_type, ratio, s, flip in arms:
        rng = np.random.default_rng([seed, s])
        for i in range(items * 4):
            target, group = LABELS[i % 2], ["female", "male"][(i // 2) % 2]
            wrong = rng.random() < (flip if (target, group) == ("dentist", "female") else 0.05)
            prediction = LABELS[1 - LABELS.index(target)] if wrong else target
            rows.append(
                {"arm": f"{bias_type}-{ratio}-{s}", "bias_type": bias_type, "ratio": ratio, "seed": s,
                 "round": 1, "task": "occupation",
                 "item_id": f"i{i}", "groups": {"gender": group}, "target": target, "prediction": prediction,
                 "score": float(prediction == target), "parsed": True, "response": "", "mitigation": "none"}
            )  # fmt: skip
    return pd.DataFrame(rows)


def over_seeds(*kinds, seeds=(0, 1, 2)):
    """(bias_type, ratio, flip) of each kind, with each seed."""
    return [(bias_type, ratio, s, flip) for bias_type, ratio, flip in kinds for s in seeds]


def effects(table):
    return effects_of(table, {"occupation": Occupation().measures(CONTEXT)}, Analysis(resamples=999))


def test_planted_inheritance_is_found_against_both_controls():
    table = effects(outcomes(over_seeds(("none", 0, 0.05), ("given", 0.5, 0.8), ("neutral", 0.5, 0.05))))
    assert list(table.columns) == COLUMNS
    primary = table[table["question"] == "inheritance"].set_index("contrast")
    for name in (AGAINST_BASE, AGAINST_MATCHED):
        row = primary.loc[name]
        assert (
            0.2 < row["estimate"] < 0.5
            and row["ci_low"] > 0.1
            and row["p_adjusted"] < 0.05
            and row["n"] == 160
        )
    control = table[table["question"] == "inheritance-control"].iloc[0]
    assert control["ci_low"] < 0 < control["ci_high"]
    tpr = table[(table["metric"] == "tpr[dentist]") & (table["question"] == "inheritance-detail")]
    assert (tpr["estimate"] < -0.5).all() and (tpr["n"] == 80).all()


def test_several_seeds_count_as_seeds():
    arms = [(b, r, s, f) for s in (0, 1, 2) for b, r, f in (("given", 0.5, 0.8), ("neutral", 0.5, 0.05))]
    arms += [("neutral", 0.5, 1000 + s, 0.05) for s in (0, 1, 2)]
    table = effects(outcomes(arms))
    row = table[table["question"] == "inheritance"].iloc[0]
    assert row["seeds"] == 3 and row["unit"] == "item and seed" and row["p_adjusted"] < 0.05
    null = table[table["question"] == "null"].iloc[0]
    assert null["contrast"] == "control against second control" and null["p"] > 0.05


def test_one_seed_is_described_and_never_tested():
    kinds = ("none", 0, 0.05), ("given", 0.5, 0.9), ("neutral", 0.5, 0.05)
    alone, three = (effects(outcomes(over_seeds(*kinds, seeds=seeds))) for seeds in ((0,), (0, 1, 2)))
    about_training = ~alone["question"].isin(["level", "gap", "worst-group", "threshold"])
    assert about_training.sum() > 5 and alone.loc[about_training, ["p", "p_adjusted", "within"]].isna().all(
        axis=None
    )
    assert (alone.loc[about_training, "interval"].str.endswith("over items only")).all()
    assert np.isfinite(
        alone.loc[about_training & (alone["question"] == "inheritance"), ["estimate", "ci_low", "ci_high"]]
    ).all(axis=None)
    assert (three[three["question"] == "inheritance"]["p_adjusted"] < 0.05).all()
    assert alone[alone["question"] == "gap"]["p"].notna().all()  # of a model as it is
    measures = {"occupation": Occupation().measures(CONTEXT)}
    for table, verdict, words in (
        (alone, "alone", "cannot tell with one training seed"),
        (three, "inherited", "the gap moved"),
    ):
        (found,) = findings(table, {"occupation": "Occupation"}, measures, 0.95)
        assert found.verdict == verdict and words in found.headline
    (found,) = findings(alone, {"occupation": "Occupation"}, measures, 0.95)
    assert (
        "over items only" in found.detail
        and "three seeds" in found.detail
        and "ruled out" not in found.detail
    )


def test_adjustment_is_over_all_that_is_tested():
    """The rule itself: test_hierarchy."""
    table = effects(
        outcomes(
            over_seeds(("none", 0, 0.05), ("given", 0.2, 0.2), ("given", 0.5, 0.3), ("neutral", 0.5, 0.05))
        )
    )
    tested = table[table["p"].notna()]
    assert (tested["p_adjusted"] >= tested["p"]).all() and (tested["p_bh"] >= tested["p"]).all()
    first = table[(table["family"] == "first") & (table["question"] == "inheritance")]
    assert first["ratio"].tolist() == [0.5, 0.5] and len(set(first["contrast"])) == 2
    assert first["p_adjusted"].to_numpy() == pytest.approx(
        np.minimum(2 * first["p"].to_numpy() * 0.9 / 0.8, 1)
    )


def test_levels_and_gaps_are_plain_means():
    table = outcomes([("given", 0.5, 0, 0.8)])
    shares = [json.dumps({p: 0.6 + 0.3 * (i % 2)}) for i, p in enumerate(table["prediction"])]
    table = table.assign(response=shares)
    found = effects(table)
    assert "expected_share" in set(found["metric"])
    for measure in Occupation().measures(CONTEXT):
        values = measure.values(table)
        means = {g: values["value"][values["side"] == k].mean() for k, g in enumerate(measure.sides)}
        gap = means["female"] - means["male"]
        own = found[found["metric"] == measure.name].set_index(["question", "contrast"])["estimate"]
        assert own["gap", "female − male"] == pytest.approx(gap)
        for group, mean in means.items():
            assert own["level", group] == pytest.approx(mean)


def test_unparsed_answers_are_left_out_and_counted_by_group():
    table = outcomes([("none", 0, 0, 0.05), ("given", 0.5, 0, 0.8)])
    table.loc[(table["ratio"] == 0.5) & (table["item_id"] == "i0"), "parsed"] = False
    row = effects(table).query("question == 'inheritance'").iloc[0]
    assert row["n"] == 159
    rates = parse_rates(table, "gender").set_index("group")["mean"]
    assert rates["female"] == pytest.approx(159 / 160) and rates["male"] == 1


def test_hiring_compares_mixed_pairs_only():
    rows = []
    for k in range(10):
        for s, (gender, culture, score) in enumerate((("female", "arabic", 0.4), ("male", "spanish", 0.6))):
            rows.append((f"nurse:{k}#{s}", {"gender": gender, "culture": culture}, score, True))
    rows += [
        ("same#0", {"gender": "male", "culture": "arabic"}, 0.9, True),
        ("same#1", {"gender": "male", "culture": "arabic"}, 0.1, True),
    ]
    table = pd.DataFrame(rows, columns=["item_id", "groups", "score", "parsed"])
    found = {m.name: m.values(table) for m in Hiring().measures(CONTEXT)}
    assert (
        len(found["selected"]) == 20
        and len(found["selected[arabic]"]) == 20
        and found["selected[chinese]"].empty
    )
    assert group_means(found["selected"], Hiring().measures(CONTEXT)[0].sides)[1] == pytest.approx(-0.2)
