"""Cap: γ no higher than a gap budget allows, by the dose-response of an earlier run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import pandas as pd
from pydantic import Field

from probate.core.errors import InputError
from probate.core.records import Record
from probate.mitigations.base import Mitigation, MitigationContext, Options
from probate.stats.effects import AGAINST_MATCHED
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
    """Augmented records beyond the highest γ at which the gap changes by no more than `gap` are left out, the last ones first.

    Between the γ that the run measured, and from no change at γ = 0, the change (or with `sure` the bound of its interval that is
    farther from 0) is taken as linear; beyond the highest measured γ nothing is known, and γ stays at it.
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
        """Raises InputError for a run without such a task or without changes at any γ."""
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
                f"mitigations: cap.options.task: {o.run} measured no inheritance in '{o.task}'; it did in: {have}"
            )
        matched = rows["contrast"] == AGAINST_MATCHED
        rows = rows[matched] if matched.any() else rows
        if rows["estimate"].isna().any():
            raise InputError(
                f"mitigations: cap.options.run: {o.run}: the change of '{o.task}' is undefined at some γ; see its report, and choose another run or task"
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
                "mitigations: cap: γ is a share of all records, and there are no original ones here; give options.originals"
            )
        most = augmented_count(originals, ratio)
        why = f"γ above {ratio:.3f} moves the gap by more than {self.options.gap:g}"
        return list(records[:most]), [(r, why) for r in records[most:]]


def allowed(ratios: Sequence[float], changes: Sequence[float], budget: float) -> float:
    """The highest γ up to which the piecewise linear curve through (0, 0) and the points stays within `budget`."""
    at, level = 0.0, 0.0
    for ratio, change in zip(ratios, changes, strict=True):
        if change > budget:
            return at + (ratio - at) * (budget - level) / (change - level)
        at, level = ratio, change
    return at
