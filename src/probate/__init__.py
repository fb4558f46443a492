"""Probate shows what a language model inherits from synthetic training data, why, and what stops it.

from probate import Report, Study, run

result = run(Study.load("quickstart"), "runs/quickstart")
result.effects            # a pandas frame
Report("runs/quickstart") # reads a run folder again, without a model
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from probate.report.pipeline import RunResult
    from probate.report.pipeline import run_study as run
    from probate.report.results import Report
    from probate.study.schema import Study

__all__ = ["Report", "RunResult", "Study", "run"]

_HOMES = {
    "Study": "probate.study.schema",
    "run": "probate.report.pipeline:run_study",
    "RunResult": "probate.report.pipeline",
    "Report": "probate.report.results",
}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(_HOMES[name].partition(":")[0]), _HOMES[name].partition(":")[2] or name)
    raise AttributeError(f"module 'probate' has no attribute '{name}'")
