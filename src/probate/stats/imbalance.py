"""Group generation imbalance: which groups neutral generations show, with the detector's errors measured and taken out."""

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
"""Iterations of the EM algorithm, and shares that are tested."""


@dataclass(frozen=True)
class Share:
    """Share of one group in the texts of one label. `low` and `high`: exact interval; `p`: its inversion, against `reference` (`exact.central`).

    `corrected` (with its interval, and its inversion `corrected_p` against `reference`) is the share once the detector's errors are taken out; NaN
    where they are not known.
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
    """The group that each text shows by pronouns and titles, else by first names; `undetermined` where it is not clear."""
    return [shown_group(text, pack) or UNCLEAR for text in texts]


def confusion(truth: Sequence[str], found: Sequence[str], groups: Sequence[str]) -> np.ndarray:
    """Counts of shape (groups, groups + 1): rows the true group, columns the detected one, the last `undetermined`."""
    columns = {g: i for i, g in enumerate([*groups, UNCLEAR])}
    rows = {g: i for i, g in enumerate(groups)}
    table = np.zeros((len(groups), len(groups) + 1), dtype=int)
    for true, seen in zip(truth, found, strict=True):
        if true in rows:
            table[rows[true], columns[seen]] += 1
    return table


def group_shares(
    labels: Sequence[str],
    found: Sequence[str],
    groups: Sequence[str],
    *,
    reference: Mapping[str, float] | None = None,
    errors: Mapping[str, np.ndarray] | None = None,
    confidence: float = 0.95,
) -> list[Share]:
    """Shares of each group among the determined texts of each label, then of all (`label` empty).

    Args:
        labels: label of each text.
        found: its detected group.
        groups: those that are compared.
        reference: group → share to test against; default: all alike.
        errors: label (empty: all) → `confusion` of the detector on texts of known group and of that label, with at least one of each
            group. A label without its own is not corrected: how often a group shows depends on what is written about.

    The corrected shares are the p under which the detected ones q = Mᵀp (Rogan and Gladen 1978 for two groups), undetermined included, are most
    likely; M is the rows of `errors` as probabilities. Their interval: `corrected_share`.
    """
    expected = dict(reference or {g: 1 / len(groups) for g in groups})
    result = []
    for label in [*sorted(set(labels) - {""}), ""]:
        counts = Counter(f for it, f in zip(labels, found, strict=True) if not label or it == label)
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
    """Shares of the groups under which detected `counts` (groups, then undetermined) are most likely, by the EM algorithm."""
    rows = _smooth(errors)
    rows = rows / rows.sum(1, keepdims=True)
    found = np.full(len(rows), 1 / len(rows))
    for _ in range(10 * STEPS):
        before, found = found, found * (rows @ (counts / (found @ rows))) / counts.sum()
        if np.abs(found - before).max() < 1e-7:
            break
    return found


def corrected_share(
    counts: np.ndarray, errors: np.ndarray, place: int, fixed: np.ndarray
) -> tuple[Side, Callable[[float], float]]:
    """One group's share in texts of which `counts` were detected, and the p of any share, both by the efficient score test.

    The group is held against the others, which are mixed as in `fixed`. Under a share t the counts c of n texts and those e₁, e₀ of texts of known
    group, of both kinds, leave h = c/n − t·e₁/n₁ − (1 − t)·e₀/n₀ with mean 0; V is the variance of h in the likeliest rates under t, and d the difference of the
    two kinds' rates. z = −dᵀV⁻¹h / √(dᵀV⁻¹d). Where the detector makes no error, this is Wilson's interval; where it tells nothing, that is [0, 1].
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
    """Counts of the detector's errors with half a text more a row: one without an error so far is not known to be without error."""
    return np.asarray(errors + 0.5 / errors.shape[1])


def _three(counts: np.ndarray, place: int) -> np.ndarray:
    """(detected as the group, as another, undetermined)"""
    return np.array([counts[place], counts[:-1].sum() - counts[place], counts[-1]])


def _variance(p: np.ndarray) -> np.ndarray:
    """Of one draw from the first two of three chances."""
    own = p[:, :2]
    return np.asarray(own[:, :, None] * (np.eye(2) - own[:, None, :]))
