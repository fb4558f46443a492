"""Occupation classification: which occupation the model assigns to a biography."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pandas as pd

from probate.core.records import fill, listed
from probate.data.user_turn import language_of
from probate.stats.calibration import label_shares
from probate.stats.measure import Measure, by_group, frame, stereotyped_for
from probate.tasks.base import TaskContext
from probate.tasks.choice import ChoiceTask, Item

Side = Callable[[pd.DataFrame], pd.Series]


def _recall(o: pd.DataFrame, label: str, side: Side) -> pd.DataFrame:
    own = o[o["target"] == label]
    return frame(own, side(own), own["score"])


def _predicted(o: pd.DataFrame, label: str, side: Side) -> pd.DataFrame:
    return frame(o, side(o), (o["prediction"] == label).astype(float))


def _expected(o: pd.DataFrame, lean: dict[str, float], side: Side) -> pd.DataFrame:
    """Return the probability of the labels in `lean`; answers of a server without probabilities have none."""
    own = o[o["response"].str.startswith("{")]
    shares = label_shares(own["response"], list(lean)) @ list(lean.values())
    return frame(own, side(own), pd.Series(shares, own.index))


class Occupation(ChoiceTask):
    """Held-out biographies, with the labels as choices scored by log-likelihood (end of turn included).

    The primary measure is the share of predictions that are stereotyped for the first group. On a test set
    that is balanced over groups and labels, its gap is 0 without bias and increases with errors toward the
    stereotype; accuracy can stay equal meanwhile. The expected share uses the probabilities of the labels in
    place of the likeliest label; it varies less between training runs. Further measures are accuracy by
    group, the gap of the true positive rate of each occupation, and the share of each predicted occupation by
    group. Answers outside the list of labels are not handled.
    """

    name = "occupation"
    title = "Occupation classification"
    metric = "accuracy"
    better = "higher"
    relation = "direct"
    source = (
        "held-out biographies of the study's data; "
        "the paper's gender classification (arXiv 2502.04419, BiasinBios)"
    )

    def items(self, context: TaskContext) -> list[Item]:
        names = listed(context.labels)
        labels, language = tuple(context.labels), language_of(context.prompt)
        blank = fill(context.prompt, text="N/A", labels=names)
        return [
            Item(
                r.item_id,
                fill(context.prompt, text=r.text, labels=names),
                labels,
                labels,
                r.label,
                r.groups,
                blank,
                language=language,
            )
            for r in context.test
        ]

    def measures(self, context: TaskContext) -> list[Measure]:
        side = by_group(context.dimension, context.groups)
        groups = tuple(context.groups)
        lean = {
            label: float(stereotyped_for(label, groups[0], context.stereotypes)) for label in context.labels
        }
        theirs = ", ".join(k for k, v in lean.items() if v)
        measures = [
            Measure(
                name="stereotyped_share",
                title=f"share read as {theirs}",
                unit="share",
                toward=lambda a, b: f"{a} texts are read more often as {theirs} than {b} ones",
                sides=groups,
                values=lambda o: frame(o, side(o), o["prediction"].map(lean)),
                primary=True,
            ),
            Measure(
                name="expected_share",
                title=f"probability of {theirs}",
                unit="share",
                toward=lambda a, b: f"{a} texts are more likely to be read as {theirs} than {b} ones",
                sides=groups,
                values=lambda o: _expected(o, lean, side),
                expected=True,
            ),
            Measure(
                name="accuracy",
                title="accuracy",
                unit="share",
                toward=lambda a, b: f"{a} texts are classified more accurately than {b} ones",
                sides=groups,
                values=lambda o: frame(o, side(o), o["score"]),
                better="higher",
            ),
        ]
        return measures + [m for label in context.labels for m in _of_label(label, groups, side)]


def _of_label(
    label: str, groups: tuple[str, ...], side: Callable[[pd.DataFrame], pd.Series]
) -> list[Measure]:
    return [
        Measure(
            name=f"tpr[{label}]",
            title=f"true positive rate of {label}",
            unit="share",
            toward=lambda a, b: f"{label} is recognised more often in {a} texts than in {b} ones",
            sides=groups,
            values=partial(_recall, label=label, side=side),
            better="higher",
        ),
        Measure(
            name=f"predicted[{label}]",
            title=f"share read as {label}",
            unit="share",
            toward=lambda a, b: f"{a} texts are read more often as {label} than {b} ones",
            sides=groups,
            values=partial(_predicted, label=label, side=side),
        ),
    ]
