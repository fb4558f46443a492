"""Group generation imbalance: which groups neutral generations show, with the detector's errors measured and taken out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import nnls
from scipy.stats import binomtest

from probate.bias.packs import Pack
from probate.generate.filters import shown_group

UNCLEAR = "undetermined"
DRAWS = 4000


@dataclass(frozen=True)
class Share:
    """Share of one group in the texts of one label. `low` and `high`: Wilson's interval; `p`: exact binomial against `reference`.

    `corrected` (with its interval) is the share once the detector's errors are taken out; NaN where they are not known.
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


def shares(
    labels: Sequence[str],
    found: Sequence[str],
    groups: Sequence[str],
    *,
    reference: Mapping[str, float] | None = None,
    errors: Mapping[str, np.ndarray] | None = None,
    confidence: float = 0.95,
    seed: int = 0,
) -> list[Share]:
    """Shares of each group among the determined texts of each label, then of all (`label` empty).

    Args:
        labels: label of each text.
        found: its detected group.
        groups: those that are compared.
        reference: group → share to test against; default: all alike.
        errors: label (empty: all) → `confusion` of the detector on texts of known group and of that label, with at least one of each
            group. A label without its own is not corrected: how often a group shows depends on what is written about.

    The corrected shares solve q = Mᵀp (Rogan and Gladen 1978 for two groups): q the detected shares, undetermined included, M the
    rows of `errors` as probabilities, p ≥ 0. Their interval is a percentile interval over multinomial draws of both tables.
    """
    expected = dict(reference or {g: 1 / len(groups) for g in groups})
    rng = np.random.default_rng(seed)
    result = []
    for label in [*sorted(set(labels) - {""}), ""]:
        counts = Counter(f for it, f in zip(labels, found, strict=True) if not label or it == label)
        known = sum(counts[g] for g in groups)
        own = (errors or {}).get(label)
        fixed = _corrected([counts[g] for g in [*groups, UNCLEAR]], own, confidence, rng)
        for place, group in enumerate(groups):
            test = binomtest(counts[group], known, expected[group]) if known else None
            interval = test.proportion_ci(confidence, method="wilson") if test else None
            result.append(
                Share(
                    label,
                    group,
                    known,
                    counts[group],
                    counts[group] / known if known else float("nan"),
                    float(interval.low) if interval else 0.0,
                    float(interval.high) if interval else 1.0,
                    expected[group],
                    float(test.pvalue) if test else float("nan"),
                    *(float(v) for v in fixed[:, place]),
                )
            )
    return result


def _corrected(counts: Sequence[int], errors: np.ndarray | None, confidence: float, rng: np.random.Generator) -> np.ndarray:
    """Estimate, low and high of each group's corrected share, of shape (3, groups)."""
    size = len(counts) - 1
    if errors is None or not sum(counts) or (errors.sum(1) == 0).any():
        return np.full((3, size), np.nan)
    q = np.array(counts, dtype=float)
    estimate = _solve(errors / errors.sum(1, keepdims=True), q / q.sum())
    smooth = errors + 0.5 / errors.shape[1]  # a detector without an error so far is not known to be without error
    rows = [rng.dirichlet(row, DRAWS) for row in smooth]
    seen = rng.multinomial(int(q.sum()), q / q.sum(), DRAWS) / q.sum()
    draws = np.array([_solve(np.stack([r[i] for r in rows]), seen[i]) for i in range(DRAWS)])
    tail = (1 - confidence) / 2
    return np.stack([estimate, *np.quantile(draws, [tail, 1 - tail], axis=0)])


def _solve(errors: np.ndarray, seen: np.ndarray) -> np.ndarray:
    found, _ = nnls(errors.T, seen)
    total = found.sum()
    return np.asarray(found / total if total > 0 else np.full(len(found), 1 / len(found)))
