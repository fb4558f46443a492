"""Looks after each seed: the error over all of them stays at α, and the plan is spent to the end."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import yaml

from probate.core.errors import InputError
from probate.execution.folder import RunFolder
from probate.stats.contrast import contrast, over_seeds
from probate.stats.seeds import p_value
from probate.stats.sequential import spent, stage_level
from probate.study.schema import Analysis, Study


def test_the_levels_sum_to_alpha():
    for planned in (3, 5, 10):
        levels = [stage_level(s, planned, 0.05) for s in range(2, planned + 1)]
        assert sum(levels) == pytest.approx(0.05) and levels == sorted(levels)
    assert spent(1, 0.05) == pytest.approx(0.05) and spent(0.5, 0.05) < 0.01
    assert stage_level(2, 0, 0.05) == stage_level(2, 2, 0.05) == 0.05
    for beyond, planned in ((7, 5), (3, 2)):
        with pytest.raises(
            InputError,
            match=(
                rf"analysis.planned_seeds: the study has {beyond} "
                rf"seeds, but {planned} are planned; .* none is left"
            ),
        ):
            stage_level(beyond, planned, 0.05)


def test_a_study_with_more_seeds_than_planned_is_refused_with_what_to_do(tmp_path):
    file = tmp_path / "study.yaml"
    file.write_text("seeds: [0, 1, 2, 3]\nanalysis: {planned_seeds: 3}\n", encoding="utf-8")
    with pytest.raises(
        InputError, match=r"study.yaml.*4 seeds, but 3 are planned.*keep 3 seeds, or plan 4 in a new study"
    ):
        Study.load(file)
    assert Study.load(file, ["analysis.planned_seeds=4"]).analysis.planned_seeds == 4


def test_a_run_that_was_looked_at_keeps_its_plan(tmp_path):
    def study(seeds: int, planned: int | None) -> Study:
        return Study(seeds=list(range(seeds)), analysis=Analysis(planned_seeds=planned))

    folder = RunFolder(tmp_path)
    folder.check_plan(study(9, None))  # no run there yet
    (tmp_path / "study.lock.yaml").write_text(
        yaml.safe_dump({"study": study(3, 5).model_dump(mode="json")}), encoding="utf-8"
    )
    folder.check_plan(study(9, 9))  # not looked at yet
    (tmp_path / "effects.parquet").touch()
    folder.check_plan(study(5, 5))
    folder.check_plan(study(3, 4))
    for seeds, planned in ((5, 9), (9, 9), (9, None)):
        with pytest.raises(
            InputError,
            match=r"study.lock.yaml has 5, and its results were already analysed .* set it to 5 again",
        ):
            folder.check_plan(study(seeds, planned))


def test_a_run_of_more_seeds_than_planned_is_no_traceback(tmp_path):
    own = Study(seeds=[0, 1, 2]).model_dump(mode="json")
    own["analysis"]["planned_seeds"] = 2
    (tmp_path / "study.lock.yaml").write_text(yaml.safe_dump({"study": own}), encoding="utf-8")
    with pytest.raises(
        InputError, match=r"study.lock.yaml: analysis.planned_seeds: the study has 3 seeds, but 2 are planned"
    ):
        RunFolder(tmp_path).study()


def test_looking_after_each_seed_does_not_err_more_often():
    rng, planned, runs = np.random.default_rng(0), 8, 3000
    by_seed = rng.normal(0, 0.05, (1, runs)) + rng.normal(0, 0.05, (planned, runs))
    errors = {}
    for analysis in (Analysis(), Analysis(planned_seeds=planned)):
        found = np.zeros(runs, dtype=bool)
        for s in range(2, planned + 1):
            own = stage_level(s, analysis.planned_seeds or 0, 0.05)
            first = by_seed[:s]
            p = p_value(first.mean(0), 0.05**2, first.var(0, ddof=1) / s, 199, s - 1) * 0.05 / own
            found |= p <= 0.05
            assert over_seeds(first[:, 0].mean(), 0.05**2, first[None, :, 0], 199, analysis)[
                2
            ] == pytest.approx(min(1, p[0]))
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
        contrast(frames, Analysis(resamples=400, planned_seeds=n), paired=True, share=False)
        for n in (6, 3, None)
    )
    assert early.high - early.low > done.high - done.low > plain.high - plain.low
    assert early.p >= done.p >= plain.p and early.p > plain.p and early.within > plain.within
