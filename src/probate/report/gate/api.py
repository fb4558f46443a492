"""The gate as a Python function."""

from __future__ import annotations

from pathlib import Path

from probate.report.gate.decide import FAIL, UNSURE, Gate, TaskGate, check


class CannotTell(AssertionError):
    """The interval crosses the limit: at this n, neither pass nor fail is shown."""


def assert_no_inheritance(
    folder: str | Path,
    *,
    max_gap: float = 0.05,
    tasks: list[str] | None = None,
    mitigation: str = "none",
    unsure: str = "stop",
) -> None:
    """Raise unless every change of a gap in the run is shown to lie within ±`max_gap`.

    Parameters
    ----------
    folder : str or Path
        Run folder.
    max_gap : float, default=0.05
        Limit in the unit of the tasks (0.05: five points).
    tasks : list of str, optional
        Tasks to judge. By default, all tasks that measure shares.
    mitigation : str, default="none"
        Judge the arms with this mitigation.
    unsure : {"stop", "fail", "pass"}, default="stop"
        What to do if the gate cannot tell: raise `CannotTell`, raise an `AssertionError`, or return.

    Raises
    ------
    AssertionError
        A change is shown to be larger. The message has one line for each such change.
    CannotTell
        No change is shown to be larger, but some interval crosses the limit.
    InputError
        `folder` is not a run folder, or the run does not have a task or the mitigation.
    """
    gate = Gate.model_validate(
        {
            "max_gap": max_gap,
            "tasks": {t: TaskGate(max_gap=None) for t in tasks or []},
            "mitigation": mitigation,
            "unsure": unsure,
        }
    )
    decision = check(folder, gate)
    verdict = decision.verdict
    said = "\n".join(j.sentence for j in decision.judgements if j.verdict == verdict)
    if verdict == FAIL or (verdict == UNSURE and unsure == "fail"):
        raise AssertionError(said)
    if verdict == UNSURE and unsure == "stop":
        raise CannotTell(said)
