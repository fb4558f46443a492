"""Texts of evaluations that training data must not hold: the tasks' and probes' own items, and a user's."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from probate.errors import ProbateError
from probate.registry import load_probe, load_task, probe_names, task_names
from probate.why.texts import read_texts


def own_items() -> dict[str, list[str]]:
    """Task or probe → the texts of its items, of those that bring items of their own and can be loaded."""
    from probate.tasks.choice import ChoiceTask
    from probate.testing import sample_context

    found: dict[str, list[str]] = {}
    context = replace(sample_context(), test=[])  # what is left are items that do not come from a study's data
    for name, load in [*((n, load_task) for n in task_names()), *((n, load_probe) for n in probe_names())]:
        try:
            task = load(name)
            if isinstance(task, ChoiceTask):
                texts = list(dict.fromkeys(i.prompt or " ".join(i.options) for i in task.items(context)))
                found.update({name: texts} if texts else {})
        except ProbateError:
            continue  # needs data of its own, or a library that is not there
    return found


def given_items(sources: list[str]) -> Iterator[tuple[str, list[str]]]:
    """(file, its texts) of files that a user names."""
    for source in sources:
        yield source, read_texts(source, option="--items").texts
