"""The arms of a study. Nothing is loaded or run here."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from probate.core.errors import InputError
from probate.study.mixing import augmented_count
from probate.study.schema import Study
from probate.study.taxonomy import NEUTRAL

REPLICATE_SEED = 1000
"""Added to the seed of a replicate control."""


@dataclass(frozen=True)
class Arm:
    """One fine-tuned adapter.

    `role` is base (γ = 0), biased, matched (control), or replicate (second matched control).
    """

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
    """All arms of a study, and the number of augmented records of each kind."""

    arms: tuple[Arm, ...]
    originals: int
    wanted: dict[str, int]
    """Bias type (or `neutral`) → augmented records at the largest γ."""
    draws: dict[str, int]
    """Bias type (or `neutral`) → how many times its records are generated.

    This is once for each seed that draws its own records, and once for its second control.
    """


@dataclass(frozen=True)
class Shard:
    """One of several parts of a study, each of which runs by itself and has some of the arms.

    Attributes
    ----------
    number : int
        From 1 to `of`.
    of : int
        Number of shards.
    """

    number: int
    of: int

    def __str__(self) -> str:
        return f"{self.number}/{self.of}"

    @classmethod
    def read(cls, text: str) -> Shard:
        """Return the shard of a text such as `2/8`.

        Raises
        ------
        InputError
            The text is not two whole numbers, the first of which is at least 1 and at most the second.
        """
        found = re.fullmatch(r"(\d{1,6})/(\d{1,6})", text.strip(), re.ASCII)
        if found is None or not 1 <= int(found[1]) <= int(found[2]):
            raise InputError(
                f"--shard {text!r}: must be NUMBER/COUNT, with a number from 1 to the count, such as 2/8"
            )
        return cls(int(found[1]), int(found[2]))


def arms_of(study: Study) -> tuple[Arm, ...]:
    """Return the arms of a study, in the order in which they are run.

    γ = 0 is one arm a seed, shared by all bias types. A matched control is one arm for each γ and seed,
    shared too. Later rounds follow the whole first one; γ = 0, which nothing is generated for, has one round.
    """
    doses = [r for r in study.ratios if r > 0]
    controls = control_ratios(study)
    arms: list[Arm] = []
    for seed in study.seeds:
        if 0 in study.ratios:
            arms.append(Arm("none", 0.0, seed, "base"))
        for ratio in doses:
            arms += [Arm(t, ratio, seed, "biased") for t in study.bias.types]
            arms += [
                Arm(t, ratio, seed, "biased", m.key) for t in study.bias.types for m in study.mitigations
            ]
            if ratio in controls:
                arms.append(Arm(NEUTRAL, ratio, seed, "matched"))
                if study.replicate_control:
                    arms.append(Arm(NEUTRAL, ratio, seed + REPLICATE_SEED, "replicate"))
    for number in range(2, study.rounds + 1):
        arms += [replace(a, round=number) for a in arms if a.round == 1 and a.ratio and a.role != "replicate"]
    return tuple(arms)


def control_ratios(study: Study) -> list[float]:
    """Return the bias ratios γ at which matched controls are trained."""
    return [r for r in (study.control_ratios or study.ratios) if r > 0] if study.control != "none" else []


def make_plan(study: Study, cells: int) -> Plan:
    """Plan a study.

    Parameters
    ----------
    study : Study
        The study.
    cells : int
        Number of cells (label × group) of its data.

    Returns
    -------
    Plan
        The arms, and the numbers of records.
    """
    originals = study.data.train_per_cell * cells
    most, controls = max(study.ratios), control_ratios(study)
    wanted = {t: augmented_count(originals, most) for t in study.bias.types} if most else {}
    if controls:
        wanted[NEUTRAL] = augmented_count(originals, max(controls))
    seeds = len(study.seeds) if study.redraw else 1
    generated = [
        t for t in wanted if study.augmented is None and not (t == NEUTRAL and study.control == "original")
    ]
    draws = {t: seeds * (1 + (t == NEUTRAL and study.redraw and study.replicate_control)) for t in generated}
    return Plan(arms_of(study), originals, wanted, draws)


def shard_arms(plan: Plan, shard: Shard) -> tuple[Arm, ...]:
    """Return the arms of one shard, in the order of the plan.

    Shards have about the same number of training records. Arms of one seed, and among them arms of one γ, are
    together as far as possible, so that an arm and its control are trained by one machine. All rounds of an
    arm are in one shard.

    Parameters
    ----------
    plan : Plan
        The plan of the study.
    shard : Shard
        The shard.

    Returns
    -------
    tuple of Arm

    Raises
    ------
    InputError
        There are more shards than arms in the first round.
    """
    first = [a for a in plan.arms if a.round == 1]
    if shard.of > len(first):
        raise InputError(
            f"--shard {shard}: the study has {len(first)} arms to divide; use at most {len(first)} shards"
        )
    first.sort(key=lambda a: (a.seed % REPLICATE_SEED, a.ratio, a.bias_type == NEUTRAL))
    costs = [plan.originals + augmented_count(plan.originals, a.ratio) for a in first]
    own, number, before = set(), -1, 0
    for place, (arm, cost) in enumerate(zip(first, costs, strict=True)):
        fair = shard.of * (2 * before + cost) // (2 * sum(costs))
        # No shard is empty: numbers go up by at most 1, and reach the last one in time.
        number = max(min(fair, number + 1), shard.of - len(first) + place)
        before += cost
        if number == shard.number - 1:
            own.add(arm)
    return tuple(a for a in plan.arms if replace(a, round=1) in own)


def training_records(plan: Plan, arms: Sequence[Arm] | None = None) -> int:
    """Return the number of training records of all arms together, in one epoch."""
    return sum(
        plan.originals + augmented_count(plan.originals, a.ratio)
        for a in (plan.arms if arms is None else arms)
    )
