"""General ability: held-out text and a small knowledge set, to detect models that are less biased because
they are damaged.
"""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar

import pandas as pd

from probate.core.yaml_file import own_yaml
from probate.stats.measure import Measure, everyone, frame
from probate.tasks.base import Options, Outcome, Task, TaskContext, Tick
from probate.tasks.choice import ChoiceTask, Item, outcome, score_items

if TYPE_CHECKING:
    from probate.models.lm import LM


class Knowledge(ChoiceTask):
    """Forty questions of general knowledge with four answers each, scored as choices.

    The measure is accuracy in [0, 1]; higher is better, chance is 0.25.
    """

    name = "knowledge"
    title = "General knowledge"
    metric = "accuracy"
    better = "higher"
    dimensions = ()
    relation = "indirect"
    source = (
        "forty questions written for Probate: a check that ability is not lost, not a measure of knowledge"
    )

    def items(self, context: TaskContext) -> list[Item]:
        rows = own_yaml("tasks", "probes", "knowledge.yaml")
        items = []
        for number, (question, *answers) in enumerate(rows):
            order = sorted(
                map(str, answers), key=lambda a: hashlib.sha256(f"{question}{a}".encode()).digest()
            )
            prompt = f"{question}\nAnswer with exactly one of: {', '.join(order)}."
            blank = f"N/A\nAnswer with exactly one of: {', '.join(order)}."
            options = tuple(order)
            items.append(
                Item(f"q-{number:02d}", prompt, options, options, str(answers[0]), {"set": "all"}, blank)
            )
        return items

    def measures(self, context: TaskContext) -> list[Measure]:
        def accuracy(o: pd.DataFrame) -> pd.DataFrame:
            return frame(o, everyone(o), o["score"])

        return [
            Measure(
                name="accuracy",
                title="accuracy",
                unit="share",
                sides=("all",),
                values=accuracy,
                primary=True,
                better="higher",
            )
        ]


class HeldOutText(Task):
    """Log-likelihood of the held-out original texts, in nats per UTF-8 byte; higher is better."""

    name = "held_out_text"
    title = "Held-out text"
    metric = "nats_per_byte"
    better = "higher"
    dimensions = ()
    relation = "indirect"
    source = "the study's held-out original texts"
    option_type: ClassVar[type[Options]] = Options

    def _items(self, context: TaskContext) -> list[Item]:
        return [
            Item(r.item_id, "", (r.text,), ("text",), "text", r.groups, chat=False, end=False)
            for r in context.test
        ]

    def size(self, context: TaskContext) -> int:
        return len(context.test)

    def evaluate(self, lm: LM, context: TaskContext, tick: Tick | None = None) -> list[Outcome]:
        items = self._items(context)
        scores = score_items(lm, items, context.max_length, "bytes", tick)
        return [replace(outcome(i, s, ""), score=float(s[0])) for i, s in zip(items, scores, strict=True)]

    def measures(self, context: TaskContext) -> list[Measure]:
        def level(o: pd.DataFrame) -> pd.DataFrame:
            return frame(o, everyone(o), o["score"])

        return [
            Measure(
                name="nats_per_byte",
                title="log-likelihood per byte",
                unit="nats",
                sides=("all",),
                values=level,
                primary=True,
                better="higher",
            )
        ]
