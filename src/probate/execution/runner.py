"""Runs the arms of a study. Every job runs once, failures are recorded, and finished jobs are kept."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, NamedTuple

import pandas as pd

from probate.core.errors import InputError, ProbateError, StageError
from probate.core.progress import Reporter
from probate.core.records import Record
from probate.data.packs import load_pack
from probate.data.user_turn import user_turn
from probate.execution import arm_records
from probate.execution.folder import RunFolder
from probate.execution.jobs import (
    ArmJob,
    DistributionJob,
    GenerateJob,
    MitigateJob,
    Trained,
    Watched,
)
from probate.execution.pace import Pace
from probate.execution.prepare import Prepared
from probate.execution.worker import Worker
from probate.mitigations.base import Mitigated
from probate.study.mixing import augmented_count
from probate.study.plan import Arm, Shard, shard_arms
from probate.study.taxonomy import NEUTRAL

ROUND_SEED = 100_003
"""Added to the generation's seed in each later round, so that rounds draw different records."""
DRAW_SEED = 1009
"""Its product with the arm's seed is added to the generation's seed, so that seeds draw different records."""


@dataclass(frozen=True)
class ArmsDone:
    """The outcomes of a run, one row each, and the stages that failed."""

    outcomes: pd.DataFrame
    failures: list[dict[str, str]]


class Kind(NamedTuple):
    """Which augmented data an arm uses."""

    bias_type: str
    anew: str
    """The mitigation if it generates records of its own, else empty."""
    seed: int
    """The seed that they are generated for; 0 if all seeds share them."""

    @property
    def name(self) -> str:
        return "-".join(filter(None, (self.bias_type, self.anew, f"s{self.seed}" if self.seed else "")))


class Runner:
    """Makes the jobs of one prepared study, passes them to `worker`, and writes the results to `folder`.

    Parameters
    ----------
    prepared : Prepared
        The study with its data, tasks and mitigations.
    folder : RunFolder
        Where results are written.
    worker : Worker
        Does the jobs.
    reporter : Reporter
        Receives the progress.
    deadline : float, optional
        The `time.monotonic()` by which to end. An arm is left out, and recorded as a failure, if it would end
        later than this; its expected time is the mean of the previous arms or that of the latest, whichever
        is longer.
    shard : Shard, optional
        Do only the arms of this shard.
    """

    def __init__(
        self,
        prepared: Prepared,
        folder: RunFolder,
        worker: Worker,
        reporter: Reporter,
        deadline: float | None = None,
        shard: Shard | None = None,
    ) -> None:
        self.shard = shard
        if shard:
            plan = replace(prepared.plan, arms=shard_arms(prepared.plan, shard))
            prepared = replace(prepared, data=replace(prepared.data, plan=plan))
        self.prepared = prepared
        self.folder = folder
        self.worker = worker
        self.reporter = reporter
        self.pace = Pace(deadline)
        self.failures: list[dict[str, str]] = []
        self._sets: dict[str, list[Record]] = {}
        self._used: dict[str, list[Record]] = {}
        self._trained: dict[str, Trained] = {}

    def execute(self) -> ArmsDone:
        """Do every job of every arm. The folder must be locked (`RunFolder.locked`).

        Returns
        -------
        ArmsDone
            The outcomes of all finished arms, and the failures.

        Raises
        ------
        InputError
            The data or the settings cannot be used.
        StageError
            A stage that everything depends on failed, such as loading the base model, or no arm finished.
        """
        prepared, arms = self.prepared, self.prepared.plan.arms
        study = prepared.study
        self.folder.check_plan(study, self.shard)
        self.folder.begin(study, prepared.data, self.shard)
        self.folder.lock_model(self.worker.describe(study.model))
        mixed = self._first_round()
        first = [self._arm_job(arm, mixed[arm.name]) for arm in arms if arm.name in mixed]
        settled = self.worker.expect(first, prepared.measurements, self.pace)
        frames: list[pd.DataFrame] = []
        for number, arm in enumerate(arms, 1):
            if arm.round > 1:
                made = self.guard(f"generate {arm.name}", arm.name, partial(self._next_round, arm))
                if made is not None:
                    mixed[arm.name] = made
            if arm.name in mixed and (arm.name in settled or self._in_time(arm)):
                started = time.monotonic()
                self.worker.place = f"[{number}/{len(arms)}]"
                frames += self._arm(arm, mixed[arm.name])
                if arm.name not in settled:
                    self.pace.add(time.monotonic() - started)
        if study.rounds > 1:
            self.folder.write_provenance(prepared.data, self._sets)
        self.folder.write_failures(self.failures)
        if not frames and self.shard is None:
            raise StageError(f"no arm of the study finished; the first failure: {self.failures[0]['error']}")
        if not frames:
            self.folder.remove_outcomes()
            return ArmsDone(pd.DataFrame(), self.failures)
        outcomes = pd.concat(frames, ignore_index=True)
        self.folder.write_outcomes(outcomes)
        return ArmsDone(outcomes, self.failures)

    def _first_round(self) -> dict[str, Mitigated]:
        """Return the training records of each arm of the first round."""
        augmented = self._augment()
        firsts: dict[str, int] = {}
        mixed: dict[str, Mitigated] = {}
        for arm in (a for a in self.prepared.plan.arms if a.round == 1):
            kind, name = self._kind(arm), self._set_name(arm)
            if arm.ratio and kind not in augmented:
                self._fail(f"train {arm.name}", arm.name, f"no augmented data of type '{arm.bias_type}'")
                continue
            if arm.ratio and name not in self._sets:
                own = arm_records.drawn(self.prepared, arm, augmented[kind])
                self._sets[name] = arm_records.arm_order(self.prepared, arm, own)
                firsts[name] = arm.seed
                self.folder.write_set(name, self._sets[name])
            records = arm_records.mix_arm(self.prepared, arm, self._sets.get(name, []))
            made = self.guard(f"mitigate {arm.name}", arm.name, partial(self._mitigate, arm, records))
            if made is not None:
                mixed[arm.name] = made
        self.folder.write_provenance(self.prepared.data, self._sets)
        for name, seed in firsts.items():
            self._compare(name, seed, self._sets[name])
        return mixed

    def _augment(self) -> dict[Kind, list[Record]]:
        """Return the augmented records of each kind, before relabelling."""
        written: dict[Kind, list[Record]] = {}
        for kind, arm in {self._kind(arm): arm for arm in self.prepared.plan.arms if arm.ratio}.items():
            records = arm_records.ready_set(self.prepared, arm.bias_type)
            seed = kind.seed
            if records is None:
                job = self._generation(arm, kind.name, seed)
                records = self.guard(f"generate {kind.name}", "", partial(self.worker.generate, job))
                if records is not None and seed:
                    records = [replace(r, id=f"s{seed}:{r.id}") for r in records]
            if records is not None:
                written[kind] = records
        return written

    def _generation(
        self, arm: Arm, name: str, seed: int = 0, author: Trained | None = None, more: int = 0
    ) -> GenerateJob:
        """Return the job that generates an arm's augmented records, `more` than the largest γ needs."""
        prepared, study, data = self.prepared, self.prepared.study, self.prepared.data
        language, cross = study.data.language, study.bias.cross or data.pack.cross
        surplus = (
            1.0 if arm.bias_type == NEUTRAL or study.effective_strength == 0 else study.generation.surplus
        )
        drawn = study.generation.seed + ROUND_SEED * (arm.round - 1 if author else 0) + DRAW_SEED * seed
        statements = {
            r.provenance["statement"] for r in data.split.all_train() if "statement" in r.provenance
        }
        return GenerateJob(
            name=name,
            bias_type=arm.bias_type,
            target=round((prepared.plan.wanted[arm.bias_type] + more) * surplus),
            labels=data.labels,
            groups=study.bias.groups,
            pack=data.pack,
            cross=load_pack(cross).speaking(language) if cross else None,
            statements=sorted(statements),
            language=language,
            generation=study.generation.model_copy(update={"seed": drawn}),
            model=study.model if author else study.generator or study.model,
            instruction=prepared.instruction(arm),
            author=author,
            round=arm.round if author else 1,
            written=study.train_groups if study.data.train_groups else (),
        )

    def _compare(self, name: str, seed: int, records: Sequence[Record]) -> None:
        """Compare a set with D_o if the study asks for it.

        The set's records are those of the largest γ, for the first seed.
        """
        study, plan = self.prepared.study, self.prepared.plan
        if study.distribution and seed == study.seeds[0]:
            used = list(records[: augmented_count(plan.originals, max(study.ratios))])
            original = self.prepared.data.split.train
            job = DistributionJob(name, original, used, study.distribution, study.bias.dimension, study.model)
            self.guard(f"distribution {name}", "", partial(self.worker.distribution, job))

    def _next_round(self, arm: Arm) -> Mitigated:
        """Return the arm's records in a later round: D_o and what its model of the previous round wrote."""
        before = replace(arm, round=arm.round - 1)
        if before.name not in self._trained:
            raise StageError(
                f"round {before.round} of {arm.name} did not finish, so no model can generate records for "
                f"round {arm.round}"
            )
        more = arm_records.replaced_count(self.prepared)
        written = self.worker.generate(
            self._generation(arm, arm.name, author=self._trained[before.name], more=more)
        )
        renamed = [replace(r, id=f"r{arm.round}:{r.id}") for r in written]
        ordered = arm_records.arm_order(self.prepared, arm, renamed, more)
        self._sets[arm.name] = ordered
        self.folder.write_set(arm.name, ordered)
        self._compare(arm.name, arm.seed, ordered)
        records = arm_records.later_round(self.prepared, arm, ordered, self._used[before.name])
        return self._mitigate(arm, records)

    def _mitigate(self, arm: Arm, records: Sequence[Record]) -> Mitigated:
        """Return the arm's records after its mitigation. If this is impossible, only the arm fails."""
        self._used[arm.name] = list(records)
        if arm.mitigation == "none":
            return Mitigated(list(records), [1.0] * len(records))
        study = self.prepared.study
        job = MitigateJob(
            arm.name,
            list(records),
            self.prepared.strategies(arm),
            self.prepared.mitigating,
            study.model,
            study.generator or study.model,
        )
        try:
            made = self.worker.mitigate(job)
        except InputError as error:
            raise StageError(str(error)) from None
        self.folder.write_mitigated(arm, made)
        return made

    def _arm(self, arm: Arm, mixed: Mitigated) -> list[pd.DataFrame]:
        """Train the arm and measure it; return one frame of outcomes per task."""
        job = self._arm_job(arm, mixed)
        trained = self.guard(f"train {arm.name}", arm.name, partial(self.worker.train, job))
        if trained is None:
            return []
        self._trained[arm.name] = trained
        frames = []
        for measurement in self.prepared.measurements:
            stage = f"evaluate {arm.name} {measurement.task.key}"
            evaluate = partial(self.worker.evaluate, job.evaluation(trained, measurement))
            outcomes = self.guard(stage, arm.name, evaluate)
            if outcomes is not None:
                frames.append(outcomes)
        return frames

    def _arm_job(self, arm: Arm, mixed: Mitigated) -> ArmJob:
        study, data = self.prepared.study, self.prepared.data
        watched = None
        if self._follows_distance(arm, mixed):
            watched = Watched(list(data.context.test), self._sets.get(self._set_name(arm), []))
        return ArmJob(
            arm=arm.name,
            model=study.model,
            records=mixed.records,
            weights=mixed.weights,
            seed=arm.seed,
            training=study.training,
            method=study.method,
            prompt=user_turn(study.data),
            labels=data.labels,
            dimension=study.bias.dimension,
            columns={
                "study": study.name,
                "arm": arm.name,
                "bias_type": arm.bias_type,
                "ratio": arm.ratio,
                "mitigation": arm.mitigation,
                "method": study.method,
                "round": arm.round,
                "seed": arm.seed,
            },
            align=mixed.align,
            notice=mixed.notice,
            watched=watched,
            start=self._start(arm),
        )

    def _start(self, arm: Arm) -> Trained | None:
        """Return the adapter that the arm's training continues; None if it begins with the base model."""
        if arm.round == 1 or self.prepared.study.round_policy != "continued":
            return None
        return self._trained[replace(arm, round=arm.round - 1).name]

    def _kind(self, arm: Arm) -> Kind:
        anew = arm.mitigation if self.prepared.instruction(arm) else ""
        return Kind(arm.bias_type, anew, self.prepared.writer(arm))

    def _set_name(self, arm: Arm) -> str:
        if arm.round > 1:
            return arm.name
        kind = self._kind(arm)
        return f"{kind.bias_type}-s{arm.seed}" + (f"-{kind.anew}" if kind.anew else "")

    def _follows_distance(self, arm: Arm, mixed: Mitigated) -> bool:
        """Whether the distance between original and augmented records is measured.

        It is measured if the study has an alignment loss: for arms with it, and for arms without mitigation.
        """
        aligned = any(s.align() for strategies in self.prepared.mitigations.values() for s in strategies)
        return aligned and arm.role == "biased" and (arm.mitigation == "none" or mixed.align is not None)

    def _in_time(self, arm: Arm) -> bool:
        """Return whether the arm can finish before the deadline; if not, record it as left out."""
        if self.pace.allows():
            return True
        self._fail(f"train {arm.name}", arm.name, "left out: the time budget is spent")
        return False

    def _fail(self, stage: str, arm: str, error: str) -> None:
        self.failures.append({"stage": stage, "arm": arm, "error": error})
        self.reporter.say(f"FAILED {stage}: {error}")

    def guard(self, stage: str, arm: str, work: Callable[[], Any]) -> Any:
        """Do `work` and return its result; an error is recorded as a failure and gives None.

        Raises
        ------
        InputError
            `work` raised it: the data or settings cannot be used, so the whole run ends.
        """
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
