"""The page of a study with many effects lists some of them, and says which."""

from __future__ import annotations

from probate.execution.folder import RunFolder
from probate.report import page


def test_a_long_list_has_the_tests_of_the_correction_first(finished_run, tmp_path, monkeypatch):
    run = finished_run(tmp_path / "r")
    assert f"Every effect in effects.parquet ({len(run.effects)} rows)" in run.report.read_text()
    first = run.effects[~run.effects["family"].isin(["details", ""])]
    assert 0 < len(first) < len(run.effects)
    monkeypatch.setattr(page, "LISTED", len(first))
    listed = page._listed(run.effects)
    assert sorted(listed.index) == sorted(first.index)
    page.build_report(RunFolder(tmp_path / "r"))
    assert (
        f"{len(first)} of the {len(run.effects)} effects in effects.parquet: first questions"
        in run.report.read_text()
    )


def test_a_short_list_has_all_changes_and_then_levels(finished_run, tmp_path):
    effects = finished_run(tmp_path / "r").effects
    listed = page._listed(effects)["question"].eq("level").tolist()
    assert len(listed) == len(effects) and listed == sorted(listed)
