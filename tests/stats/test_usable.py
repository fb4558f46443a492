"""Unusable answers: whatever their pattern, no number comes of a side that has none.

What is missing is said.
"""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import f1_score

from probate.report import words
from probate.report.gate.decide import FAIL, UNSURE, _of_task, judge_row, verdict
from probate.stats import comparisons
from probate.stats.comparisons import ANY
from probate.stats.effects import effects_of
from probate.stats.measure import Measure, by_group, everyone, frame, labels_frame
from probate.stats.usable import Asked, values_of, values_of_arms
from probate.study.plan import REPLICATE_SEED, Arm
from probate.study.schema import Analysis

QUICK = Analysis(resamples=200)
GROUPS = ("female", "male", "other")
EACH = 4
"""Items of a group."""


def measure(kind: str, groups: int) -> Measure:
    if kind == "macro_f1":
        return Measure(
            name="m",
            title="m",
            unit="share",
            sides=("all",),
            values=lambda o: labels_frame(o, everyone(o)),
            primary=True,
            better="higher",
            statistic="macro_f1",
        )
    side = by_group("g", GROUPS[:groups])
    unit = "share" if kind == "share" else "US$"
    return Measure(
        name="m",
        title="m",
        unit=unit,
        toward=lambda a, b: f"{a} more than {b}",
        sides=GROUPS[:groups],
        values=lambda o: frame(o, side(o), o["score"]),
        primary=True,
        better="higher",
    )


def arms(rng: np.random.Generator) -> list[Arm]:
    """Control, biased and matched arm, each with 1 to 3 seeds.

    At random a second dose, a mitigated arm, a second round and a replicate.
    """
    kinds = [("none", 0.0, "none", 1), ("given", 0.5, "none", 1), ("neutral", 0.5, "none", 1)]
    more = [
        ("given", 0.2, "none", 1),
        ("given", 0.5, "mask", 1),
        ("given", 0.5, "none", 2),
        ("replicate", 0.5, "none", 1),
    ]
    kinds += [k for k in more if rng.random() < 0.15]
    found = []
    for seed in range(rng.choice([1, 2, 3], p=[0.7, 0.2, 0.1])):
        for kind, ratio, mitigation, number in kinds:
            twin = kind == "replicate"
            role = {"none": "base", "given": "biased"}.get(kind, "replicate" if twin else "matched")
            found.append(
                Arm(
                    "neutral" if twin else kind, ratio, seed + REPLICATE_SEED * twin, role, mitigation, number
                )
            )
    return found


def outcomes(
    planned: list[Arm], kind: str, groups: int, rng: np.random.Generator, each: int = EACH
) -> pd.DataFrame:
    """Items of each group in every arm, of which some are unusable by a random pattern.

    An unusable one has a score of 0, which must not count.
    """
    rows = []
    for arm in planned:
        if rng.random() < 0.03:
            continue  # an arm that failed
        for group in GROUPS[:groups]:
            lost = rng.choice([0.0, 0.3, 0.8, 1.0], p=[0.55, 0.2, 0.1, 0.15])
            for i in range(each):
                usable = rng.random() >= lost
                score = float(rng.integers(2)) if kind != "dollars" else float(rng.normal(60_000, 5_000))
                rows.append({
                    "arm": arm.name, "bias_type": arm.bias_type, "ratio": arm.ratio, "seed": arm.seed,
                    "mitigation": arm.mitigation, "round": arm.round,
                    "task": "t", "item_id": f"{group}{i}", "groups": {"g": group}, "target": "ab"[i % 2],
                    "parsed": usable,
                    "prediction": str(rng.choice(["a", "b"])) if usable else "",
                    "score": score if usable else 0.0, "response": "",
                })  # fmt: skip
    columns = (
        "arm bias_type ratio seed mitigation round task "
        "item_id groups target parsed prediction score response"
    ).split()
    return pd.DataFrame(rows, columns=columns)


def value(table: pd.DataFrame, m: Measure, comparison: str, own: pd.DataFrame | None = None) -> float:
    """Of usable rows, computed anew; NaN where a group has none.

    With `own`, of the change between them and those before.
    """
    if m.statistic == "macro_f1":
        found = [
            f1_score(t["target"], t["prediction"], labels=["a", "b"], average="macro", zero_division=0)
            for t in (table, own)
        ]
        return found[0] - found[1]
    by = table.groupby("group")["score"].mean().reindex(m.sides)
    first = comparison.partition(" − ")[0]
    if by.isna().any():
        return np.nan
    return float(by[first] - table.loc[table["group"] != first, "score"].mean())


def changed(table: pd.DataFrame, row: pd.Series, m: Measure) -> float:
    """The change of an effect by hand.

    Over the seeds in which both arms have each group (each label) on common items.
    """
    usable = table[table["parsed"]].assign(group=lambda t: t["groups"].map(lambda g: g["g"]))
    at = {
        "bias_type": row["bias_type"],
        "ratio": row["ratio"],
        "mitigation": row["mitigation"],
        "round": row["round"],
    }
    other = (
        {"bias_type": "neutral"}
        if row["contrast"] == "against matched control"
        else {"bias_type": "none", "ratio": 0.0}
    )
    before = at | {"mitigation": "none"} | other
    before = before | ({"round": 1} if other["bias_type"] == "none" else {})
    found, kept = [], []
    for seed in range(3):
        a, b = (
            usable[(usable[[*w]] == pd.Series(w)).all(axis=1) & (usable["seed"] == seed)]
            for w in (at, before)
        )
        a, b = a[a["item_id"].isin(b["item_id"])], b[b["item_id"].isin(a["item_id"])]
        if m.statistic == "macro_f1" and set(a["target"]) == {"a", "b"}:
            found.append(value(a, m, "", b))
        elif set(a["group"]) == set(m.sides):
            both = a.merge(b[["item_id", "score"]], on="item_id", suffixes=("", "_before"))
            kept.append(both.assign(score=both["score"] - both["score_before"]))
    if m.statistic == "macro_f1":
        return float(np.mean(found)) if found else np.nan
    if not kept:
        return np.nan
    whole = pd.concat(kept).groupby(["item_id", "group"], as_index=False)["score"].mean()
    if row["comparison"] == ANY:
        return value(whole, m, f"{row['note'].partition(': ')[2].partition(';')[0]} − rest")
    return value(whole, m, row["comparison"])


@pytest.mark.parametrize(
    ("kind", "groups", "patterns"),
    [("share", 2, 350), ("dollars", 2, 250), ("share", 3, 100), ("macro_f1", 2, 300)],
)
def test_a_thousand_patterns_of_pairs(kind, groups, patterns, monkeypatch):
    """A change is finite just where some seed has a usable item in common of each group (label).

    Then it is what numpy gives by hand.
    """
    m, rng, defined = measure(kind, groups), np.random.default_rng([groups, len(kind)]), 0
    side, items = np.repeat(np.arange(groups), EACH), [f"i{i}" for i in range(groups * EACH)]
    target = np.tile(["a", "b"], groups * EACH)[: groups * EACH]
    scale = 10_000 if kind == "dollars" else 1
    for _ in range(patterns):
        seeds = rng.integers(1, 4 if kind != "macro_f1" else 2)
        usable = (
            rng.random((seeds, 2, len(side)))
            < rng.choice([0.0, 0.3, 1.0], (seeds, 2, groups), p=[0.2, 0.3, 0.5])[..., side]
        )
        values = np.where(usable, scale * rng.random(usable.shape), np.nan)
        said = rng.choice(["a", "b"], usable.shape)

        def table(seed: int, arm: int, usable=usable, values=values, said=said) -> pd.DataFrame:
            keep = np.flatnonzero(usable[seed, arm])
            return pd.DataFrame({
                "item_id": [items[i] for i in keep], "side": side[keep] * (kind != "macro_f1"),
                "value": values[seed, arm, keep],
                "target": target[keep], "prediction": said[seed, arm, keep],
            })  # fmt: skip

        pairs = [(table(s, 0), table(s, 1)) for s in range(seeds)]
        asked = Asked(frozenset(range(groups)), frozenset("ab")) if kind == "macro_f1" else None
        both = usable.all(1)
        parts = [target == x for x in "ab"] if kind == "macro_f1" else [side == g for g in range(groups)]
        whole = np.array([all(both[s, part].any() for part in parts) for s in range(seeds)])
        for comparison, e in comparisons.changes(pairs, m, QUICK, asked):
            if not whole.any():
                assert np.isnan([e.value, e.low, e.high, e.p, e.within]).all(), e
            elif comparison == ANY:
                assert np.isfinite(e.value)
            elif kind == "macro_f1":
                f1 = [
                    f1_score(
                        target[both[0]],
                        said[0, arm, both[0]],
                        labels=["a", "b"],
                        average="macro",
                        zero_division=0,
                    )
                    for arm in (0, 1)
                ]
                assert e.value == pytest.approx(f1[0] - f1[1], abs=1e-6)
            else:
                kept = np.where(both[whole], values[whole, 0] - values[whole, 1], np.nan)
                with np.errstate(invalid="ignore"):
                    mean = np.nansum(kept, 0) / (~np.isnan(kept)).sum(0)
                first = side == m.sides.index(comparison.partition(" − ")[0])
                assert e.value == pytest.approx(
                    np.nanmean(mean[first]) - np.nanmean(mean[~first]), abs=1e-9 * scale
                )
                assert e.seeds == whole.sum()
        defined += whole.any()
    assert 0.2 * patterns < defined < 0.95 * patterns


@pytest.mark.parametrize(
    ("kind", "groups"), [("share", 2), ("share", 3), ("dollars", 2), ("dollars", 3), ("macro_f1", 2)]
)
def test_no_pattern_of_unusable_answers_gives_a_number_from_a_missing_side(kind, groups):
    """Whole studies: each effect against a computation by hand, then the report's sentences and the gate."""
    m, rng, defined, undefined = measure(kind, groups), np.random.default_rng([groups, len(kind)]), 0, 0
    for _ in range(8 if kind == "macro_f1" else 2 if groups == 3 else 4):
        planned = arms(rng)
        table = outcomes(planned, kind, groups, rng)
        found = effects_of(table, {"t": [m]}, QUICK, arms=planned)
        numbers = found[["estimate", "ci_low", "ci_high", "p", "p_adjusted", "within"]]
        lost = found["reason"] != ""
        assert (found["estimate"].isna() == lost).all() and numbers[lost].isna().all(axis=None)
        own = found[found["question"].isin(["inheritance", "mitigated"])]
        for _, row in own.iterrows():
            by_hand = changed(table, row, m)
            if kind == "macro_f1" and len({a.seed % REPLICATE_SEED for a in planned}) > 1:
                continue  # over the items of all seeds
            assert row["estimate"] == pytest.approx(by_hand, nan_ok=True, abs=1e-9), row["reason"]
            defined, undefined = defined + np.isfinite(by_hand), undefined + np.isnan(by_hand)
        said = words.findings(
            found[(found["mitigation"] == "none") & (found["round"] == 1)], {"t": "T"}, {"t": [m]}, 0.95
        )
        decisive = own[
            (own["contrast"] == "against matched control")
            & (own["mitigation"] == "none")
            & (own["round"] == 1)
        ]
        if (decisive["reason"] != "").any():
            assert said[0].verdict in ("undefined", "inherited") and "undefined" in said[0].detail
            assert "no sign" not in said[0].headline and "ruled out" not in said[0].detail
        gate = decisive[decisive["ratio"] == decisive["ratio"].max()]
        decisions = _of_task(gate, "t", 1e9, ["given"])
        if (gate["reason"] != "").any():
            assert verdict(decisions) in (UNSURE, FAIL) and any(
                "undefined: " in d.sentence for d in decisions
            )
    assert defined and undefined


def study_of(
    lost: dict[tuple[str, str], int], items: int = 40, seeds: int = 1
) -> tuple[pd.DataFrame, list[Arm]]:
    """Control, biased and matched arm.

    `lost`: (bias type, group) → its first answers that cannot be used, in seed 0.
    """
    rng = np.random.default_rng(0)
    planned = [
        Arm(kind, ratio, seed, role)
        for kind, ratio, role in (
            ("none", 0.0, "base"),
            ("given", 0.5, "biased"),
            ("neutral", 0.5, "matched"),
        )
        for seed in range(seeds)
    ]
    table = outcomes(planned, "share", 2, np.random.default_rng(1), items)
    table = pd.concat([
        pd.DataFrame([{
            "arm": a.name, "bias_type": a.bias_type, "ratio": a.ratio, "seed": a.seed, "mitigation": "none",
            "round": 1, "task": "t",
            "item_id": f"{g}{i}", "groups": {"g": g}, "target": "a", "prediction": "a",
            "score": float(rng.integers(2)), "response": "",
            "parsed": not (a.seed == 0 and i < lost.get((a.bias_type, g), 0)),
        } for g in GROUPS[:2] for i in range(items)]) for a in planned
    ])  # fmt: skip
    return table, planned


def effects(lost: dict[tuple[str, str], int], **settings: int) -> pd.DataFrame:
    table, planned = study_of(lost, **settings)
    return effects_of(table, {"t": [measure("share", 2)]}, QUICK, arms=planned)


def test_the_reason_names_group_and_arm_and_the_difference_is_a_finding():
    found = effects({("neutral", "female"): 40})
    (row,) = found[
        (found["question"] == "inheritance") & (found["contrast"] == "against matched control")
    ].to_dict("records")
    assert (
        np.isnan(row["estimate"])
        and row["reason"] == "no usable answer of group 'female' in arm 'neutral-0.5-s0' (0 of 40)"
    )
    against_base = found[(found["question"] == "inheritance") & (found["contrast"] == "against γ = 0")].iloc[
        0
    ]
    assert np.isfinite(against_base["estimate"]) and against_base["reason"] == against_base["note"] == ""
    (aside,) = words.unusable_findings(found, {"t": "T"}, 0.95)
    assert aside.verdict == "unusable" and "not one of 40 answers can be used" in aside.detail
    line = words.summary([aside, *words.findings(found, {"t": "T"}, {"t": [measure("share", 2)]}, 0.95)])
    assert "n 1 of 1 task it cannot be told" in line and "answers that cannot be used differ" in line
    assert (
        words.unusable_findings(effects({}), {"t": "T"}, 0.95) == []
        and not (effects({})["question"] == "unusable").any()
    )


def test_a_seed_without_a_side_is_left_out_and_named():
    found = effects({("given", "male"): 40}, seeds=3)
    row = found[(found["question"] == "inheritance") & (found["contrast"] == "against matched control")].iloc[
        0
    ]
    assert row["seeds"] == 2 and row["note"].startswith(
        "1 of 3 seeds left out (seed 0: no usable answer of group 'male' in arm 'given-0.5-s0'"
    )
    said = words.findings(found, {"t": "T"}, {"t": [measure("share", 2)]}, 0.95)[0].detail
    assert "1 of 3 seeds left out" in said


def test_a_planned_arm_that_failed_leaves_undefined_effects():
    table, planned = study_of({})
    found = effects_of(
        table[table["bias_type"] != "neutral"], {"t": [measure("share", 2)]}, QUICK, arms=planned
    )
    row = found[(found["question"] == "inheritance") & (found["contrast"] == "against matched control")].iloc[
        0
    ]
    assert row["reason"] == "arm 'neutral-0.5-s0' has no answers of this task"
    none = effects_of(table.iloc[:0], {"t": [measure("share", 2)]}, QUICK, arms=planned)
    assert len(none) and (none["reason"] != "").all()


def test_the_gate_asks_whether_the_unusable_answers_could_change_its_verdict():
    row = {
        "reason": "",
        "estimate": 0.0,
        "ci_low": -0.03,
        "ci_high": 0.03,
        "unusable": 0.0,
        "bound_low": np.nan,
        "bound_high": np.nan,
        "seeds": 3,
    }
    assert judge_row(SimpleNamespace(**row), 0.05)[0] == "pass"
    found, why = judge_row(SimpleNamespace(**row | {"seeds": 1}), 0.05)
    assert found == "cannot tell" and "one training seed" in why
    few = row | {"unusable": 0.01, "bound_low": -0.01, "bound_high": 0.01}
    assert judge_row(SimpleNamespace(**few), 0.05)[0] == "pass"
    many = row | {"unusable": 0.2, "bound_low": -0.2, "bound_high": 0.2}
    found, why = judge_row(SimpleNamespace(**many), 0.05)
    assert found == "cannot tell" and "20.0% of a group's answers" in why
    dollars = row | {"unusable": 0.2}
    assert judge_row(SimpleNamespace(**dollars), 0.05)[0] == "cannot tell"


def test_the_bounds_hold_what_any_answers_would_have_given():
    lost = {("given", "female"): 6, ("neutral", "male"): 3}
    row = effects(lost).query("question == 'inheritance' and contrast == 'against matched control'").iloc[0]
    table, planned = study_of(lost)
    rng = np.random.default_rng(2)
    for _ in range(3):
        filled = table.assign(parsed=True)
        filled["score"] = filled["score"].where(table["parsed"], rng.integers(0, 2, len(table)).astype(float))
        whole = effects_of(filled, {"t": [measure("share", 2)]}, QUICK, arms=planned)
        got = whole.query("question == 'inheritance' and contrast == 'against matched control'").iloc[0][
            "estimate"
        ]
        assert row["bound_low"] - 1e-9 <= got <= row["bound_high"] + 1e-9


def rows_of(arms: int, items: int) -> tuple[pd.DataFrame, dict[int, np.ndarray]]:
    """Outcomes of some arms, and the places of each arm's rows; rows of the arms alternate."""
    draw = np.random.default_rng(0)
    table = pd.DataFrame(
        {
            "arm": [f"a{n % arms}" for n in range(arms * items)],
            "item_id": [f"i{n // arms}" for n in range(arms * items)],
            "side": [n // arms % 2 for n in range(arms * items)],
            "score": draw.normal(size=arms * items),
            "parsed": draw.random(arms * items) < 0.9,
        }
    )
    table.loc[3, "score"] = np.inf
    return table, {n: np.flatnonzero(table["arm"] == f"a{n}") for n in range(arms)}


def by_row(outcomes):
    return frame(outcomes, outcomes["side"], outcomes["score"])


def centred(outcomes):
    return frame(outcomes, outcomes["side"], outcomes["score"] - outcomes["score"].replace(np.inf, 0).mean())


def renumbered(outcomes):
    return by_row(outcomes).reset_index(drop=True)


@pytest.mark.parametrize(("values", "at_once"), [(by_row, True), (centred, False), (renumbered, False)])
def test_values_of_all_arms_at_once_are_those_of_each(values, at_once):
    asked: list[int] = []

    def counted(outcomes):
        asked.append(len(outcomes))
        return values(outcomes)

    outcomes, rows = rows_of(20, 30)
    measure = Measure(name="m", title="m", unit="x", sides=("a", "b"), values=counted, primary=True)
    names = {n: f"arm {n}" for n in range(21)}  # the last one has no outcomes
    found = values_of_arms(measure, outcomes, rows, names)
    calls = len(asked)
    assert (calls <= 2 + 2 * 3) == at_once
    assert list(found) == list(range(21)) and found[20].frame.empty and found[20].asked.empty
    for n, own in rows.items():
        one = values_of(measure, outcomes.iloc[own], f"arm {n}")
        assert found[n].arm == one.arm
        pd.testing.assert_frame_equal(found[n].frame, one.frame)
        pd.testing.assert_frame_equal(found[n].asked, one.asked)


def test_no_outcomes_give_no_values():
    measure = Measure(name="m", title="m", unit="x", sides=("a", "b"), values=by_row, primary=True)
    outcomes, _ = rows_of(1, 4)
    assert values_of_arms(measure, outcomes.iloc[:0], {}, {0: "a"})[0].frame.empty
    assert values_of_arms(measure, outcomes, {}, {}) == {}
