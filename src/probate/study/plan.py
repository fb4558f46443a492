"""A study becomes arms and stages. Pure: nothing is loaded or run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from probate.study.mixing import augmented_count
from probate.study.schema import Study
from probate.study.taxonomy import NEUTRAL

REPLICATE_SEED = 1000
"""Added to the seed of a replicate control."""


@dataclass(frozen=True)
class Arm:
    """One fine-tuned adapter. `role` is base (γ = 0), biased, matched, or replicate (a second matched control)."""

    bias_type: str
    ratio: float
    seed: int
    role: str
    mitigation: str = "none"
    round: int = 1

    @property
    def name(self) -> str:
        kind = {"base": "control", "replicate": f"{self.bias_type}-replicate"}.get(self.role, self.bias_type)
        mitigated = "" if self.mitigation == "none" else f"-{self.mitigation}"
        later = "" if self.round == 1 else f"-r{self.round}"
        return f"{kind}-{self.ratio:g}-s{self.seed}{mitigated}{later}"


@dataclass(frozen=True)
class Plan:
    """All arms of a study, and how many augmented records each kind of data needs."""

    study: Study
    arms: tuple[Arm, ...]
    originals: int
    wanted: dict[str, int]
    """Bias type (or `neutral`) → augmented records at the largest γ."""
    draws: dict[str, int]
    """Of what is generated: bias type (or `neutral`) → how many times: once for each seed that draws its own, and for its second control."""

    def writer(self, arm: Arm) -> int:
        """The seed for which the arm's augmented records are generated: its own; 0 where all seeds train on the same records, and where none are generated."""
        return arm.seed if self.study.redraw and arm.bias_type in self.draws else 0


def make_plan(study: Study, cells: int) -> Plan:
    """Arms of `study` when its data has `cells` label x group cells.

    γ = 0 is one arm a seed, shared by all bias types. A matched control is one arm for each γ and seed, shared too. Later rounds
    follow the whole first one; γ = 0, which nothing is generated for, has one round.
    """
    originals = study.data.train_per_cell * cells
    doses = [r for r in study.ratios if r > 0]
    control_doses = (
        [r for r in (study.control_ratios or study.ratios) if r > 0] if study.control != "none" else []
    )
    arms: list[Arm] = []
    for seed in study.seeds:
        if 0 in study.ratios:
            arms.append(Arm("none", 0.0, seed, "base"))
        for ratio in doses:
            arms += [Arm(t, ratio, seed, "biased") for t in study.bias.types]
            arms += [
                Arm(t, ratio, seed, "biased", m.key) for t in study.bias.types for m in study.mitigations
            ]
            if ratio in control_doses:
                arms.append(Arm(NEUTRAL, ratio, seed, "matched"))
                if study.replicate_control:
                    arms.append(Arm(NEUTRAL, ratio, seed + REPLICATE_SEED, "replicate"))
    arms += [
        replace(arm, round=r)
        for r in range(2, study.rounds + 1)
        for arm in arms
        if arm.ratio and arm.role != "replicate"
    ]
    most = max(doses, default=0.0)
    wanted = {t: augmented_count(originals, most) for t in study.bias.types} if doses else {}
    if control_doses:
        wanted[NEUTRAL] = augmented_count(originals, max(control_doses))
    seeds = len(study.seeds) if study.redraw else 1
    generated = [
        t for t in wanted if study.augmented is None and not (t == NEUTRAL and study.control == "original")
    ]
    draws = {t: seeds * (1 + (t == NEUTRAL and study.redraw and study.replicate_control)) for t in generated}
    return Plan(study, tuple(arms), originals, wanted, draws)


def training_records(plan: Plan, arms: Sequence[Arm] | None = None) -> int:
    """Records that all arms train on together, epochs not counted."""
    return sum(
        plan.originals + augmented_count(plan.originals, a.ratio)
        for a in (plan.arms if arms is None else arms)
    )
