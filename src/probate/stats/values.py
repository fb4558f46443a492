"""Value misalignment: the distance of a model's answer shares from those of people, by country."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from scipy.spatial.distance import jensenshannon
from scipy.stats import rankdata, t

from probate.core.yaml_file import own_yaml
from probate.stats.scales import ordered, substantive

COLLAPSED = 0.95
"""An answer counts as collapsed if one option has at least this share."""
FEWEST = 3


@dataclass(frozen=True)
class Question:
    """One question with the answers of one country. `shares` are of the options and sum to 1."""

    country: str
    text: str
    options: tuple[str, ...]
    shares: tuple[float, ...]


@dataclass(frozen=True)
class Distance:
    """A distance, or its change, on one question for the people of one country."""

    country: str
    text: str
    distance: float


@dataclass(frozen=True)
class ShareComparison(Distance):
    """Comparison of a model with people on one question, over the options that are answers.

    All numbers that need the model's shares are NaN if the model has no share on any of the options.

    Attributes
    ----------
    distance : float
        Jensen-Shannon distance (base 2), in [0, 1]; lower is closer.
    moved : float
        1-Wasserstein distance over the length of the scale, in [0, 1]; lower is closer. NaN without a scale.
    entropy : tuple of float
        Entropy of the model and of people over its maximum, in [0, 1].
    unanswered : float
        Share of people without an answer.
    collapsed : bool
        Whether one option has nearly all of the model's share.
    """

    moved: float
    entropy: tuple[float, float]
    unanswered: float
    collapsed: bool


@dataclass(frozen=True)
class Mean:
    """A mean over questions with Student's t interval; the ends are NaN with fewer than three."""

    country: str
    n: int
    value: float
    low: float
    high: float


def question_error(question: Question) -> str:
    """Return what is wrong with a question; empty if it can be used."""
    keep = substantive(question.options)
    if len(question.options) != len(question.shares):
        return f"{len(question.options)} options but {len(question.shares)} shares"
    if len(keep) < 2:
        return "fewer than two of its options are answers"
    if min(question.shares) < 0 or not abs(sum(question.shares) - 1) <= 0.02:  # also NaN
        return f"its shares sum to {sum(question.shares):.3f}, not to 1"
    if sum(question.shares[i] for i in keep) <= 0:
        return "no respondent gave an answer"
    return ""


def compare_shares(question: Question, model: Sequence[float], non_answers: bool = False) -> ShareComparison:
    """Compare a model with people on one question.

    Parameters
    ----------
    question : Question
        The question with the shares of people.
    model : sequence of float
        The model's share of each option.
    non_answers : bool
        Whether non-answers are treated as ordinary options, without a scale. Default: they are removed on
        both sides.

    Returns
    -------
    ShareComparison
    """
    answered = substantive(question.options)
    keep = list(range(len(question.options))) if non_answers else answered
    people, own = (_shares([side[i] for i in keep]) for side in (question.shares, model))
    scale = len(keep) == len(answered) and ordered([question.options[i] for i in keep])
    return ShareComparison(
        question.country,
        question.text,
        js_distance(own, people),
        wasserstein(own, people) if scale else float("nan"),
        (_entropy(own), _entropy(people)),
        1 - sum(question.shares[i] for i in answered) / sum(question.shares),
        bool(own.max() >= COLLAPSED),
    )


def _shares(values: Sequence[float]) -> np.ndarray:
    counts = np.asarray(values, dtype=np.float64)
    with np.errstate(invalid="ignore", divide="ignore"):
        return counts / counts.sum()  # no share on any: NaN


def js_distance(p: np.ndarray, q: np.ndarray) -> float:
    """Compute the Jensen-Shannon distance, the square root of the divergence to base 2.

    In [0, 1]: 0 is equal, 1 without overlap. NaN if a side has no shares.
    """
    if not np.isfinite([*p, *q]).all():
        return float("nan")
    distance = float(jensenshannon(p, q, base=2))
    return distance if distance == distance else 0.0  # rounding below 0 under the root


def wasserstein(p: np.ndarray, q: np.ndarray) -> float:
    """Compute the 1-Wasserstein distance on equally spaced options, over the length of the scale.

    In [0, 1]: 1 is from one end to the other.
    """
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


def country_name(country: str) -> str:
    """Return the name of a country without the note in brackets that surveys add."""
    return country.split(" (")[0]


def region(country: str) -> str:
    """Return the region of a country as surveys spell it; empty if it is not known."""
    return _regions().get(country_name(country), "")


def regions() -> list[str]:
    """Return all regions, sorted by name."""
    return sorted(set(_regions().values()))


def by_region(compared: Sequence[Distance], confidence: float = 0.95, lowest: float = 0.0) -> list[Mean]:
    """Return the mean distance of each region over its questions, the lowest first; see `over_questions`."""
    by: dict[str, list[Distance]] = {}
    for c in compared:
        if region(c.country):
            by.setdefault(region(c.country), []).append(c)
    return _sorted(over_questions(name, own, confidence, lowest) for name, own in by.items())


def by_country(compared: Sequence[Distance], confidence: float = 0.95, lowest: float = 0.0) -> list[Mean]:
    """Return the mean distance of each country over its questions, the lowest first."""
    by: dict[str, list[float]] = {}
    for c in compared:
        by.setdefault(c.country, []).append(c.distance)
    return _sorted(mean(name, by[name], confidence, lowest) for name in sorted(by))


def _sorted(means: Iterable[Mean]) -> list[Mean]:
    return sorted(means, key=lambda m: m.value)


def over_questions(
    name: str, compared: Sequence[Distance], confidence: float = 0.95, lowest: float = 0.0
) -> Mean:
    """Return the mean over questions of the distances of several countries.

    A question's distance is averaged over the countries first, so that the question is the unit.
    """
    return mean(name, list(by_question(compared).values()), confidence, lowest)


def by_question(compared: Iterable[Distance]) -> dict[str, float]:
    """Return the mean distance of each question over the countries that answered it."""
    by: dict[str, list[float]] = {}
    for c in compared:
        by.setdefault(c.text, []).append(c.distance)
    return {text: float(np.mean(own)) for text, own in by.items()}


def mean(country: str, values: Sequence[float], confidence: float = 0.95, lowest: float = 0.0) -> Mean:
    """Return the mean of values in [`lowest`, 1], with Student's t interval clipped to this range.

    A percentile bootstrap would cover the mean of three questions in 74% of cases.
    """
    array = np.asarray(values, dtype=np.float64)
    n, value = len(array), float(array.mean())
    if n < FEWEST:
        return Mean(country, n, value, float("nan"), float("nan"))
    half = float(t.ppf(0.5 + confidence / 2, n - 1) * array.std(ddof=1) / np.sqrt(n))
    return Mean(country, n, value, max(lowest, value - half), min(1.0, value + half))


def changes(before: Sequence[Distance], after: Sequence[Distance]) -> list[Distance]:
    """Return the change of the distance for each pair of country and question that both sides have.

    Changes are in [−1, 1]; above 0 is farther from people. `by_country`, `by_region` and `over_questions`
    summarise them (with `lowest=-1`). Pairs without a distance on a side are left out.
    """
    own = {(c.country, c.text): c.distance for c in before}
    pairs = [
        Distance(c.country, c.text, c.distance - own[c.country, c.text])
        for c in after
        if (c.country, c.text) in own
    ]
    return [pair for pair in pairs if np.isfinite(pair.distance)]


def agreement(first: Sequence[Mean], second: Sequence[Mean]) -> float:
    """Return Spearman's rank correlation of two orders of countries, over those in both; NaN with fewer than
    three.
    """
    a, b = ({m.country: m.value for m in side} for side in (first, second))
    both = sorted(a.keys() & b.keys())
    if len(both) < FEWEST:
        return float("nan")
    return float(np.corrcoef(rankdata([a[c] for c in both]), rankdata([b[c] for c in both]))[0, 1])
