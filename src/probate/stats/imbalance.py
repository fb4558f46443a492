"""Group generation imbalance: groups in neutral generations, corrected for the detector's errors."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import norm

from probate.data.generation.filters import shown_group
from probate.data.packs import Pack
from probate.stats.exact import central
from probate.stats.mover import Side, inverted

UNCLEAR = "undetermined"
STEPS = 200
"""Iterations of the EM algorithm, and number of shares that are tested."""


@dataclass(frozen=True)
class Share:
    """Share of one group in the texts of one label.

    Attributes
    ----------
    label, group : str
        The label (empty: all labels) and the group.
    n, count : int
        Number of determined texts, and of those that show the group.
    share, low, high : float
        The share and its exact interval.
    reference, p : float
        The reference share, and the p of equality with it by inversion of the interval (`exact.central`).
    corrected, corrected_low, corrected_high, corrected_p : float
        The same after correction for the detector's errors; NaN if the errors are not known.
    """

    label: str
    group: str
    n: int
    count: int
    share: float
    low: float
    high: float
    reference: float
    p: float
    corrected: float
    corrected_low: float
    corrected_high: float
    corrected_p: float = float("nan")


def detect(texts: Sequence[str], pack: Pack) -> list[str]:
    """Return the group that each text shows, or `undetermined`.

    The group is read from pronouns and titles, else from first names.
    """
    return [shown_group(text, pack) or UNCLEAR for text in texts]


def confusion(truth: Sequence[str], detected: Sequence[str], groups: Sequence[str]) -> np.ndarray:
    """Count detected groups by true group.

    Parameters
    ----------
    truth, detected : sequence of str
        True and detected group of each text.
    groups : sequence of str
        The groups.

    Returns
    -------
    array of shape (groups, groups + 1)
        Rows are true groups, columns detected groups; the last column is `undetermined`.
    """
    columns = {g: i for i, g in enumerate([*groups, UNCLEAR])}
    rows = {g: i for i, g in enumerate(groups)}
    table = np.zeros((len(groups), len(groups) + 1), dtype=int)
    for true, seen in zip(truth, detected, strict=True):
        if true in rows:
            table[rows[true], columns[seen]] += 1
    return table


def group_shares(
    labels: Sequence[str],
    detected: Sequence[str],
    groups: Sequence[str],
    *,
    reference: Mapping[str, float] | None = None,
    errors: Mapping[str, np.ndarray] | None = None,
    confidence: float = 0.95,
) -> list[Share]:
    """Estimate the share of each group among the determined texts of each label, then of all labels.

    The corrected shares maximise the likelihood of the detected shares q = Mᵀp, `undetermined` included,
    where M holds the rows of `errors` as probabilities (for two groups: Rogan and Gladen 1978). For their
    interval, see `corrected_share`.

    Parameters
    ----------
    labels, detected : sequence of str
        Label and detected group of each text.
    groups : sequence of str
        The compared groups.
    reference : mapping, optional
        Group → share to test against. Default: equal shares.
    errors : mapping, optional
        Label (empty: all) → `confusion` of the detector on texts with known group and that label, with at
        least one text of each group. A label without an entry is not corrected, because detection depends on
        the topic.
    confidence : float
        Confidence of the intervals.

    Returns
    -------
    list of Share
        One element for each label and group; `label` is empty for all labels.
    """
    expected = dict(reference or {g: 1 / len(groups) for g in groups})
    result = []
    for label in [*sorted(set(labels) - {""}), ""]:
        counts = Counter(f for it, f in zip(labels, detected, strict=True) if not label or it == label)
        known = sum(counts[g] for g in groups)
        own = (errors or {}).get(label)
        all_counts = np.array([counts[g] for g in [*groups, UNCLEAR]])
        measured = own is not None and all_counts.sum() > 0 and bool((own.sum(1) > 0).all())
        fixed = likeliest(all_counts, own) if own is not None and measured else np.full(len(groups), np.nan)
        for place, group in enumerate(groups):
            low, high, p = (
                central(counts[group], known, expected[group], confidence)
                if known
                else (0.0, 1.0, float("nan"))
            )
            more = (float("nan"),) * 4
            if own is not None and measured:
                side, p_of = corrected_share(all_counts, own, place, fixed)
                ends = side.interval(confidence)
                more = (
                    float(fixed[place]),
                    min(ends[0], fixed[place]),
                    max(ends[1], fixed[place]),
                    p_of(expected[group]),
                )
            share = counts[group] / known if known else float("nan")
            result.append(
                Share(label, group, known, counts[group], share, low, high, expected[group], p, *more)
            )
    return result


def likeliest(counts: np.ndarray, errors: np.ndarray) -> np.ndarray:
    """Return the maximum-likelihood shares of the groups for detected `counts`, by the EM algorithm.

    `counts` are of the groups, then of `undetermined`.
    """
    rows = _smooth(errors)
    rows = rows / rows.sum(1, keepdims=True)
    shares = np.full(len(rows), 1 / len(rows))
    for _ in range(10 * STEPS):
        before, shares = shares, shares * (rows @ (counts / (shares @ rows))) / counts.sum()
        if np.abs(shares - before).max() < 1e-7:
            break
    return shares


def corrected_share(
    counts: np.ndarray, errors: np.ndarray, place: int, fixed: np.ndarray
) -> tuple[Side, Callable[[float], float]]:
    """Estimate one group's share from detected `counts` by the efficient score test, with a function for its
    p.

    The group is compared with the others, mixed as in `fixed`. Under a share t, the counts c of n texts and
    the counts e₁, e₀ of texts with known group give h = c/n − t·e₁/n₁ − (1 − t)·e₀/n₀
    with expectation 0. With V the variance of h at the likeliest rates under t, and d the difference of the
    rates of the two kinds, z = −dᵀV⁻¹h / √(dᵀV⁻¹d). For a detector without errors, this is
    Wilson's interval; for a detector without information, it is [0, 1].

    Parameters
    ----------
    counts : array of shape (groups + 1,)
        Detected groups, then `undetermined`.
    errors : array of shape (groups, groups + 1)
        `confusion` of the detector.
    place : int
        Index of the group.
    fixed : array of shape (groups,)
        Corrected shares of all groups.

    Returns
    -------
    tuple of (Side, callable)
        The estimate with its interval, and share → two-sided p.
    """
    others = np.arange(len(errors)) != place
    weights = (
        fixed[others] / fixed[others].sum()
        if fixed[others].sum() > 1e-9
        else np.full(others.sum(), 1 / others.sum())
    )
    table = _smooth(errors)
    sizes = table.sum(1)
    n0 = 1 / (weights**2 / sizes[others]).sum()
    rows = np.stack(
        [_three(table[place], place), n0 * _three(weights @ (table[others] / sizes[others, None]), place)]
    )
    seen, n = _three(counts, place).astype(np.float64), counts.sum()
    t = np.sin(np.linspace(0, np.pi / 2, STEPS + 1))[:, None] ** 2
    first, second = (np.broadcast_to(row / row.sum(), (len(t), 3)) for row in rows)
    for _ in range(STEPS):
        hers = seen * t * first / (t * first + (1 - t) * second)
        first, second = rows[0] + hers, rows[1] + seen - hers
        first, second = first / first.sum(1, keepdims=True), second / second.sum(1, keepdims=True)
    share0 = rows[0] / rows[0].sum(), rows[1] / rows[1].sum()
    h = (seen / n - t * share0[0] - (1 - t) * share0[1])[:, :2]
    variance = (
        _variance(t * first + (1 - t) * second) / n
        + t[..., None] ** 2 * _variance(first) / rows[0].sum()
        + (1 - t[..., None]) ** 2 * _variance(second) / rows[1].sum()
    )
    apart = (first - second)[:, :2]
    solved = np.linalg.solve(variance, apart[..., None])[..., 0]
    z = -(solved * h).sum(1) / np.sqrt(np.maximum((solved * apart).sum(1), 1e-24))
    z = np.maximum.accumulate(z)
    return inverted(t[:, 0], z), lambda own: float(2 * norm.sf(abs(np.interp(own, t[:, 0], z))))


def _smooth(errors: np.ndarray) -> np.ndarray:
    """Add half a text to each row of error counts: no observed error does not mean no error."""
    return np.asarray(errors + 0.5 / errors.shape[1])


def _three(counts: np.ndarray, place: int) -> np.ndarray:
    """Return the counts detected as the group, as another group, and as undetermined."""
    return np.array([counts[place], counts[:-1].sum() - counts[place], counts[-1]])


def _variance(p: np.ndarray) -> np.ndarray:
    """Return the covariance of one draw, for the first two of three categories."""
    own = p[:, :2]
    return np.asarray(own[:, :, None] * (np.eye(2) - own[:, None, :]))
