"""The run folder: its files, lock and schema. The report reads everything from here, without a model."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
import yaml
from filelock import FileLock, Timeout
from pydantic import ValidationError

from probate.core.cache import RECORD, read_report
from probate.core.errors import InputError
from probate.core.files import appending, atomic, clear_leftovers, write_atomic
from probate.core.records import Record, content_hash, read_records, write_records
from probate.core.secrets import hide
from probate.core.yaml_file import read_dumped
from probate.data.packs import Pack, load_pack
from probate.data.user_turn import user_turn
from probate.execution.folder_schema import (
    EFFECTS,
    OUTCOMES,
    Lock,
    Reviewed,
    RunInfo,
    StageReport,
    kept_file,
    kept_groups,
    kept_json,
    kept_table,
    kept_text,
    kept_value,
)
from probate.study.plan import REPLICATE_SEED, Arm, Shard
from probate.study.schema import Study
from probate.tasks.base import TaskContext

if TYPE_CHECKING:
    from probate.execution.prepare import StudyData
    from probate.mitigations.base import Mitigated

SCHEMA = 1
"""Version of the run folder's layout and of its tables' columns."""


LIBRARIES = ("probate", "torch", "transformers", "peft", "numpy", "scipy", "pandas")


def _trace(record: Record) -> dict[str, Any]:
    return {"mitigations": record.provenance["mitigations"]} if "mitigations" in record.provenance else {}


class RunFolder:
    """A run folder.

    Parameters
    ----------
    path : Path
        The folder. It need not exist yet.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Lock the folder for writing.

        Raises
        ------
        InputError
            Another run writes to it, it cannot be written to, or a newer version wrote it.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            write_atomic(self.path / ".write-test", "")
            (self.path / ".write-test").unlink()
        except OSError as error:
            raise InputError(
                f"{self.path}: cannot be written to ({error.strerror}); choose another folder with --out"
            ) from None
        self.check_schema()
        lock = FileLock(str(self.path / ".lock"), timeout=0)
        try:
            lock.acquire()
        except Timeout:
            raise InputError(
                f"{self.path}: another run is writing to this folder; wait for it, or choose another folder "
                "with --out"
            ) from None
        except OSError as error:  # a symbolic link, or a folder
            raise InputError(
                f"{self.path / '.lock'}: cannot be locked ({error.strerror}); delete it"
            ) from None
        try:
            clear_leftovers(self.path)
            yield
        finally:
            lock.release()

    def check_schema(self) -> None:
        """Check that this version of Probate can read the folder.

        Raises
        ------
        InputError
            A newer version wrote it, or its schema is not a whole number.
        """
        schema = self._json("run.json", dict[str, Any], {}).get("schema", SCHEMA)
        if not isinstance(schema, int):
            raise InputError(
                f"{self.path / 'run.json'}: schema: must be a whole number; choose another folder"
            )
        if schema > SCHEMA:
            raise InputError(
                f"{self.path}: has schema {schema}, but this version of Probate reads schemas up to "
                f"{SCHEMA}; update Probate, or choose another folder"
            )

    def check_plan(self, study: Study, shard: Shard | None = None) -> None:
        """Check that the study plans no more seeds than the plan by which the folder was analysed.

        Raises
        ------
        InputError
            `analysis.planned_seeds` is larger than that of the folder, or missing; or the folder has another
            shard than `shard`, or a whole study in place of a shard, or a shard in place of a whole study.
        """
        path = self.path / "study.lock.yaml"
        asked = str(shard) if shard else None
        if path.exists() and (own := self.lock().get("shard")) != asked:
            has, wanted = (f"shard {s}" if s else "a whole study" for s in (own, asked))
            raise InputError(
                f"{self.path}: has {has}, not {wanted}; name the shard with --shard, or give each shard "
                "and a whole study a folder of its own with --out"
            )
        if not (path.exists() and (self.path / "effects.parquet").exists()):
            return
        before = self.lock()["study"]
        planned, now = before.get("analysis", {}).get("planned_seeds"), study.analysis.planned_seeds
        if planned and len(before["seeds"]) > 1 and (now is None or now > planned):
            raise InputError(
                f"analysis.planned_seeds: {'none' if now is None else now}, but {path} has {planned}, and "
                "its results were already analysed by that plan, which leaves no α for more seeds: set it to "
                f"{planned} again, or start a new folder (--out) with other seeds"
            )

    def begin(self, study: Study, data: StudyData, shard: Shard | None = None) -> None:
        """Write the resolved study, the shard if it is one, and what the analysis needs to know."""
        versions = {name: version(name) for name in LIBRARIES}
        lock = {
            "schema": SCHEMA,
            **({"shard": str(shard)} if shard else {}),
            "study": study.model_dump(mode="json"),
            "versions": {"python": platform.python_version(), **versions},
            "machine": {"system": platform.system(), "processor": platform.machine(), "cpus": os.cpu_count()},
            "data": {
                "original_sha256": content_hash(data.split.train),
                "draws_sha256": [content_hash(d.train) for d in data.split.draws],
                "test_sha256": content_hash(data.split.test),
                "augmented_sha256": content_hash(data.augmented) if data.augmented else None,
            },
        }
        self.write_lock(lock)
        run = {
            "schema": SCHEMA,
            "labels": data.labels,
            "stereotypes": data.stereotypes,
            "pack": data.pack.model_dump(exclude_defaults=True),
            "originals": len(data.split.train),
            "held_out": len(data.split.test),
            "kept_out": data.rejected,
        }
        write_atomic(self.path / "run.json", json.dumps(run, indent=1, ensure_ascii=False))
        write_records(self.path / "data" / "original.jsonl", data.split.train)
        for seed, draw in zip(study.seeds[1:], data.split.draws[1:], strict=False):
            write_records(self._original(seed), draw.train)
        write_records(self.path / "data" / "held-out.jsonl", data.split.test)

    def lock_model(self, described: dict[str, Any]) -> None:
        """Add the loaded model to the lock file, with the text that its chat template adds."""
        self.write_lock({**self.lock(), "model": described})

    def write_set(self, name: str, records: list[Record]) -> None:
        """Write an augmented set in nested order, with the labels that are trained on."""
        write_records(self.path / "data" / f"{name}.jsonl", records)

    def _original(self, seed: int) -> Path:
        return self.path / "data" / f"original-s{seed}.jsonl"

    def original(self, seed: int) -> list[Record]:
        """Return the original training records D_o of a seed.

        `data/original.jsonl` belongs to the first seed, and to all seeds if they share their records.
        """
        own = self._original(seed % REPLICATE_SEED)
        return read_records(own if own.exists() else self.path / "data" / "original.jsonl")

    def write_provenance(self, data: StudyData, sets: dict[str, list[Record]]) -> None:
        """Write `provenance.jsonl`, one line for each training record in each set, D_o first."""
        entries = []
        for r in data.split.all_train():
            entries.append(
                {"id": r.id, "set": "original", "label": r.label, "groups": r.groups, **r.provenance}
            )
        for name, records in sorted(sets.items()):
            for place, r in enumerate(records):
                entries.append(
                    {
                        "id": r.id,
                        "set": name,
                        "place": place,
                        "label": r.label,
                        "groups": r.groups,
                        **r.provenance,
                    }
                )
        lines = (json.dumps(x, ensure_ascii=False) + "\n" for x in entries)
        write_atomic(self.path / "provenance.jsonl", "".join(lines))

    def write_mitigated(self, arm: Arm, made: Mitigated) -> None:
        """Write the training records of a mitigated arm: changes, weights, and the records left out."""
        entries = [
            {
                "id": r.id,
                "origin": r.origin,
                "text": r.text,
                "label": r.label,
                "groups": r.groups,
                "weight": w,
                **_trace(r),
            }
            for r, w in zip(made.records, made.weights, strict=True)
        ]
        entries += [{"id": r.id, "left_out": why} for r, why in made.dropped]
        text = "".join(json.dumps(entry, ensure_ascii=False) + "\n" for entry in entries)
        write_atomic(self.path / "data" / "mitigated" / f"{arm.name}.jsonl", text)

    def write_failures(self, failures: list[dict[str, str]]) -> None:
        """Write `failures.json`: stage, arm and error of each failure."""
        write_atomic(self.path / "failures.json", json.dumps(failures, indent=1, ensure_ascii=False))

    def write_traceback(self, stage: str, text: str) -> None:
        """Append a traceback to `errors.log`, with secrets hidden."""
        with appending(self.path / "errors.log") as log:
            log.write(hide(f"--- {stage}\n{text}\n"))

    def write_outcomes(self, outcomes: pd.DataFrame) -> None:
        """Write `outcomes.parquet`."""
        self._write_table(outcomes, "outcomes.parquet")

    def remove_outcomes(self) -> None:
        """Remove `outcomes.parquet` of an earlier run."""
        (self.path / "outcomes.parquet").unlink(missing_ok=True)

    def write_effects(self, effects: pd.DataFrame) -> None:
        """Write `effects.parquet`."""
        self._write_table(effects, "effects.parquet")

    def _write_table(self, table: pd.DataFrame, name: str) -> None:
        with atomic(self.path / name) as part:
            table.to_parquet(part, index=False)

    def study(self) -> Study:
        """Return the resolved study of the run.

        Raises
        ------
        InputError
            This is not a run folder, or its study cannot be read.
        """
        lock = self.lock()
        self.check_schema()
        try:
            return Study.model_validate(lock["study"])
        except ValidationError as error:
            said = "; ".join(str(e["msg"]).removeprefix("Value error, ") for e in error.errors())
            raise InputError(f"{self.path / 'study.lock.yaml'}: {said}") from None

    def lock_text(self) -> str:
        """Return the text of `study.lock.yaml`."""
        return kept_text(self.path, self.path / "study.lock.yaml")

    def lock(self) -> Lock:
        """Return the content of `study.lock.yaml`.

        Raises
        ------
        InputError
            It is missing or cannot be read.
        """
        path = self.path / "study.lock.yaml"
        if not path.exists():
            raise InputError(f"{self.path}: not a run folder: it has no study.lock.yaml; check the path")
        lock: Lock = read_dumped(path, self.lock_text())
        kept_value(path, lock, Lock)
        return lock

    def write_lock(self, lock: Mapping[str, Any]) -> None:
        """Write `study.lock.yaml`, with its keys in this order."""
        text = yaml.safe_dump(dict(lock), sort_keys=False, allow_unicode=True)
        write_atomic(self.path / "study.lock.yaml", text)

    def check_whole(self) -> None:
        """Check that the folder has a whole study, not one of its shards.

        Raises
        ------
        InputError
            It has a shard.
        """
        shard = self.lock().get("shard")
        if shard:
            raise InputError(
                f"{self.path}: has shard {shard} of a study, which shows nothing by itself; put all shards "
                "together with: probate merge DIR DIR … --out DIR"
            )

    def outcomes(self) -> pd.DataFrame:
        """Return `outcomes.parquet`, with `groups` as dictionaries.

        Raises
        ------
        InputError
            The run has no outcomes yet, or the file cannot be read.
        """
        path = self.path / "outcomes.parquet"
        if not path.exists():
            raise InputError(f"{self.path}: outcomes.parquet is missing; finish the run with: probate run")
        table = kept_table(self.path, path, OUTCOMES)
        table["groups"] = kept_groups(path, table["groups"])
        return table

    def effects(self) -> pd.DataFrame:
        """Return `effects.parquet`.

        Raises
        ------
        InputError
            The run has no effects yet, it is a shard, or the file cannot be read.
        """
        self.check_whole()
        path = self.path / "effects.parquet"
        if not path.exists():
            raise InputError(f"{self.path}: effects.parquet is missing; finish the run with: probate run")
        table = kept_table(self.path, path, EFFECTS)
        if "reason" not in table:
            raise InputError(
                f"{path}: written by a version that counted a group without usable answers as 0; write it "
                f"again with: probate report {self.path}"
            )
        return table

    def info(self) -> dict[str, Any]:
        """Return what `begin` wrote about the data."""
        return dict(kept_json(self.path, self.path / "run.json", RunInfo))

    def attribution(self) -> dict[str, Any]:
        """Return the result of `probate why items`, empty if it was not run."""
        return dict(self._json("attribution.json", dict[str, Any], {}))

    def failures(self) -> list[dict[str, str]]:
        """Return the failures of the run: stage, arm and error of each."""
        return list(self._json("failures.json", list[dict[str, str]], []))

    def context(self) -> TaskContext:
        """Return the task context without its test records, which is enough for `Task.measures`."""
        study, info = self.study(), self.info()
        return TaskContext(
            [],
            info["labels"],
            study.bias.dimension,
            study.bias.groups,
            info["stereotypes"],
            user_turn(study.data),
            study.training.max_length,
            pack=self.pack(),
        )

    def pack(self) -> Pack:
        """Return the identity pack that the run used."""
        own = self.info().get("pack")
        return (
            kept_value(self.path / "run.json", own, Pack) if own else load_pack(self.study().bias.dimension)
        )

    def reports(self, prefix: str) -> list[dict[str, Any]]:
        """Return the reports of the finished stages whose names begin with `prefix`.

        A report that was changed since it was written is left out.
        """
        paths = [kept_file(self.path, p) for p in sorted(self.path.glob(f"{prefix}*/{RECORD}"))]
        return [kept_value(p, report, StageReport) for p in paths if (report := read_report(p)) is not None]

    def reviews(self) -> list[dict[str, Any]]:
        """Return the merged reviews of the run's texts."""
        return [kept_json(self.path, p, Reviewed) for p in sorted(self.path.glob("review/*/review.json"))]

    def review_files(self) -> list[str]:
        """Return the files of reviews, by their paths in the folder."""
        return [
            p.relative_to(self.path).as_posix() for p in sorted(self.path.glob("review/*/*")) if p.is_file()
        ]

    def trained_on(self) -> dict[str, dict[str, dict[str, int]]]:
        """Return arm → group → label → number of records that the arm was trained on."""
        return {
            report["stage"].removeprefix("adapters/"): report["trained_on"]
            for report in self.reports("adapters/")
            if "trained_on" in report
        }

    def _json(self, name: str, shape: Any, default: Any) -> Any:
        path = self.path / name
        return kept_json(self.path, path, shape) if path.exists() or path.is_symlink() else default
