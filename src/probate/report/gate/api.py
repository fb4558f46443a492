"""The gate from Python."""

from __future__ import annotations

from pathlib import Path

from probate.report.gate.decide import FAIL, UNSURE, Gate, TaskGate, check


class CannotTell(AssertionError):
    """The interval crosses the limit: at this n neither is shown."""


def assert_no_inheritance(
    folder: str | Path,
    *,
    max_gap: float = 0.05,
    tasks: list[str] | None = None,
    mitigation: str = "none",
    unsure: str = "stop",
) -> None:
    """Raise unless every change of a gap in the run is shown to lie within ±`max_gap`.

    Args:
        folder: a run folder.
        max_gap: limit in the tasks' unit (0.05: five points).
        tasks: tasks to look at; default: all that measure shares.
        mitigation: judge the arms with this mitigation.
        unsure: `stop` raises `CannotTell`, `fail` an AssertionError, `pass` lets it pass.

    Raises:
        AssertionError: a change is shown to be larger; the message has a line for each.
        CannotTell: none is, but some interval crosses the limit.
        InputError: no run folder, or a task that it does not have.
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
