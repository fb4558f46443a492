"""Occupation classification: which occupation does the model read out of a biography?"""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from probate.records import fill
from probate.tasks.base import Measure, Outcome, Task, TaskContext, Tick, by_group, frame

if TYPE_CHECKING:
    from probate.models.lm import LM


Side = Callable[[pd.DataFrame], pd.Series]


def _recall(o: pd.DataFrame, label: str, side: Side) -> pd.DataFrame:
    own = o[o["target"] == label]
    return frame(own, side(own), own["score"])


def _predicted(o: pd.DataFrame, label: str, side: Side) -> pd.DataFrame:
    return frame(o, side(o), (o["prediction"] == label).astype(float))


class Occupation(Task):
    """Held-out biographies, the labels as choices scored by log-likelihood (end of turn included).

    Measures: accuracy by group; true-positive-rate gap per occupation; share of each predicted occupation by group;
    and, first, the share of predictions that are stereotyped for the first group. On a test set that is balanced
    over groups and labels its gap is 0 without bias and grows with errors toward the stereotype; accuracy can stay
    equal while it moves. Not handled: answers outside the label list.
    """

    name = "occupation"
    title = "Occupation classification"
    metric = "accuracy"
    relation = "direct"
    source = "held-out biographies of the study's data; the paper's gender classification (arXiv 2502.04419, BiasinBios)"

    def size(self, context: TaskContext) -> int:
        return len(context.test)

    def evaluate(self, lm: LM, context: TaskContext, tick: Tick | None = None) -> list[Outcome]:
        from probate.infer.scoring import score_options

        names = ", ".join(context.labels)
        options = [lm.completion_ids(label) for label in context.labels]
        room = max(map(len, options))
        prompts = [
            lm.prompt_ids(
                [{"role": "user", "content": fill(context.prompt, text=r.text, labels=names)}], room, context.max_length
            )
            for r in context.test
        ]
        scores = score_options(lm.model, prompts, options, pad_id=lm.pad_id, tick=tick)
        outcomes = []
        for r, row in zip(context.test, scores, strict=True):
            finite = bool(np.isfinite(row).all())
            probs = np.exp(row - np.logaddexp.reduce(row)) if finite else np.full(len(row), np.nan)
            prediction = context.labels[int(np.argmax(row))] if finite else ""
            response = json.dumps({k: round(float(p), 4) for k, p in zip(context.labels, probs, strict=True)})
            outcomes.append(Outcome(r.id, r.groups, r.label, response, prediction, float(prediction == r.label), finite))
        return outcomes

    def measures(self, context: TaskContext) -> list[Measure]:
        side = by_group(context.dimension, context.groups)
        first, second = context.groups
        lean = {label: float(context.stereotypes.get(label) == first) for label in context.labels}
        theirs = ", ".join(k for k, v in lean.items() if v)
        found = [
            Measure(
                "stereotyped_share",
                f"share read as {theirs}",
                "share",
                f"{first} biographies are read more often as {theirs} than {second} ones",
                (first, second),
                lambda o: frame(o, side(o), o["prediction"].map(lean)),
                primary=True,
            ),
            Measure(
                "accuracy",
                "accuracy",
                "share",
                f"{first} biographies are classified more accurately",
                (first, second),
                lambda o: frame(o, side(o), o["score"]),
                better="higher",
            ),
        ]
        for label in context.labels:
            found.append(
                Measure(
                    f"tpr[{label}]",
                    f"true positive rate of {label}",
                    "share",
                    f"{first} {label}s are recognised more often",
                    (first, second),
                    partial(_recall, label=label, side=side),
                    better="higher",
                )
            )
            found.append(
                Measure(
                    f"predicted[{label}]",
                    f"share read as {label}",
                    "share",
                    f"{first} biographies are read more often as {label}",
                    (first, second),
                    partial(_predicted, label=label, side=side),
                )
            )
        return found
