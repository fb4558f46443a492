"""Cap: limits γ to a budget for the change of the gap, by the dose-response of an earlier run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import pandas as pd
from pydantic import Field

from probate.core.errors import InputError
from probate.core.records import Record
from probate.mitigations.base import Mitigation, MitigationContext, Options
from probate.stats.arms import AGAINST_MATCHED
from probate.study.mixing import augmented_count


class CapOptions(Options):
    gap: float = Field(
        gt=0,
        description="Largest change of the gap that is accepted, in the measure's unit (0.05: five points).",
    )
    run: str = Field(
        description="Folder of a finished run that measured the change of the gap at one or more γ."
    )
    task: str = Field("occupation", description="Task of that run whose primary measure counts.")
    sure: bool = Field(
        True, description="Keep the interval's bound, not only the estimate, within the budget."
    )
    originals: int | None = Field(
        None, ge=1, description="|D_o|, where the records at hand are augmented ones only (a file)."
    )


class Cap(Mitigation):
    """Leave out augmented records beyond the highest γ at which the gap changes by at most `gap`, the last
    ones first.

    The change is interpolated linearly between the γ that the run measured, starting with no change at γ = 0.
    With `sure`, the bound of its interval that is farther from 0 is used instead. γ never exceeds the highest
    measured γ.
    """

    name = "cap"
    title = "Cap"
    source = "dose-response of the change against the matched control (γ = 0 where the run has none)"
    idempotent = True
    option_type: ClassVar[type[Options]] = CapOptions

    def reads(self, context: MitigationContext) -> list[Any]:
        return [self._effects()]  # of the run's folder nothing else, such as its adapters

    def _effects(self) -> Path:
        return Path(self.options.run) / "effects.parquet"

    def check(self, context: MitigationContext) -> None:
        self.largest_ratio()

    def largest_ratio(self) -> float:
        """Return the highest γ within the budget; raises InputError if the run did not measure the task."""
        o = self.options
        path = self._effects()
        if not path.exists():
            raise InputError(
                f"mitigations: cap.options.run: {path}: no such file; name the folder of a finished run"
            )
        effects = pd.read_parquet(path)
        rows = effects[(effects["question"] == "inheritance") & (effects["task"] == o.task)]
        if rows.empty:
            have = (
                ", ".join(sorted(effects.loc[effects["question"] == "inheritance", "task"].unique()))
                or "none"
            )
            raise InputError(
                f"mitigations: cap.options.task: {o.run} measured no inheritance in '{o.task}'; "
                f"choose from: {have}"
            )
        matched = rows["contrast"] == AGAINST_MATCHED
        rows = rows[matched] if matched.any() else rows
        if rows["estimate"].isna().any():
            raise InputError(
                f"mitigations: cap.options.run: {o.run}: the change of '{o.task}' is undefined at some γ; "
                "see its report, and choose another run or task"
            )
        worst = rows[["ci_low", "ci_high"]] if o.sure else rows[["estimate"]]
        doses = worst.abs().max(axis=1).groupby(rows["ratio"]).max().sort_index()
        return allowed(list(doses.index), list(doses), o.gap)

    def select(
        self, records: Sequence[Record], original: Sequence[Record], context: MitigationContext
    ) -> tuple[list[Record], list[tuple[Record, str]]]:
        if not records:
            return [], []
        ratio = self.largest_ratio()
        originals = len(original) or self.options.originals
        if not originals:
            raise InputError(
                "mitigations: cap: γ is a share of all records, and the file has no original records; "
                "set options.originals"
            )
        most = augmented_count(originals, ratio)
        why = f"γ above {ratio:.3f} moves the gap by more than {self.options.gap:g}"
        return list(records[:most]), [(r, why) for r in records[most:]]


def allowed(ratios: Sequence[float], changes: Sequence[float], budget: float) -> float:
    """Return the highest γ up to which the change stays within a budget.

    Parameters
    ----------
    ratios : sequence of float
        Measured γ, ascending.
    changes : sequence of float
        Change of the gap at each γ, interpolated linearly from (0, 0).
    budget : float
        Largest accepted change.

    Returns
    -------
    float
        γ in [0, max(ratios)].
    """
    at, level = 0.0, 0.0
    for ratio, change in zip(ratios, changes, strict=True):
        if change > budget:
            return at + (ratio - at) * (budget - level) / (change - level)
        at, level = ratio, change
    return at
