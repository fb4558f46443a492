"""Logging a finished run to MLflow: parameters, effects as metrics, report and tables as artifacts."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import numpy as np

from probate.core.errors import InputError
from probate.core.plugins import require
from probate.execution.folder import RunFolder

TRACKERS = ("mlflow",)
ARTIFACTS = (
    "report.html",
    "effects.parquet",
    "outcomes.parquet",
    "study.lock.yaml",
    "data-card.md",
    "croissant.json",
    "failures.json",
)
QUESTIONS = ("inheritance", "coefficient", "mitigation", "mitigated", "probe", "round", "dose-slope")


def check_tracker(name: str) -> None:
    """Check a tracker before anything is trained.

    Raises
    ------
    InputError
        There is no such tracker, or its library is missing.
    """
    if name not in TRACKERS:
        raise InputError(f"--track {name}: must be one of {', '.join(TRACKERS)}")
    require("mlflow", "mlflow")


def track(path: Path) -> str:
    """Log a finished run to MLflow.

    Parameters
    ----------
    path : Path
        The run folder.

    Returns
    -------
    str
        Where the run was logged: `MLFLOW_TRACKING_URI` if it is set, else a file store `mlruns` beside the
        run folder.

    Raises
    ------
    InputError
        The library is missing, or the run is not finished.
    """
    mlflow: Any = require("mlflow", "mlflow")
    folder = RunFolder(path)
    study, effects = folder.study(), folder.effects()
    uri = os.environ.get("MLFLOW_TRACKING_URI") or (path.resolve().parent / "mlruns").as_uri()
    os.environ.setdefault("MLFLOW_ALLOW_FILE_STORE", "true")  # needed for a file store by newer versions
    mlflow.set_tracking_uri(uri)
    mlflow.set_experiment("probate")
    with mlflow.start_run(run_name=f"{study.name} ({path.name})"):
        mlflow.log_params({key: str(value)[:500] for key, value in _flat(study.model_dump(mode="json"))})
        rows = effects[effects["question"].isin(QUESTIONS)]
        for r in rows.itertuples():
            name = _metric_name(
                f"{r.question}/{r.task}/{r.metric}/{r.bias_type}/g{r.ratio:g}/{r.mitigation}/r{r.round}"
                f"/{r.contrast}/{r.comparison}"
            )
            values = {
                "/estimate": r.estimate,
                "/ci_low": r.ci_low,
                "/ci_high": r.ci_high,
                "/p_adjusted": r.p_adjusted,
            }
            mlflow.log_metrics({f"{name}{key}": float(v) for key, v in values.items() if np.isfinite(v)})
        mlflow.log_metric("failures", len(folder.failures()))
        for artifact in ARTIFACTS:
            if (path / artifact).is_file():
                mlflow.log_artifact(str(path / artifact))
    return uri


def _flat(value: Any, key: str = "") -> list[tuple[str, Any]]:
    if isinstance(value, dict):
        return [pair for k, v in value.items() for pair in _flat(v, f"{key}.{k}" if key else str(k))]
    return [(key, value)]


def _metric_name(text: str) -> str:
    """Return `text` with only the characters that MLflow allows, at most 200 of them."""
    text = text.replace("−", "-").replace("γ = ", "g")
    return re.sub(r"[^A-Za-z0-9_\-. /]", "_", text)[:200]
