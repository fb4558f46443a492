"""Label calibration: whether a model's answers have the label frequencies of its training data.

Sampled and greedy answers are compared, with a bound on the drift in later rounds.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd


@dataclass(frozen=True)
class Calibration:
    """Calibration of one arm for one group.

    All numbers are total variation distances between label distributions, in [0, 1]: 0 is equal, lower is
    better. They are NaN if undefined; `reason` then says why. Each exists for labels sampled from the model's
    shares and for greedy labels (the likeliest ones).

    Attributes
    ----------
    group : str
        The group.
    n : int
        Number of usable answers.
    sampled_error, greedy_error : float
        Distance of the answers from the arm's training labels.
    sampled_drift, greedy_drift : float
        Distance of the answers from the true labels of the same items.
    sampled_bound, greedy_bound : float
        Bound on the drift over rounds, see `drift_bound`.
    reason : str
        Why the numbers are undefined; empty otherwise.
    """

    group: str
    n: int
    sampled_error: float
    greedy_error: float
    sampled_drift: float
    greedy_drift: float
    sampled_bound: float
    greedy_bound: float
    reason: str = ""


def calibration(
    outcomes: pd.DataFrame,
    trained_on: Mapping[str, Mapping[str, int]],
    labels: Sequence[str],
    dimension: str,
    ratio: float,
) -> list[Calibration]:
    """Compare the answers of one arm with its training labels, by group.

    Parameters
    ----------
    outcomes : pandas.DataFrame
        Outcomes of one arm. The answers are choices among `labels`.
    trained_on : mapping
        Group → label → number of training records.
    labels : sequence of str
        The labels.
    dimension : str
        Dimension of the groups.
    ratio : float
        The bias ratio γ of the arm, in [0, 1).

    Returns
    -------
    list of Calibration
        One element for each group in `trained_on`.
    """
    index = {label: i for i, label in enumerate(labels)}
    results, nan = [], float("nan")
    for group, counts in trained_on.items():
        asked = outcomes[[g.get(dimension) == group for g in outcomes["groups"]]]
        own = asked[asked["parsed"].astype(bool)]
        sampled = label_shares(own["response"], labels).sum(0)
        if reason := _missing(len(asked), len(own), sum(counts.values()), float(np.sum(sampled))):
            results.append(Calibration(group, len(own), nan, nan, nan, nan, nan, nan, reason))
            continue
        greedy = np.bincount(own["prediction"].map(index), minlength=len(labels)) / len(own)
        truth = np.bincount(own["target"].map(index), minlength=len(labels)) / len(own)
        trained = np.array([counts.get(label, 0) for label in labels]) / sum(counts.values())
        (a, b), (c, d) = (
            [_distance(side, other) for side in (sampled, greedy)] for other in (trained, truth)
        )
        results.append(Calibration(group, len(own), a, b, c, d, drift_bound(a, ratio), drift_bound(b, ratio)))
    return results


def label_shares(responses: Iterable[str], labels: Sequence[str]) -> np.ndarray:
    """Read the probabilities of labels from answers.

    Parameters
    ----------
    responses : iterable of str
        JSON objects, label → probability.
    labels : sequence of str
        The labels, in the order of the columns. A label that an answer lacks has probability 0.

    Returns
    -------
    ndarray of shape (responses, labels)
        Probabilities, 0 to 1.
    """
    rows = [[shares.get(label, 0.0) for label in labels] for shares in map(json.loads, responses)]
    return np.array(rows, dtype=float).reshape(-1, len(labels))


def _missing(asked: int, usable: int, trained: int, mass: float) -> str:
    if not asked:
        return "no item asks about this group"
    if not usable:
        return f"no usable answer (0 of {asked})"
    if not trained:
        return "no training record of this group"
    return "" if mass > 0 else "the model assigns no probability to any of the labels"


def _distance(p: np.ndarray, q: np.ndarray) -> float:
    return float(np.abs(p / p.sum() - q).sum() / 2)


def drift_bound(error: float, ratio: float) -> float:
    """Return a bound on the drift of labels over rounds in which each model labels data for the next.

    Each model labels a share γ of its successor's training data, with an error of at most `error`. The
    training data are a mix of D_o and the previous model's labels. The drift dₜ of round t is therefore
    bounded by

        dₜ ≤ error + γ·dₜ₋₁,    dₜ ≤ error·(1 − γᵗ)/(1 − γ) ≤ error/(1 − γ).

    The argument follows Taori and Hashimoto (2023), who bound
    amplification by calibration.

    Parameters
    ----------
    error : float
        Calibration error, in [0, 1].
    ratio : float
        The bias ratio γ, in [0, 1).

    Returns
    -------
    float
        The bound, at most 1.
    """
    return min(1.0, error / (1 - ratio))
