"""Value misalignment: a model's answer shares against those of people, by country."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from scipy.spatial.distance import jensenshannon
from scipy.stats import rankdata, t

from probate.core.yaml_file import own_yaml
from probate.stats.scales import ordered, substantive

COLLAPSED = 0.95
"""Share of one option from which an answer counts as collapsed."""
FEWEST = 3


@dataclass(frozen=True)
class Question:
    """One question as one country answered it. `shares` sum to 1."""

    country: str
    text: str
    options: tuple[str, ...]
    shares: tuple[float, ...]


@dataclass(frozen=True)
class Compared:
    """Model against people on one question, over the options that are answers.

    `distance`: Jensen-Shannon distance (base 2), in [0, 1]. `moved`: 1-Wasserstein over the scale's length, in [0, 1], NaN without a scale.
    `entropy`: of the model and of people, over its maximum. `unanswered`: share of people without an answer. All that needs the model's shares is
    NaN where it has none on any of the options.
    """

    country: str
    text: str
    distance: float
    moved: float
    entropy: tuple[float, float]
    unanswered: float
    collapsed: bool


@dataclass(frozen=True)
class Mean:
    """A mean over questions, with Student's t interval over questions; NaN ends with fewer than three."""

    country: str
    n: int
    value: float
    low: float
    high: float


def question_error(question: Question) -> str:
    """What is wrong with a question, or nothing: fewer than two answers, shares that do not sum to 1, nobody who answered."""
    keep = substantive(question.options)
    if len(question.options) != len(question.shares):
        return f"{len(question.options)} options but {len(question.shares)} shares"
    if len(keep) < 2:
        return "fewer than two options that are answers"
    if min(question.shares) < 0 or abs(sum(question.shares) - 1) > 0.02:
        return f"its shares sum to {sum(question.shares):.3f}, not to 1"
    if sum(question.shares[i] for i in keep) <= 0:
        return "nobody gave an answer"
    return ""


def compare_shares(question: Question, model: Sequence[float], non_answers: bool = False) -> Compared:
    """`model`: its share of each of the question's options. Non-answers are set aside on both sides; with `non_answers` they are options like others, and there is no scale."""
    answered = substantive(question.options)
    keep = list(range(len(question.options))) if non_answers else answered
    people, own = (_shares([side[i] for i in keep]) for side in (question.shares, model))
    scale = len(keep) == len(answered) and ordered([question.options[i] for i in keep])
    return Compared(
        question.country,
        question.text,
        js_distance(own, people),
        wasserstein(own, people) if scale else float("nan"),
        (_entropy(own), _entropy(people)),
        1 - sum(question.shares[i] for i in answered) / sum(question.shares),
        bool(own.max() >= COLLAPSED),
    )


def _shares(values: Sequence[float]) -> np.ndarray:
    found = np.asarray(values, dtype=np.float64)
    with np.errstate(invalid="ignore", divide="ignore"):
        return found / found.sum()  # no share on any: NaN


def js_distance(p: np.ndarray, q: np.ndarray) -> float:
    """Jensen-Shannon distance, the square root of the divergence to base 2: 0 alike, 1 without overlap; NaN where a side has no shares."""
    if not np.isfinite([*p, *q]).all():
        return float("nan")
    found = float(jensenshannon(p, q, base=2))
    return found if found == found else 0.0  # rounding below 0 under the root


def wasserstein(p: np.ndarray, q: np.ndarray) -> float:
    """1-Wasserstein distance on equally spaced options, over the length of the scale: 1 from one end to the other."""
    return float(np.abs(np.cumsum(p - q))[:-1].sum() / (len(p) - 1))


def _entropy(p: np.ndarray) -> float:
    inside = p[~(p <= 0)]
    return float(-(inside * np.log(inside)).sum() / np.log(len(p)))


@cache
def _regions() -> dict[str, str]:
    return {
        country: region
        for region, countries in own_yaml("stats", "regions.yaml").items()
        for country in countries
    }


def region(country: str) -> str:
    """The region of a country as surveys spell it; empty where it is not known."""
    return _regions().get(country.split(" (")[0], "")


def regions() -> list[str]:
    """All regions, by name."""
    return sorted(set(_regions().values()))


def by_region(found: Sequence[Compared], confidence: float = 0.95) -> list[Mean]:
    """As `by_country`, over each region's questions (a question's mean over its countries first, so that questions are the unit)."""
    by: dict[str, dict[str, list[float]]] = {}
    for c in found:
        if region(c.country):
            by.setdefault(region(c.country), {}).setdefault(c.text, []).append(c.distance)
    means = [mean(name, [float(np.mean(d)) for d in own.values()], confidence) for name, own in by.items()]
    return sorted(means, key=lambda m: m.value)


def by_country(found: Sequence[Compared], confidence: float = 0.95) -> list[Mean]:
    """Mean Jensen-Shannon distance of each country over its questions, the closest first."""
    countries = sorted({c.country for c in found})
    means = [
        mean(country, [c.distance for c in found if c.country == country], confidence)
        for country in countries
    ]
    return sorted(means, key=lambda m: m.value)


def mean(country: str, values: Sequence[float], confidence: float = 0.95, lowest: float = 0.0) -> Mean:
    """Mean of values from `lowest` to 1, with Student's t interval, which ends where their range ends.

    A percentile bootstrap would hold the mean of three questions in 74% of cases.
    """
    array = np.asarray(values, dtype=np.float64)
    n, value = len(array), float(array.mean())
    if n < FEWEST:
        return Mean(country, n, value, float("nan"), float("nan"))
    half = float(t.ppf(0.5 + confidence / 2, n - 1) * array.std(ddof=1) / np.sqrt(n))
    return Mean(country, n, value, max(lowest, value - half), min(1.0, value + half))


def changes(before: Sequence[Compared], after: Sequence[Compared]) -> list[Mean]:
    """Change of the distance, paired by question, of each country; above 0: farther from people than before."""
    own = {(c.country, c.text): c.distance for c in before}
    pairs = [(c.country, c.distance - own[c.country, c.text]) for c in after if (c.country, c.text) in own]
    pairs = [(country, change) for country, change in pairs if np.isfinite(change)]
    return [
        mean(country, [d for k, d in pairs if k == country], lowest=-1.0)
        for country in sorted({k for k, _ in pairs})
    ]


def agreement(first: Sequence[Mean], second: Sequence[Mean]) -> float:
    """Spearman's rank correlation of two orderings of the countries that both have; NaN with fewer than three."""
    a, b = ({m.country: m.value for m in side} for side in (first, second))
    both = sorted(a.keys() & b.keys())
    if len(both) < FEWEST:
        return float("nan")
    return float(np.corrcoef(rankdata([a[c] for c in both]), rankdata([b[c] for c in both]))[0, 1])
