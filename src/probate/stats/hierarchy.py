"""One error rate for all that a report says: the study's first questions, then its other comparisons of arms, beside details and checks.

Each tested effect belongs to one family:

- `first`: for each task and bias type two hypotheses, of its primary measure in the first round, without mitigation: that bias does nothing (the inheritance
  coefficient against matched controls, where it is known; else the slope over γ; else the change at the largest γ) and that the augmented data do nothing
  (the same against γ = 0, for a study with matched controls the change at the largest γ);
- `next`: all other comparisons of arms in a primary measure (other γ, steps, rounds, what mitigations change);
- `details`: other measures, gaps in one arm, probes, costs;
- `checks`: whether the answers that cannot be used differ between groups, and whether two controls differ.

The chance that a study without any effect has one with adjusted p ≤ α is at most α: `SHARES` parts α between first and next questions, details and checks (all
of it goes to those that have tests). The first questions share theirs equally; what those that are found had goes on to the next ones, which share it by Holm
(parallel gatekeeping, Dmitrienko, Offen and Westfall 2003); details and checks by Holm each. With more than two groups a group's comparison with the rest
is judged with the test of all groups together (`any group − rest`), to which its interval and p are fitted already.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from probate.stats.compare import ANY
from probate.stats.families import benjamini_hochberg, holm

FIRST, NEXT, DETAILS, CHECKS = "first", "next", "details", "checks"
SHARES = {NEXT: 0.8, DETAILS: 0.1, CHECKS: 0.1}
"""Of α; `next`: of first and next questions together."""
OF_CHECKS = ("unusable", "null")
OF_ARMS = ("inheritance", "dose-slope", "dose-step", "coefficient", "mitigation", "round", "relation")
"""Questions of comparisons of arms in a primary measure."""
ONE = ["question", "task", "metric", "contrast", "bias_type", "ratio", "mitigation", "round"]


def adjusted(table: pd.DataFrame, matched: str, base: str) -> pd.DataFrame:
    """The effects with `family`, `p_adjusted` and `p_bh` (Benjamini and Hochberg, over all tests of one question). `matched`, `base`: names of the contrasts."""
    table = table.copy()
    first = _first(table, matched, base)
    follows = _follows(table, first)
    of_arms = table["question"].isin(OF_ARMS)
    family = np.where(
        first, FIRST, np.where(of_arms, NEXT, np.where(table["question"].isin(OF_CHECKS), CHECKS, DETAILS))
    )
    table["family"] = family
    p = table["p"].astype(float).to_numpy()
    tested = np.isfinite(p) & (follows < 0)
    found = np.full(len(table), np.nan)
    one, other = (tested & (family == name) for name in (FIRST, NEXT))
    found[one], found[other] = gatekept(p[one], p[other])
    for name in (DETAILS, CHECKS):
        own = tested & (family == name)
        found[own] = holm(p[own])
    part = np.where(family == FIRST, NEXT, family)
    share = {name: SHARES[name] for name in SHARES if (tested & (part == name)).any()}
    for name in share:
        found[part == name] = np.minimum(found[part == name] * sum(share.values()) / share[name], 1.0)
    for place in np.flatnonzero((follows >= 0) & np.isfinite(p)):
        lead = follows[place]
        table.loc[table.index[place], "family"] = family[lead]
        if np.isfinite(found[lead]):
            found[place] = min(1.0, found[lead] * max(1.0, p[place] / max(p[lead], 1e-300)))
    table["p_adjusted"] = found
    table["p_bh"] = (
        table["p"].astype(float).groupby(table["question"], sort=False).transform(benjamini_hochberg)
    )
    return table


def gatekept(first: np.ndarray, then: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Adjusted p of two families of which the second is tested with what the findings of the first leave. Both hold together.

    Each of m first p is tested at α / m; where r of them are rejected the second family has α r / m, by Holm. Without a first family it has α.
    """
    m, q = len(first), holm(then)
    if not m or not len(q):
        return np.minimum(first * m, 1.0), q
    left = np.arange(1, m + 1) / m
    return np.minimum(first * m, 1.0), np.minimum(
        np.maximum(np.sort(first * m)[:, None], q[None] / left[:, None]).min(0), 1.0
    )


def _follows(table: pd.DataFrame, first: np.ndarray) -> np.ndarray:
    """Place of the row whose test another one's belongs to; −1 for a test of its own.

    A group's comparison belongs to that of all groups together; a coefficient of one γ, which is the change by another unit, to that change.
    """
    rows = table.to_dict("records")
    keys = [tuple(r[c] for c in ONE) for r in rows]
    together = {
        key: place for place, (key, r) in enumerate(zip(keys, rows, strict=True)) if r["comparison"] == ANY
    }
    asked = [(place, r) for place, r in enumerate(rows) if first[place]]
    curves = {(r["task"], r["bias_type"]) for _, r in asked if r["question"] != "inheritance"}
    changes = {
        (r["task"], r["bias_type"], r["contrast"]): place
        for place, r in asked
        if r["question"] == "inheritance"
    }
    found = np.full(len(rows), -1)
    for place, (key, r) in enumerate(zip(keys, rows, strict=True)):
        of = r["task"], r["bias_type"]
        if r["question"] == "coefficient" and of not in curves:
            found[place] = changes.get((*of, r["contrast"]), -1)
        elif r["comparison"] != ANY:
            found[place] = together.get(key, -1)
    return found


def _first(table: pd.DataFrame, matched: str, base: str) -> np.ndarray:
    """The first questions: see the module."""
    found = np.zeros(len(table), dtype=bool)
    own = table[
        np.isfinite(table["p"].astype(float)) & (table["mitigation"] == "none") & (table["round"] == 1)
    ]
    own = own.assign(place=np.arange(len(table))[table.index.get_indexer(own.index)])
    own = own[(own["comparison"] == ANY) | ~own["comparison"].str.endswith(" − rest")]
    for _, part in own.groupby(["task", "bias_type"], sort=False):
        change = part[part["question"] == "inheritance"].sort_values("ratio")
        against = {name: change[change["contrast"] == name] for name in (matched, base)}
        bias = matched if len(against[matched]) else base
        curves = part[(part["contrast"] == bias) & (against[bias]["ratio"].nunique() > 1)]
        asked = [curves[curves["question"] == q] for q in ("coefficient", "dose-slope")] + [against[bias]]
        chosen = next((rows for rows in asked if len(rows)), None)
        if chosen is not None:
            found[chosen["place"].iloc[-1]] = True
        if bias == matched and len(against[base]):
            found[against[base]["place"].iloc[-1]] = True
    return found
