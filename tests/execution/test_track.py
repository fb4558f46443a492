"""A run in MLflow's local file store, and what is said where it cannot be."""

from __future__ import annotations

import sys

import pytest
from typer.testing import CliRunner

from probate.commands.app import app
from probate.core.errors import InputError
from probate.execution.tracking import track


def test_a_run_is_logged(finished_run, tmp_path, monkeypatch):
    mlflow = pytest.importorskip("mlflow", reason="mlflow is not installed (extra mlflow)")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    result = finished_run(tmp_path / "run", tasks=["occupation"])
    uri = track(tmp_path / "run")
    assert uri == (tmp_path / "mlruns").as_uri()
    (found,) = mlflow.MlflowClient(uri).search_runs([mlflow.get_experiment_by_name("probate").experiment_id])
    assert found.data.params["training.epochs"] == "2" and found.data.metrics["failures"] == 0
    effects = result.effects
    row = effects[
        (effects["question"] == "inheritance") & (effects["contrast"] == "against matched control")
    ].iloc[0]
    name = "inheritance/occupation/stereotyped_share/given/g0.5/none/r1/against matched control/female - male"
    assert (
        found.data.metrics[f"{name}/estimate"] == pytest.approx(row["estimate"])
        and f"{name}/ci_low" in found.data.metrics
    )
    assert {a.path for a in mlflow.MlflowClient(uri).list_artifacts(found.info.run_id)} >= {
        "report.html",
        "effects.parquet",
        "data-card.md",
    }


def test_a_tracker_that_is_not_there_is_said_before_anything_runs(monkeypatch, tmp_path):
    for tracker, said in (("wandb", "must be one of mlflow"), ("mlflow", "pip install 'probate[mlflow]'")):
        monkeypatch.setitem(sys.modules, "mlflow", None)
        error = (
            CliRunner()
            .invoke(app, ["run", "self-written", "--track", tracker, "--out", str(tmp_path / "x")])
            .exception
        )
        assert isinstance(error, InputError) and said in str(error)
        assert not (tmp_path / "x").exists()
