"""Probate shows what a language model inherits from synthetic training data, why, and what stops it.

from probate import Report, Study, run

result = run(Study.load("quickstart"), "runs/quickstart")
result.effects            # a pandas frame
Report("runs/quickstart") # reads a run folder again, without a model
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from probate.report.api import Report
    from probate.runner import RunResult, run
    from probate.study import Study

__all__ = ["Report", "RunResult", "Study", "run"]

_HOMES = {"Study": "probate.study", "run": "probate.runner", "RunResult": "probate.runner", "Report": "probate.report.api"}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        from importlib import import_module

        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'probate' has no attribute '{name}'")
