"""Run a study, or a grid of studies: the arms, the statistics of their outcomes, and the report."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from probate.core.cache import RECORD, Store, read_report
from probate.core.errors import InputError, ProbateError
from probate.core.files import atomic_folder
from probate.core.progress import Reporter
from probate.execution.checksums import write_checksums
from probate.execution.folder import RunFolder
from probate.execution.prepare import prepare
from probate.execution.runner import Runner
from probate.execution.workers import worker_for
from probate.models.servers.ledger import share_ledger
from probate.report.page import analyse, build_report
from probate.report.results import Run, write_grid
from probate.study.schema import Axes, ModelSpec, Study


def run_study(
    study: Study,
    out: str | Path,
    *,
    base: str | Path = ".",
    quiet: bool = False,
    deadline: float | None = None,
) -> Run:
    """Run `study` into the folder `out`: generate, mix, fine-tune, evaluate, analyse, report.

    A study with `axes` is a grid: `out` gets a folder for each pair of models, and the results of all
    (`run_grid`). An earlier or interrupted run of the study in `out` is continued: only changed stages run
    again.

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

    Returns
    -------
    Run
        The results.

    Raises
    ------
    InputError
        The data or settings cannot work, or another run is writing to the folder.
    StageError
        A stage that all others need failed, such as the base model.
    """
    for server in study.servers():
        server.checked().key()
    if study.axes.generator or study.axes.model:
        return run_grid(study, out, base=base, quiet=quiet, deadline=deadline)
    folder = RunFolder(Path(out))
    prepared, reporter = prepare(study, Path(base)), Reporter(quiet=quiet)  # invalid input creates no folder
    worker = worker_for(study, Store(folder.path, reporter.warn), reporter)
    runner = Runner(prepared, folder, worker, reporter, deadline)
    with folder.locked():
        done = runner.execute()
        analyse(folder)
        runner.guard("report", "", lambda: build_report(folder))
        folder.write_failures(done.failures)
        write_checksums(folder.path)
    return Run(folder.path).held()


def run_grid(
    study: Study,
    out: str | Path,
    *,
    base: str | Path = ".",
    quiet: bool = False,
    deadline: float | None = None,
) -> Run:
    """Run `study` for each pair of generator and learner in its `axes`, and write `grid.html`.

    Each pair has its own folder under `out`. A pair that fails is recorded, and the others continue. The
    texts of a generator in the first round are generated once, for all learners.

    Parameters
    ----------
    study, out, base, quiet, deadline
        As for `run_study`.

    Returns
    -------
    Run
        Outcomes and effects of all pairs, with the columns `generator` and `learner`, and the failures.

    Raises
    ------
    InputError
        The data or settings of a pair cannot work, and no pair has finished before it.
    ProbateError
        No pair finished.
    """
    folder = Path(out)
    generators = study.axes.generator or [study.generator or study.model]
    learners = study.axes.model or [study.model]
    failures: list[dict[str, str]] = []
    done: dict[tuple[str, str], Run] = {}
    reporter = Reporter(quiet=quiet)

    def home(generator: ModelSpec, learner: ModelSpec) -> Path:
        return folder / f"{_slug(generator, generators)}--{_slug(learner, learners)}"

    server = next((m.api for m in (*generators, *learners) if m.api), None)
    if server:
        share_ledger(folder, server, [home(g, m) for g in generators for m in learners])
    for generator in generators:
        written: Path | None = None
        for learner in learners:
            own = home(generator, learner)
            reporter.say(f"generator {generator.name}, learner {learner.name}: {own}")
            if written:
                _share(written, own)
            one = study.model_copy(update={"axes": Axes(), "generator": generator, "model": learner})
            try:
                result = run_study(one, own, base=base, quiet=quiet, deadline=deadline)
            except InputError:
                if not done:
                    raise
                failures.append(
                    {
                        "stage": own.name,
                        "arm": "",
                        "error": (
                            "its data or settings are invalid; run this pair as a study of its own for the "
                            "full message"
                        ),
                    }
                )
                continue
            except ProbateError as error:
                failures.append({"stage": own.name, "arm": "", "error": str(error)})
                continue
            written = own
            done[generator.name, learner.name] = result
            failures += [{**f, "stage": f"{own.name}: {f['stage']}"} for f in result.failures]
    if not done:
        raise ProbateError(
            f"no pair of generator and learner finished; first failure: {failures[0]['error']}"
        )
    return write_grid(folder, study, done, failures)


def _slug(spec: ModelSpec, among: list[ModelSpec]) -> str:
    """Return a folder name for a model; if two models have the same name, with its position."""
    name = re.sub(r"[^A-Za-z0-9.]+", "-", spec.name).strip("-.") or "model"
    return f"{name}-{among.index(spec) + 1}" if sum(s.name == spec.name for s in among) > 1 else name


def _share(written: Path, own: Path) -> None:
    """Copy the generator's stages of the first round to the next learner, whose run reuses them."""
    for stage in (written / "stages").glob("generate-*"):
        target = own / "stages" / stage.name
        done = read_report(stage / RECORD)
        if done and not target.exists() and done.get("round") == 1:
            with atomic_folder(target) as part:
                shutil.copytree(stage, part, symlinks=True, dirs_exist_ok=True)
