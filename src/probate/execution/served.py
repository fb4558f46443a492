"""Measures one task on a model behind a server."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any, cast

from probate.execution.letters import letter_answers, read_as, request_of, shares_of
from probate.execution.server_lm import ServerLM
from probate.models.lm import LM
from probate.models.servers.answers import message
from probate.models.servers.client import ApiClient
from probate.tasks.base import Outcome, Task, TaskContext
from probate.tasks.choice import ChoiceTask


def can_be_asked(task: Task) -> bool:
    """Return whether a task needs only what a server gives: answers, not weights."""
    return isinstance(task, ChoiceTask) or task.on_servers


def measure_any(
    client: ApiClient,
    task: Task,
    context: TaskContext,
    samples: int = 8,
    tick: Callable[[int], None] | None = None,
) -> list[Outcome]:
    """Measure a task for which `can_be_asked` holds; parameters as in `measure`."""
    if isinstance(task, ChoiceTask):
        return measure(client, task, context, samples, tick)
    return measure_as_local(client, task, context, samples, tick)


def measure(
    client: ApiClient,
    task: ChoiceTask,
    context: TaskContext,
    samples: int = 8,
    tick: Callable[[int], None] | None = None,
) -> list[Outcome]:
    """Measure one choice task.

    Parameters
    ----------
    client : ApiClient
        The server's client.
    task : ChoiceTask
        The task.
    context : TaskContext
        Held-out records, labels and groups of the study.
    samples : int, default 8
        Number of further answers, at temperature 1, to each item for which the server gives no
        log-probabilities.
    tick : callable, optional
        Called with 1 after each item's first answer.

    Returns
    -------
    list of Outcome
        One outcome for each item.
    """
    items = list(task.items(context))
    asked = [request_of(item, context.seed) for item in items]
    counts = [len(item.names) for item in items]
    answers, read = letter_answers(client, [request for request, _ in asked], counts, samples, tick)
    outcomes = []
    for i, item in enumerate(items):
        texts = dict(zip(item.names, item.options, strict=True))
        shares, how = shares_of(read[i], asked[i][1], texts)
        prediction = max(shares, key=shares.__getitem__) if shares else ""
        response = (
            json.dumps({n: round(shares.get(n, 0.0), 4) for n in item.names}, ensure_ascii=False)
            if shares
            else _unread(answers[i])
        )
        outcomes.append(
            Outcome(
                item.id,
                item.groups,
                item.target,
                response,
                prediction,
                float(prediction == item.target),
                bool(shares),
                read_as(how, answers[i]),
            )
        )
    return outcomes


def measure_as_local(
    client: ApiClient,
    task: Task,
    context: TaskContext,
    samples: int = 8,
    tick: Callable[[int], None] | None = None,
) -> list[Outcome]:
    """Measure a task that asks for letters or texts, as it measures a local model.

    Parameters
    ----------
    client : ApiClient
        The server's client.
    task : Task
        A task with `on_servers`.
    context : TaskContext
        Held-out records, labels and groups of the study.
    samples : int, default 8
        As in `measure`.
    tick : callable, optional
        Called with 1 after each answer.

    Returns
    -------
    list of Outcome
        The outcomes. The response of an unusable one begins with its reason.
    """
    lm = ServerLM(client, samples, tick)
    outcomes = task.evaluate(cast(LM, lm), context)
    own = task.prompts_of(context)
    if own is None:
        each = len(lm.asked) * task.outcomes_per_item // max(1, len(outcomes))  # prompts of one item
        firsts = [i // task.outcomes_per_item * each for i in range(len(outcomes))]
        own = [range(first, first + each) for first in firsts]
    noted = []
    for outcome, places in zip(outcomes, own, strict=True):
        asked = [lm.asked[place] for place in places]
        how = max((how for how, _ in asked), key=len, default="")
        reason = next((why for _, why in asked if why), "")
        response = f"[{reason}] {outcome.response}" if reason and not outcome.parsed else outcome.response
        noted.append(replace(outcome, scoring=how, response=response))
    return noted


def _unread(answer: dict[str, Any]) -> str:
    text, why = message(answer)
    return f"[{why}] {text}".strip() if why else text
