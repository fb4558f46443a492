"""Simulation of designs: many studies at once, evaluated with the intervals and tests of `contrast`.

One simulated study has `n` items, half of each group. In the control, each answer is 1 with probability
`rate`. In the arm, the probability of the first group is higher by half the effect, and that of the second
group lower by half.

Each seed trains a control and an arm. With probability `agreement`, the answers of two trainings depend on
the same random number of the item. Each training shifts its own gap. `seed_sd` is the standard deviation of a
change, which has the shifts of both its arms (for a gap: of one). With `uneven`, the arm shifts that many
times as much as the control; `shared` is the correlation of the two shifts of a seed. A share `collapsed` of
trainings answers independently of the group, so that its gap is 0. `drawn` is the standard deviation of what
an arm's records add to a change in all seeds, if these train on the same records; it is an error for
conclusions about other records.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from scipy.special import ndtri, stdtrit

from probate.stats import exact, resample, seeds
from probate.study.schema import Analysis

Array = np.ndarray


@dataclass(frozen=True)
class Design:
    """A simulated design, see the module.

    `kind` is `change` (the change of a gap between two arms, paired by item) or `gap` (the gap in one arm).
    """

    n: int
    rate: float = 0.5
    seeds: int = 1
    agreement: float = 0.7
    seed_sd: float = 0.0
    kind: str = "change"
    uneven: float = 1.0
    shared: float = 0.0
    collapsed: float = 0.0
    drawn: float = 0.0

    @property
    def shifts(self) -> tuple[float, float]:
        """Standard deviation of the shift of the arm and of the control."""
        if not self.paired:
            return self.seed_sd, 0.0
        control = self.seed_sd / float(np.sqrt(1 + self.uneven**2 - 2 * self.shared * self.uneven))
        return self.uneven * control, control

    @property
    def paired(self) -> bool:
        return self.kind == "change"


@dataclass(frozen=True)
class OperatingCharacteristics:
    """Results of `runs` simulated studies of a design with a true `effect`.

    Attributes
    ----------
    coverage : float
        Share of intervals that hold the effect.
    rejected : float
        Share of p at or below α: the false positive rate without an effect, else the power.
    bias : float
        Mean estimate minus effect.
    width : float
        Mean width of the intervals.
    spread : tuple of float
        The range of the central 95% of the estimates.
    """

    design: Design
    effect: float
    runs: int
    coverage: float
    rejected: float
    bias: float
    width: float
    spread: tuple[float, float]


def simulate(
    design: Design,
    effect: float,
    analysis: Analysis,
    runs: int = 2000,
    alpha: float = 0.05,
    seed: int = 0,
    *,
    shares: bool = False,
) -> OperatingCharacteristics:
    """Simulate `runs` studies of a design.

    Parameters
    ----------
    design : Design
        The design.
    effect : float
        The true effect. Probabilities are clipped to [0, 1], and the true effect with them.
    analysis : Analysis
        Confidence.
    runs : int
        Number of studies.
    alpha : float
        Level of significance.
    seed : int
        Seed of the random numbers.
    shares : bool
        Draw probabilities (`draw_shares`) in place of answers.

    Returns
    -------
    OperatingCharacteristics
    """
    rng = np.random.default_rng([seed, design.n, design.seeds, int(1000 * design.rate)])
    values, truth = (draw_shares if shares else draw)(design, effect, runs, rng)
    estimate, low, high, p = judge(values, design, analysis)
    held = (low <= truth + 1e-12) & (truth - 1e-12 <= high)
    return OperatingCharacteristics(
        design,
        float(truth),
        runs,
        float(held.mean()),
        float((p <= alpha).mean()),
        float(estimate.mean() - truth),
        float((high - low).mean()),
        (float(np.quantile(estimate, 0.025)), float(np.quantile(estimate, 0.975))),
    )


def draw(design: Design, effect: float, runs: int, rng: np.random.Generator) -> tuple[Array, float]:
    """Draw answers and return them with the true effect.

    Returns
    -------
    tuple of (array of int8, float)
        Answers of shape (arms, seeds, items, runs): the arm and, for a change, the control. The first half of
        the items is the first group. The true effect is the mean over trainings after clipping and collapse.
    """
    half = design.n // 2
    sign = np.r_[np.ones(half), -np.ones(design.n - half)].astype(np.float32)[:, None]
    luck = rng.random((design.n, runs), dtype=np.float32)
    kept = np.float32(design.agreement**0.5)  # by both of two trainings with chance `agreement`
    rest = np.float32(max(1 - design.agreement**0.5, 1e-6))
    values = np.empty((1 + design.paired, design.seeds, design.n, runs), dtype=np.int8)

    def cut(chance: Array | float) -> Array:
        return np.clip(chance, 0, 1)

    def answers(chance: Array | float) -> Array:
        """Return the answers of one training.

        A random number below `kept` uses the item's random number, one above it its remainder, rescaled to
        [0, 1).
        """
        own = rng.random((design.n, runs), dtype=np.float32)
        return np.asarray(np.where(own < kept, luck, (own - kept) / rest) < chance).view(np.int8)

    truth = 0.0
    common = (
        rng.normal(0, 1, (design.seeds, runs)) * np.sqrt(design.shared)
        if design.shared
        else np.zeros((design.seeds, 1))
    )
    for arm, (own, sd) in enumerate(zip((effect, 0.0)[: len(values)], design.shifts, strict=False)):
        records = rng.normal(0, design.drawn / np.sqrt(len(values)), runs) if design.drawn else np.zeros(runs)
        for s in range(design.seeds):
            shift = (
                sd * (common[s] + rng.normal(0, np.sqrt(1 - design.shared), runs)) if sd else np.zeros(runs)
            )
            gap = own + records + shift
            if design.collapsed:
                gap = np.where(rng.random(runs) < design.collapsed, 0.0, gap)
            values[arm, s] = answers(cut(design.rate + sign * (gap / 2).astype(np.float32)))
        whole = float(np.hypot(sd, design.drawn / np.sqrt(len(values))))
        truth += (1 - 2 * arm) * (1 - design.collapsed) * _expected(design.rate, own, whole)
    return values, truth


ITEM_SPREAD = 1.5
"""Standard deviation of items' log-odds in `draw_shares`."""


def draw_shares(design: Design, effect: float, runs: int, rng: np.random.Generator) -> tuple[Array, float]:
    """Draw probabilities in place of answers, as the expected share has them, and return the true effect.

    The log-odds of an item are those of `rate`, plus what is its own in all trainings (standard deviation
    1.5), plus what a training adds to it, so that two trainings correlate by `agreement`. Shifts of gaps and
    the effect are those of `draw`, in log-odds: four times their size, as at a probability of one half.
    """
    half = design.n // 2
    sign = np.r_[np.ones(half), -np.ones(design.n - half)].astype(np.float32)[:, None]
    noise = ITEM_SPREAD * np.sqrt(1 / max(design.agreement, 1e-6) - 1)
    base = float(np.log(design.rate / (1 - design.rate)))
    own = ITEM_SPREAD * rng.standard_normal((design.n, runs), dtype=np.float32)
    values = np.empty((1 + design.paired, design.seeds, design.n, runs), dtype=np.float32)
    truth = 0.0
    for arm, (gap, sd) in enumerate(zip((effect, 0.0)[: len(values)], design.shifts, strict=False)):
        for s in range(design.seeds):
            shift = 2 * (gap + sd * rng.standard_normal(runs, dtype=np.float32))
            alone = noise * rng.standard_normal((design.n, runs), dtype=np.float32)
            values[arm, s] = 1 / (1 + np.exp(-(base + own + alone + sign * shift)))
        whole = float(np.sqrt(ITEM_SPREAD**2 + noise**2 + 4 * sd**2))
        grid = whole * ndtri((np.arange(4000) + 0.5) / 4000)
        means = [float((1 / (1 + np.exp(-(base + grid + side * 2 * gap)))).mean()) for side in (1, -1)]
        truth += (1 - 2 * arm) * (means[0] - means[1])
    return values, truth


def _expected(rate: float, gap: float, sd: float) -> float:
    """Return the mean over trainings of rate ± half of a normal gap, first minus second, each clipped to [0,
    1].
    """
    gaps = gap + sd * ndtri((np.arange(2000) + 0.5) / 2000) if sd else np.array([gap])
    return float((np.clip(rate + gaps / 2, 0, 1) - np.clip(rate - gaps / 2, 0, 1)).mean())


def judge(values: Array, design: Design, analysis: Analysis) -> tuple[Array, Array, Array, Array]:
    """Return estimate, interval and p of every run, as `contrast` computes them."""
    n, half = design.n, design.n // 2
    first, second = slice(0, half), slice(half, n)
    whole = values[0] - values[1] if design.paired else values[0]
    mean = whole.mean(0, dtype=np.float64)
    estimate = mean[first].mean(0) - mean[second].mean(0)
    if design.seeds > 1:
        low, high, p = _over_seeds(values, whole, half, estimate, analysis.confidence)
    elif design.paired:
        low, high, p = _welch(whole[0, first], whole[0, second], estimate, analysis.confidence)
    else:
        hits = (mean[first].sum(0), half), (mean[second].sum(0), n - half)
        (low, high), p = exact.newcombe(*hits, analysis.confidence), exact.newcombe_p(*hits)
    top = 2 if design.paired else 1
    return estimate, np.clip(low, -top, top), np.clip(high, -top, top), p


def _welch(first: Array, second: Array, estimate: Array, confidence: float) -> tuple[Array, Array, Array]:
    """Compute `resample.welch` for changes in all runs, with pseudo-items where they are needed."""
    (m0, _, v0, f0), (m1, _, v1, f1) = (_moments(own[None], (-1, 1)) for own in (first, second))
    error, freedom = np.sqrt(v0 + v1), (v0 + v1) ** 2 / (v0**2 / f0 + v1**2 / f1)
    half = stdtrit(freedom, 0.5 + confidence / 2) * error
    p = resample.stretched_p(estimate, m0 - m1, error, freedom)
    return np.minimum(estimate, m0 - m1 - half), np.maximum(estimate, m0 - m1 + half), p


def _moments(values: Array, ends: tuple[int, int]) -> tuple[Array, Array, Array, Array]:
    """Return mean, shared variance of items, whole variance over items, and degrees of freedom.

    `values` has the shape (seeds, items, runs). A success and a failure (`ends`) are added to items with
    almost no variation. Probabilities always vary.
    """
    count, n = values.shape[:2]
    if values.dtype.kind == "f":
        own, rare = values.sum(0, dtype=np.float64), np.zeros(values.shape[2], dtype=np.int64)
    else:
        own = values.sum(0, dtype=np.int16)
        commonest = np.max([(own == k).sum(0) for k in range(int(own.min()), int(own.max()) + 1)], axis=0)
        rare = n - commonest < resample.FEW
    more, n = rare * (ends[0] ** 2 + ends[1] ** 2), n + 2 * rare

    def variance(total: Array, squares: Array) -> Array:
        """Of a mean over items, from sums over items."""
        return np.asarray((squares - total**2 / n) / (n - 1) / n)

    exact_sum = np.float64 if values.dtype.kind == "f" else np.int64
    totals = values.sum(1, dtype=exact_sum) + rare * sum(ends)
    squares = (values**2).sum(1, dtype=exact_sum) + more
    total = totals.sum(0)
    whole = variance(
        total, (own.astype(np.float64) ** 2).sum(0) + count**2 * more
    )  # count² times that of the mean over seeds
    shared = (whole - variance(totals, squares).sum(0)) / (count * (count - 1)) if count > 1 else whole
    return total / count / n, shared, whole / count**2, n - 1


def _over_seeds(
    values: Array, whole: Array, half: int, estimate: Array, confidence: float
) -> tuple[Array, Array, Array]:
    """Compute `contrast` over several seeds for all runs; `whole` is the difference of the arms."""
    ends = (-1 if len(values) > 1 else 0, 1)
    parts = values[:, :, :half].mean(2, dtype=np.float64) - values[:, :, half:].mean(2, dtype=np.float64)
    (m0, s0, v0, f0), (m1, s1, v1, f1) = (_moments(own, ends) for own in (whole[:, :half], whole[:, half:]))
    spread, known = seeds.seed_variance(parts)
    freedom = (v0 + v1) ** 2 / np.maximum(v0**2 / f0 + v1**2 / f1, 1e-48)
    variances = np.maximum(s0 + s1, 0), spread, freedom, known
    width, p = seeds.half_width(*variances, confidence), seeds.p_value(estimate, *variances)
    return np.minimum(estimate, m0 - m1 - width), np.maximum(estimate, m0 - m1 + width), p


def smallest_visible(
    design: Design, analysis: Analysis, power: float = 0.8, runs: int = 1000, seed: int = 0
) -> float:
    """Return the smallest effect that is detected with the given power, by bisection to 0.002.

    It is inf if even the largest effect is not detected.
    """
    low, high = 0.0, 2 * min(design.rate, 1 - design.rate) if design.paired else 1.0
    if simulate(design, high, analysis, runs, seed=seed).rejected < power:
        return float("inf")
    while high - low > 0.002:
        middle = (low + high) / 2
        low, high = (
            (low, middle)
            if simulate(design, middle, analysis, runs, seed=seed).rejected >= power
            else (middle, high)
        )
    return high


def required_size(
    design: Design,
    effect: float,
    analysis: Analysis,
    *,
    what: Literal["n", "seeds"],
    power: float = 0.8,
    runs: int = 400,
) -> int | None:
    """Return the smallest number of items or seeds that detects `effect` with the given power.

    Parameters
    ----------
    design : Design
        The design; its `n` is the start of the search for items.
    effect : float
        The true effect.
    analysis : Analysis
        Confidence.
    what : {'n', 'seeds'}
        The size to search.
    power : float
        The power to reach.
    runs : int
        Number of simulated studies for each size.

    Returns
    -------
    int or None
        None if ten times as many items (or 20 seeds) are too few.
    """
    start = design.n
    sizes = (
        range(2, 21)  # one seed shows nothing of training
        if what == "seeds"
        else sorted(
            {max(8, int(start * f) // 2 * 2) for f in (0.1, 0.2, 0.35, 0.5, 0.7, 1, 1.4, 2, 3, 5, 7, 10)}
        )
    )
    for size in sizes:
        if (
            simulate(
                replace(design, n=size) if what == "n" else replace(design, seeds=size),
                effect,
                analysis,
                runs,
            ).rejected
            >= power
        ):
            return size
    return None
