"""Texts of evaluations that training data must not hold: the tasks' and probes' own items, and a user's."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from probate.core.errors import InputError, ProbateError
from probate.data.checks.repeats import LONG, word_tokens
from probate.data.shape import Given, read_table
from probate.tasks.catalogue import load_probe, load_task, probe_names, task_names
from probate.tasks.choice import ChoiceTask
from probate.testing import sample_context


def own_items() -> dict[str, list[str]]:
    """Task or probe → the texts of its items that are long enough to be looked for, of those that bring items of their own and can be loaded."""

    texts_of: dict[str, list[str]] = {}
    context = replace(
        sample_context(), test=[]
    )  # what is left are items that do not come from a study's data
    for name, load in [*((n, load_task) for n in task_names()), *((n, load_probe) for n in probe_names())]:
        try:
            task = load(name)
            if isinstance(task, ChoiceTask):
                texts = dict.fromkeys(i.prompt or " ".join(i.options) for i in task.items(context))
                long = [t for t in texts if len(word_tokens(t)) >= LONG]
                texts_of.update({name: long} if long else {})
        except ProbateError:
            continue  # needs data of its own, or a library that is not there
    return texts_of


def given_items(sources: list[str], text: str | None = None) -> Iterator[tuple[str, list[str]]]:
    """(file and the columns that were read, its texts) of files that a user names: of each item every text, what is asked and what is answered, but for short answers.

    `text` names the column of the texts, where it is not found.

    Raises:
        InputError: no such file or column, no text, or a text that must be named.
    """
    for source in sources:
        table = read_table(source, Given(text), "--items-text")
        turns = [t for row in table.rows for t in table.shape.turns_of(row) if not t.kept and t.text.strip()]
        if not turns:
            raise InputError(
                f"{source}: no text in column '{table.shape.text}'; name another with --items-text"
            )
        columns = dict.fromkeys(str(t.place[0]) for t in turns)
        yield f"{source} ({' + '.join(columns)})", [t.text for t in turns]
