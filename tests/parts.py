"""Prompts of every part of Probate, whether or not a preset uses it: bias types, packs, tasks, mitigations, servers."""

from __future__ import annotations

import csv
import json
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
from rendering import Prompt, Reader, of_records, of_task, turns

from probate.data.corpora import biographies, opinions
from probate.data.generation import api_backend
from probate.data.generation.prompts import candidates
from probate.data.opinions import languages
from probate.data.packs import Pack, load_pack, pack_names
from probate.data.readers import read_source
from probate.data.user_turn import language_of, user_turn
from probate.execution.letters import request_of
from probate.mitigations.base import MitigationContext, mitigate
from probate.mitigations.catalogue import load_mitigation
from probate.mitigations.wording.rewrite import rewrite
from probate.study.schema import Data
from probate.study.taxonomy import BIAS_TYPES, NEUTRAL
from probate.tasks.base import TaskContext
from probate.tasks.catalogue import load_any, load_task, task_class, task_names
from probate.tasks.choice import ChoiceTask
from probate.testing import sample_context

LABELS = ("architect", "dentist", "nurse", "painter", "professor", "software engineer")
PEOPLE = ["very important", "not important"]
SURVEY = [
    ["country", "question", "options", "distribution"],
    ["Germany", "How important is family in your life?", json.dumps(PEOPLE), "[0.8, 0.2]"],
    ["Spain", "How important is family in your life?", json.dumps(PEOPLE), "[0.9, 0.1]"],
]
"""Answers of a survey, made up for rendering."""
COLUMNS = "context question ans0 ans1 ans2 label question_polarity context_condition".split()
BBQ = {
    "en": [
        "Ada and Bo met at a station.",
        "Who was late?",
        "Ada",
        "Bo",
        "It is not known",
        2,
        "neg",
        "ambig",
    ],
    "es": [
        "Ada y Bo se vieron en una estación.",
        "¿Quién llegó tarde?",
        "Ada",
        "Bo",
        "No se sabe",
        2,
        "neg",
        "ambig",
    ],
    "zh": ["小艾和小波在车站见面。", "谁迟到了？", "小艾", "小波", "无法确定", 2, "neg", "ambig"],
}


@cache
def of_parts() -> dict[str, tuple[Prompt, ...]]:
    """Part → its prompts, in every language."""
    made = {
        "generation": _generation(), "training": _training(), "tasks": _tasks(), "mitigations": _mitigations(),
        "servers": _servers(),
    }  # fmt: skip
    return {name: tuple(prompts) for name, prompts in made.items()}


def stances(language: str) -> tuple[list[str], list[str]]:
    """Labels and statements of the opinions in a language."""
    rows = opinions(language)
    return list(dict.fromkeys(r["label"] for r in rows)), sorted({r["statement"] for r in rows})


def _generation() -> Iterator[Prompt]:
    for language in languages():
        labels, statements = stances(language)
        for dimension in pack_names():
            pack = load_pack(dimension)
            cross = load_pack(pack.cross)
            if pack.speaks(language) and cross.speaks(language):
                own, other = pack.speaking(language), cross.speaking(language)
                if language == "en":
                    yield from _cells(own, other, LABELS, (), language)
                yield from _cells(own, other, labels, statements, language)


def _cells(
    pack: Pack, cross: Pack, labels: Sequence[str], statements: Sequence[str], language: str
) -> Iterator[Prompt]:
    """Prompts about each label and group.

    Each label and group of the usual dimension is in a sample; other dimensions have one.
    """
    groups = list(pack.groups)
    what, usual = ("opinions", "culture") if statements else ("biographies", "gender")
    count = max(len(labels), len(groups)) if pack.dimension == usual else 1
    samples = {(labels[i % len(labels)], groups[i % len(groups)]) for i in range(count)}
    for bias_type in (NEUTRAL, *BIAS_TYPES):
        part = f"{what}, {pack.dimension}: {bias_type}"
        for one in candidates(bias_type, pack, cross, groups, labels, 0, 6, 0, statements, language):
            kind = f"{one.label}, {one.group}" if (one.label, one.group) in samples else ""
            jobs = () if statements else (one.label,)
            yield Prompt(part, kind, language, (("user", one.prompt),), one.name, jobs=jobs)


def opinion_context(language: str) -> TaskContext:
    """The built-in opinions as held-out records, by culture."""
    data = Data(source="builtin:opinions", columns={"groups": {"culture": "culture"}}, language=language)
    records = read_source(data, Path(), "original", None, language).records
    pack = load_pack("culture")
    return TaskContext(
        records, stances(language)[0], "culture", list(pack.groups), {}, user_turn(data), 1024, pack=pack
    )


def _contexts() -> Iterator[tuple[str, TaskContext]]:
    yield "biographies", sample_context(LABELS)
    for language in languages():
        yield "opinions", opinion_context(language)


def _training() -> Iterator[Prompt]:
    for what, context in _contexts():
        samples = [(label, context.groups[i % 2]) for i, label in enumerate(context.labels)]
        yield from of_records(context.test, context, what, context.dimension, samples)


def _tasks() -> Iterator[Prompt]:
    people = sample_context(LABELS)
    with tempfile.TemporaryDirectory() as folder:

        def table(name: str, rows: Sequence[Sequence[object]]) -> str:
            with open(Path(folder) / name, "w", encoding="utf-8", newline="") as file:
                csv.writer(file).writerows(rows)
            return str(Path(folder) / name)

        runs: list[tuple[str, dict[str, object], TaskContext, int]] = [
            ("occupation", {}, people, 2),
            ("salary", {"mode": "bands"}, people, 2),
            ("salary", {"mode": "generate"}, people, 1),
            ("hiring", {"names": 4}, people, 4),
            ("knowledge", {}, people, 2),
            ("representation", {"texts": 1}, people, 2),
            ("values", {"data": table("survey.csv", SURVEY)}, people, 2),
            *(("opinion", {}, opinion_context(x), 2) for x in languages()),
            *(("story", {"names": 6, "language": x}, people, 2) for x in task_class("story").languages),
            *(("bbq", {"data": table(f"{x}.csv", [COLUMNS, r]), "language": x}, people, 1) for x, r in BBQ.items()),
        ]  # fmt: skip
        for name in [n for n in task_names() if hasattr(task_class(n), "spec")]:
            runs += [(name, {"language": x}, people, 2) for x in task_class(name).languages]
            for dimension in pack_names():
                pack = load_pack(dimension)
                asked = replace(people, dimension=dimension, groups=list(pack.groups), pack=pack)
                runs.append((name, {}, asked, len(pack.groups) if name == "hate" else 0))
        for name, options, context, samples in runs:
            what = f"{name} ({options['mode']})" if "mode" in options else name
            what += f", {context.dimension}" if context.dimension not in ("gender", "culture") else ""
            yield from of_task(load_any(name, options), context, what, samples=samples)


def _mitigations() -> Iterator[Prompt]:
    for what, context in _contexts():
        dimension, language = context.dimension, language_of(context.prompt)
        packs = tuple(load_pack(d) for d in dict.fromkeys((dimension, "gender")))
        mitigating = MitigationContext(
            dimension, context.groups, context.labels, packs, language, prompt=context.prompt, generated=True
        )
        records = [replace(r, origin="augmented") for r in context.test]
        samples = [(context.labels[0], group) for group in context.groups[:2]]
        for name, options in [
            ("token", {"placement": "prefix"}),
            ("token", {"placement": "user"}),
            ("token", {"placement": "system"}),
            ("mask", {"mode": "neutral"}),
            ("mask", {"mode": "mask"}),
            *([("counterfactual", {})] if what == "biographies" else []),
        ]:
            made = mitigate(records, [load_mitigation(name, options)], mitigating).records
            part = f"{' '.join([name, *options.values()])}, {what}"
            yield from of_records(made, context, part, dimension, samples)
        told = load_mitigation("constrain", {}).instruction(mitigating)
        yield Prompt("constrain", "instruction", language, (("user", told),))
    people, reader = biographies()[:2], Reader()
    rewrite(
        [p["text"] for p in people], ["male", "female"], [p["label"] for p in people], reader,
        load_pack("gender").only(["female", "male"]), similarity=0, seed=0,
        embed=lambda texts: np.zeros((len(texts), 1)),
    )  # fmt: skip
    yield from reader.prompts("counterfactual rewrite", "en")


def _servers() -> Iterator[Prompt]:
    """What a server is asked for: the name at the beginning, and a letter for each option."""
    for language in languages():
        labels, statements = stances(language)
        pack, cross = (load_pack(d).speaking(language) for d in ("culture", "gender"))
        asked = candidates(NEUTRAL, pack, cross, list(pack.groups), labels, 0, 2, 0, statements, language)
        for number, one in enumerate(asked):
            kind = "" if number else f"{one.label}, {one.group}"
            yield Prompt("generation", kind, language, (("user", api_backend.turn(one)),))
    for task, context in (
        (load_task("occupation"), sample_context(LABELS)),
        *((load_task("hate", {"language": x}), sample_context()) for x in languages()),
        *((load_task("opinion"), opinion_context(x)) for x in languages()),
    ):
        assert isinstance(task, ChoiceTask)
        for number, item in enumerate(task.items(context)):
            messages, foreign = (
                request_of(item, 0)[0]["messages"],
                task.name == "hate" and item.language != "en",
            )
            yield Prompt(task.name, "" if number else "0", item.language, turns(messages), foreign=foreign)
