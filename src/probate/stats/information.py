"""Does a task tell anything at this model size? Answers, calibration and balanced accuracy of each arm, by group."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from probate.stats.contrast import clusters
from probate.stats.resample import draw_counts
from probate.study.schema import Analysis

ONE_ANSWER = 0.95
"""A task in which one answer is given for at least this share of the items carries no information."""


@dataclass(frozen=True)
class Information:
    """One task in one arm (first seed). `n` of the `asked` items have a usable answer. `by_group`: share of each answer in each group, the commonest first.

    `recall`, its ends and `chance` are NaN where a label has no item with a usable answer; the verdict names it.
    """

    task: str
    arm: str
    n: int
    answer: str
    share: float
    by_group: dict[str, dict[str, float]]
    recall: float
    low: float
    high: float
    chance: float
    ece: float
    ece_by_group: dict[str, float]
    verdict: str
    asked: int

    @property
    def silent(self) -> bool:
        """Whether one answer is given to nearly every item: then no gap can show."""
        return self.share >= ONE_ANSWER


def information(
    outcomes: pd.DataFrame, dimension: str, analysis: Analysis, own: Mapping[str, str] | None = None
) -> list[Information]:
    """For every task whose answer is a choice with a known target (`scoring` is declared), in every arm.

    `own`: task → its dimension, where that is not `dimension`. Balanced accuracy is the mean recall over the targets, in
    [0, 1], higher is better; chance is 1 / labels, or where each item has options of its own the mean of 1 / options. Its
    interval is a percentile bootstrap over items. ECE is the expected calibration error (Guo et al. 2017): ten bins of
    equal width over the probability of the chosen option, in [0, 1], lower is better.
    """
    found: list[Information] = []
    if "scoring" not in outcomes:
        return found
    choices = outcomes[outcomes["task"].isin(outcomes.loc[outcomes["scoring"] != "", "task"])]
    for (task, arm), rows in choices.groupby(["task", "arm"], sort=False):
        if rows["target"].nunique() > 1:
            found.append(_one(str(task), str(arm), rows, (own or {}).get(str(task), dimension), analysis))
    return found


def _one(task: str, arm: str, asked: pd.DataFrame, dimension: str, analysis: Analysis) -> Information:
    own, nan = asked[asked["parsed"].astype(bool)], float("nan")
    if own.empty:
        verdict = f"cannot tell: no usable answer (0 of {len(asked)})"
        return Information(task, arm, 0, "", nan, {}, nan, nan, nan, nan, nan, {}, verdict, len(asked))
    shares = own["prediction"].value_counts(normalize=True)
    answer, share = str(shares.index[0]), float(shares.iloc[0])
    groups = own["groups"].map(lambda g: g.get(dimension, "all"))
    labels = sorted(set(own["target"]))
    cluster = pd.factorize(clusters(own))[0]
    index = own["target"].map({label: i for i, label in enumerate(labels)}).to_numpy()
    table = np.zeros((cluster.max() + 1, 2, len(labels)))
    np.add.at(table, (cluster, 0, index), own["score"].to_numpy())
    np.add.at(table, (cluster, 1, index), 1.0)
    recall = float(_recall(table.sum(0)[None])[0])
    draws = _recall(
        (draw_counts(len(table), analysis.resamples, analysis.seed) @ table.reshape(len(table), -1)).reshape(
            -1, 2, len(labels)
        )
    )
    tail = (1 - analysis.confidence) / 2
    low, high = (float(x) for x in np.nanquantile(draws, (tail, 1 - tail)))
    chance = _chance(own["response"], len(labels))
    if lost := sorted(set(asked["target"]) - set(labels)):
        recall = low = high = chance = nan
    if share >= ONE_ANSWER:
        verdict = f"no information: {answer} is the answer to {100 * share:.0f}% of the items"
    elif lost:
        verdict = f"cannot tell: no usable answer to an item of {', '.join(lost)}"
    elif low <= chance:
        verdict = "not distinguishable from guessing"
    else:
        verdict = "above chance"
    parts = {str(group): part for group, part in own.groupby(groups)}
    by_group = {
        group: {str(a): float((part["prediction"] == a).mean()) for a in shares.index}
        for group, part in parts.items()
    }
    calibration = {group: expected_calibration_error(part) for group, part in parts.items()}
    return Information(
        task, arm, len(own), answer, share, by_group, recall, low, high, chance, expected_calibration_error(own), calibration,
        verdict, len(asked),
    )  # fmt: skip


def _chance(responses: pd.Series, labels: int) -> float:
    options = responses.map(lambda response: tuple(sorted(json.loads(response))))
    return 1 / labels if options.nunique() == 1 else float((1 / options.map(len)).mean())


def _recall(total: np.ndarray) -> np.ndarray:
    """(…, 2, labels) sums and counts → mean recall."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.nanmean(np.where(total[:, 1] > 0, total[:, 0] / total[:, 1], np.nan), axis=1)


def expected_calibration_error(outcomes: pd.DataFrame, bins: int = 10) -> float:
    """Mean distance of accuracy and confidence over `bins` bins of equal width, weighted by their items."""
    confidence = outcomes["response"].map(lambda r: max(json.loads(r).values())).to_numpy(dtype=float)
    hit = outcomes["score"].to_numpy(dtype=float)
    place = np.minimum((confidence * bins).astype(int), bins - 1)
    count = np.bincount(place, minlength=bins)
    gap = np.abs(np.bincount(place, hit, bins) - np.bincount(place, confidence, bins))
    return float(gap.sum() / count.sum()) if count.sum() else float("nan")
