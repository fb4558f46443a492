"""Runs a plan: every stage once, failures recorded, everything that was finished kept."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from probate.core.cache import Store
from probate.core.errors import InputError, ProbateError, StageError
from probate.core.progress import Reporter
from probate.core.records import Record
from probate.execution import prepare as arm_data
from probate.execution.folder import RunFolder
from probate.execution.stages import Stages
from probate.mitigations.base import Mitigated, mitigate
from probate.models.adapter import wearing
from probate.study.mixing import augmented_count
from probate.study.plan import Arm, Plan, make_plan
from probate.study.schema import Study
from probate.tasks.base import Task, TaskContext
from probate.tasks.catalogue import tasks_and_probes

if TYPE_CHECKING:
    from probate.models.lm import LM


@dataclass(frozen=True)
class ArmsDone:
    """What the arms of a run gave: one row an outcome, and the stages that failed."""

    outcomes: pd.DataFrame
    failures: list[dict[str, str]]


class Runner:
    """Runs the arms of one study into one folder. Bad input is found before the folder is made."""

    def __init__(
        self, study: Study, folder: RunFolder, base: Path, reporter: Reporter, deadline: float | None = None
    ) -> None:
        self.study = study
        self.deadline = deadline
        self._spent: list[float] = []
        self.folder = folder
        self.reporter = reporter
        self.failures: list[dict[str, str]] = []
        self.data = arm_data.read_data(study, base)
        self.plan: Plan = make_plan(study, len(self.data.labels) * len(study.bias.groups))
        self.tasks: list[Task] = tasks_and_probes(study)
        self.context: TaskContext = self.data.context
        for task in self.tasks:
            task.check(self.context)
        self.stages = Stages(study, self.data, self.tasks, Store(folder.path, reporter.warn), reporter)
        self.mitigations = arm_data.strategies(study, self.data)
        self.mitigating = replace(
            arm_data.mitigation_context(study, self.data),
            learner=lambda: self.stages.lm(study.model),
            generator=lambda: self.stages.lm(study.generator or study.model),
        )
        self._sets: dict[str, list[Record]] = {}
        self._used: dict[str, list[Record]] = {}
        self._trained: dict[str, tuple[str, Path]] = {}

    def execute(self) -> ArmsDone:
        """Every stage of every arm; the folder must be held (`RunFolder.locked`).

        Raises:
            InputError: data or settings that cannot work.
            StageError: a stage that all else needs failed (the base model, say), or not one arm finished.
        """
        self.folder.check_plan(self.study)
        self.folder.begin(self.study, self.data)
        base = self.stages.lm(self.study.model)
        self.folder.lock_model(base.describe())
        augmented = self._augment()
        sets = self._sets
        drawn: dict[str, int] = {}
        mixed: dict[str, Mitigated] = {}
        for arm in (a for a in self.plan.arms if a.round == 1):
            kind, name = self._kind(arm), self._set_name(arm)
            if arm.ratio and kind not in augmented:
                self._fail(f"train {arm.name}", arm.name, f"no augmented data of type '{arm.bias_type}'")
                continue
            if arm.ratio and name not in sets:
                own = arm_data.drawn(self.plan, self.data, arm, augmented[kind])
                sets[name] = arm_data.arm_order(self.study, self.data, arm, own)
                drawn[name] = arm.seed
                self.folder.write_set(name, sets[name])
            records = arm_data.mix_arm(self.plan, self.data, arm, sets.get(name, []))
            made = self.guard(f"mitigate {arm.name}", arm.name, partial(self._mitigate, arm, records))
            if made is not None:
                mixed[arm.name] = made
        self.folder.write_provenance(self.data, sets)
        for name, seed in drawn.items():
            self._compare(name, seed, sets[name])
        frames = []
        for number, arm in enumerate(self.plan.arms, 1):
            if arm.round > 1:
                made = self.guard(f"generate {arm.name}", arm.name, partial(self._next_round, arm, base))
                if made is not None:
                    mixed[arm.name] = made
            if arm.name in mixed and self._in_time(arm):
                begun = time.monotonic()
                frames += self._arm(arm, mixed[arm.name], base, f"[{number}/{len(self.plan.arms)}]")
                self._spent.append(time.monotonic() - begun)
        if self.study.rounds > 1:
            self.folder.write_provenance(self.data, sets)
        outcomes = pd.concat(frames, ignore_index=True) if frames else None
        self.folder.write_failures(self.failures)
        if outcomes is None:
            raise StageError(f"no arm of the study finished; first failure: {self.failures[0]['error']}")
        self.folder.write_outcomes(outcomes)
        return ArmsDone(outcomes, self.failures)

    def _in_time(self, arm: Arm) -> bool:
        """Whether another arm fits before the deadline; if not it is recorded as left out."""
        expected = max(sum(self._spent) / len(self._spent), self._spent[-1]) if self._spent else 0.0
        if self.deadline is None or time.monotonic() + expected <= self.deadline:
            return True
        self._fail(f"train {arm.name}", arm.name, "left out: the time budget is spent")
        return False

    def _compare(self, name: str, seed: int, records: Sequence[Record]) -> None:
        """The set against D_o, where the study asks for it: as many records as the largest γ takes, of the first seed."""
        if self.study.distribution and seed == self.study.seeds[0]:
            used = records[: augmented_count(self.plan.originals, max(self.study.ratios))]
            self.guard(f"distribution {name}", "", partial(self.stages.distribution, name, used))

    def _next_round(self, arm: Arm, base: LM) -> Mitigated:
        """The arm's records in a later round: D_o and what its model of the round before wrote."""
        before = replace(arm, round=arm.round - 1)
        if before.name not in self._trained:
            raise StageError(
                f"round {before.round} of {arm.name} did not finish, so that nothing can write for round {arm.round}"
            )
        key, adapter = self._trained[before.name]
        more = arm_data.replaced_count(self.study, self.data)
        with wearing(base.model, adapter) as model:
            writer = replace(base, model=model, spec=base.spec.model_copy(update={"adapter": before.name}))
            wanted = self.plan.wanted[arm.bias_type] + more
            found = self.stages.generate(
                arm.bias_type, wanted, arm.name, self._told(arm), (writer, key, arm.round)
            )
        renamed = [replace(r, id=f"r{arm.round}:{r.id}") for r in found]
        ordered = arm_data.arm_order(self.study, self.data, arm, renamed, more)
        self._sets[arm.name] = ordered
        self.folder.write_set(arm.name, ordered)
        self._compare(arm.name, arm.seed, ordered)
        records = arm_data.later_round(self.plan, self.data, arm, ordered, self._used[before.name])
        return self._mitigate(arm, records)

    def _mitigate(self, arm: Arm, records: Sequence[Record]) -> Mitigated:
        """The arm's records after its mitigation. What it cannot work on is a failed arm, not a failed study."""
        self._used[arm.name] = list(records)
        if arm.mitigation == "none":
            return Mitigated(list(records), [1.0] * len(records))
        strategies, context = self.mitigations[arm.mitigation], self.mitigating
        try:
            if any(s.slow for s in strategies):
                made = self.stages.mitigate(arm, records, strategies, context)
            else:
                made = mitigate(records, strategies, context)
        except InputError as error:
            raise StageError(str(error)) from None
        self.folder.write_mitigated(arm, made)
        return made

    def _kind(self, arm: Arm) -> tuple[str, str, int]:
        """Which augmented data an arm draws on: the bias type, the mitigation where it has the generator write anew, and the seed for which it is generated."""
        own = self.mitigations.get(arm.mitigation, [])
        return (
            arm.bias_type,
            arm.mitigation if any(s.instruction(self.mitigating) for s in own) else "",
            self.plan.writer(arm),
        )

    def _told(self, arm: Arm) -> str:
        """What the arm's mitigations tell the generator."""
        return " ".join(
            filter(None, (s.instruction(self.mitigating) for s in self.mitigations.get(arm.mitigation, [])))
        )

    def _set_name(self, arm: Arm) -> str:
        if arm.round > 1:
            return arm.name
        bias_type, anew, _ = self._kind(arm)
        return f"{bias_type}-s{arm.seed}" + (f"-{anew}" if anew else "")

    def _fail(self, stage: str, arm: str, error: str) -> None:
        self.failures.append({"stage": stage, "arm": arm, "error": error})
        self.reporter.say(f"FAILED {stage}: {error}")

    def guard(self, stage: str, arm: str, work: Callable[[], Any]) -> Any:
        """Do `work`; an error becomes a failure record and None."""
        try:
            return work()
        except InputError:
            raise
        except ProbateError as error:
            self._fail(stage, arm, str(error))
        except OSError as error:
            self._fail(stage, arm, f"{error.strerror or error} ({error.filename or self.folder.path})")
        except Exception as error:
            self._fail(stage, arm, f"{type(error).__name__}: {error}")
            self.folder.write_traceback(stage, traceback.format_exc())
        return None

    def _augment(self) -> dict[tuple[str, str, int], list[Record]]:
        """Augmented records of each `_kind`, before the annotator."""
        found = {}
        for kind, arm in {self._kind(arm): arm for arm in self.plan.arms if arm.ratio}.items():
            bias_type, wanted = arm.bias_type, self.plan.wanted[arm.bias_type]
            records = arm_data.ready_set(self.study, self.data, bias_type, wanted)
            if records is None:
                name = "-".join(filter(None, (*kind[:2], f"s{kind[2]}" if kind[2] else "")))
                work = partial(self.stages.generate, bias_type, wanted, name, self._told(arm), seed=kind[2])
                records = self.guard(f"generate {name}", "", work)
                if records is not None and kind[2]:
                    records = [replace(r, id=f"s{kind[2]}:{r.id}") for r in records]
            if records is not None:
                found[kind] = records
        return found

    def _arm(self, arm: Arm, mixed: Mitigated, base: LM, place: str) -> list[pd.DataFrame]:
        kept = self._sets.get(self._set_name(arm), []) if self._follows_distance(arm, mixed) else None
        trained = self.guard(
            f"train {arm.name}", arm.name, partial(self.stages.train, arm, mixed, base, place, kept)
        )
        if trained is None:
            return []
        self._trained[arm.name] = key, adapter = trained
        frames = []
        for task in self.tasks:
            found = self.guard(
                f"evaluate {arm.name} {task.key}",
                arm.name,
                partial(self.stages.evaluate, arm, task, key, adapter, base, place, mixed.notice),
            )
            if found is not None:
                frames.append(found)
        return frames

    def _follows_distance(self, arm: Arm, mixed: Mitigated) -> bool:
        """Whether the distance of original and augmented records is measured: with an alignment loss in the study, for arms with it and the plain ones."""
        aligned = any(s.align() for strategies in self.mitigations.values() for s in strategies)
        return aligned and arm.role == "biased" and (arm.mitigation == "none" or mixed.align is not None)
