"""The gate's rule, and what it decides on: the effects of a finished run."""

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
from probate.stats.compare import ANY
from probate.stats.effects import AGAINST_BASE, AGAINST_MATCHED, ONE_SEED
from probate.stats.p_values import p_words
from probate.study.schema import Study
from probate.tasks.catalogue import load_task

PASS, FAIL, UNSURE = "pass", "fail", "cannot tell"
EXIT_CODES = {PASS: 0, FAIL: 1, UNSURE: 4}


class TaskGate(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)
    max_gap: float | None = Field(
        None, gt=0, description="Limit of this task, in its unit (0.05: five points)."
    )


class Gate(BaseModel):
    """What may pass. A file of it: `probate check DIR --config gate.yaml`."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    max_gap: float = Field(
        0.05,
        gt=0,
        description="Largest change of a gap that may pass, in the task's unit (0.05: five points).",
    )
    tasks: dict[str, TaskGate] = Field(
        default_factory=dict,
        description="Tasks that are looked at, with limits of their own; default: all of the run that measure shares.",
    )
    mitigation: str = Field(
        "none", description="The mitigation axis' value that is to be judged; `none`: without one."
    )
    unsure: Literal["stop", "fail", "pass"] = Field(
        "stop",
        description="What an answer that cannot be told does: `stop` (exit code 4), `fail` (1) or `pass` (0).",
    )


@dataclass(frozen=True)
class Judgement:
    """One effect against its limit. `verdict` is pass (the whole interval lies within ±limit), fail (all of it beyond), or cannot tell."""

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
    """Why it cannot be told, where that is not the interval: no usable answers of a side, or too many that cannot be used."""
    note: str = ""
    """What the estimate leaves out."""

    @property
    def sentence(self) -> str:
        """The judgement in words, with its numbers."""
        at = f" at γ {self.ratio:g}" if np.isfinite(self.ratio) else ""
        where = f"{self.task}, {self.comparison}, {self.bias_type} data{at}, {self.contrast}"
        if not np.isfinite(self.estimate):
            return f"{where}: {self.verdict}: {f'undefined: {self.reason}' if self.reason else 'no such effect in the run; see its failures'}"
        if not (np.isfinite(self.low) and np.isfinite(self.high)):
            return f"{where}: {self.verdict}: {self.estimate:+.3f}, n {self.n}; it has no interval, for its values do not vary"
        ends = f"{self.estimate:+.3f}, interval {self.low:+.3f} to {self.high:+.3f}, n {self.n}"
        why = {
            PASS: f"the whole interval lies within ±{self.limit:g}",
            FAIL: f"the whole interval lies beyond ±{self.limit:g}",
            UNSURE: f"the interval crosses ±{self.limit:g}: more items or seeds are needed (probate calibrate --from)",
        }[self.verdict]
        return f"{where}: {self.verdict}: {ends}; {self.reason or why}" + (
            f" ({self.note})" if self.note else ""
        )


@dataclass(frozen=True)
class Decision:
    """What a gate says: pass, fail, or cannot tell. It is true only for pass.

    Attributes
    ----------
    verdict : {"pass", "fail", "cannot tell"}
        `pass` if the interval of every effect lies within the limit, `fail` if that of one lies beyond it, else `cannot tell`.
    sentences : list of str
        One for each effect, with estimate, interval, n and the reason.
    conclusion : str
        The last line that `probate check` prints.
    exit_code : int
        The exit code of `probate check`: 0 pass, 1 fail, 4 cannot tell; `unsure` of `check` turns 4 into 1 or 0.
    record : dict
        What `probate check --json` prints.

    Examples
    --------
    >>> import probate as pb
    >>> decision = pb.check("runs/quickstart", max_gap=0.05)
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
        """pandas.DataFrame: The effects that were judged, in the unit of their task: estimate, `low`, `high`, n, limit, verdict and reason."""
        return pd.DataFrame([asdict(j) for j in self.judgements], columns=[f.name for f in fields(Judgement)])

    def __repr__(self) -> str:
        return "\n".join([f"<Decision {self.verdict}>", *(f"- {s}" for s in self.sentences)])

    def _repr_html_(self) -> str:
        return notebook.block(self.conclusion, self.sentences)


MOST_UNUSABLE = 0.05
"""Where a measure is no share, so that unusable answers have no bounds, more of them than this in a group and arm make it one that cannot be told."""


def judge(low: float, high: float, limit: float) -> str:
    """Pass, fail or cannot tell, by the interval of a change and the limit of its size."""
    if not (np.isfinite(low) and np.isfinite(high)):
        return UNSURE
    if max(abs(low), abs(high)) <= limit:
        return PASS
    return FAIL if low > limit or high < -limit else UNSURE


def judge_row(row: Any, limit: float) -> tuple[str, str]:
    """The verdict on an effect, and why it cannot be told where its interval alone would not say so.

    Undefined, or of one training seed: cannot tell. Else by its interval, where it fails only if its p holds among all that the run tests, if the answers that cannot be used leave the verdict as it is: the interval is stretched by their
    worst-case bounds (Manski 1990: all of them 0, all of them 1), and where the stretched one has another verdict, it cannot be told. For a measure
    without bounds it cannot be told where more than `MOST_UNUSABLE` of a group's answers in an arm cannot be used.
    """
    if row.reason:
        return UNSURE, row.reason
    if row.seeds < 2:
        return (
            UNSURE,
            f"{ONE_SEED}: the interval covers the choice of items, not another training run; train at least three",
        )
    verdict = judge(row.ci_low, row.ci_high, limit)
    if verdict == FAIL and not row.p_adjusted <= ALPHA:
        return (
            UNSURE,
            f"the interval lies beyond ±{limit:g}, but among all that the run tests this is not sure (adjusted {p_words(row.p_adjusted)})",
        )
    if verdict == UNSURE or not row.unusable > 0:
        return verdict, ""
    share = f"up to {100 * row.unusable:.1f}% of a group's answers in an arm cannot be used"
    if not np.isfinite(row.bound_low):
        return (
            (UNSURE, f"{share}, and how far they would move it is not known")
            if row.unusable > MOST_UNUSABLE
            else (verdict, "")
        )
    low = row.ci_low - max(0.0, row.estimate - row.bound_low)
    high = row.ci_high + max(0.0, row.bound_high - row.estimate)
    if judge(low, high, limit) == verdict:
        return verdict, ""
    return (
        UNSURE,
        f"{share}: with them the interval could reach from {low:+.3f} to {high:+.3f}, so that the verdict rests on what they were",
    )


def decide(folder: RunFolder, gate: Gate) -> list[Judgement]:
    """A judgement for each task, bias type and comparison: the change of the primary measure's gap at the largest γ, against the matched control where there is one.

    A task of which nothing is there (its arms failed) cannot be told.

    Raises:
        InputError: a folder that is no finished run, a task or mitigation that the run does not have.
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
            f"check: the run has no mitigation '{gate.mitigation}'{nearest(gate.mitigation, mitigations)}; it has: {', '.join(mitigations)}"
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
    """Tasks whose primary measure is a share: the unit that one limit can serve."""
    context, keys = folder.context(), []
    for spec in study.tasks:
        task = load_task(spec.name, spec.options, spec.alias)
        if next(m for m in task.measures(context) if m.primary).unit == "share":
            keys.append(task.key)
    return keys


def _of_task(rows: pd.DataFrame, task: str, limit: float, types: Sequence[str]) -> list[Judgement]:
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
                    task, r.comparison, bias_type, r.ratio, r.contrast, r.estimate, r.ci_low, r.ci_high, r.n, limit, verdict, reason, r.note
                )
            )  # fmt: skip
    return judgements


def verdict(judgements: Sequence[Judgement]) -> str:
    """Of all: fail if one fails, else cannot tell if one cannot be told, else pass."""
    kinds = {d.verdict for d in judgements}
    return FAIL if FAIL in kinds else UNSURE if UNSURE in kinds or not kinds else PASS


def exit_code(outcome: str, gate: Gate) -> int:
    """The exit code of a verdict under the gate's rule for what cannot be told."""
    if outcome == UNSURE and gate.unsure != "stop":
        return EXIT_CODES[FAIL] if gate.unsure == "fail" else EXIT_CODES[PASS]
    return EXIT_CODES[outcome]


def check(folder: str | Path, gate: Gate) -> Decision:
    """The decision on a run folder."""
    judgements = decide(RunFolder(Path(folder)), gate)
    outcome = verdict(judgements)
    record = {
        "verdict": outcome,
        "gate": gate.model_dump(),
        "decisions": [asdict(j) | {"why": j.sentence} for j in judgements],
    }
    sentences = [j.sentence for j in judgements]
    return Decision(outcome, sentences, f"verdict: {outcome}", exit_code(outcome, gate), record, judgements)
