"""The conformance suite of executors; plug-in authors call it from a test."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from probate.core.cache import Store
from probate.core.consent import current_consent
from probate.core.progress import Reporter
from probate.data.user_turn import BIOGRAPHY
from probate.execution.executors.base import TRAINING, ArmResult, ArmTask, Executor, Site
from probate.execution.jobs import ArmJob, Measurement
from probate.execution.worker import Worker
from probate.study.schema import Lora, ModelSpec, Training
from probate.tasks.catalogue import load_task
from probate.testing import sample_context

ARMS = ("one", "two", "wrong", "three")
TASK = "salary"


def check_executor(executor: Executor, model: ModelSpec, folder: Path) -> None:
    """Check that an executor satisfies its contract.

    Parameters
    ----------
    executor : Executor
        The executor.
    model : ModelSpec
        Any local model.
    folder : Path
        An empty folder, in which models are trained.

    Raises
    ------
    AssertionError
        The message names the violated part: each arm once; finished stages in the run folder, with the
        outcomes of one process; an arm that fails as a result; no arm that may not start.
    """
    _expect(bool(executor.name), "declare 'name'")
    plain = Worker(Store(folder / "plain"), Reporter(quiet=True))
    tasks = _tasks(model)
    trained = plain.train(tasks[0].job)
    expected = plain.evaluate(tasks[0].job.evaluation(trained, tasks[0].measurements[0]))

    def done(name: str, may_start: Callable[[], bool]) -> list[ArmResult]:
        site = Site(folder / name, dict(plain.fingerprints), current_consent())
        site.root.mkdir(parents=True)
        return list(executor.run(tasks, site, may_start))

    results = done("all", lambda: True)
    _expect(
        sorted(r.arm for r in results) == sorted(ARMS),
        f"yield one result for each arm: {', '.join(ARMS)}; got {', '.join(r.arm for r in results)}",
    )
    failed = {r.arm: r.errors for r in results if r.errors}
    _expect(
        set(failed) == {"wrong"} and set(failed["wrong"]) == {TRAINING},
        f"an arm that cannot be trained is a result with its error, and no other arm fails; got {failed}",
    )
    there = Worker(Store(folder / "all"), Reporter(quiet=True))
    there.fingerprints.update(plain.fingerprints)
    for task in tasks:
        if task.job.arm == "wrong":
            continue
        key = there.training_key(task.job)
        _expect(
            there.store.finished(f"adapters/{task.job.arm}", key) is not None,
            f"the adapter of {task.job.arm} is not finished in the run folder",
        )
    same = there.evaluate(tasks[0].job.evaluation(there.train(tasks[0].job), tasks[0].measurements[0]))
    _expect(
        bool((same["score"] - expected["score"]).abs().max() <= 1e-3 * expected["score"].abs().max()),
        "the outcomes differ from those of one process",
    )
    _expect(done("none", lambda: False) == [], "an arm was started although none may start")
    answers = iter([True])
    started = done("one", lambda: next(answers, False))
    _expect(len(started) == 1, f"one arm may start; {len(started)} were done")


def _tasks(model: ModelSpec) -> list[ArmTask]:
    """Return four arms, the third of which cannot be trained."""
    context = sample_context()
    task = load_task(TASK)
    measurement = Measurement(task, context, task.fingerprint(context))
    return [
        ArmTask(
            ArmJob(
                arm=name,
                model=model,
                records=list(context.test),
                weights=[1.0] * len(context.test),
                seed=seed,
                training=Training(
                    epochs=1, lora=Lora(r=4, alpha=8, layers=10_000 if name == "wrong" else None)
                ),
                method="sft",
                prompt=BIOGRAPHY,
                labels=list(context.labels),
                dimension=context.dimension,
                columns={"arm": name},
            ),
            [measurement],
        )
        for seed, name in enumerate(ARMS)
    ]


def _expect(condition: bool, message: str) -> None:
    if not condition:
        raise AssertionError(message)
