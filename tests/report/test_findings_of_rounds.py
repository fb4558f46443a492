"""A finding covers all rounds: one without a change in round 1 is no reassurance about round 3."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from probate.report import words
from probate.stats.effects import effects_of
from probate.stats.measure import Measure, by_group, frame
from probate.study.plan import Arm
from probate.study.schema import Analysis

SIDE = by_group("g", ("female", "male"))
SHARE = Measure(
    name="share",
    title="share",
    unit="share",
    sides=("female", "male"),
    toward=lambda a, b: f"{a} more often",
    values=lambda o: frame(o, SIDE(o), o["score"]),
    primary=True,
)
ROUNDS = (1, 2, 3)


def effects(moved: int = 0, lost: int = 0, noisy: int = 0, matched: bool = True) -> pd.DataFrame:
    """Three seeds and rounds. In the biased arm, women's answers move, are lost or vary by seed in a round."""
    roles = [("none", 0.0, "base"), ("given", 0.5, "biased"), ("neutral", 0.5, "matched")]
    planned = [
        Arm(kind, ratio, seed, role, round=r)
        for kind, ratio, role in roles[: 3 if matched else 2]
        for r in ROUNDS
        for seed in range(3)
    ]
    rows = []
    for a in planned:
        draw = np.random.default_rng([a.seed, a.round])
        for group in ("female", "male"):
            own = a.bias_type == "given" and group == "female"
            share = 0.95 if own and a.round == moved else 0.5
            share = (0.1, 0.5, 0.9)[a.seed] if own and a.round == noisy else share
            for i in range(60):
                score = float(i < 60 * share + draw.integers(-1, 2))
                rows.append({
                    "arm": a.name, "bias_type": a.bias_type, "ratio": a.ratio, "seed": a.seed,
                    "mitigation": "none", "round": a.round, "task": "t", "item_id": f"{group}{i}",
                    "groups": {"g": group}, "target": "a", "prediction": "a", "score": score,
                    "response": "", "parsed": not (own and a.round == lost),
                })  # fmt: skip
    return effects_of(pd.DataFrame(rows), {"t": [SHARE]}, Analysis(resamples=200), arms=planned)


def finding(**settings) -> words.Finding:
    (said,) = words.findings(effects(**settings), {"t": "T"}, {"t": [SHARE]}, 0.95)
    return said


@pytest.mark.parametrize("matched", [True, False])
@pytest.mark.parametrize("number", ROUNDS)
def test_a_change_in_any_round_is_found_and_named(number, matched):
    said = finding(moved=number, matched=matched)
    assert said.verdict == "inherited"
    assert f"at γ = 0.5 in round {number}" in said.detail


@pytest.mark.parametrize("number", ROUNDS)
def test_a_round_without_usable_answers_leaves_it_open(number):
    said = finding(lost=number)
    assert said.verdict == "undefined" and "no sign" not in said.headline
    assert "ruled out" not in said.detail


def test_what_is_ruled_out_is_ruled_out_in_all_rounds():
    quiet, noisy = finding(), finding(noisy=3)
    assert quiet.verdict == noisy.verdict == "none"
    assert "in any of 3 comparisons" in quiet.detail and "in round 3" in noisy.detail

    def margin(said: words.Finding) -> float:
        return float(said.detail.split("A change of more than ")[1].split()[0])

    assert margin(noisy) > 5 * margin(quiet)
