"""Evaluation items that training data must not contain: those of tasks and probes, and those of a user."""

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
    """Return the items of the installed tasks and probes.

    Returns
    -------
    dict of str to list of str
        Task or probe → texts of its items that are long enough to be searched for. Tasks and probes without
        items of their own, and those that cannot be loaded, are left out.
    """
    texts_of: dict[str, list[str]] = {}
    # without test records, the remaining items do not come from the data of a study
    context = replace(sample_context(), test=[])
    for name, load in [*((n, load_task) for n in task_names()), *((n, load_probe) for n in probe_names())]:
        try:
            task = load(name)
            if isinstance(task, ChoiceTask):
                texts = dict.fromkeys(i.prompt or " ".join(i.options) for i in task.items(context))
                long = [t for t in texts if len(word_tokens(t)) >= LONG]
                texts_of.update({name: long} if long else {})
        except ProbateError:
            continue  # needs data of its own, or a library that is not installed
    return texts_of


def given_items(sources: list[str], text: str | None = None) -> Iterator[tuple[str, list[str]]]:
    """Read the evaluation items of a user.

    Parameters
    ----------
    sources : list of str
        Files of evaluation items.
    text : str, optional
        Column of the texts. Default: it is recognised.

    Yields
    ------
    tuple of (str, list of str)
        File with the columns that were read, and its texts: questions and answers, without short answers.

    Raises
    ------
    InputError
        A file or column does not exist, there is no text, or the column of the text must be named.
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
