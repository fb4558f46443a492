"""Informativeness of a task at this model size: answers, calibration and balanced accuracy of each arm, by
group.
"""

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
"""A task carries no information if one answer is given to at least this share of the items."""


@dataclass(frozen=True)
class Information:
    """Informativeness of one task in one arm (first seed).

    Attributes
    ----------
    n, asked : int
        Number of items with a usable answer, and of all items.
    answer, share : str, float
        The most frequent answer and its share.
    by_group : dict
        Group → answer → share, the most frequent answer first.
    recall, low, high : float
        Balanced accuracy and its interval, in [0, 1], higher is better. NaN if a label has no item with a
        usable answer; `verdict` then names the label.
    chance : float
        Balanced accuracy of guessing.
    ece, ece_by_group : float, dict
        Expected calibration error, in [0, 1], lower is better.
    verdict : str
        The conclusion, in words.
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
        """Whether one answer is given to nearly every item, so that no gap can show."""
        return self.share >= ONE_ANSWER


def information(
    outcomes: pd.DataFrame, dimension: str, analysis: Analysis, own: Mapping[str, str] | None = None
) -> list[Information]:
    """Assess every task whose answer is a choice with a known target (`scoring` is declared), in every arm.

    Balanced accuracy is the mean recall over the targets, in [0, 1], higher is better; its interval is a
    percentile bootstrap over items. Chance is 1 / labels; if items have different options, it is the mean of
    1 / options. The expected calibration error (Guo et al. 2017) uses ten bins of equal width over the
    probability of the chosen option; it is in [0, 1], lower is better.

    Parameters
    ----------
    outcomes : pandas.DataFrame
        The outcomes table.
    dimension : str
        The dimension of the groups.
    analysis : Analysis
        Confidence, resamples and seed.
    own : mapping, optional
        Task → its dimension, for tasks with a dimension other than `dimension`.

    Returns
    -------
    list of Information
    """
    results: list[Information] = []
    if "scoring" not in outcomes:
        return results
    declared = set(outcomes.loc[outcomes["scoring"] != "", "task"])
    # A server's answers to other tasks declare their reading, too, but are no shares of options.
    other = outcomes["parsed"].astype(bool) & ~outcomes["response"].str.startswith("{")
    choices = outcomes[outcomes["task"].isin(declared - set(outcomes.loc[other, "task"]))]
    for (task, arm), rows in choices.groupby(["task", "arm"], sort=False):
        if rows["target"].nunique() > 1:
            results.append(_one(str(task), str(arm), rows, (own or {}).get(str(task), dimension), analysis))
    return results


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
        verdict = f"no information: the model answers {answer} to {100 * share:.0f}% of the items"
    elif lost:
        verdict = f"cannot tell: no item with the target {', '.join(lost)} has a usable answer"
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
        task, arm, len(own), answer, share, by_group, recall, low, high, chance,
        expected_calibration_error(own), calibration, verdict, len(asked),
    )  # fmt: skip


def _chance(responses: pd.Series, labels: int) -> float:
    options = responses.map(lambda response: tuple(sorted(json.loads(response))))
    return 1 / labels if options.nunique() == 1 else float((1 / options.map(len)).mean())


def _recall(total: np.ndarray) -> np.ndarray:
    """Return the mean recall from sums and counts of shape (…, 2, labels)."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.nanmean(np.where(total[:, 1] > 0, total[:, 0] / total[:, 1], np.nan), axis=1)


def expected_calibration_error(outcomes: pd.DataFrame, bins: int = 10) -> float:
    """Return the mean distance between accuracy and confidence over bins of equal width, weighted by items.

    In [0, 1], lower is better (Guo et al. 2017).
    """
    confidence = outcomes["response"].map(lambda r: max(json.loads(r).values())).to_numpy(dtype=float)
    hit = outcomes["score"].to_numpy(dtype=float)
    place = np.minimum((confidence * bins).astype(int), bins - 1)
    count = np.bincount(place, minlength=bins)
    gap = np.abs(np.bincount(place, hit, bins) - np.bincount(place, confidence, bins))
    return float(gap.sum() / count.sum()) if count.sum() else float("nan")
