"""Multiplicity: one error rate for all effects of a report.

Each tested effect belongs to one family:

- `first`: two hypotheses for each task, bias type and round, about its primary measure without mitigation.
  The first is that bias has no effect: the inheritance coefficient against matched controls if it is known,
  else the slope over γ, else the change at the largest γ. The second is that the augmented data have no
  effect: the same against γ = 0; in a study with matched controls, the change at the largest γ.
- `next`: all other comparisons of arms in a primary measure (other γ, steps, against the first round,
  mitigations).
- `details`: other measures, gaps in one arm, probes, costs.
- `checks`: whether unusable answers differ between groups, and whether two controls differ.
- `pooled`: effects over all conditions (`probate.stats.pooled_effects`).

In a study without any effect, the probability that an adjusted p of the first four families is at most α is
itself at most α. The same holds for the pooled family alone: it repeats the questions of the others in
another form, has its own α, and changes no other adjusted p. Over both, the probability is at most 2α.

A task may have its primary measure in answers and in expectation. The two hypotheses are then a unit: the p
of both together is that of `families.either`, a unit counts once, and a measure is rejected only if both
together are. A unit no longer counts, and passes on its share, only when both of its measures are rejected.

`SHARES` divides α between first and next questions, details and checks; families without tests leave their
share to the others. The first questions share theirs equally. The share of rejected first questions passes on
to the next ones, which use Holm's method (parallel gatekeeping, Dmitrienko, Offen and Westfall 2003). Details
and checks use Holm's method each. With more than two groups, the comparison of a group with the rest is
tested as part of the test of all groups together (`any group − rest`); its interval and p are already
adjusted for that. Pooled effects are gatekept in the same way (`_leads`).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from probate.stats.comparisons import ANY
from probate.stats.families import benjamini_hochberg, either

FIRST, NEXT, DETAILS, CHECKS, POOLED = "first", "next", "details", "checks", "pooled"
OF_POOLED = "pooled-"
"""Prefix of questions over all conditions."""
SHARES = {NEXT: 0.8, DETAILS: 0.1, CHECKS: 0.1}
"""Shares of α. `next` covers first and next questions together."""
IN_EXPECTATION = "-expected"
"""End of the name of a question about the primary measure in expectation."""
EXPECTED = "inheritance-expected"
CHANGES = ("inheritance", EXPECTED)
OF_CHECKS = ("unusable", "null", "null-expected")
OF_ARMS = (
    "inheritance", "dose-slope", "dose-step", "coefficient", "mitigation", "round", "relation",
    EXPECTED, "mitigation-expected", "round-expected",
)  # fmt: skip
"""Questions that compare arms in a primary measure."""
ONE = ["question", "task", "metric", "contrast", "bias_type", "ratio", "mitigation", "round"]


def adjusted(table: pd.DataFrame, matched: str, base: str) -> pd.DataFrame:
    """Return the effects with `family`, `p_adjusted` and `p_bh`.

    Parameters
    ----------
    table : pandas.DataFrame
        The effects.
    matched, base : str
        Names of the contrasts with the matched control and with γ = 0.

    Returns
    -------
    pandas.DataFrame
        A copy. `p_bh` is Benjamini and Hochberg's over all tests of one question.
    """
    table = table.copy()
    first = _first(table, matched, base)
    follows = _follows(table, first)
    of_arms = table["question"].isin(OF_ARMS)
    family = np.where(
        first, FIRST, np.where(of_arms, NEXT, np.where(table["question"].isin(OF_CHECKS), CHECKS, DETAILS))
    )
    pooled = table["question"].str.startswith(OF_POOLED).to_numpy()
    family = np.where(pooled, POOLED, family)
    table["family"] = family
    p = table["p"].astype(float).to_numpy()
    tested = np.isfinite(p) & (follows < 0)
    unit = np.arange(len(table))
    for answers, expected in _pairs(table, family, tested).items():
        unit[expected] = unit[answers]
    p_adjusted = np.full(len(table), np.nan)
    one, other = (tested & (family == name) for name in (FIRST, NEXT))
    p_adjusted[one], p_adjusted[other] = gatekept(p[one], p[other], unit[one], unit[other])
    for name in (DETAILS, CHECKS):
        own = tested & (family == name)
        p_adjusted[own] = _stepwise(p[own], unit[own])
    lead = pooled & _leads(table, matched)
    p_adjusted[tested & lead], p_adjusted[tested & pooled & ~lead] = gatekept(
        p[tested & lead], p[tested & pooled & ~lead]
    )
    part = np.where(family == FIRST, NEXT, family)
    share = {name: SHARES[name] for name in SHARES if (tested & (part == name)).any()}
    for name in share:
        p_adjusted[part == name] = np.minimum(
            p_adjusted[part == name] * sum(share.values()) / share[name], 1.0
        )
    for place in np.flatnonzero((follows >= 0) & np.isfinite(p)):
        lead = follows[place]
        table.loc[table.index[place], "family"] = family[lead]
        if np.isfinite(p_adjusted[lead]):
            p_adjusted[place] = min(1.0, p_adjusted[lead] * max(1.0, p[place] / max(p[lead], 1e-300)))
    table["p_adjusted"] = p_adjusted
    table["p_bh"] = (
        table["p"].astype(float).groupby(table["question"], sort=False).transform(benjamini_hochberg)
    )
    return table


def _pairs(table: pd.DataFrame, family: np.ndarray, tested: np.ndarray) -> dict[int, int]:
    """Return the tests of answers → those of the same question in expectation, where both are tests."""
    rows = table.to_dict("records")

    def about(r: dict[str, Any]) -> tuple[Any, ...]:
        # of several γ, a first question is asked once: its tests need not be at the same one
        ratio = None if r["family"] == FIRST else r["ratio"]
        question = "inheritance" if r["family"] == FIRST else r["question"].removesuffix(IN_EXPECTATION)
        return (
            r["family"],
            question,
            ratio,
            *(r[c] for c in ONE if c not in ("question", "metric", "ratio")),
        )

    answers: dict[tuple[Any, ...], int] = {}
    expected: dict[tuple[Any, ...], int] = {}
    for place in np.flatnonzero(tested):
        if family[place] in (FIRST, NEXT, CHECKS):
            row = {**rows[place], "family": family[place]}
            side = expected if row["question"].endswith(IN_EXPECTATION) else answers
            side.setdefault((*about(row), row["comparison"]), int(place))
    return {answers[key]: expected[key] for key in answers.keys() & expected.keys()}


def gatekept(
    first: np.ndarray, then: np.ndarray, units: np.ndarray | None = None, later: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Return jointly valid adjusted p of two families, where rejections in the first release α for the
    second.

    Each of m first units is tested at α / m. If r of them are rejected with all of their measures, the second
    family is tested at α r / m by Holm's method. Without a first family, it is tested at α.

    Parameters
    ----------
    first, then : ndarray
        p of the two families.
    units, later : ndarray, optional
        Unit of each p; default: each is a unit of its own.
    """
    q = _stepwise(then, np.arange(len(then)) if later is None else later)
    own, whole = _units(first, np.arange(len(first)) if units is None else units)
    m = len(whole)
    if not m or not len(q):
        return np.minimum(own * m, 1.0), q
    left = np.arange(1, m + 1) / m
    return np.minimum(own * m, 1.0), np.minimum(
        np.maximum(np.sort(whole * m)[:, None], q[None] / left[:, None]).min(0), 1.0
    )


def _units(p: np.ndarray, units: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the p of each test together with its unit, and the largest of these for each unit.

    A test of a unit of two is rejected if both together are, and the test itself.
    """
    names, of = np.unique(units, return_inverse=True)
    own = np.array(p, dtype=float)
    for unit in np.flatnonzero(np.bincount(of, minlength=len(names)) == 2):
        one, other = np.flatnonzero(of == unit)
        own[[one, other]] = np.maximum(own[[one, other]], either(own[one], own[other]))
    whole = np.zeros(len(names))
    np.maximum.at(whole, of, own)
    return own, whole


def _stepwise(p: np.ndarray, units: np.ndarray) -> np.ndarray:
    """Return adjusted p by Holm's method over units.

    It is the closed test whose intersections are tested by Bonferroni over units. The worst intersection for
    a test contains its own unit and the k units whose largest p are largest.
    """
    own, whole = _units(p, units)
    of = np.unique(units, return_inverse=True)[1]
    order = np.argsort(-whole, kind="stable")
    adjusted = np.zeros(len(own))
    for place, mine in enumerate(own):
        others = whole[order[order != of[place]]]
        least = np.minimum(mine, np.r_[np.inf, others])  # the smallest p of the intersection
        adjusted[place] = (np.arange(1, len(least) + 1) * least).max()
    return np.minimum(adjusted, 1.0)


def _follows(table: pd.DataFrame, first: np.ndarray) -> np.ndarray:
    """Return the row whose test each row belongs to; −1 for a row with its own test.

    The comparison of a group belongs to that of all groups together. A coefficient of one γ is the change in
    another unit, and belongs to that change.
    """
    rows = table.to_dict("records")
    keys = [tuple(r[c] for c in ONE) for r in rows]
    together = {
        key: place for place, (key, r) in enumerate(zip(keys, rows, strict=True)) if r["comparison"] == ANY
    }
    asked = [(place, r) for place, r in enumerate(rows) if first[place]]
    curves = {(r["task"], r["bias_type"], r["round"]) for _, r in asked if r["question"] not in CHANGES}
    changes = {
        (r["task"], r["bias_type"], r["round"], r["contrast"]): place
        for place, r in asked
        if r["question"] == "inheritance"
    }
    leads = np.full(len(rows), -1)
    for place, (key, r) in enumerate(zip(keys, rows, strict=True)):
        of = r["task"], r["bias_type"], r["round"]
        if r["question"] == "coefficient" and of not in curves:
            leads[place] = changes.get((*of, r["contrast"]), -1)
        elif r["comparison"] != ANY:
            leads[place] = together.get(key, -1)
    return leads


def _leads(table: pd.DataFrame, matched: str) -> np.ndarray:
    """Mark the pooled effects that are tested first.

    These are each mitigation over all tasks, and the inheritance of each task and the relation against the
    matched control (against γ = 0 if there is none). The mitigations in each task and the other contrast
    follow.
    """
    over_all = table["mitigation"] != "none"
    isolated = table["contrast"] == matched
    same = [table["question"], table["task"]]
    any_matched = isolated.groupby(same, sort=False).transform("any")
    mitigations = over_all & (table["task"] == "all")
    return np.asarray(mitigations | (~over_all & (isolated | ~any_matched)))


def _first(table: pd.DataFrame, matched: str, base: str) -> np.ndarray:
    """Mark the first questions, see the module."""
    is_first = np.zeros(len(table), dtype=bool)
    own = table[np.isfinite(table["p"].astype(float)) & (table["mitigation"] == "none")]
    own = own.assign(place=np.arange(len(table))[table.index.get_indexer(own.index)])
    own = own[(own["comparison"] == ANY) | ~own["comparison"].str.endswith(" − rest")]
    for _, part in own.groupby(["task", "bias_type", "round"], sort=False):
        change = part[part["question"] == "inheritance"].sort_values("ratio")
        against = {name: change[change["contrast"] == name] for name in (matched, base)}
        bias = matched if len(against[matched]) else base
        curves = part[(part["contrast"] == bias) & (against[bias]["ratio"].nunique() > 1)]
        asked = [curves[curves["question"] == q] for q in ("coefficient", "dose-slope")] + [against[bias]]
        chosen = next((rows for rows in asked if len(rows)), None)
        if chosen is not None:
            is_first[chosen["place"].iloc[-1]] = True
        if bias == matched and len(against[base]):
            is_first[against[base]["place"].iloc[-1]] = True
        expected = part[part["question"] == EXPECTED].sort_values("ratio")
        for _, rows in expected.groupby("contrast", sort=False):
            is_first[rows["place"].iloc[-1]] = True
    return is_first
