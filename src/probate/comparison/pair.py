"""The comparison: paired by item, over all items and by group, adjusted over all that is compared."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from statsmodels.stats.multitest import multipletests

from probate.analyze import compare
from probate.analyze.contrast import Estimate, before_after, contrast, smallest_found
from probate.errors import InputError
from probate.report.words import p_figure
from probate.study import Analysis
from probate.tasks.base import Measure


@dataclass(frozen=True)
class Compared:
    """B minus A in one set, over all items (`what` all) or as the change of a gap between groups.

    `visible`: the smallest change that this n would find four times in five. `flipped`: items whose score rose, and fell. `share`: scores lie in [0, 1].
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


@dataclass(frozen=True)
class Unread:
    """Items that a comparison leaves out: `n` of the `of` items in both, on which side, why, and how many of each group."""

    set: str
    side: str
    reason: str
    n: int
    of: int
    groups: dict[str, dict[str, int]]


def matched_sets(a: pd.DataFrame, b: pd.DataFrame, pairs: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """(set of A, set of B): those given, else those of one name; where each side has one only, these.

    Raises:
        InputError: a set that is not there, or none in common.
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
            f"compare: nothing of one name in both; A has: {', '.join(ours[:8])}; B has: {', '.join(theirs[:8])}. Name what belongs together with --pair 'A=B'"
        )
    return common


def compare_results(
    a: pd.DataFrame, b: pd.DataFrame, analysis: Analysis, pairs: list[tuple[str, str]] | None = None
) -> tuple[list[Compared], pd.DataFrame, list[Unread]]:
    """All comparisons, the items that flipped (set, item, groups, before, after, predictions), and what was left out, counted.

    Raises:
        InputError: sets without an item in common, or whose items of one id have other questions or targets.
    """
    found: list[Compared] = []
    flips = []
    missing: list[Unread] = []
    for first, second in matched_sets(a, b, pairs or []):
        own, other = a[a["set"] == first], b[b["set"] == second]
        both = own.merge(other, on="item", suffixes=("_a", "_b"))
        name = first if first == second else f"{first} → {second}"
        if both.empty:
            raise InputError(
                f"compare: '{name}': no item is in both; ids of A: {own['item'].iloc[0]}, …; of B: {other['item'].iloc[0]}, …"
            )
        _same_questions(name, both)
        readable = both["score_a"].notna() & both["score_b"].notna()
        missing += _unread(name, both)
        only = len(own) - len(both), len(other) - len(both)
        both = both[readable]
        found += list(_of_set(name, both, *only, analysis))
        moved = both[(both["score_a"] - both["score_b"]).abs() > 1e-9]
        flips.append(moved.assign(set=name))
    tested = [i for i, c in enumerate(found) if np.isfinite(c.p)]
    if tested:
        holm, bh = (multipletests([found[i].p for i in tested], method=m)[1] for m in ("holm", "fdr_bh"))
        for place, i in enumerate(tested):
            found[i] = replace(found[i], p_holm=float(holm[place]), p_bh=float(bh[place]))
    columns = ["set", "item", "groups_a", "target_a", "score_a", "score_b", "prediction_a", "prediction_b"]
    moved = pd.concat(flips)[columns].rename(columns={"groups_a": "groups", "target_a": "target"}).reset_index(drop=True)
    return found, moved, missing


def _same_questions(name: str, both: pd.DataFrame) -> None:
    for what in ("question", "target"):
        a, b = both[f"{what}_a"], both[f"{what}_b"]
        other = both[(a != "") & (b != "") & (a != b)]
        if len(other):
            first = other.iloc[0]
            raise InputError(
                f"compare: '{name}': {len(other)} of {len(both)} shared ids have another {what} in B than in A; first '{first['item']}': "
                f"{_short(first[f'{what}_a'])!r} and {_short(first[f'{what}_b'])!r}. Give both files the ids of the same questions"
            )


def _unread(name: str, both: pd.DataFrame) -> list[Unread]:
    """Items without a score on a side, by reason, in all and by group; and items without a group."""
    groups = [{**b, **a} for a, b in zip(both["groups_a"], both["groups_b"], strict=True)]
    dimensions = sorted({d for g in groups for d in g})
    found = []
    for side in ("a", "b"):
        why = both[f"unread_{side}"]
        for reason in sorted(set(why) - {""}):
            own = [g for g, w in zip(groups, why, strict=True) if w == reason]
            by = {d: dict(Counter(g.get(d, "no group") for g in own)) for d in dimensions}
            found.append(Unread(name, side.upper(), reason, len(own), len(both), by))
    for d in dimensions:
        without = sum(d not in g for g in groups)
        if without:
            found.append(Unread(name, "both", f"no {d}", without, len(both), {}))
    return found


def _of_set(name: str, both: pd.DataFrame, only_a: int, only_b: int, analysis: Analysis) -> Iterator[Compared]:
    if both.empty:
        yield Compared(
            name,
            "all",
            0,
            only_a,
            only_b,
            *[float("nan")] * 6,
            "none: no item with a score in both",
            float("nan"),
            (0, 0),
            True,
        )
        return
    share = bool(both[["score_a", "score_b"]].stack().between(0, 1).all())
    unit = "share" if share else "score"

    def row(what: str, e: Estimate, own: pd.DataFrame, means: tuple[float, float]) -> Compared:
        visible = smallest_found(e.low, e.high, analysis.confidence)
        change = own["score_b"] - own["score_a"]
        flipped = int((change > 1e-9).sum()), int((change < -1e-9).sum())
        return Compared(
            name, what, len(own), only_a, only_b, *means, e.value, e.low, e.high, e.p, e.test, visible, flipped, share
        )

    after, before = (_frame(both, side, pd.Series(0, both.index)) for side in ("b", "a"))
    whole = contrast([before_after(after, before)], analysis, paired=False, share=share)
    yield row("all", whole, both, (float(both["score_a"].mean()), float(both["score_b"].mean())))
    for dimension in sorted({d for g in both["groups_a"] for d in g}):
        groups = both["groups_a"].map(lambda g, d=dimension: g.get(d, ""))
        names = [g for g in sorted(set(groups)) if g and (groups == g).sum() >= 2]
        if not 2 <= len(names) <= 12:
            continue  # one group, or what is rather an id
        place = groups.map({g: i for i, g in enumerate(names)})
        known = both[place.notna()]
        after, before = (_frame(known, side, place[place.notna()]) for side in ("b", "a"))
        measure = Measure("score", "score", unit, "", tuple(names), lambda o: o)
        for comparison, e in compare.changes([(after, before)], measure, analysis):
            if comparison == compare.SPREAD:
                continue
            gaps = [_gap(f, comparison, names) for f in (before, after)]
            yield row(f"{dimension}: {comparison}", e, known, (gaps[0], gaps[1]))


def _gap(frame: pd.DataFrame, comparison: str, names: list[str]) -> float:
    first, _, _ = comparison.partition(" − ")
    side = names.index(first)
    return float(frame.loc[frame["side"] == side, "value"].mean() - frame.loc[frame["side"] != side, "value"].mean())


def _frame(both: pd.DataFrame, side: str, place: pd.Series) -> pd.DataFrame:
    return pd.DataFrame({"item_id": both["item"], "side": place.astype(int), "value": both[f"score_{side}"]}).reset_index(
        drop=True
    )


def lines(found: list[Compared], flips: pd.DataFrame, most: int) -> list[str]:
    """The comparison in words, the items that flipped last."""
    said = []
    for c in found:
        scale, unit = (100, " points") if c.share else (1, "")
        ends = f"{scale * c.change:+.3g}{unit} [{scale * c.low:+.3g}, {scale * c.high:+.3g}]"
        said.append(
            f"{c.set}; {c.what}: B − A {ends}; {'gap' if c.what != 'all' else 'mean'} {c.mean_a:.3f} → {c.mean_b:.3f}; p {p_figure(c.p)} ({c.test}), Holm {p_figure(c.p_holm)}, BH {p_figure(c.p_bh)}; "
            f"n {c.n}, {c.flipped[0]} rose, {c.flipped[1]} fell; a change of {scale * c.visible:.3g}{unit} would be found four times in five"
            + (f"; only in A {c.only_a}, only in B {c.only_b}" if c.what == "all" and c.only_a + c.only_b else "")
        )
    if most and len(flips):
        said.append(f"items whose score changed ({len(flips)}):")
    for r in flips.head(most).itertuples():
        said.append(
            f"  {r.set}; {r.item}: {r.score_a:g} → {r.score_b:g}; {_short(r.prediction_a)} → {_short(r.prediction_b)}; target {_short(r.target)}"
        )
    return said


def unread_lines(missing: list[Unread]) -> list[str]:
    """What was left out, in words."""
    said = []
    for m in missing:
        if m.side == "both":
            said.append(f"{m.set}; {m.n} of {m.of} items in both have {m.reason}: in no comparison of groups")
            continue
        by = "; ".join(f"{d}: " + ", ".join(f"{g} {n}" for g, n in sorted(own.items())) for d, own in m.groups.items())
        said.append(
            f"{m.set}; {m.side}: {m.n} of {m.of} items in both have no readable score ({m.reason}){'; of ' + by if by else ''}: left out"
        )
    return said


def _short(value: Any) -> str:
    text = " ".join(str(value).split())
    return text if len(text) <= 60 else f"{text[:59]}…"
