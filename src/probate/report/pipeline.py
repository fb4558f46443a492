"""A whole run: its arms, the statistics of their outcomes, and the report."""

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
from probate.execution.worker import Worker
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

    A study with `axes` is a grid: a folder for each pair of models in `out`, and the results of all (`run_grid`).
    A folder that holds an earlier or interrupted run of the study is continued: only what changed is done again.

    Args:
        study: the study.
        out: the run folder; made if missing.
        base: folder that relative data paths start from.
        quiet: show no progress.
        deadline: `time.monotonic()` by which to end: an arm that would take longer than that, by the mean of those before or by the latest, is left out and recorded.

    Raises:
        InputError: data or settings that cannot work, or a folder that another run is writing to.
        StageError: a stage that all else needs failed (the base model, say).
    """
    for server in study.servers():
        server.checked().key()
    if study.axes.generator or study.axes.model:
        return run_grid(study, out, base=base, quiet=quiet, deadline=deadline)
    folder = RunFolder(Path(out))
    prepared, reporter = prepare(study, Path(base)), Reporter(quiet=quiet)  # bad input leaves no folder
    runner = Runner(prepared, folder, Worker(Store(folder.path, reporter.warn), reporter), reporter, deadline)
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
    """Run `study` for each generator and learner of its `axes`, each pair in a folder of its own under `out`, and write `grid.html`.

    A pair that fails is recorded, and the others go on. What a generator wrote is written once, for all learners.

    Returns:
        Outcomes and effects of all pairs, with the columns `generator` and `learner`; failures with the pair's name.

    Raises:
        InputError: two models that cannot be told apart by name; data or settings that work for no pair.
        ProbateError: not one pair finished.
    """
    folder = Path(out)
    generators = study.axes.generator or [study.generator or study.model]
    learners = study.axes.model or [study.model]
    failures: list[dict[str, str]] = []
    done: dict[tuple[str, str], Run] = {}
    reporter = Reporter(quiet=quiet)

    def home(generator: ModelSpec, learner: ModelSpec) -> Path:
        return folder / f"{_slug(generator, generators)}--{_slug(learner, learners)}"

    server = next((g.api for g in generators if g.api), None)
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
                        "error": "its data or settings cannot work; run the pair alone",
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
    """A folder name for a model; its place is added where two have one name."""
    name = re.sub(r"[^A-Za-z0-9.]+", "-", spec.name).strip("-.") or "model"
    return f"{name}-{among.index(spec) + 1}" if sum(s.name == spec.name for s in among) > 1 else name


def _share(written: Path, own: Path) -> None:
    """What the generator wrote in the first round, for the next learner; its stage is found again by its inputs."""
    for stage in (written / "stages").glob("generate-*"):
        target = own / "stages" / stage.name
        done = read_report(stage / RECORD)
        if done and not target.exists() and done.get("round") == 1:
            with atomic_folder(target) as part:
                shutil.copytree(stage, part, symlinks=True, dirs_exist_ok=True)
