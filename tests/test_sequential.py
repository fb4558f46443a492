"""Looks after each seed: the error over all of them stays at α, and the plan is spent to the end."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from probate.analyze.contrast import contrast, over_seeds
from probate.analyze.seeds import p_value
from probate.analyze.sequential import level, spent
from probate.study import Analysis


def test_the_levels_sum_to_alpha():
    for planned in (3, 5, 10):
        levels = [level(s, planned, 0.05) for s in range(2, planned + 1)]
        assert sum(levels) == pytest.approx(0.05) and levels == sorted(levels)
    assert spent(1, 0.05) == pytest.approx(0.05) and spent(0.5, 0.05) < 0.01
    assert level(2, 0, 0.05) == level(2, 2, 0.05) == 0.05
    assert level(7, 5, 0.05) == level(5, 5, 0.05)


def test_looking_after_each_seed_does_not_err_more_often():
    rng, planned, runs = np.random.default_rng(0), 8, 3000
    by_seed = rng.normal(0, 0.05, (1, runs)) + rng.normal(0, 0.05, (planned, runs))
    errors = {}
    for analysis in (Analysis(), Analysis(planned_seeds=planned)):
        found = np.zeros(runs, dtype=bool)
        for s in range(2, planned + 1):
            own = level(s, analysis.planned_seeds or 0, 0.05)
            first = by_seed[:s]
            p = p_value(first.mean(0), 0.05**2, first.var(0, ddof=1) / s, 199, s) * 0.05 / own
            found |= p <= 0.05
            assert over_seeds(first[:, 0].mean(), 0.05**2, first[:, 0], 199, analysis)[2] == pytest.approx(min(1, p[0]))
        errors[analysis.planned_seeds] = found.mean()
    assert errors[planned] <= 0.06 < errors[None]


def test_fewer_seeds_than_planned_are_wider():
    rng = np.random.default_rng(1)
    frames = [
        pd.DataFrame(
            {
                "item_id": [f"i{i}" for i in range(60)],
                "side": np.arange(60) % 2,
                "value": rng.normal(0, 1, 60) + 0.3 * (np.arange(60) % 2),
            }
        )
        for _ in range(3)
    ]
    early, done, plain = (
        contrast(frames, Analysis(resamples=400, planned_seeds=n), paired=True, share=False) for n in (6, 3, None)
    )
    assert early.high - early.low > done.high - done.low > plain.high - plain.low
    assert early.p >= done.p >= plain.p and early.p > plain.p and early.within > plain.within
