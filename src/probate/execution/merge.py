"""Put the shards of a study together: their stages, records, outcomes and failures, without a model.

The shards must be of the same study, on the same data, by the same versions. What two of them have must be
equal. A merged folder is what one run would have written, but for durations.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from probate.core.cache import RECORD, file_digest, read_report
from probate.core.errors import InputError
from probate.core.files import appending, write_atomic
from probate.core.parse import NotJson, json_value
from probate.execution import checksums
from probate.execution.folder import RunFolder
from probate.execution.folder_schema import OUTCOMES, kept_file, kept_table, kept_text
from probate.study.plan import Shard, arms_of

OWN = {"shard", "machine"}
"""Keys of `study.lock.yaml` in which shards may differ."""
SHOWN = 60
"""Most characters of a value in a message."""


class ShardFolder(NamedTuple):
    """A finished shard."""

    files: RunFolder
    shard: Shard
    lock: dict[str, Any]

    @property
    def path(self) -> Path:
        return self.files.path


def read_shard(folder: Path) -> ShardFolder:
    """Return the finished shard of a folder.

    Raises
    ------
    InputError
        The folder is not one of a shard, the shard is not finished, or a file has changed since.
    """
    files = RunFolder(folder)
    files.check_schema()
    lock = files.lock()
    if not lock.get("shard"):
        raise InputError(
            f"{folder}: has no shard but a whole study, which needs no merge; its report is made with: "
            f"probate report {folder}"
        )
    shard = Shard.read(lock["shard"])
    if not (folder / checksums.NAME).is_file():
        raise InputError(
            f"{folder}: shard {shard} is not finished; run it again with --shard {shard} into this folder, "
            "which continues it"
        )
    _, differences = checksums.verify(folder)
    if differences:
        first = differences[0]
        raise InputError(
            f"{folder / first.file}: not as shard {shard} left it ({first.what}); run the shard again into "
            f"this folder, or copy the folder again from its source (probate verify {folder} lists all files)"
        )
    return ShardFolder(files, shard, dict(lock))


def merge_shards(folders: Sequence[Path], out: Path) -> None:
    """Write a run folder with what several shards of one study have, except effects and report.

    Parameters
    ----------
    folders : sequence of Path
        A folder for each shard. A shard may be there more than once.
    out : Path
        The new folder; it must be empty or missing.

    Raises
    ------
    InputError
        A shard is missing or not finished, shards are not of the same study, two of them differ in something
        that both have, or a file cannot be read.
    """
    shards = sorted((read_shard(f) for f in folders), key=lambda s: s.shard.number)
    _check_same(shards)
    _check_all(shards)
    shutil.copyfile(shards[0].path / "run.json", out / "run.json")
    known: dict[str, ShardFolder] = {}
    for shard in shards:
        for path in _files_of(shard, "data"):
            _copy_equal(shard, path, out, known)
        for stage in _stages_of(shard):
            _copy_stage(shard, stage, out, known)
        if (shard.path / "errors.log").exists():
            with appending(out / "errors.log") as log:
                log.write(kept_text(shard.path, shard.path / "errors.log"))
    outcomes, failures = _outcomes(shards), _failures(shards)
    whole = RunFolder(out)
    whole.write_outcomes(outcomes)
    whole.write_failures(failures)
    write_atomic(out / "provenance.jsonl", _provenance(shards))
    merged = [
        {
            "shard": str(s.shard),
            "machine": s.lock.get("machine"),
            "arms": [a for a in outcomes["arm"].unique() if (s.path / "adapters" / a / RECORD).is_file()],
        }
        for s in shards
    ]
    whole.write_lock({**{k: v for k, v in shards[0].lock.items() if k not in OWN}, "merged": merged})


def _check_same(shards: Sequence[ShardFolder]) -> None:
    """Check that all shards are of one study, on the same data and model, by the same versions."""
    first = shards[0]
    for other in shards[1:]:
        if other.shard.of != first.shard.of:
            raise InputError(
                f"{other.path}: has shard {other.shard}, but {first.path} has shard {first.shard}; merge "
                "shards of one division"
            )
        for name in ("study.lock.yaml", "run.json"):
            one, two = (_flat(s.lock if name[0] == "s" else s.files.info()) for s in (first, other))
            for key in dict.fromkeys((*one, *two)):
                if key.partition(".")[0] not in OWN and one.get(key) != two.get(key):
                    raise InputError(
                        f"{other.path / name}: {key} is {_said(two, key)}, but {_said(one, key)} in "
                        f"{first.path}; merge shards of one study, on the same data, by the same versions"
                    )


def _check_all(shards: Sequence[ShardFolder]) -> None:
    of = shards[0].shard.of
    missing = sorted(set(range(1, of + 1)) - {s.shard.number for s in shards})
    if missing:
        raise InputError(
            f"shard{'s' * (len(missing) > 1)} {', '.join(f'{n}/{of}' for n in missing)}: missing; run "
            f"{'them' if len(missing) > 1 else 'it'}, and name the folders of all {of} shards"
        )


def _flat(value: Any, name: str = "") -> dict[str, Any]:
    """Return the values of nested dictionaries by their dotted keys."""
    if not isinstance(value, dict):
        return {name: value}
    return {k: v for key, own in value.items() for k, v in _flat(own, f"{name}.{key}".strip(".")).items()}


def _said(flat: Mapping[str, Any], key: str) -> str:
    text = json.dumps(flat[key], ensure_ascii=False, default=str) if key in flat else "missing"
    return text if len(text) <= SHOWN else text[: SHOWN - 1] + "…"


def _files_of(shard: ShardFolder, name: str) -> Iterator[Path]:
    """Yield the files below a folder of a shard, by their paths in it."""
    for path in sorted((shard.path / name).rglob("*")):
        if not path.is_dir():
            yield kept_file(shard.path, path).relative_to(shard.path)


def _stages_of(shard: ShardFolder) -> Iterator[Path]:
    """Yield the finished stages of a shard, by their paths in it."""
    for kind in ("adapters", "stages"):
        for path in sorted((shard.path / kind).glob(f"*/{RECORD}")):
            yield kept_file(shard.path, path).parent.relative_to(shard.path)


def _copy_equal(shard: ShardFolder, path: Path, out: Path, known: dict[str, ShardFolder]) -> None:
    """Copy a file; if an earlier shard has it too, it must be equal."""
    name = path.as_posix()
    if name in known and file_digest(shard.path / path) != file_digest(out / path):
        raise _differ(name, known[name], shard)
    if name not in known:
        (out / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(shard.path / path, out / path)
        known[name] = shard


def _copy_stage(shard: ShardFolder, stage: Path, out: Path, known: dict[str, ShardFolder]) -> None:
    """Copy a finished stage; if an earlier shard has it too, it must have the same inputs and files."""
    name = stage.as_posix()
    if name not in known:
        shutil.copytree(shard.path / stage, out / stage)
        known[name] = shard
        return
    one, two = (read_report(path / stage / RECORD) or {} for path in (out, shard.path))
    if (one.get("key"), one.get("wrote")) != (two.get("key"), two.get("wrote")):
        raise _differ(name, known[name], shard)


def _differ(name: str, one: ShardFolder, two: ShardFolder) -> InputError:
    return InputError(
        f"{name}: differs between {one.path} and {two.path}, although shards {one.shard} and {two.shard} "
        "made it from the same inputs; their machines may round differently: run both on machines of one kind"
    )


def _outcomes(shards: Sequence[ShardFolder]) -> pd.DataFrame:
    """Return the outcomes of all shards, in the order of the study's arms."""
    kept: dict[tuple[str, str], tuple[ShardFolder, pd.DataFrame]] = {}
    for shard in shards:
        path = shard.path / "outcomes.parquet"
        if not path.exists():  # each of its arms failed
            continue
        table = kept_table(shard.path, path, OUTCOMES)
        for key, rows in table.groupby(["arm", "task"], sort=False):
            arm, task = str(key[0]), str(key[1])
            rows = rows.reset_index(drop=True)
            if (arm, task) not in kept:
                kept[arm, task] = shard, rows
            elif not kept[arm, task][1].equals(rows):
                raise _differ(f"outcomes of {arm} in {task}", kept[arm, task][0], shard)
    if not kept:
        first = next(iter(_failures(shards)), {"error": "unknown"})
        raise InputError(f"no arm of any shard finished; the first failure: {first['error']}")
    arms = [a.name for a in arms_of(shards[0].files.study())]
    unknown = next((arm for arm, _ in kept if arm not in arms), None)
    if unknown is not None:
        owner = next(s for (arm, _), (s, _) in kept.items() if arm == unknown)
        raise InputError(
            f"{owner.path / 'outcomes.parquet'}: has the arm {unknown[:SHOWN]!r}, which the study does not "
            "have; run the shard again"
        )
    order = sorted(kept, key=lambda key: arms.index(key[0]))
    return pd.concat([kept[key][1] for key in order], ignore_index=True)


def _failures(shards: Sequence[ShardFolder]) -> list[dict[str, str]]:
    """Return the failures of all shards, without those of a stage that another copy of the shard finished."""
    failed = [f for s in shards for f in s.files.failures()]
    done = {
        path.name.removeprefix("evaluate-") if path.parts[0] == "stages" else path.name
        for s in shards
        for path in _stages_of(s)
    }
    left = [f for f in failed if _stage_name(f["stage"]) not in done]
    return list({json.dumps(f, sort_keys=True): f for f in left}.values())


def _stage_name(stage: str) -> str:
    """Return the name of the folder of a stage, as `train ARM` or `evaluate ARM TASK` names it."""
    kind, _, rest = stage.partition(" ")
    return rest.replace(" ", "-") if kind in ("train", "evaluate") else stage


def _provenance(shards: Sequence[ShardFolder]) -> str:
    """Return `provenance.jsonl`: the original records, then the sets of all shards by name."""
    sets: dict[str, list[str]] = {}
    for shard in shards:
        path, own = shard.path / "provenance.jsonl", dict[str, list[str]]()
        for line in kept_text(shard.path, path).splitlines():
            try:
                own.setdefault(str(json_value(line)["set"]), []).append(line)
            except (NotJson, KeyError, TypeError):
                raise InputError(
                    f"{path}: not lines of JSON with the key 'set'; run the shard again"
                ) from None
        sets |= own
    names = sorted(sets, key=lambda name: (name != "original", name))
    return "".join(f"{line}\n" for name in names for line in sets[name])
