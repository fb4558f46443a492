"""Looks after each seed: the error over all of them stays at α, and the plan is spent to the end."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from probate.analyze.contrast import contrast, over_seeds
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
    rng, planned, runs = np.random.default_rng(0), 8, 1500
    plain, planful = Analysis(), Analysis(planned_seeds=planned)
    errors = {False: 0, True: 0}
    for _ in range(runs):
        item = rng.normal(0, 0.05)
        seeds = item + rng.normal(0, 0.05, planned)
        for sequential, analysis in ((False, plain), (True, planful)):
            looks = (over_seeds(seeds[:s].mean(), 0.05**2, seeds[:s], 200, analysis)[2] for s in range(2, planned + 1))
            errors[sequential] += any(p <= 0.05 for p in looks)
    assert errors[True] / runs <= 0.06 < errors[False] / runs


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
