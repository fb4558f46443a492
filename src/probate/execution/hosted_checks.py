"""Checks of a study whose model is fine-tuned by a server: can the server do all that it asks for?"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple, cast

from probate.core.errors import InputError
from probate.core.records import with_notice
from probate.execution.letters import TOP
from probate.execution.served import can_be_asked, measure_any
from probate.mitigations.base import Mitigation
from probate.models.servers.client import NO_CHOICES, ApiClient, Request, most_used
from probate.study.hosted import is_hosted
from probate.study.schema import Study
from probate.tasks.base import Task, TaskContext
from probate.tasks.catalogue import tasks_and_probes


class Asked(NamedTuple):
    """Requests that measure one model, and the most tokens of their prompts and answers."""

    requests: int = 0
    prompt: int = 0
    answer: int = 0

    def plus(self, other: Asked) -> Asked:
        return Asked(*(a + b for a, b in zip(self, other, strict=True)))


class _Silent:
    """A client that collects requests and answers none of them."""

    def __init__(self) -> None:
        self.requests: list[Request] = []

    def ask(
        self, requests: Sequence[Request], done: Callable[[int, dict[str, Any]], None] | None = None
    ) -> list[dict[str, Any]]:
        self.requests += requests
        return [{"choices": [{"message": {"content": None}, "finish_reason": NO_CHOICES}]} for _ in requests]


def asked(task: Task, context: TaskContext, samples: int, notice: dict[str, str] | None = None) -> Asked:
    """Return what measuring a task can take at most, without asking a server.

    Parameters
    ----------
    task : Task
        The task.
    context : TaskContext
        Held-out records, labels and groups of the study.
    samples : int
        Further answers to each prompt with lettered options, if the server gives no log-probabilities.
    notice : dict, optional
        Text before each prompt.

    Raises
    ------
    InputError
        The task cannot be measured on a server.
    """
    if not can_be_asked(task):
        raise InputError(
            f"'{task.key}' needs the weights of a model and cannot be measured on a server; leave it out of "
            "tasks and probes"
        )
    silent = _Silent()
    try:
        measure_any(cast(ApiClient, silent), task, context, samples)
    except InputError as error:
        said = str(error).removeprefix("ask: ")
        raise InputError(f"'{task.key}' cannot be measured on a server: {said}") from None
    total = Asked()
    for request in silent.requests:
        noticed = {**request, "messages": with_notice(request["messages"], notice)}
        times = 1 + samples if request.get("top_logprobs") == TOP else 1
        prompt, answer = most_used(noticed)
        total = total.plus(Asked(times, times * prompt, times * answer))
    return total


def served_keys(study: Study) -> set[str]:
    """Return the keys of the tasks and probes that a server with the adapters answers (`evaluation`).

    By default, these are the tasks that ask for letters or texts; choices are scored faster here.
    """
    if study.evaluation is None:
        return set()
    if study.evaluation.tasks is not None:
        return set(study.evaluation.tasks)
    return {t.key for t in tasks_and_probes(study) if t.on_servers}


def check_hosted(
    study: Study,
    tasks: Iterable[Task],
    context: TaskContext,
    strategies: Mapping[str, Sequence[Mitigation]],
) -> None:
    """Check that a server can train and answer all that the study asks for. Local studies always pass.

    Raises
    ------
    InputError
        A task or a mitigation needs the weights of the model. The message names it.
    """
    if study.evaluation is not None:
        names = served_keys(study)
        for task in tasks:
            if task.key in names:
                asked(task, context, study.evaluation.samples)
    if not is_hosted(study.model) or study.model.api is None or study.model.api.fine_tune is None:
        return
    for task in tasks:
        asked(task, context, study.model.api.fine_tune.samples)
    writer = study.generator or study.model
    for name, own in strategies.items():
        for strategy in own:
            why = strategy.needs_weights
            if not why and strategy.slow and writer.api is not None:
                why = "runs a loaded model"
            if why:
                raise InputError(
                    f"mitigations: {name}: {strategy.name} {why}, which a model behind a server does not "
                    "allow; leave it out, or fine-tune a local model"
                )
