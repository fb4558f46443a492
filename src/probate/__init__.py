"""Probate shows what a language model inherits from synthetic training data, why, and what stops it.

import probate as pb

study = pb.Study.preset("demo")
run = pb.run(study, "runs/demo")
run.findings              # sentences
run.effects               # a pandas frame
pb.check(run, max_gap=0.05)
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from probate.audits.report import Audit
    from probate.core.errors import InputError, ProbateError, StageError
    from probate.interface import (
        Calibration,
        PlanSummary,
        audit,
        calibrate,
        check,
        compare,
        load_builtin,
        merge,
        mitigate,
        plan,
        run,
    )
    from probate.report.comparison.compare import Comparison
    from probate.report.gate.decide import Decision
    from probate.report.notebook import Figure
    from probate.report.results import Run
    from probate.study.schema import Study

    __version__: str

__all__ = [
    "Audit",
    "Calibration",
    "Comparison",
    "Decision",
    "Figure",
    "InputError",
    "PlanSummary",
    "ProbateError",
    "Run",
    "StageError",
    "Study",
    "__version__",
    "audit",
    "calibrate",
    "check",
    "compare",
    "load_builtin",
    "merge",
    "mitigate",
    "plan",
    "run",
]


_ROOMS = {
    "Audit": "audits.report",
    "Comparison": "report.comparison.compare",
    "Decision": "report.gate.decide",
    "Figure": "report.notebook",
    "InputError": "core.errors",
    "ProbateError": "core.errors",
    "Run": "report.results",
    "StageError": "core.errors",
    "Study": "study.schema",
}
"""Modules of the names that `probate.interface` does not define; a module is loaded when its name is used."""


def __getattr__(name: str) -> Any:
    if name == "__version__":
        return import_module("importlib.metadata").version("probate")
    if name in __all__:
        return getattr(import_module(f"probate.{_ROOMS.get(name, 'interface')}"), name)
    raise AttributeError(f"module 'probate' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted({*__all__, *(name for name in globals() if name.startswith("__"))})
