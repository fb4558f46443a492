"""Simulated studies are judged as real ones are, and what is said of a design holds."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from probate.stats.contrast import contrast, paired_difference
from probate.stats.simulate import Design, draw, draw_shares, judge, required_size, simulate, smallest_visible
from probate.study.schema import Analysis

ANALYSIS = Analysis(resamples=400)


@pytest.mark.parametrize("drawing", [draw, draw_shares])
@pytest.mark.parametrize(
    "design",
    [
        Design(40, 0.3),
        Design(40, 0.3, kind="gap"),
        Design(40, 0.3, seeds=3, seed_sd=0.1),
        Design(20, 0.05),
        Design(41, 0.9, seeds=2),
    ],
)
def test_all_runs_at_once_equal_contrast_run_by_run(design, drawing):
    if drawing is draw_shares and not design.paired:
        pytest.skip("a gap of probabilities has no binomial interval")
    values, _ = drawing(design, 0.2, 12, np.random.default_rng(0))
    estimate, low, high, p = judge(values, design, ANALYSIS)
    half = design.n // 2
    for run in range(12):
        frames = [
            pd.DataFrame(
                {
                    "item_id": [f"i{i:03}" for i in range(design.n)],
                    "side": [int(i >= half) for i in range(design.n)],
                    "value": v[:, run],
                }
            )
            for v in values.reshape(-1, *values.shape[2:]).astype(float)
        ]
        if design.paired:
            frames = [
                paired_difference(*pair)
                for pair in zip(frames[: design.seeds], frames[design.seeds :], strict=True)
            ]
        one = contrast(frames, ANALYSIS, paired=design.paired, share=True)
        assert estimate[run] == pytest.approx(one.value, abs=1e-6)
        assert (low[run], high[run]) == pytest.approx((one.low, one.high), abs=2e-3, nan_ok=True)
        assert p[run] == pytest.approx(one.p, abs=6e-3, nan_ok=True)


def test_rates_hold_and_effects_are_found():
    none = simulate(Design(200, 0.4, seeds=3), 0.0, ANALYSIS, 500)
    assert none.rejected <= 0.07 and none.coverage >= 0.93 and abs(none.bias) < 0.01
    large = simulate(Design(200, 0.4, seeds=3), 0.5, ANALYSIS, 300)
    assert large.rejected > 0.95
    cut = simulate(Design(50, 0.95), 0.5, ANALYSIS, 50)
    assert cut.effect == pytest.approx(0.3)  # the chance of the first group ends at 1


def test_the_smallest_visible_effect_is_found_four_times_in_five():
    design = Design(120, 0.5)
    size = smallest_visible(design, ANALYSIS)
    assert simulate(design, size, ANALYSIS, 1500, seed=9).rejected == pytest.approx(0.8, abs=0.06)
    assert smallest_visible(Design(8, 0.05), ANALYSIS) == np.inf


def test_more_items_are_needed_for_less():
    design = Design(60, 0.5)
    large, small = (required_size(design, e, ANALYSIS, what="n", runs=200) for e in (0.5, 0.25))
    assert large is not None and small is not None and large < small
    assert required_size(design, 0.001, ANALYSIS, what="n", runs=100) is None


def test_the_true_effect_of_drawn_probabilities_is_their_mean():
    design = Design(4000, 0.3, seeds=4, seed_sd=0.05)
    values, truth = draw_shares(design, 0.2, 20, np.random.default_rng(1))
    change = (values[0] - values[1]).mean((0, 2))
    gaps = (values[0] - values[1])[:, :2000].mean((0, 1)) - (values[0] - values[1])[:, 2000:].mean((0, 1))
    assert gaps.mean() == pytest.approx(truth, abs=0.02) and truth > 0.05
    assert abs(change.mean()) < 0.02 and values.min() >= 0 and values.max() <= 1


def test_two_trainings_agree_on_probabilities_as_the_design_says():
    values, _ = draw_shares(Design(2000, 0.5, seeds=2, agreement=0.6), 0.0, 1, np.random.default_rng(2))
    odds = np.log(values / (1 - values))
    assert np.corrcoef(odds[0, 0, :, 0], odds[0, 1, :, 0])[0, 1] == pytest.approx(0.6, abs=0.05)
