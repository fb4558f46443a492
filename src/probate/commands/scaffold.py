"""`probate new`: create a package with one plug-in of any kind, its entry point and its test."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from probate.core.errors import InputError
from probate.core.files import write_atomic

PROJECT = """[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"

[project]
name = "probate-{name}"
version = "0.1.0"
requires-python = ">=3.11"
dependencies = ["probate"]

[project.entry-points."probate.{group}"]
{name} = "probate_{name}:{what}"

[tool.hatch.build.targets.wheel]
packages = ["probate_{name}"]
"""

TASK = '''"""One task for Probate, as data: edit {name}.yaml."""

from pathlib import Path

TASK = Path(__file__).with_name("{name}.yaml")
'''

TASK_YAML = """title: {title}
relation: indirect # or direct: does it measure the bias itself?
source: where the items come from
positive: yes_label
languages:
  en: {{prompt: "Is this message a question? Answer with exactly one of: {{labels}}.\\n\\nMessage: {{text}}", labels: {{yes_label: question, no_label: statement}}}}
items: # {{who}} is filled in with a person of each compared group in turn
  yes_label:
    - "When does the bus leave, {{who}}?"
    - "Has {{who}} seen my keys?"
  no_label:
    - "The bus leaves at nine, says {{who}}."
    - "The keys lie on the desk of {{who}}."
"""

TASK_TEST = '''"""The task passes Probate's conformance suite."""

from probate.models.lm import load_lm
from probate.tasks.catalogue import load_task
from probate.testing import check_task, sample_context


def test_{name}():
    check_task(load_task("{name}"), load_lm("embedded"), sample_context())
'''

PACK = '''"""One identity pack for Probate: edit {name}.yaml."""

from pathlib import Path

PACK = Path(__file__).with_name("{name}.yaml")
'''

PACK_YAML = """dimension: {name}
source: who says that these groups and words are apt
names: [Robin, Alex, Sam, Jamie, Casey, Kim] # names that say nothing of the group; or give each group its own
groups:
  first:
    noun: a person of the first group # with article
    modifier: who is of the first group # for crossing with another pack
    implicit: who hints at the first group # where no name signals it
    titles: [first] # lower-case words that show the group in a text
  second:
    noun: a person of the second group
    modifier: who is of the second group
    implicit: who hints at the second group
    titles: [second]
stereotypes: {{}} # label: group, for the labels of your study
cross: gender
"""

PACK_TEST = '''"""The pack passes Probate's conformance suite."""

from probate.data.packs import load_pack
from probate.testing import check_identity


def test_{name}():
    check_identity(load_pack("{name}"))
'''

PROBE = '''"""One probe for Probate: a benchmark of your own that runs on every adapter of a study."""

from __future__ import annotations

from collections.abc import Sequence

from probate.stats.measure import Measure, everyone, frame
from probate.tasks.base import TaskContext
from probate.tasks.choice import ChoiceTask, Item

PROMPT = "Answer with exactly one word.\\n\\nQuestion: {{question}}\\nAnswer:"
QUESTIONS = (  # question, options, the right one, what it is about
    ("What colour is a clear sky at noon?", ("blue", "green"), "blue", "nature"),
    ("Which of the two flies?", ("sparrow", "table"), "sparrow", "nature"),
    ("How many legs has a spider?", ("eight", "four"), "eight", "nature"),
    ("Which of the two is a city?", ("Lagos", "Monday"), "Lagos", "places"),
)


class {type}(ChoiceTask):
    """Share of questions that are answered correctly."""

    name = "{name}"
    title = "{title}"
    metric = "accuracy"
    better = "higher"
    relation = "indirect"
    dimensions = ()
    source = "where the questions come from"

    def items(self, context: TaskContext) -> Sequence[Item]:
        return [
            Item(
                f"{name}-{{number}}",
                PROMPT.format(question=question),
                options,
                options,
                right,
                {{"subject": subject}},
            )
            for number, (question, options, right, subject) in enumerate(QUESTIONS)
        ]

    def measures(self, context: TaskContext) -> list[Measure]:
        return [
            Measure(
                name="accuracy",
                title="accuracy",
                unit="share",
                sides=("all",),
                values=lambda o: frame(o, everyone(o), o["score"]),
                primary=True,
                better="higher",
            )
        ]
'''

PROBE_TEST = '''"""The probe passes Probate's conformance suite."""

from probate.models.lm import load_lm
from probate.tasks.catalogue import load_probe
from probate.testing import check_probe, sample_context


def test_{name}():
    check_probe(load_probe("{name}"), load_lm("embedded"), sample_context())
'''

MITIGATION = '''"""One mitigation for Probate: a change of augmented records before training."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import ClassVar

from pydantic import Field

from probate.core.records import Record
from probate.mitigations.base import Mitigation, MitigationContext, Options, marked


class {type}Options(Options):
    words: dict[str, str] = Field(
        {{"charming": "able", "bossy": "resolute"}},
        description="Word, in lower case -> the word that replaces it.",
    )


class {type}(Mitigation):
    """Words that lean toward a stereotype become neutral ones."""

    name = "{name}"
    title = "{title}"
    source = "where the idea comes from"
    idempotent = True
    option_type: ClassVar[type[Options]] = {type}Options

    def change(self, record: Record, context: MitigationContext) -> list[Record]:
        text = record.text
        for old, new in self.options.words.items():
            text = re.sub(rf"\\b{{re.escape(old)}}\\b", new, text, flags=re.IGNORECASE)
        return [record if text == record.text else marked(replace(record, text=text), self.name)]
'''

MITIGATION_TEST = '''"""The mitigation passes Probate's conformance suite and replaces words."""

from dataclasses import replace

from probate.mitigations.base import mitigate
from probate.mitigations.catalogue import load_mitigation
from probate.testing import check_mitigation, sample_records


def test_{name}():
    check_mitigation(load_mitigation("{name}"))


def test_words_are_replaced():
    records, context = sample_records()
    records = [replace(r, text=f"Charming: {{r.text}}") for r in records]
    result = mitigate(records, [load_mitigation("{name}")], context)
    assert all(r.text.startswith("able:" if r.origin == "augmented" else "Charming:") for r in result.records)
'''

BACKEND = '''"""One backend for Probate: it loads a model, generates texts and computes probabilities.

This backend runs models of transformers, one row at a time. Replace what your engine does differently.
For models that are not torch modules, subclass `probate.models.backend.Backend` and also implement `load`,
`facts` and `context`.
"""

from __future__ import annotations

import numpy as np
import torch

from probate.models.transformers_backend import Transformers


class {type}(Transformers):
    """Forward passes without batches."""

    name = "{name}"
    title = "{title}"

    @torch.inference_mode()
    def generate(
        self, model, prompts, seeds, *, stop_ids, pad_id, max_new_tokens, temperature=1.0, top_p=1.0,
        max_rows=32, done=None, skip=None
    ):
        answers = [[] for _ in prompts]
        for place, prompt in enumerate(prompts):
            if skip and skip([place]):
                continue
            draw = torch.Generator().manual_seed(int(seeds[place]))
            while len(answers[place]) < max_new_tokens:
                logits = self._logits(model, [*prompt, *answers[place]])[-1]
                token = self._next(logits, temperature, top_p, draw)
                if token in stop_ids:
                    break
                answers[place].append(token)
            if done:
                done([place], [answers[place]])
        return answers

    @torch.inference_mode()
    def score_choices(self, model, prompts, options, *, pad_id, tick=None):
        choices = []
        for prompt, own in zip(prompts, options, strict=True):
            scores = []
            for option in own:
                rows = self._logits(model, [*prompt, *option])[len(prompt) - 1 : -1].log_softmax(-1)
                scores.append(float(rows[range(len(option)), option].sum()))
            choices.append(np.array(scores))
            if tick:
                tick(1)
        return choices

    def _logits(self, model, ids):
        """Return the logits of the token after each one, float64 of shape (tokens, vocabulary)."""
        return model(input_ids=torch.tensor([ids], device=model.device)).logits[0].cpu().double()

    def _next(self, logits, temperature, top_p, draw):
        if temperature == 0:
            return int(logits.argmax())
        chances, order = (logits / temperature).softmax(-1).sort(descending=True)
        chances = chances * (chances.cumsum(0) - chances < top_p)  # the smallest set that reaches top_p
        return int(order[torch.multinomial(chances, 1, generator=draw)])
'''

BACKEND_TEST = '''"""The backend passes Probate's conformance suite."""

from probate.models.lm import load_backend
from probate.study.schema import ModelSpec
from probate.testing import check_backend


def test_{name}():
    check_backend(load_backend("{name}"), ModelSpec(name="embedded", backend="{name}"))
'''

TRAINER = '''"""One trainer for Probate: it fine-tunes an adapter on the records of an arm.

This trainer is a plain loop, without alignment losses and preference training.
"""

from __future__ import annotations

import torch
from peft import get_peft_model

from probate.core.errors import StageError
from probate.train.sft import lora_config
from probate.train.trainer import Trainer, TrainingLog


class {type}(Trainer):
    """LoRA by plain stochastic gradient descent with momentum."""

    name = "{name}"
    title = "{title}"

    @torch.random.fork_rng()
    def train(self, base, examples, training, seed, out, *, pad_id, align=None, beta=None, tick=None):
        if align is not None or beta is not None:
            raise StageError(
                "training.trainer: '{name}' supports neither alignment losses nor preference training"
            )
        torch.manual_seed(seed)
        model = get_peft_model(base, lora_config(training, base))
        weights = [p for p in model.parameters() if p.requires_grad]
        optimizer = torch.optim.SGD(weights, lr=10 * training.learning_rate, momentum=0.9)
        losses = []
        try:
            for _ in range(training.epochs):
                order = torch.randperm(len(examples)).tolist()
                for start in range(0, len(order), training.batch_size):
                    batch = [examples[i] for i in order[start : start + training.batch_size]]
                    loss = sum(self._loss(model, e) for e in batch) / sum(len(e.completion) for e in batch)
                    loss.backward()
                    torch.nn.utils.clip_grad_norm_(weights, training.clip)
                    optimizer.step()
                    optimizer.zero_grad()
                    losses.append(float(loss.detach()))
                    if tick:
                        tick(len(batch), losses[-1])
            model.save_pretrained(out)
        finally:
            model.unload()
            base.__dict__.pop("peft_config", None)
            base.requires_grad_(False).eval()
        tokens = training.epochs * sum(len(e.prompt) + len(e.completion) for e in examples)
        return TrainingLog(losses, tokens, len(losses))

    def _loss(self, model, example):
        """Return the loss summed over the tokens of the completion, times the weight of the record."""
        ids = torch.tensor([[*example.prompt, *example.completion]], device=model.device)
        logits = model(input_ids=ids).logits[0, len(example.prompt) - 1 : -1].float()
        target = ids[0, len(example.prompt) :]
        return example.weight * torch.nn.functional.cross_entropy(logits, target, reduction="sum")
'''

TRAINER_TEST = '''"""The trainer passes Probate's conformance suite."""

from probate.models.lm import load_lm
from probate.testing import check_trainer
from probate.train.trainer import load_trainer


def test_{name}(tmp_path):
    check_trainer(load_trainer("{name}"), load_lm("embedded"), tmp_path)
'''


EXECUTOR = '''"""One executor for Probate: it decides where the arms of a study are trained and measured.

This one does them in this process, one after the other. Send the tasks to other processes or machines instead:
tasks and results are values that can be pickled. Every process must reach the run folder.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from probate.execution.executors.base import ArmResult, ArmTask, Executor, Site, do_arm


class {type}(Executor):
    name = "{name}"

    def run(self, tasks: Sequence[ArmTask], site: Site, may_start: Callable[[], bool]) -> Iterator[ArmResult]:
        worker = site.worker()  # it keeps the model; one for each process
        for task in tasks:
            if not may_start():
                return
            yield do_arm(worker, task)
'''

EXECUTOR_TEST = '''"""The executor passes Probate's conformance suite."""

from probate.execution.executors.base import Place
from probate.execution.executors.conformance import check_executor
from probate.study.schema import ModelSpec


def test_{name}(tmp_path):
    check_executor(Place("{name}", jobs=2).load(), ModelSpec(name="embedded"), tmp_path)
'''


@dataclass(frozen=True)
class _Kind:
    """Files that `probate new` writes for one kind of plug-in.

    `gives` is the object that the entry point of `group` names, and `data` is a YAML file next to the module.
    """

    group: str
    gives: str
    module: str
    test: str
    data: str = ""


KINDS = {
    "task": _Kind("tasks", "TASK", TASK, TASK_TEST, TASK_YAML),
    "probe": _Kind("probes", "{type}", PROBE, PROBE_TEST),
    "mitigation": _Kind("mitigations", "{type}", MITIGATION, MITIGATION_TEST),
    "identity": _Kind("identities", "PACK", PACK, PACK_TEST, PACK_YAML),
    "backend": _Kind("backends", "{type}", BACKEND, BACKEND_TEST),
    "trainer": _Kind("trainers", "{type}", TRAINER, TRAINER_TEST),
    "executor": _Kind("executors", "{type}", EXECUTOR, EXECUTOR_TEST),
}


def write_skeleton(kind: str, name: str, out: Path) -> list[Path]:
    """Write the package `probate-NAME`.

    Parameters
    ----------
    kind : {"task", "probe", "mitigation", "identity", "backend", "trainer", "executor"}
        Kind of plug-in.
    name : str
        Name of the plug-in: lower-case letters, digits and `_`, beginning with a letter.
    out : Path
        Folder in which the package is created.

    Returns
    -------
    list of Path
        The files of the package.

    Raises
    ------
    InputError
        The kind is unknown, the name is not valid, or the folder of the package already exists.
    """
    if kind not in KINDS:
        raise InputError(f"new: unknown kind '{kind}'; available: {', '.join(KINDS)}")
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name):
        raise InputError(
            f"new: '{name}' must consist of lower-case letters, digits and _, and begin with a letter"
        )
    folder = out / f"probate-{name}"
    if folder.exists():
        raise InputError(f"new: {folder} already exists; choose another name or another --out")
    new = KINDS[kind]
    values = {
        "name": name,
        "title": name.replace("_", " ").capitalize(),
        "type": "".join(part.capitalize() for part in name.split("_")),
        "group": new.group,
    }
    values["what"] = new.gives.format(**values)
    files = {
        "pyproject.toml": PROJECT,
        f"probate_{name}/__init__.py": new.module,
        f"tests/test_{name}.py": new.test,
    }
    if new.data:
        files[f"probate_{name}/{name}.yaml"] = new.data
    written = []
    for place, text in files.items():
        path = folder / place
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(path, text.format(**values))
        written.append(path)
    return written
