"""Kinds of arm, and the names of the contrasts between them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from probate.stats.usable import Values
from probate.study.plan import REPLICATE_SEED, Arm
from probate.study.taxonomy import NEUTRAL

AGAINST_BASE = "against γ = 0"
AGAINST_MATCHED = "against matched control"
AGAINST_REPLICATE = "control against second control"
AGAINST_FIRST = "against the first round"
AGAINST_UNMITIGATED = "against the arm without it"


@dataclass(frozen=True)
class ArmKind:
    """The arms that differ only in their seed."""

    bias_type: str
    ratio: float
    replicate: bool = False
    mitigation: str = "none"
    round: int = 1

    @classmethod
    def of(cls, arm: Arm) -> ArmKind:
        """Return the kind of a planned arm."""
        return cls(arm.bias_type, float(arm.ratio), arm.seed >= REPLICATE_SEED, arm.mitigation, arm.round)

    def arm(self, seed: int) -> str:
        """Return the name of the arm with this seed."""
        role = "base" if self.bias_type == "none" else "replicate" if self.replicate else "biased"
        return Arm(
            self.bias_type,
            self.ratio,
            seed + REPLICATE_SEED * self.replicate,
            role,
            self.mitigation,
            self.round,
        ).name


def arm_kinds(outcomes: pd.DataFrame, arms: Sequence[Arm] = ()) -> dict[ArmKind, list[int]]:
    """Return the kinds of arm in the outcomes and the plan, with their seeds.

    The control comes first, then biased, matched and second-control arms by ratio.
    """
    rows = outcomes[["bias_type", "ratio", "seed", "mitigation", "round"]].drop_duplicates()
    observed = [
        (ArmKind(b, float(r), int(s) >= REPLICATE_SEED, m, int(n)), int(s))
        for b, r, s, m, n in rows.itertuples(index=False)
    ]
    seeds: dict[ArmKind, set[int]] = {}
    for cell, seed in (*observed, *((ArmKind.of(a), a.seed) for a in arms)):
        seeds.setdefault(cell, set()).add(seed % REPLICATE_SEED)
    order = list(dict.fromkeys([*rows["mitigation"], *(a.mitigation for a in arms)]))
    kinds = sorted(
        seeds,
        key=lambda c: (
            c.mitigation != "none", c.bias_type != "none", c.bias_type == NEUTRAL, c.bias_type, c.ratio,
            c.replicate, order.index(c.mitigation), c.round,
        ),
    )  # fmt: skip
    return {cell: sorted(seeds[cell]) for cell in kinds}


Frames = dict[ArmKind, dict[int, Values]]
"""Kind of arm → seed → values of a measure."""
