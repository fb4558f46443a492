"""Put the shards of a study, or of a grid, together and write the report."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from probate.core.errors import InputError
from probate.core.files import atomic_folder
from probate.execution.checksums import write_checksums
from probate.execution.folder import RunFolder
from probate.execution.merge import merge_shards
from probate.report.page import analyse, build_report
from probate.report.results import GRID, Run, write_grid


def merge_runs(folders: Sequence[str | Path], out: str | Path) -> Run:
    """Put the shards of a study together, and write effects and report.

    Parameters
    ----------
    folders : sequence of str or Path
        A folder for each shard.
    out : str or Path
        The new run folder.

    Returns
    -------
    Run
        The results, which are those of one run of the whole study.

    Raises
    ------
    InputError
        `out` exists and is not empty, a shard is missing or not finished, shards are not of one study, two of
        them differ in something that both have, or a file cannot be read.
    """
    given, target = [Path(f) for f in folders], Path(out)
    if not given:
        raise InputError("merge: no folder is given; name the folder of each shard")
    missing = next((f for f in given if not f.is_dir()), None)
    if missing is not None:
        what = "is a file, not a folder" if missing.exists() else "no such folder"
        raise InputError(f"{missing}: {what}; name the folder of each shard")
    places = [f.resolve() for f in given]
    twice = next((f for f, place in zip(given, places, strict=True) if places.count(place) > 1), None)
    if twice is not None:
        raise InputError(f"{twice}: is named twice; name the folder of each shard once")
    if target.exists() and not target.is_dir():
        raise InputError(f"{target}: is a file; name a new folder with --out")
    if target.exists() and any(target.iterdir()):
        raise InputError(f"{target}: is not empty; name a new folder with --out")
    inside = next(
        (f for f, place in zip(given, places, strict=True) if target.resolve().is_relative_to(place)), None
    )
    if inside is not None:
        raise InputError(f"{target}: lies inside the shard {inside}; name a new folder elsewhere with --out")
    if target.is_dir():
        target.rmdir()
    grids = [(f / GRID).is_file() for f in given]
    if any(grids) and not all(grids):
        raise InputError(
            f"{given[grids.index(True)]} is a grid and {given[grids.index(False)]} is not; merge shards of "
            "one study"
        )
    with atomic_folder(target) as part:
        if any(grids):
            _merge_grid(given, part)
        else:
            _merge_one(given, part)
    return Run(target).held()


def _merge_one(folders: Sequence[Path], out: Path) -> Run:
    """Put the shards of one study together."""
    merge_shards(folders, out)
    files = RunFolder(out)
    analyse(files)
    build_report(files)
    write_checksums(out)
    return Run(out)


def _merge_grid(folders: Sequence[Path], out: Path) -> Run:
    """Put the shards of each part of a grid together. A part that a shard did not finish is a failure."""
    grids = {f: Run(f) for f in folders}
    parts = {f: {run.folder.name: key for key, run in grid.parts.items()} for f, grid in grids.items()}
    failures: list[dict[str, str]] = []
    done: dict[tuple[str, ...], Run] = {}
    for name, key in {n: k for own in parts.values() for n, k in own.items()}.items():
        lacking = next((f for f, own in parts.items() if name not in own), None)
        if lacking is not None:
            failures.append({"stage": name, "arm": "", "error": f"not finished in {lacking}"})
            continue
        (out / name).mkdir()
        done[key] = _merge_one([f / name for f in folders], out / name)
        failures += [{**f, "stage": f"{name}: {f['stage']}"} for f in done[key].failures]
    if not done:
        raise InputError(f"no part of the grid is finished in all shards; {failures[0]['error']}")
    return write_grid(out, grids[folders[0]].study, done, failures)
