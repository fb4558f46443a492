"""The rule of the gate, applied to the effects of a finished run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from pydantic import BaseModel, ConfigDict, Field

from probate.core.errors import InputError, nearest
from probate.execution.folder import RunFolder
from probate.report import notebook
from probate.report.words import ALPHA
from probate.stats.arms import AGAINST_BASE, AGAINST_MATCHED
from probate.stats.comparisons import ANY
from probate.stats.effects import ONE_SEED
from probate.stats.p_values import p_words
from probate.study.schema import Study
from probate.tasks.catalogue import load_task

PASS, FAIL, UNSURE = "pass", "fail", "cannot tell"
EXIT_CODES = {PASS: 0, FAIL: 1, UNSURE: 4}


class TaskGate(BaseModel):
    """The limit of one task."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    max_gap: float | None = Field(
        None, gt=0, description="Limit of this task, in its unit (0.05: five points)."
    )


class Gate(BaseModel):
    """The limits of a gate, as in a file for `probate check DIR --config gate.yaml`."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    max_gap: float = Field(
        0.05,
        gt=0,
        description="Largest change of a gap that may pass, in the task's unit (0.05: five points).",
    )
    tasks: dict[str, TaskGate] = Field(
        default_factory=dict,
        description=(
            "Tasks to judge, each with its own limit; by default, all tasks of the run that measure shares."
        ),
    )
    mitigation: str = Field(
        "none", description="Mitigation whose arms are judged; `none`: arms without a mitigation."
    )
    unsure: Literal["stop", "fail", "pass"] = Field(
        "stop",
        description="Result if the gate cannot tell: `stop` (exit code 4), `fail` (1) or `pass` (0).",
    )


@dataclass(frozen=True)
class Judgement:
    """One effect against its limit.

    Attributes
    ----------
    task, comparison, bias_type, contrast : str
        Which effect it is.
    ratio : float
        Its γ, 0 to 1.
    estimate, low, high : float
        Change of the gap and its interval, in the unit of the task.
    n : int
        Number of items.
    limit : float
        Largest size of the change that may pass, in the unit of the task.
    verdict : {"pass", "fail", "cannot tell"}
        Pass if the whole interval lies within ±limit, fail if the whole interval lies beyond it.
    reason : str
        Why the gate cannot tell, if the reason is not the interval: a side has no usable answers, or too many
        unusable ones.
    note : str
        What the estimate leaves out.
    """

    task: str
    comparison: str
    bias_type: str
    ratio: float
    contrast: str
    estimate: float
    low: float
    high: float
    n: int
    limit: float
    verdict: str
    reason: str = ""
    note: str = ""

    @property
    def sentence(self) -> str:
        """str: The judgement in words, with its numbers."""
        at = f" at γ {self.ratio:g}" if np.isfinite(self.ratio) else ""
        where = f"{self.task}, {self.comparison}, {self.bias_type} data{at}, {self.contrast}"
        if not np.isfinite(self.estimate):
            missing = (
                f"undefined: {self.reason}" if self.reason else "no such effect in the run; see its failures"
            )
            return f"{where}: {self.verdict}: {missing}"
        if not (np.isfinite(self.low) and np.isfinite(self.high)):
            return (
                f"{where}: {self.verdict}: {self.estimate:+.3f}, n {self.n}; "
                "it has no interval, because its values do not vary"
            )
        ends = f"{self.estimate:+.3f}, interval {self.low:+.3f} to {self.high:+.3f}, n {self.n}"
        why = {
            PASS: f"the whole interval lies within ±{self.limit:g}",
            FAIL: f"the whole interval lies beyond ±{self.limit:g}",
            UNSURE: f"the interval crosses ±{self.limit:g}; use more items or seeds "
            "(probate calibrate --from)",
        }[self.verdict]
        return f"{where}: {self.verdict}: {ends}; {self.reason or why}" + (
            f" ({self.note})" if self.note else ""
        )


@dataclass(frozen=True)
class Decision:
    """The decision of a gate: pass, fail, or cannot tell. Its truth value is true only for pass.

    Attributes
    ----------
    verdict : {"pass", "fail", "cannot tell"}
        `pass` if the interval of every effect lies within the limit, `fail` if the interval of one lies
        beyond it, else `cannot tell`.
    sentences : list of str
        One for each effect, with estimate, interval, n and the reason.
    conclusion : str
        The last line that `probate check` prints.
    exit_code : int
        The exit code of `probate check`: 0 pass, 1 fail, 4 cannot tell. The option `unsure` changes 4 to 1 or
        0.
    record : dict
        What `probate check --json` prints.

    Examples
    --------
    >>> import probate as pb
    >>> decision = pb.check("runs/self-written", max_gap=0.05)
    >>> decision.verdict
    'cannot tell'
    >>> bool(decision)
    False
    """

    verdict: str
    sentences: list[str]
    conclusion: str
    exit_code: int
    record: dict[str, Any]
    judgements: list[Judgement] = field(default_factory=list, repr=False)

    def __bool__(self) -> bool:
        return self.verdict == PASS

    @property
    def effects(self) -> pd.DataFrame:
        """pandas.DataFrame: The judged effects, in the unit of their task.

        The columns include the estimate, `low`, `high`, n, limit, verdict and reason.
        """
        return pd.DataFrame([asdict(j) for j in self.judgements], columns=[f.name for f in fields(Judgement)])

    def __repr__(self) -> str:
        return "\n".join([f"<Decision {self.verdict}>", *(f"- {s}" for s in self.sentences)])

    def _repr_html_(self) -> str:
        return notebook.block(self.conclusion, self.sentences)


MOST_UNUSABLE = 0.05
"""Largest share of unusable answers in a group and arm, for measures without worst-case bounds."""


def judge(low: float, high: float, limit: float) -> str:
    """Judge a change by its interval.

    Parameters
    ----------
    low, high : float
        Ends of the interval, in the unit of the task. NaN: no interval.
    limit : float
        Largest size of the change, in the same unit.

    Returns
    -------
    {"pass", "fail", "cannot tell"}
        The verdict.
    """
    if not (np.isfinite(low) and np.isfinite(high)):
        return UNSURE
    if max(abs(low), abs(high)) <= limit:
        return PASS
    return FAIL if low > limit or high < -limit else UNSURE


def judge_row(row: Any, limit: float) -> tuple[str, str]:
    """Judge one effect.

    Parameters
    ----------
    row : named tuple
        A row of the effects.
    limit : float
        Largest size of the change, in the unit of the task.

    Returns
    -------
    verdict : {"pass", "fail", "cannot tell"}
        The verdict.
    reason : str
        Why the gate cannot tell; empty if the interval alone is the reason.

    Notes
    -----
    An undefined effect, or one of a single training seed, cannot be told. Else the interval decides, with two
    conditions:

    - The effect fails only if its adjusted p, over all tests of the run, is at most 0.05.
    - The unusable answers must not change the verdict. The interval is widened by their worst-case bounds:
      all of them 0, all of them 1 (Manski 1990). If the wider interval has another verdict, the gate cannot
      tell. For a measure without bounds, the gate cannot tell if more than `MOST_UNUSABLE` of a group's
      answers in an arm are unusable.
    """
    if row.reason:
        return UNSURE, row.reason
    if row.seeds < 2:
        return (
            UNSURE,
            f"{ONE_SEED}: the interval covers the choice of items, not the variation between training runs; "
            "train at least three seeds",
        )
    verdict = judge(row.ci_low, row.ci_high, limit)
    if verdict == FAIL and not row.p_adjusted <= ALPHA:
        return (
            UNSURE,
            f"the interval lies beyond ±{limit:g}, but over all tests of the run this is not significant "
            f"(adjusted {p_words(row.p_adjusted)})",
        )
    if verdict == UNSURE or not row.unusable > 0:
        return verdict, ""
    share = f"up to {100 * row.unusable:.1f}% of a group's answers in an arm cannot be used"
    if not np.isfinite(row.bound_low):
        return (
            (UNSURE, f"{share}, and it is not known how far they would change the estimate")
            if row.unusable > MOST_UNUSABLE
            else (verdict, "")
        )
    low = row.ci_low - max(0.0, row.estimate - row.bound_low)
    high = row.ci_high + max(0.0, row.bound_high - row.estimate)
    if judge(low, high, limit) == verdict:
        return verdict, ""
    return (
        UNSURE,
        f"{share}: with them, the interval could reach from {low:+.3f} to {high:+.3f}, so the verdict "
        "depends on them",
    )


def decide(folder: RunFolder, gate: Gate) -> list[Judgement]:
    """Judge each task, bias type and comparison of a run.

    The judged effect is the change of the primary measure's gap at the largest γ, against the matched control
    if there is one. A task without results (its arms failed) cannot be told.

    Parameters
    ----------
    folder : RunFolder
        The run.
    gate : Gate
        The limits.

    Returns
    -------
    list of Judgement
        One for each task, bias type and comparison.

    Raises
    ------
    InputError
        The folder is not a finished run, or the run does not have a task or the mitigation of the gate.
    """
    study, effects = folder.study(), folder.effects()
    keys = [t.key for t in study.tasks]
    unknown = next((t for t in gate.tasks if t not in keys), None)
    if unknown:
        raise InputError(
            f"check: the run has no task '{unknown}'{nearest(unknown, keys)}; it has: {', '.join(keys)}"
        )
    mitigations = ["none", *(m.key for m in study.mitigations)]
    if gate.mitigation not in mitigations:
        raise InputError(
            f"check: the run has no mitigation '{gate.mitigation}'{nearest(gate.mitigation, mitigations)}; "
            f"it has: {', '.join(mitigations)}"
        )
    question = "inheritance" if gate.mitigation == "none" else "mitigated"
    rows = effects[(effects["question"] == question) & (effects["mitigation"] == gate.mitigation)]
    rows = rows[(rows["round"] == rows["round"].max()) & (rows["ratio"] == rows["ratio"].max())]
    limits = {t: g.max_gap or gate.max_gap for t, g in gate.tasks.items()}
    limits = limits or dict.fromkeys(_shares(folder, study), gate.max_gap)
    return [
        d
        for task, limit in limits.items()
        for d in _of_task(rows[rows["task"] == task], task, limit, study.bias.types)
    ]


def _shares(folder: RunFolder, study: Study) -> list[str]:
    """Return the tasks whose primary measure is a share, to which one limit can apply."""
    context, keys = folder.context(), []
    for spec in study.tasks:
        task = load_task(spec.name, spec.options, spec.alias)
        if next(m for m in task.measures(context) if m.primary).unit == "share":
            keys.append(task.key)
    return keys


def _of_task(rows: pd.DataFrame, task: str, limit: float, types: Sequence[str]) -> list[Judgement]:
    """Return the judgements on one task."""
    judgements = []
    for bias_type in types:
        own = rows[rows["bias_type"] == bias_type]
        matched = own[own["contrast"] == AGAINST_MATCHED]
        own = matched if len(matched) else own[own["contrast"] == AGAINST_BASE]
        if own.empty:
            nan = float("nan")
            judgements.append(
                Judgement(task, "all", bias_type, nan, "not measured", nan, nan, nan, 0, limit, UNSURE)
            )
        for r in own[own["comparison"] != ANY].itertuples():
            verdict, reason = judge_row(r, limit)
            judgements.append(
                Judgement(
                    task,
                    r.comparison,
                    bias_type,
                    r.ratio,
                    r.contrast,
                    r.estimate,
                    r.ci_low,
                    r.ci_high,
                    r.n,
                    limit,
                    verdict,
                    reason,
                    r.note,
                )
            )
    return judgements


def verdict(judgements: Sequence[Judgement]) -> str:
    """Return the verdict on all judgements.

    Parameters
    ----------
    judgements : sequence of Judgement
        The judgements.

    Returns
    -------
    {"pass", "fail", "cannot tell"}
        Fail if one fails; else cannot tell if one cannot be told or there are none; else pass.
    """
    kinds = {d.verdict for d in judgements}
    return FAIL if FAIL in kinds else UNSURE if UNSURE in kinds or not kinds else PASS


def exit_code(outcome: str, gate: Gate) -> int:
    """Return the exit code of a verdict.

    Parameters
    ----------
    outcome : {"pass", "fail", "cannot tell"}
        The verdict.
    gate : Gate
        Its `unsure` sets the exit code of "cannot tell".

    Returns
    -------
    int
        0 (pass), 1 (fail) or 4 (cannot tell).
    """
    if outcome == UNSURE and gate.unsure != "stop":
        return EXIT_CODES[FAIL] if gate.unsure == "fail" else EXIT_CODES[PASS]
    return EXIT_CODES[outcome]


def check(folder: str | Path, gate: Gate) -> Decision:
    """Decide whether a run passes a gate.

    Parameters
    ----------
    folder : str or Path
        Run folder.
    gate : Gate
        The limits.

    Returns
    -------
    Decision
        The decision.

    Raises
    ------
    InputError
        As for `decide`.
    """
    judgements = decide(RunFolder(Path(folder)), gate)
    outcome = verdict(judgements)
    record = {
        "verdict": outcome,
        "gate": gate.model_dump(),
        "decisions": [asdict(j) | {"why": j.sentence} for j in judgements],
    }
    sentences = [j.sentence for j in judgements]
    return Decision(outcome, sentences, f"verdict: {outcome}", exit_code(outcome, gate), record, judgements)
