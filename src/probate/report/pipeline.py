"""Run a study, or a grid of studies: the arms, the statistics of their outcomes, and the report."""

from __future__ import annotations

import re
import shutil
from collections.abc import Sequence
from pathlib import Path

from probate.core.cache import RECORD, Store, read_report
from probate.core.errors import InputError, ProbateError
from probate.core.files import atomic_folder
from probate.core.progress import Reporter
from probate.execution.checksums import write_checksums
from probate.execution.executors.base import INLINE, Place
from probate.execution.folder import RunFolder
from probate.execution.prepare import prepare
from probate.execution.runner import Runner
from probate.execution.workers import worker_for
from probate.models.servers.ledger import share_ledger
from probate.report.page import analyse, build_report
from probate.report.results import Run, write_grid
from probate.study.grid import GridPart, grid_parts
from probate.study.plan import Shard
from probate.study.schema import Study


def run_study(
    study: Study,
    out: str | Path,
    *,
    base: str | Path = ".",
    quiet: bool = False,
    deadline: float | None = None,
    place: Place = INLINE,
    shard: Shard | None = None,
) -> Run:
    """Run `study` into the folder `out`: generate, mix, fine-tune, evaluate, analyse, report.

    A study with `axes` is a grid: `out` gets a folder for each part, a pair of models or a variant, and the
    results of all (`run_grid`). An earlier or interrupted run of the study in `out` is continued: only
    changed stages run again.

    Parameters
    ----------
    study : Study
        The study.
    out : str or Path
        Run folder. It is created if it is missing.
    base : str or Path, default="."
        Folder that relative data paths start from.
    quiet : bool, default=False
        Whether to hide progress.
    deadline : float, optional
        Value of `time.monotonic()` by which to end. An arm that would take longer, by the mean duration of
        earlier arms or by the latest one, is left out and recorded.
    place : Place
        Where arms are trained and measured. Default: in this process, one after the other.
    shard : Shard, optional
        Do only the arms of this shard, and write no effects and no report; `merge.merge_runs` puts the shards
        together.

    Returns
    -------
    Run
        The results.

    Raises
    ------
    InputError
        The data or settings cannot work, or another run is writing to the folder, or a study with a server is
        to be run in shards.
    StageError
        A stage that all others need failed, such as the base model.
    """
    for server in study.servers():
        server.checked().key()
    if shard and study.servers():
        raise InputError(
            f"--shard: the study uses the server {study.servers()[0].base_url}, which each shard would ask, "
            "and pay, for itself; run it without --shard"
        )
    if study.axes.parts:
        return run_grid(study, out, base=base, quiet=quiet, deadline=deadline, place=place, shard=shard)
    folder = RunFolder(Path(out))
    prepared, reporter = prepare(study, Path(base)), Reporter(quiet=quiet)  # invalid input creates no folder
    worker = worker_for(study, Store(folder.path, reporter.warn), reporter, place)
    runner = Runner(prepared, folder, worker, reporter, deadline, shard)
    with folder.locked():
        done = runner.execute()
        if shard is None:
            analyse(folder)
            runner.guard("report", "", lambda: build_report(folder))
            folder.write_failures(done.failures)
        write_checksums(folder.path)
    return Run(folder.path) if shard else Run(folder.path).held()


def run_grid(
    study: Study,
    out: str | Path,
    *,
    base: str | Path = ".",
    quiet: bool = False,
    deadline: float | None = None,
    place: Place = INLINE,
    shard: Shard | None = None,
) -> Run:
    """Run `study` for each part of its `axes`, and write `grid.html`.

    A part is a pair of generator and learner, or a variant. Each part has its own folder under `out`. A part
    that fails is recorded, and the others continue. Stages that two parts have in common, such as the texts
    of a generator in the first round, are done once.

    Parameters
    ----------
    study, out, base, quiet, deadline, place, shard
        As for `run_study`.

    Returns
    -------
    Run
        Outcomes and effects of all parts, with the columns `generator` and `learner`, or `variant`, and the
        failures.

    Raises
    ------
    InputError
        The data or settings of a part cannot work, and no part has finished before it.
    ProbateError
        No part finished.
    """
    folder = Path(out)
    parts = grid_parts(study)
    failures: list[dict[str, str]] = []
    done: dict[tuple[str, ...], Run] = {}
    finished: list[GridPart] = []
    reporter = Reporter(quiet=quiet)
    server = next((s for part in parts for s in part.study.servers()), None)
    if server:
        share_ledger(folder, server, [folder / part.folder for part in parts])
    for part in parts:
        own = folder / part.folder
        reporter.say(f"{part.title}: {own}")
        for other in finished:
            _share(folder / other.folder, own, part.shared(other))
        try:
            result = run_study(
                part.study,
                own,
                base=base,
                quiet=quiet,
                deadline=deadline,
                place=place,
                shard=shard,
            )
        except InputError as error:
            if not done:
                raise
            failures.append(
                {
                    "stage": part.folder,
                    "arm": "",
                    "error": f"its data or settings are invalid: {error}".splitlines()[0],
                }
            )
            continue
        except ProbateError as error:
            failures.append({"stage": part.folder, "arm": "", "error": str(error)})
            continue
        finished.append(part)
        done[part.key] = result
        failures += [{**f, "stage": f"{part.folder}: {f['stage']}"} for f in result.failures]
    if not done:
        raise ProbateError(f"no part of the grid finished; first failure: {failures[0]['error']}")
    return write_grid(folder, study, done, failures, whole=shard is None)


def _share(written: Path, own: Path, kinds: Sequence[str]) -> None:
    """Copy finished stages of the first round to another part, whose run reuses those with the same key."""
    for kind in kinds:
        for stage in written.glob(kind):
            target = own / stage.relative_to(written)
            done = read_report(stage / RECORD)
            later = re.search(r"-r\d+(-|$)", stage.name) or (done or {}).get("round", 1) != 1
            if done and not later and not target.exists():
                with atomic_folder(target) as part:
                    shutil.copytree(stage, part, symlinks=True, dirs_exist_ok=True)
