"""Compare two sets of results: paired by item, over all items and by group, adjusted over all comparisons."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from probate.core.errors import InputError
from probate.data.spellings import group_column
from probate.stats import comparisons
from probate.stats.contrast import Estimate, before_after, contrast
from probate.stats.families import benjamini_hochberg, holm
from probate.stats.measure import Measure
from probate.stats.p_values import p_figure
from probate.stats.smallest import detectable_from_interval
from probate.study.schema import Analysis

FEWEST, MOST_GROUPS = 2, 12
"""Least number of items of a compared group, and largest number of groups of a compared dimension."""


@dataclass(frozen=True)
class ResultComparison:
    """B minus A in one set: over all items, or the change of a gap between groups.

    Means, changes and intervals are in the unit of the score.

    Attributes
    ----------
    set : str
        The set.
    what : str
        `all`, or the dimension and the compared groups.
    n, only_a, only_b : int
        Number of compared items, and of items that only A or B has.
    mean_a, mean_b : float
        Mean score, or gap between groups, in A and B.
    change, low, high : float
        B minus A, with its interval.
    p, p_holm, p_bh : float
        p of the test; adjusted by Holm's and by Benjamini and Hochberg's method over all comparisons.
    test : str
        Name of the test, or why the comparison is undefined.
    visible, visible_low, visible_high : float
        The smallest change that this n detects with 80% power, with its interval. It covers the choice of
        items, not training seeds.
    flipped : tuple of (int, int)
        Number of items whose score rose, and fell.
    share : bool
        Whether all scores are in [0, 1].
    together : int
        Number of groups of the dimension for which interval and p are simultaneous; 1 with two groups.
    """

    set: str
    what: str
    n: int
    only_a: int
    only_b: int
    mean_a: float
    mean_b: float
    change: float
    low: float
    high: float
    p: float
    test: str
    visible: float
    flipped: tuple[int, int]
    share: bool
    p_holm: float = float("nan")
    p_bh: float = float("nan")
    visible_low: float = float("nan")
    visible_high: float = float("nan")
    together: int = 1


@dataclass(frozen=True)
class NotCompared:
    """Items that a comparison leaves out, or that need a remark.

    Attributes
    ----------
    set : str
        The set.
    side : {"A", "B", "both"}
        The side.
    reason : str
        The reason.
    n, of : int
        Number of these items, and of all items in both sets (or of the side, if `alone`).
    groups : dict
        Dimension → group → number of these items.
    alone : bool
        Whether the other side does not have these items.
    """

    set: str
    side: str
    reason: str
    n: int
    of: int
    groups: dict[str, dict[str, int]]
    alone: bool = False


def matched_sets(a: pd.DataFrame, b: pd.DataFrame, pairs: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """Return the sets to compare.

    Parameters
    ----------
    a, b : pandas.DataFrame
        Results, as `read_results` returns them.
    pairs : list of (str, str)
        Given pairs of sets.

    Returns
    -------
    list of (str, str)
        Set of A and set of B: the given pairs, else sets of the same name, else the only set of each side.

    Raises
    ------
    InputError
        A set does not exist, or no set has the same name in both.
    """
    ours, theirs = (list(dict.fromkeys(t["set"])) for t in (a, b))
    for first, second in pairs:
        for name, known, side in ((first, ours, "A"), (second, theirs, "B")):
            if name not in known:
                raise InputError(f"compare: {side} has no '{name}'; it has: {', '.join(known[:12])}")
    if pairs:
        return pairs
    common = [(s, s) for s in ours if s in theirs]
    if not common and len(ours) == len(theirs) == 1:
        return [(ours[0], theirs[0])]
    if not common:
        raise InputError(
            f"compare: no set has the same name in both; A has: {', '.join(ours[:8])}; "
            f"B has: {', '.join(theirs[:8])}; name the sets to compare with --pair 'A=B'"
        )
    return common


def compare_results(
    a: pd.DataFrame, b: pd.DataFrame, analysis: Analysis, pairs: list[tuple[str, str]] | None = None
) -> tuple[list[ResultComparison], pd.DataFrame, list[NotCompared]]:
    """Compare two sets of results.

    Parameters
    ----------
    a, b : pandas.DataFrame
        Results, as `read_results` returns them.
    analysis : Analysis
        Settings of the analysis.
    pairs : list of (str, str), optional
        Sets of A and B to compare. By default, sets of the same name.

    Returns
    -------
    compared : list of ResultComparison
        All comparisons, adjusted over all of them.
    flips : pandas.DataFrame
        Items with a changed score: set, item, groups, target, scores and predictions.
    missing : list of NotCompared
        Items that are left out, or that need a remark.

    Raises
    ------
    InputError
        Two sets have no item in common, or items of the same id have different questions or targets.
    """
    compared: list[ResultComparison] = []
    flips = []
    missing: list[NotCompared] = []
    for first, second in matched_sets(a, b, pairs or []):
        own, other = a[a["set"] == first], b[b["set"] == second]
        both = own.merge(other, on="item", suffixes=("_a", "_b"))
        name = first if first == second else f"{first} → {second}"
        if both.empty:
            raise InputError(
                f"compare: '{name}': no item is in both; "
                f"ids of A: {own['item'].iloc[0]}, …; of B: {other['item'].iloc[0]}, …"
            )
        _same_questions(name, both)
        both["groups"], aside = joined_groups(both["groups_a"], both["groups_b"])
        readable = both["score_a"].notna() & both["score_b"].notna()
        names, few = _groups_of(both)
        missing += [
            *_alone(name, own, other),
            *_scales(name, both),
            *_unread(name, both),
            *(NotCompared(name, "both", reason, n, len(both), {}) for reason, n in (*aside, *few)),
        ]
        only = len(own) - len(both), len(other) - len(both)
        both = both[readable]
        compared += list(_of_set(name, both, *only, names, analysis))
        moved = both[(both["score_a"] - both["score_b"]).abs() > 1e-9]
        flips.append(moved.assign(set=name))
    p = [c.p / c.together for c in compared]  # p of each comparison alone: Holm and BH count all of them
    compared = [
        replace(c, p_holm=max(c.p, float(by_holm)), p_bh=float(by_bh)) if np.isfinite(c.p) else c
        for c, by_holm, by_bh in zip(compared, holm(p), benjamini_hochberg(p), strict=True)
    ]
    columns = ["set", "item", "groups", "target_a", "score_a", "score_b", "prediction_a", "prediction_b"]
    moved = pd.concat(flips)[columns].rename(columns={"target_a": "target"}).reset_index(drop=True)
    return compared, moved, missing


def _alone(name: str, own: pd.DataFrame, other: pd.DataFrame) -> Iterator[NotCompared]:
    """Yield the items that only one side has, by group."""
    for side, here, there in (("A", own, other), ("B", other, own)):
        groups = list(here.loc[~here["item"].isin(there["item"]), "groups"])
        dimensions = sorted({d for g in here["groups"] for d in g})
        by = {d: dict(Counter(g.get(d, "no group") for g in groups)) for d in dimensions}
        if groups:
            few = {d: counts for d, counts in by.items() if len(counts) <= MOST_GROUPS}
            yield NotCompared(
                name, side, f"not in {'B' if side == 'A' else 'A'}", len(groups), len(here), few, alone=True
            )


def _scales(name: str, both: pd.DataFrame) -> Iterator[NotCompared]:
    """Yield a remark if the scores of one side are at least ten times as large as those of the other."""
    a, b = (float(both[f"score_{side}"].abs().max()) for side in "ab")
    if min(a, b) <= 1 and max(a, b) >= 10 * max(min(a, b), 0.1):
        of = len(both)
        yield NotCompared(
            name,
            "both",
            f"scores up to {a:g} in A and up to {b:g} in B, which are probably different scales: "
            "the change is meaningful only on one scale",
            of,
            of,
            {},
        )


def _same_questions(name: str, both: pd.DataFrame) -> None:
    """Raise an InputError if items of the same id have different questions or targets."""
    for what in ("question", "target"):
        a, b = both[f"{what}_a"], both[f"{what}_b"]
        other = both[(a != "") & (b != "") & (a != b)]
        if len(other):
            first = other.iloc[0]
            raise InputError(
                f"compare: '{name}': {len(other)} of {len(both)} shared ids have another {what} in B than "
                f"in A; first '{first['item']}': {_short(first[f'{what}_a'])!r} and "
                f"{_short(first[f'{what}_b'])!r}; use the same id for the same question in both files"
            )


def joined_groups(
    a: Sequence[Mapping[str, str]], b: Sequence[Mapping[str, str]]
) -> tuple[list[dict[str, str]], list[tuple[str, int]]]:
    """Join the groups of both sides.

    Known spellings become one group (F and female), and numbers are grouped in bands. If the sides differ,
    A's group counts.

    Parameters
    ----------
    a, b : sequence of mapping of str to str
        Dimension → group, for each item in both.

    Returns
    -------
    joined : list of dict of str to str
        Dimension → group, for each item.
    aside : list of (str, int)
        Remarks with their number of items.
    """
    joined: list[dict[str, str]] = [{} for _ in a]
    aside = []
    for dimension in sorted({d for g in (*a, *b) for d in g}):
        column = group_column(dimension, [g.get(dimension) for g in (*a, *b)])
        sides = column.values[: len(joined)], column.values[len(joined) :]
        if other := sum(bool(x and y and x != y) for x, y in zip(*sides, strict=True)):
            aside.append((f"another {dimension} in B than in A; that of A is used", other))
        for item, x, y in zip(joined, *sides, strict=True):
            if x or y:
                item[dimension] = x or y
        if column.rule:
            aside.append(
                (
                    f"a number as {dimension}, grouped: {column.rule}",
                    sum(dimension in item for item in joined),
                )
            )
    return joined, aside


def _groups_of(both: pd.DataFrame) -> tuple[dict[str, list[str]], list[tuple[str, int]]]:
    """Return the groups to compare, by dimension, and remarks on those that are not compared.

    A compared group has at least `FEWEST` items, and a compared dimension has at most `MOST_GROUPS` groups.
    """
    names: dict[str, list[str]] = {}
    few = []
    for dimension in sorted({d for g in both["groups"] for d in g}):
        counts = Counter(g[dimension] for g in both["groups"] if dimension in g)
        own = sorted(g for g, n in counts.items() if n >= FEWEST)
        if len(counts) > MOST_GROUPS:
            few.append(
                (
                    f"a {dimension} with {len(counts)} groups, more than {MOST_GROUPS}: in no comparison of "
                    "groups",
                    counts.total(),
                )
            )
            continue
        few += [
            (f"the {dimension} '{g}', a group of fewer than {FEWEST} items: in no comparison of groups", n)
            for g, n in sorted(counts.items())
            if n < FEWEST
        ]
        if len(own) == 1:
            few.append(
                (
                    f"the {dimension} '{own[0]}', which cannot be compared: no other group has {FEWEST} "
                    "items",
                    counts[own[0]],
                )
            )
        elif own:
            names[dimension] = own
    return names, few


def _unread(name: str, both: pd.DataFrame) -> list[NotCompared]:
    """Return the items without a score, by side, reason and group, and the items without a group."""
    groups = list(both["groups"])
    dimensions = sorted({d for g in groups for d in g})
    few = [d for d in dimensions if len({g.get(d) for g in groups}) <= MOST_GROUPS]
    left_out = []
    for side in ("a", "b"):
        why = both[f"unread_{side}"]
        for reason in sorted(set(why) - {""}):
            own = [g for g, w in zip(groups, why, strict=True) if w == reason]
            by = {d: dict(Counter(g.get(d, "no group") for g in own)) for d in few}
            left_out.append(NotCompared(name, side.upper(), reason, len(own), len(both), by))
    for d in dimensions:
        without = sum(d not in g for g in groups)
        if without:
            left_out.append(
                NotCompared(name, "both", f"no {d}: in no comparison of groups", without, len(both), {})
            )
    return left_out


def _of_set(
    name: str,
    both: pd.DataFrame,
    only_a: int,
    only_b: int,
    groups: Mapping[str, list[str]],
    analysis: Analysis,
) -> Iterator[ResultComparison]:
    """Yield the comparisons of one set; a comparison with a group without readable scores is undefined."""
    if both.empty:
        nan = float("nan")
        yield ResultComparison(
            name,
            "all",
            0,
            only_a,
            only_b,
            *(nan, nan, nan, nan, nan, nan),
            "undefined: no item has a readable score in both",
            nan,
            (0, 0),
            True,
        )
        return
    share = bool(both[["score_a", "score_b"]].stack().between(0, 1).all())
    unit = "share" if share else "score"

    def row(
        what: str, e: Estimate, own: pd.DataFrame, means: tuple[float, float], together: int = 1
    ) -> ResultComparison:
        """Return a comparison; `together`: number of groups for which interval and p are simultaneous."""
        confidence = 1 - (1 - analysis.confidence) / together
        visible = detectable_from_interval(e.low, e.high, e.n - (1 if what == "all" else 2), confidence)
        change = own["score_b"] - own["score_a"]
        flipped = int((change > 1e-9).sum()), int((change < -1e-9).sum())
        return ResultComparison(
            name,
            what,
            len(own),
            only_a,
            only_b,
            *means,
            e.value,
            e.low,
            e.high,
            e.p,
            e.test,
            visible.value,
            flipped,
            share,
            visible_low=visible.low,
            visible_high=visible.high,
            together=together,
        )

    after, before = (_frame(both, side, pd.Series(0, both.index)) for side in ("b", "a"))
    whole = contrast([before_after(after, before)], analysis, paired=False, share=share)
    yield row("all", whole, both, (float(both["score_a"].mean()), float(both["score_b"].mean())))
    for dimension, names in groups.items():
        place = (
            both["groups"].map(lambda g, d=dimension: g.get(d, "")).map({g: i for i, g in enumerate(names)})
        )
        lost = [g for i, g in enumerate(names) if not (place == i).any()]
        known = both[place.notna()]
        after, before = (_frame(known, side, place[place.notna()]) for side in ("b", "a"))
        measure = Measure(name="score", title="score", unit=unit, sides=tuple(names), values=lambda o: o)
        for comparison, e in comparisons.changes([(after, before)], measure, analysis):
            if comparison == comparisons.ANY:
                continue
            if lost:
                e = replace(
                    e, test=f"undefined: no item of {dimension} '{lost[0]}' has a readable score in both"
                )
            gaps = [float("nan") if lost else _gap(f, comparison, names) for f in (before, after)]
            yield row(
                f"{dimension}: {comparison}",
                e,
                known,
                (gaps[0], gaps[1]),
                len(names) if len(names) > 2 else 1,
            )


def _gap(frame: pd.DataFrame, comparison: str, names: list[str]) -> float:
    """Return the mean of a group minus the mean of the others."""
    first, _, _ = comparison.partition(" − ")
    side = names.index(first)
    return float(
        frame.loc[frame["side"] == side, "value"].mean() - frame.loc[frame["side"] != side, "value"].mean()
    )


def _frame(both: pd.DataFrame, side: str, place: pd.Series) -> pd.DataFrame:
    """Return the scores of one side in the form of measured values."""
    unit = both["cluster_a"].where(both["cluster_a"] != "", both["cluster_b"]).str.replace("#", "/")
    items = both["item"].where(unit == "", unit + "#" + both["item"])
    return pd.DataFrame(
        {"item_id": items, "side": place.astype(int), "value": both[f"score_{side}"]}
    ).reset_index(drop=True)


def comparison_sentences(compared: list[ResultComparison], flips: pd.DataFrame, most: int) -> list[str]:
    """Describe comparisons in words, with the items whose score changed at the end.

    Parameters
    ----------
    compared : list of ResultComparison
        The comparisons.
    flips : pandas.DataFrame
        Items with a changed score.
    most : int
        Largest number of items to list.

    Returns
    -------
    list of str
        The sentences.
    """
    said = []
    for c in compared:
        if not np.isfinite(c.change):
            said.append(f"{c.set}; {c.what}: {c.test}{_only(c)}")
            continue
        scale, unit = (100, " points") if c.share else (1, "")
        seen = (
            f"; a change of {_plain(scale * c.visible)}{unit} [{_plain(scale * c.visible_low)}, "
            f"{_plain(scale * c.visible_high)}] would be detected with 80% power"
        )
        change = f"{_plain(scale * c.change, '+')}{unit}"
        ends = f"{change} [{_plain(scale * c.low, '+')}, {_plain(scale * c.high, '+')}]"
        if not np.isfinite([c.low, c.high]).all():
            ends, seen = f"{change} (no interval: all changes are the same)", ""
        said.append(
            f"{c.set}; {c.what}: B − A {ends}; {'gap' if c.what != 'all' else 'mean'} {c.mean_a:.3f} → "
            f"{c.mean_b:.3f}; p {p_figure(c.p)} ({c.test}), Holm {p_figure(c.p_holm)}, BH "
            f"{p_figure(c.p_bh)}; "
            f"n {c.n}, {c.flipped[0]} rose, {c.flipped[1]} fell" + seen + _only(c)
        )
    if most and len(flips):
        said.append(f"items whose score changed ({len(flips)}):")
    for r in flips.head(most).itertuples():
        said.append(
            f"  {r.set}; {r.item}: {r.score_a:.12g} → {r.score_b:.12g}; "
            f"{_short(r.prediction_a)} → {_short(r.prediction_b)}; target {_short(r.target)}"
        )
    return said


def _plain(value: float, sign: str = "") -> str:
    """Return a number with three digits, and never with an exponent if it is large."""
    return f"{value:{sign},.0f}" if abs(value) >= 1000 else f"{value:{sign}.3g}"


def _only(c: ResultComparison) -> str:
    """Return the number of items that only one side has, in words."""
    return f"; only in A {c.only_a}, only in B {c.only_b}" if c.what == "all" and c.only_a + c.only_b else ""


def not_compared_sentences(missing: list[NotCompared]) -> list[str]:
    """Describe items that are left out, or that need a remark.

    Parameters
    ----------
    missing : list of NotCompared
        The items.

    Returns
    -------
    list of str
        The sentences.
    """
    said = []
    for m in missing:
        if m.side == "both":
            said.append(f"{m.set}; {m.n} of {m.of} items in both have {m.reason}")
            continue
        by = "; ".join(
            f"{d}: " + ", ".join(f"{g} {n}" for g, n in sorted(own.items())) for d, own in m.groups.items()
        )
        what = f"items are {m.reason}" if m.alone else f"items in both have no readable score ({m.reason})"
        said.append(f"{m.set}; {m.side}: {m.n} of {m.of} {what}{'; of ' + by if by else ''}: left out")
    return said


def _short(value: Any) -> str:
    """Return a value on one line of at most 60 characters."""
    text = " ".join(str(value).split())
    return text if len(text) <= 60 else f"{text[:59]}…"
