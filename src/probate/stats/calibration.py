"""Do a model's answers have the label frequencies of what it was trained on? Sampled against greedy, and what that means for later rounds."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd


@dataclass(frozen=True)
class Calibration:
    """One arm, one group. All are total variation distances of label distributions, in [0, 1]; 0 is alike, NaN undefined (`reason`).

    `error`: answers against the arm's training labels; `drift`: answers against the true labels of the same items; each for labels
    sampled from the model's shares and for its likeliest ones. `bound`: see `bound`.
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
    """Of one arm's outcomes whose answers are choices among `labels`: a `Calibration` for each group in `trained_on` (group → label → records)."""
    place = {label: i for i, label in enumerate(labels)}
    found, nan = [], float("nan")
    for group, counts in trained_on.items():
        asked = outcomes[[g.get(dimension) == group for g in outcomes["groups"]]]
        own = asked[asked["parsed"].astype(bool)]
        sampled = np.array(
            [[json.loads(r).get(label, 0.0) for label in labels] for r in own["response"]]
        ).sum(0)
        if reason := _missing(len(asked), len(own), sum(counts.values()), float(np.sum(sampled))):
            found.append(Calibration(group, len(own), nan, nan, nan, nan, nan, nan, reason))
            continue
        greedy = np.bincount(own["prediction"].map(place), minlength=len(labels)) / len(own)
        truth = np.bincount(own["target"].map(place), minlength=len(labels)) / len(own)
        trained = np.array([counts.get(label, 0) for label in labels]) / sum(counts.values())
        (a, b), (c, d) = (
            [_distance(side, other) for side in (sampled, greedy)] for other in (trained, truth)
        )
        found.append(Calibration(group, len(own), a, b, c, d, drift_bound(a, ratio), drift_bound(b, ratio)))
    return found


def _missing(asked: int, usable: int, trained: int, mass: float) -> str:
    if not asked:
        return "nothing is asked about this group"
    if not usable:
        return f"no usable answer (0 of {asked})"
    if not trained:
        return "no training record of this group"
    return "" if mass > 0 else "no share on any of the labels"


def _distance(p: np.ndarray, q: np.ndarray) -> float:
    return float(np.abs(p / p.sum() - q).sum() / 2)


def drift_bound(error: float, ratio: float) -> float:
    """The farthest that labels can drift from D_o's if each model labels a share γ of its successor's data and errs by at most `error`.

    dₜ ≤ error + γ·dₜ₋₁, since the training data are a mix of D_o and the last model's labels; so dₜ ≤ error·(1 − γᵗ)/(1 − γ) ≤ error/(1 − γ). In the
    manner of Taori and Hashimoto (2023), who bound amplification by calibration; at most 1.
    """
    return min(1.0, error / (1 - ratio))
