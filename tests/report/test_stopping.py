"""Mitigations in a study: arms, weights, comparison, and what the report says of them."""

from __future__ import annotations

import itertools
import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

from probate import run
from probate.core.errors import InputError
from probate.report import stopping, words
from probate.report.frontier import Mark, best, frontier_chart
from probate.stats.effects import effects_of
from probate.stats.measure import Measure, by_group, frame
from probate.study.schema import Analysis, Study
from probate.train.losses import Example, completion_loss

SIDE = by_group("gender", ["female", "male"])
MEASURES = {
    "t": [
        Measure(
            name="m",
            title="share",
            unit="share",
            toward=lambda a, b: f"{a} more than {b}",
            sides=("female", "male"),
            values=lambda o: frame(o, SIDE(o), o["score"]),
            primary=True,
        ),
        Measure(
            name="accuracy",
            title="accuracy",
            unit="share",
            sides=("female", "male"),
            values=lambda o: frame(o, SIDE(o), o["right"]),
            better="higher",
        ),
    ]
}


def outcomes(
    gaps: dict[str, float], accuracy: dict[str, float], n: int = 300, seeds: int = 3
) -> pd.DataFrame:
    """One arm a mitigation and seed, with the given gap in `score` and accuracy.

    The control has neither gap nor loss.
    """
    rng = np.random.default_rng(0)
    rows = []
    kinds = [("none", 0.0, "none"), ("neutral", 0.5, "none"), *(("given", 0.5, m) for m in gaps)]
    for seed, (bias_type, ratio, mitigation) in itertools.product(range(seeds), kinds):
        gap = gaps[mitigation] if bias_type == "given" else 0.0
        right = accuracy.get(mitigation, 0.9) if bias_type == "given" else 0.9
        for i in range(n):
            group = ["female", "male"][i % 2]
            chance = 0.5 + gap / 2 * (1 if group == "female" else -1)
            rows.append(
                {"arm": f"{bias_type}-{ratio}-{mitigation}", "bias_type": bias_type, "ratio": ratio,
                 "seed": seed, "round": 1, "task": "t",
                 "item_id": f"i{i}", "groups": {"gender": group}, "target": "x", "prediction": "x",
                 "response": "{}",
                 "score": float(rng.random() < chance), "right": float(rng.random() < right), "parsed": True,
                 "mitigation": mitigation}
            )  # fmt: skip
    return pd.DataFrame(rows)


def judged(
    gaps: dict[str, float], accuracy: dict[str, float], seeds: int = 3
) -> tuple[list[stopping.Entry], str]:
    effects = effects_of(outcomes(gaps, accuracy, seeds=seeds), MEASURES, Analysis(resamples=2000))
    found = stopping.entries(effects, MEASURES)
    return found, stopping.recommendation(found, stopping.costs(effects, ["t"]))


def test_what_helps_harms_or_does_nothing_is_told_apart():
    gaps = {"none": 0.5, "cure": 0.0, "void": 0.5, "worse": 0.95, "turned": -0.6}
    found, advice = judged(gaps, {})
    assert {e.mitigation: e.verdict for e in found} == {
        "cure": "helps", "void": "not shown", "worse": "harms", "turned": "overshoots",
    }  # fmt: skip
    cure = found[0]
    assert cure.inherited_sure and cure.low < cure.change < cure.high and abs(cure.change + 0.5) < 0.2
    assert cure.change == pytest.approx(cure.left - cure.inherited, abs=1e-9)
    assert advice.startswith("cure: it helps in 1 of 1 task that shows inheritance")


def test_no_recommendation_where_none_is_due():
    assert judged({"none": 0.0, "cure": 0.0}, {})[1].startswith("No task shows inheritance at this n")
    assert judged({"none": 0.5, "void": 0.5}, {})[1] == "No mitigation is shown to help at this n."
    found, advice = judged({"none": 0.5, "blunt": 0.0}, {"blunt": 0.6})
    assert (
        found[0].verdict == "helps" and advice == "No mitigation is shown to help at this n."
    )  # it loses 30 points of accuracy


def test_the_head_says_what_a_mitigation_leaves():
    def said(gaps: dict[str, float], accuracy: dict[str, float] | None = None) -> list[str]:
        effects = effects_of(outcomes(gaps, accuracy or {}), MEASURES, Analysis(resamples=2000))
        sentences = stopping.in_words(effects, MEASURES, 0.95)
        plain = effects[effects["mitigation"] == "none"]
        (found,) = words.findings(plain, {"t": "T"}, MEASURES, 0.95, mitigated=sentences)
        assert found.asides == tuple(sentences.get("t", ()))
        return list(found.asides)

    (text,) = said({"none": 0.5, "void": 0.5, "cure": 0.0})
    assert text.startswith("With the mitigation cure, ") and "of the change remain (95% interval" in text
    assert "It moved the gap by −" in text and "accuracy over all groups by" in text
    assert said({"none": 0.5, "void": 0.5}) == ["void is not shown to help."]
    assert said({"none": 0.5, "a": 0.5, "b": 0.5}) == ["None of the 2 mitigations is shown to help."]
    assert "By the rule below, it is not recommended." in said({"none": 0.5, "blunt": 0.0}, {"blunt": 0.6})[0]
    assert said({"none": 0.0, "cure": 0.0}) == []


def test_the_head_says_what_the_second_control_shows():
    def said(chance: float) -> str:
        table = outcomes({"none": 0.5}, {})
        again = table[table["bias_type"] == "neutral"].assign(arm="again", seed=lambda t: t["seed"] + 1000)
        again["score"] = np.where(
            again["groups"].map(lambda g: g["gender"] == "female") & (chance > 0), 1.0, again["score"]
        )
        effects = effects_of(pd.concat([table, again]), MEASURES, Analysis(resamples=2000))
        (found,) = words.findings(effects, {"t": "T"}, MEASURES, 0.95)
        (text,) = found.asides
        return text

    assert said(0).startswith("The second control shows no sign: the two controls differ only by chance")
    assert said(1).startswith("Chance alone is shown to change this")


@pytest.mark.parametrize("gaps", [{"none": 0.0, "cure": 0.0}, {"none": 0.9, "cure": 0.0}])
def test_one_seed_neither_finds_nor_clears(gaps):
    found, advice = judged(gaps, {}, seeds=1)
    assert [(e.verdict, e.reason) for e in found] == [("cannot tell", "one training seed")]
    assert advice == (
        "Cannot tell whether there is inheritance to mitigate. "
        "1 of 1 comparisons cannot be judged: one training seed."
    )


def test_the_smallest_visible_change_has_an_interval_and_needs_seeds():
    found = judged({"none": 0.5, "cure": 0.0}, {})[0]
    one = outcomes({"none": 0.5, "cure": 0.0}, {}, seeds=1)
    more = pd.concat(
        [one.assign(seed=s, score=one["score"].sample(frac=1, random_state=s).to_numpy()) for s in range(4)]
    )
    (least,) = stopping.smallest(found, MEASURES, more, Analysis())
    assert 0 < least.low < least.value < least.high and not least.reason
    assert stopping.smallest(found, MEASURES, one, Analysis())[0].reason.startswith("one training seed: ")


def test_a_gap_that_only_moves_is_called_out():
    base = stopping.Entry("m", "one", "b", 0.5, 0.3, True, -0.3, -0.4, -0.2, 0.001, 0.0, -0.1, 0.1, "helps")
    other = stopping.Entry("m", "two", "b", 0.5, 0.1, False, 0.2, 0.1, 0.3, 0.001, 0.3, 0.2, 0.4, "harms")
    assert stopping.movers([base, other], {"one": "One", "two": "Two"}) == [
        "m only shifts the gap: it helps in One, and widens or reverses the gap in Two."
    ]
    assert stopping.recommendation([base, other], {}) == "No mitigation is shown to help at this n."


def test_a_gap_that_moves_to_another_group_is_called_out():
    base = stopping.Entry("m", "one", "b", 0.5, 0.3, True, -0.3, -0.4, -0.2, 0.001, 0.0, -0.1, 0.1, "helps")
    group = replace(base, verdict="harms", group="older")
    assert stopping.movers([base, group], {"one": "One"}) == [
        "m only shifts the gap: it helps in One, and widens or reverses the gap in One (older)."
    ]
    assert (
        len(
            stopping.entries(
                effects_of(outcomes({"none": 0.5, "m": 0.1}, {}), MEASURES, Analysis(resamples=500)), MEASURES
            )
        )
        == 1
    )


def test_the_frontier_has_what_no_other_beats():
    marks = [Mark(name, (a, a - 0.1, a + 0.1), (left, left - 0.1, left + 0.1)) for name, a, left in (
        ("keeps", 0.0, 0.4), ("middle", -0.02, -0.1), ("beaten", -0.03, 0.2), ("cures", -0.2, 0.0),
        ("twin", -0.2, 0.0),
    )]  # fmt: skip
    assert [m.label for m in best(marks)] == ["keeps", "middle", "cures", "twin"]
    chart = frontier_chart(marks, 0.5, unit="share", title="T", alt="A <b>", salt="s")
    assert chart.startswith("<svg") and all(m.label in chart for m in marks) and "A &lt;b&gt;" in chart


def test_weights_weigh_the_loss(lm):
    examples = [Example([5, 6, 7, i], [8, 9], w) for i, w in ((10, 1.0), (11, 2.5))]
    with torch.no_grad():
        one, two = (
            completion_loss(lm.model, [Example(e.prompt, e.completion)], lm.pad_id)[0] for e in examples
        )
        both, tokens = completion_loss(lm.model, examples, lm.pad_id)
    assert tokens == 4 and float(both) == pytest.approx(float(one) + 2.5 * float(two), rel=1e-4)


def test_a_study_with_mitigations(tiny_study, tmp_path):
    study = tiny_study(
        tasks=["occupation"],
        mitigations=[
            "mask",
            ["counterfactual", "mask"],
            "reweight",
            {"name": "token", "options": {"placement": "system"}},
        ],
    )
    result = run(study, tmp_path, quiet=True)
    assert result.exit_code == 0, result.failures
    keys = ["none", "mask", "counterfactual+mask", "reweight", "token"]
    assert list(dict.fromkeys(result.outcomes["mitigation"])) == keys
    assert {f"given-0.5-s0-{k}" for k in keys[1:]} < set(result.outcomes["arm"])
    effects = result.effects
    assert set(effects[effects["question"] == "mitigation"]["mitigation"]) == set(keys[1:])
    assert len(effects[(effects["question"] == "mitigation-cost")]) == 4
    assert set(effects[effects["question"].str.startswith("inheritance")]["mitigation"]) == {"none"}
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "What stops it" in page and "counterfactual+mask" in page
    lines = [
        json.loads(x) for x in (tmp_path / "data/mitigated/given-0.5-s0-mask.jsonl").read_text().splitlines()
    ]
    augmented = [x for x in lines if x["origin"] == "augmented"]
    assert augmented and all("mitigations" in x for x in augmented)
    assert all("mitigations" not in x for x in lines if x["origin"] == "original")
    again = run(study, tmp_path, quiet=True)
    assert again.outcomes.equals(result.outcomes)


def test_a_mitigation_that_cannot_work_fails_its_arm_only(tiny_study, tmp_path):
    study = tiny_study(tasks=["occupation"], mitigations=["rebalance", "mask"])
    rows = run(study, tmp_path, quiet=True)
    names = set(rows.outcomes["mitigation"])
    assert "mask" in names and ("rebalance" in names or "rebalance" in rows.failures[0]["error"])


@pytest.mark.parametrize(
    ("mitigations", "message"),
    [
        (["mask", "mask"], "two have the same name"),
        ([["mask", "counterfactual"]], "put counterfactual first"),
        (["masks"], "no mitigation 'masks'"),
        ([{"name": "mask", "options": {"mod": 1}}], "mask.options.mod"),
    ],
)
def test_bad_mitigations_are_said_before_anything_runs(tiny_study, tmp_path, mitigations, message):
    with pytest.raises((InputError, ValueError), match=message):
        run(tiny_study(mitigations=mitigations), tmp_path, quiet=True)
    assert not (tmp_path / "adapters").exists()


def test_short_forms():
    study = Study.model_validate(
        {
            "mitigations": [
                "mask",
                ["mask", "token"],
                {"name": "token", "alias": "said", "options": {"placement": "user"}},
            ]
        }
    )
    assert [m.key for m in study.mitigations] == ["mask", "mask+token", "said"]
    assert study.mitigations[2].strategies[0].options == {"placement": "user"}
    assert Study.model_validate(study.model_dump(mode="json")) == study
