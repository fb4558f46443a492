"""Prompts rendered without a model: every prompt of every preset."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from zlib import crc32

import numpy as np
from hub import hub

from probate.core.errors import InputError
from probate.core.records import Record, after, with_messages, with_notice
from probate.data.generation import api_backend
from probate.data.generation.prompts import candidates
from probate.data.opinions import languages
from probate.data.user_turn import language_of
from probate.execution.arm_records import ready_set
from probate.execution.jobs import Trained
from probate.execution.prepare import Prepared, prepare
from probate.execution.runner import Runner
from probate.mitigations.base import mitigate
from probate.study.presets import presets
from probate.study.schema import Data, Study
from probate.tasks.base import Task, TaskContext


@dataclass(frozen=True)
class Prompt:
    """One rendered prompt.

    Attributes
    ----------
    part : str
        What it is for, such as `generation neutral` or `task salary`.
    kind : str
        What sets it apart from others of the part, such as a label and a group. One prompt of each kind is a
        sample; the kind "" has no sample.
    language : str
        Language of its template; `any` if it is that of the data, or of a person's country.
    messages : tuple of (str, str)
        Role and content of each turn.
    begins : str
        The forced beginning of the answer.
    options : tuple of str
        The answers that are scored.
    jobs : tuple of str
        Words that must be occupations, each with its article.
    foreign : bool
        Whether the text in the template may be in another language, as the English items of text tasks.
    """

    part: str
    kind: str
    language: str
    messages: tuple[tuple[str, str], ...]
    begins: str = ""
    options: tuple[str, ...] = ()
    jobs: tuple[str, ...] = ()
    foreign: bool = False

    def shown(self) -> str:
        """The prompt as the golden files show it."""
        lines = [content if role == "user" else f"[{role}] {content}" for role, content in self.messages]
        lines += [f"[the answer begins] {self.begins}"] if self.begins else []
        lines += [f"[options] {' | '.join(self.options)}"] if self.options else []
        return "\n".join(lines)


@dataclass
class Reader:
    """An LM that keeps the prompts and options that it is given, and finds all options equally likely."""

    notice: dict[str, str] | None = None
    asked: list[tuple[list[dict[str, str]], str, list[str]]] = field(default_factory=list)
    texts: dict[int, str] = field(default_factory=dict)
    scores_tokens: bool = True
    truncated: int = 0
    context: int = 10**6
    pad_id: int = 0
    stop_ids: list[int] = field(default_factory=lambda: [2])
    tokenizer: SimpleNamespace = field(
        default_factory=lambda: SimpleNamespace(
            bos_token_id=10**8, eos_token_id=2, get_vocab=lambda: {"7": 7}
        )
    )

    def prompt_ids(self, messages, room=0, limit=None, prefix=""):
        self.asked.append((with_notice(messages, self.notice), prefix, []))
        return [len(self.asked) - 1]

    def completion_ids(self, text, end=True, begins=True):
        return self.text_ids(text)

    def text_ids(self, text):
        number = crc32(text.encode()) + 10**9
        self.texts[number] = text
        return [number] if text else []

    def decode(self, ids, after=()):
        return ""

    def generate(self, prompts, seeds, *, done=None, **settings):
        if done:
            done(list(range(len(prompts))), [[] for _ in prompts])
        return [[] for _ in prompts]

    def score_options(self, prompts, options, *, tick=None):
        return np.array(self.score_choices(prompts, [options] * len(prompts), tick=tick))

    def score_choices(self, prompts, options, *, tick=None):
        for prompt, own in zip(prompts, options, strict=True):
            known = [self.texts[ids[0]] for ids in own if ids[0] in self.texts]
            if len(prompt) == 1 and prompt[0] < len(self.asked) and known:  # a chat, not plain text
                self.asked[prompt[0]][2][:] = known
        if tick:
            tick(len(prompts))
        return [np.full(len(own), -1.0) for own in options]

    def prompts(self, part: str, language: str, foreign: bool = False, samples: int = 2) -> Iterator[Prompt]:
        """The kept prompts; the first ones are samples."""
        for number, (messages, prefix, options) in enumerate(self.asked):
            kind = str(number) if number < samples else ""
            yield Prompt(part, kind, language, turns(messages), prefix, tuple(options), foreign=foreign)


def turns(messages: Iterable[dict[str, str]]) -> tuple[tuple[str, str], ...]:
    return tuple((m["role"], m["content"]) for m in messages)


def language_of_task(task: Task, context: TaskContext) -> str:
    """The language of a task's template: that of its options, of the study's prompt, or English."""
    asked = task.name in ("occupation", "opinion")
    return getattr(task.options, "language", None) or (language_of(context.prompt) if asked else "en")


def of_task(
    task: Task, context: TaskContext, part: str, notice: dict[str, str] | None = None, samples: int = 2
) -> Iterator[Prompt]:
    """All prompts of a task. Bundled items of text tasks are in English in every language; survey questions are as
    their data has them, and a persona can have another language.
    """
    reader, language = Reader(notice), language_of_task(task, context)
    task.evaluate(reader, context)
    if task.name == "values":
        language = "any"
    yield from reader.prompts(part, language, hasattr(task, "spec") and language != "en", samples)


# Prompts of a study.


def at_hand(study: Study) -> Study:
    """The study with built-in biographies in place of those on the hub, which are few enough to render."""
    if not study.data.source.startswith("hf:"):
        return study
    return study.with_(
        **{"data.source": "builtin:biographies", "data.train_per_cell": 6, "data.test_per_cell": 12}
    )


def in_languages(study: Study) -> Iterator[Study]:
    """The study, in each language that its records and stories exist in."""
    yield study
    if study.data.source != "builtin:opinions":
        return
    for language in languages():
        if language != study.data.language:
            tasks = [
                t.model_copy(update={"options": {**t.options, "language": language}})
                if t.name == "story"
                else t
                for t in study.tasks
            ]
            data = study.data.model_copy(update={"language": language, "labels": None})
            yield study.model_copy(update={"data": data, "tasks": tasks})


def of_study(study: Study) -> Iterator[Prompt]:
    """All prompts of a study: for the generator, in training, and of each task and probe.

    Raises
    ------
    InputError
        The study needs data that does not ship with Probate.
    """
    prepared = prepare(study, Path())
    yield from _generation(prepared)
    yield from _training(prepared)
    notices: list[dict[str, str] | None] = [None]
    for strategies in prepared.mitigations.values():
        for strategy in strategies:
            if (notice := strategy.notice(prepared.mitigating)) and notice not in notices:
                notices.append(notice)
    for measurement in prepared.measurements:
        for notice in notices:
            part = f"task {measurement.task.key}" + (" with a notice" if notice else "")
            yield from of_task(measurement.task, measurement.context, part, notice)


def _generation(prepared: Prepared) -> Iterator[Prompt]:
    seen = set()
    for arm in prepared.plan.arms:
        if not arm.ratio or ready_set(prepared, arm.bias_type) is not None:
            continue
        author = Trained("", "", Path()) if arm.round > 1 else None
        job = Runner._generation(SimpleNamespace(prepared=prepared), arm, "", prepared.writer(arm), author)
        key = (job.bias_type, job.instruction, job.target, job.generation.seed)
        if key in seen:
            continue
        seen.add(key)
        per_cell = -(-job.target // (len(job.labels) * len(job.groups)))
        asked = candidates(
            job.bias_type,
            job.pack.speaking(job.language).only(job.groups),
            job.cross,
            job.groups,
            job.labels,
            0,
            max(per_cell, int(job.generation.budget * per_cell)),
            job.generation.seed,
            job.statements,
            job.language,
        )
        part = f"generation {job.bias_type}" + (" with an instruction" if job.instruction else "")
        for one in asked:
            one = replace(one, prompt=after(one.prompt, job.instruction).strip())
            text = api_backend.turn(one) if job.model.api else one.prompt
            jobs = () if job.statements else (one.label,)
            kind = f"{one.label}, {one.group}"
            yield Prompt(part, kind, job.language, (("user", text),), one.name, jobs=jobs)


def _training(prepared: Prepared) -> Iterator[Prompt]:
    data, study = prepared.data, prepared.study
    original = data.split.all_train()
    ready = [replace(r, id=f"a:{r.id}", origin="augmented") for r in original]

    def shown(part: str, records: Iterable[Record]) -> Iterator[Prompt]:
        yield from of_records(records, data.context, part, study.bias.dimension)

    yield from shown("training", original)
    for name, strategies in prepared.mitigations.items():
        if not any(s.slow for s in strategies):
            made = mitigate([*original, *ready], strategies, prepared.mitigating)
            yield from shown(f"training {name}", (r for r in made.records if r.origin == "augmented"))


def of_records(
    records: Iterable[Record],
    context: TaskContext,
    part: str,
    dimension: str,
    samples: Sequence[tuple[str, str]] | None = None,
) -> Iterator[Prompt]:
    """The training prompts of records; `samples` are (label, group) pairs, by default all."""
    for r in with_messages(records, context.prompt, context.labels):
        own = (r.label, r.groups[dimension])
        kind = ", ".join(own) if samples is None or own in samples else ""
        yield Prompt(part, kind, language_of(context.prompt), turns(r.messages))


def on_built_in_data(study: Study) -> Study:
    """The study with few built-in records, and without tasks that read a file: its templates are the same."""
    own, dimension = study.data, study.bias.dimension
    data = Data(
        source="builtin:opinions" if own.opinions else "builtin:biographies",
        columns={"groups": {dimension: dimension}},
        train_per_cell=2,
        test_per_cell=4,
        language=own.language,
        prompt=own.prompt,
    )
    tasks, probes = ([t for t in s if "data" not in t.options] for s in (study.tasks, study.probes))
    return study.model_copy(update={"data": data, "augmented": None, "tasks": tasks, "probes": probes})


@cache
def of_presets() -> dict[tuple[str, str], tuple[tuple[Prompt, ...], str]]:
    """(Preset, language) → all its prompts, and why they are rendered on built-in data if its own are not there."""
    rendered = {}
    for name in presets():
        for study in in_languages(at_hand(Study.preset(name))):
            reason = ""
            try:
                with hub():
                    prompts = tuple(of_study(study))
            except InputError as error:
                prompts, reason = tuple(of_study(on_built_in_data(study))), str(error)
            rendered[name, study.data.language] = prompts, reason
    return rendered
