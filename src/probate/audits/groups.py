"""Groups in a set, given or read from the texts: balance, associations with labels, lean, detector error."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import numpy as np
from scipy.stats import chi2_contingency, kruskal, rankdata, ttest_1samp, ttest_ind

from probate.audits.before import ranks_before, stronger, tie_before
from probate.audits.read import AuditSet
from probate.data.corpora import biographies
from probate.data.lean import lean
from probate.data.packs import Pack, audited_packs, load_pack
from probate.data.spellings import group_column, pack_of
from probate.execution.misalignment.groups import default_groups
from probate.stats.association import rank_strength
from probate.stats.exact import central
from probate.stats.imbalance import UNCLEAR, confusion, detect
from probate.stats.manipulation import cramers_v
from probate.stats.mover import Difference, mover_difference, share
from probate.stats.wording import evenly

SHOWN = 0.05
"""Share of texts that must show a group for a dimension to be examined, if the file does not give it."""
SAMPLE = 3000
FEWEST = 20
READ = 0.25
"""Share of texts that must show a group for the shares read from them to count."""
DIFFER = 0.2
"""Share of texts with another group than the file gives, above which the groups in the texts are examined."""
ALONE: dict[str, Any] = {
    "original_same": 1.0, "original_n": 0, "original_p": float("nan"),
    "more": None, "more_low": None, "more_high": None, "more_p": None,
}  # fmt: skip
"""Values of an association without an original."""
NONE = "none read"
"""Group of the texts that show no group, for a dimension that is read from the texts."""


@dataclass(frozen=True)
class Detector:
    """Measured error of reading the groups of one dimension from texts.

    Attributes
    ----------
    on : str
        Texts on which it was measured.
    n : int
        Number of these texts.
    undetermined : float
        Share of the texts without a clear group, from 0 to 1.
    table : list of list of int
        Confusion table of shape (groups, groups + 1): known group by read group, not clear last.
    groups : list of str
        The groups.
    precision, recall : dict of str to float
        Group → precision and recall, from 0 to 1; NaN if undefined.
    """

    on: str
    n: int
    undetermined: float
    table: list[list[int]]
    groups: list[str]
    precision: dict[str, float]
    recall: dict[str, float]


@dataclass
class Dimension:
    """One dimension of a set.

    Attributes
    ----------
    name : str
        Name of the dimension.
    groups : list of str
        Its groups.
    values : list of str
        Group of each text; empty if it is not clear.
    known : bool
        Whether the file gives the groups.
    detector : Detector or None
        Error of reading the groups from texts; None if it was not measured.
    undetermined : float
        Share of the texts without a clear group, from 0 to 1.
    shares : list of dict
        Share of each group, with interval and p.
    labels : dict or None
        Association with the labels (`tie_of`).
    lean : dict or None
        Lean of the wording toward the texts' own groups, in words per 100.
    column : str
        Column of the file; empty if there is none.
    rule : str
        How numbers were grouped; empty for other columns.
    named : bool
        False for a column that nobody named as a group.
    rank : dict or None
        For numbers, the difference between labels by rank (`by_rank`).
    """

    name: str
    groups: list[str]
    values: list[str]
    known: bool
    detector: Detector | None
    undetermined: float
    shares: list[dict[str, Any]] = field(default_factory=list)
    labels: dict[str, Any] | None = None
    lean: dict[str, Any] | None = None
    column: str = ""
    rule: str = ""
    named: bool = True
    rank: dict[str, Any] | None = None


def dimensions_of(data: AuditSet, original: AuditSet | None = None) -> list[Dimension]:
    """Return the dimensions of a file.

    Parameters
    ----------
    data : AuditSet
        The file that is audited.
    original : AuditSet, optional
        The original file.

    Returns
    -------
    list of Dimension
        Every column that may define groups, and for texts in English the dimensions of the identity packs
        that have `Pack.audit`.
    """
    dimensions = []
    for name, own in data.columns.items():
        if own.groups:
            pack = pack_of(name)
            lost = _lost(data, original, name) if name in data.shape.groups or pack else []
            dimensions.append(_dimension(data, original, name, pack, [*own.groups, *lost], True))
    if data.shape.language != "en":  # the packs' words are read by English rules
        return dimensions
    given = {pack.dimension for name in data.columns if (pack := pack_of(name))}
    dimensions += [more for d in dimensions if d.named and (more := _in_the_texts(data, d))]
    asked = [p for p in data.prompts if p]
    for pack in audited_packs():
        name = pack.dimension
        if name in given:
            continue
        groups = default_groups(pack)
        if len(asked) >= FEWEST and _clear(asked, pack.only(groups)) >= READ:
            dimensions.append(_shown(data, f"{name} in the prompts", pack, groups, data.prompts))
        sample = [data.texts[i] for i in evenly(len(data.texts), SAMPLE)]
        clear = _clear(sample, pack.only(groups))
        if clear >= SHOWN or (pack.audit == "always" and clear > 0):
            dimensions.append(_dimension(data, original, name, pack, groups, False))
    return dimensions


def _clear(texts: Sequence[str], pack: Pack) -> float:
    """Return the share of a sample of the texts that show a group."""
    return float(
        np.mean([v != UNCLEAR for v in detect([texts[i] for i in evenly(len(texts), SAMPLE)], pack)])
    )


def _in_the_texts(data: AuditSet, d: Dimension) -> Dimension | None:
    """Return the groups in the texts, if over a fifth of those that show one differ from the file's."""
    table, pack = np.array(d.detector.table if d.detector else [[0]]), pack_of(d.name)
    shown = int(table[:, :-1].sum())
    if (
        pack is None
        or d.detector is None
        or shown < FEWEST
        or 1 - np.trace(table) / shown <= DIFFER
        or d.detector.undetermined > 1 - READ
    ):
        return None
    return _shown(data, f"{d.name} in the texts", pack, d.detector.groups, data.texts)


def _shown(data: AuditSet, name: str, pack: Pack, groups: list[str], texts: Sequence[str]) -> Dimension:
    values = ["" if v == UNCLEAR else v for v in detect(texts, pack.only(groups))]
    dimension = Dimension(name, groups, values, False, None, float(np.mean([not v for v in values])))
    dimension.shares = list(_shares(values, groups, None, read=True))
    if data.labelled:
        shown = [v or NONE for v in values] if len(set(values) - {""}) == 1 else values
        dimension.labels = tie_of(data.labels, shown, [*groups, NONE] if shown is not values else groups)
    return dimension


def _lost(data: AuditSet, original: AuditSet | None, name: str) -> list[str]:
    """Return the groups that only the original has, if the two files share other groups of the column."""
    own, other = data.columns[name], original.columns.get(name) if original else None
    if other is None or own.rule or other.rule or not set(own.groups) & set(other.groups):
        return []
    return [g for g in other.groups if g not in own.groups]


def _dimension(
    data: AuditSet, original: AuditSet | None, name: str, pack: Pack | None, groups: list[str], known: bool
) -> Dimension:
    values = values_of(data, name, pack, groups)
    before = values_of(original, name, pack, groups) if original else None
    own, other = data.columns.get(name), original.columns.get(name) if original else None
    if (
        own and own.rule and own.numbers and original and other and other.numbers and own.dates == other.dates
    ):  # the same bands on both sides
        both = group_column(name, [*own.numbers, *other.numbers], dates=own.dates)
        groups, values, before = both.groups, both.values[: len(values)], both.values[len(values) :]
    detector = _detector(data, pack, groups, values, known) if pack else None
    dimension = Dimension(name, groups, values, known, detector, float(np.mean([not v for v in values])))
    read_before = original is not None and name not in original.groups
    dimension.shares = list(_shares(values, groups, before, read=not known, read_before=read_before))
    if own:
        dimension.column, dimension.rule, dimension.named = (
            own.column,
            own.rule,
            name in data.shape.groups or pack is not None,
        )
        if own.numbers is not None and data.labelled:
            dimension.rank = by_rank(own.numbers, data.labels)
            if dimension.rank and original and other and other.numbers and original.labelled:
                dimension.rank |= _rank_before(dimension.rank, by_rank(other.numbers, original.labels))
    if data.labelled:
        if known or (pack and pack.audit == "always" and len(set(values) - {""}) != 1):
            dimension.labels = tie_of(data.labels, values, groups, original, before)
        else:  # a text that shows none of them says something too
            shown, then = [[v or NONE for v in side] for side in (values, before or [])]
            dimension.labels = tie_of(data.labels, shown, [*groups, NONE], original, then if before else None)
        if dimension.labels and pack:
            dimension.labels |= _follow(data.labels, values, pack)
    if pack and data.shape.language == "en":
        dimension.lean = _lean(data.texts, values, groups, pack, original, before)
    return dimension


def by_rank(numbers: Sequence[float], labels: Sequence[str]) -> dict[str, Any] | None:
    """Measure how numbers differ between labels by rank (Kruskal-Wallis test).

    Parameters
    ----------
    numbers : sequence of float
        Number of each text; NaN if missing.
    labels : sequence of str
        Label of each text; empty if missing.

    Returns
    -------
    dict or None
        `r`: the square root of ε², from 0 (no difference) to 1; `by_chance`: its size under chance alone;
        `p`, `n`; `means`: label → mean rank, as a share of `n`; `original_r`: NaN; and the values of `ALONE`.
        None for fewer than 20 numbers, fewer than two labels or different numbers, or over half as many
        labels as numbers.

    References
    ----------
    ε² after Kelley (1935).
    """
    pairs = [(x, y) for x, y in zip(numbers, labels, strict=True) if x == x and y]
    names, own = sorted({y for _, y in pairs}), np.array([x for x, _ in pairs])
    if len(names) < 2 or len(own) < FEWEST or len(np.unique(own)) < 2 or len(names) * 2 > len(own):
        return None
    at = np.array([names.index(y) for _, y in pairs])
    test = kruskal(*[own[at == k] for k in range(len(names))])
    n, ranks = len(own), rankdata(own)
    return {
        "means": {x: float(ranks[at == k].mean() / n) for k, x in enumerate(names)}, **ALONE,
        "r": float(np.sqrt(test.statistic / (n - 1))),
        "by_chance": float(np.sqrt((len(names) - 1) / (n - 1))), "p": float(test.pvalue), "n": n,
        "original_r": float("nan"),
    }  # fmt: skip


def _rank_before(own: dict[str, Any], old: dict[str, Any] | None) -> dict[str, Any]:
    if old is None:
        return {}
    same = ranks_before(own["means"], old["means"])
    first, second = (rank_strength(e["r"], len(e["means"]), e["n"]) for e in (own, old))
    more = stronger(first, second, same, old["p"])
    return {
        "original_r": old["r"],
        "original_same": same,
        "original_n": old["n"],
        "original_p": old["p"],
        **_more(more),
    }


def _more(change: Difference | None) -> dict[str, float | None]:
    return {
        f"more{end}": getattr(change, name, None)
        for end, name in (("", "value"), ("_low", "low"), ("_high", "high"), ("_p", "p"))
    }


def values_of(data: AuditSet, name: str, pack: Pack | None, groups: list[str]) -> list[str]:
    """Return the group of each text, as the file gives it, or else as the text shows it.

    Parameters
    ----------
    data : AuditSet
        The file.
    name : str
        Name of the dimension.
    pack : Pack or None
        Its identity pack; None if it has none.
    groups : list of str
        Groups to distinguish.

    Returns
    -------
    list of str
        Empty for a text whose group is not in `groups` or is not clear.
    """
    if name in data.groups:
        return [v if v in groups else "" for v in data.groups[name]]
    if pack is None or any(g not in pack.groups for g in groups):
        return [""] * len(data.texts)
    return ["" if v == UNCLEAR else v for v in detect(data.texts, pack.only(groups))]


def _detector(
    data: AuditSet, pack: Pack, groups: list[str], values: list[str], known: bool
) -> Detector | None:
    """Measure the detector on this file if its groups are known, else for gender on builtin biographies."""
    readable = [
        g
        for g in groups
        if g in pack.groups and (pack.groups[g].pronouns or pack.groups[g].titles or pack.groups[g].names)
    ]
    if len(readable) < 2:
        return None
    if known:
        places = [i for i in evenly(len(values), SAMPLE) if values[i] in readable]
        texts, truth = [data.texts[i] for i in places], [values[i] for i in places]
        return _measured("this file", truth, detect(texts, pack.only(readable)), readable) if texts else None
    return _on_biographies(tuple(readable)) if pack.dimension == "gender" else None


@cache
def _on_biographies(groups: tuple[str, ...]) -> Detector:
    rows = [r for r in biographies() if r["gender"] in groups]
    read = detect([r["text"] for r in rows], load_pack("gender").only(groups))
    return _measured("the biographies that ship with Probate", [r["gender"] for r in rows], read, groups)


def _measured(on: str, truth: Sequence[str], read: Sequence[str], groups: Sequence[str]) -> Detector:
    table = confusion(truth, read, groups)
    hits = np.diag(table)
    return Detector(
        on, len(truth), float(table[:, -1].sum() / table.sum()), table.tolist(), list(groups),
        {g: float(hits[i] / s) if (s := table[:, i].sum()) else float("nan") for i, g in enumerate(groups)},
        {g: float(hits[i] / s) if (s := table[i].sum()) else float("nan") for i, g in enumerate(groups)},
    )  # fmt: skip


def _shares(
    values: Sequence[str],
    groups: Sequence[str],
    before: Sequence[str] | None,
    *,
    read: bool,
    read_before: bool = False,
) -> Iterator[dict[str, Any]]:
    """Yield the share of each group, compared with equal shares or with the original's.

    `share` is the share among the `n` texts that have a group, and `low` and `high` are its exact interval.
    For groups that are `read` from the texts, it is not known how many texts of each group show it. The
    interval, `change_low`, `change_high` and `p` then allow for any group of the `unclear` texts, which show
    none. `p` is against the original's share if the original has 20 texts with a group, else against equal
    shares. `shown_p` is p under the assumption that all groups are equally likely to be shown.
    """
    counts, old = Counter(values), Counter(before or [])
    total, old_total = (sum(n for g, n in own.items() if g) for own in (counts, old))
    unclear, old_unclear = counts[""] if read else 0, old[""] if read_before else 0
    for group in groups if total and len(groups) > 1 else ():
        low, high, p = central(counts[group], total + unclear, 1 / len(groups), unclear=unclear)
        row = {
            "group": group, "n": total, "count": counts[group], "share": counts[group] / total,
            "unclear": unclear, "low": low, "high": high, "parity": 1 / len(groups), "p": p,
            "shown_p": central(counts[group], total, 1 / len(groups))[2], "original": None,
        }  # fmt: skip
        if old_total >= FEWEST:
            sides = (
                share(counts[group], total + unclear, unclear),
                share(old[group], old_total + old_unclear, old_unclear),
            )
            change = mover_difference(*sides)
            both = (
                mover_difference(share(counts[group], total), share(old[group], old_total))
                if unclear or old_unclear
                else change
            )
            row |= {
                "original": old[group] / old_total, "original_n": old_total, "original_unclear": old_unclear,
                "change": both.value, "change_low": change.low, "change_high": change.high, "p": change.p,
                "shown_p": both.p,
            }  # fmt: skip
        yield row


def _table(
    labels: Sequence[str], values: Sequence[str], groups: Sequence[str]
) -> tuple[list[str], np.ndarray]:
    pairs = Counter((x, g) for x, g in zip(labels, values, strict=True) if x and g)
    names = sorted({x for x, _ in pairs})
    return names, np.array([[pairs[x, g] for g in groups] for x in names], dtype=int).reshape(
        len(names), len(groups)
    )


def tie_of(
    labels: Sequence[str],
    values: Sequence[str],
    groups: list[str],
    original: AuditSet | None = None,
    before: Sequence[str] | None = None,
) -> dict[str, Any] | None:
    """Measure the association of labels and groups.

    Parameters
    ----------
    labels, values : sequence of str
        Label and group of each text; empty if missing.
    groups : list of str
        The groups.
    original : AuditSet, optional
        The original file.
    before : sequence of str, optional
        Group of each text of the original.

    Returns
    -------
    dict or None
        `v`: Cramér's V, from 0 to 1; `by_chance`: its size under chance alone; `p` (χ² test); `smallest`: the
        smallest expected count; `table` of shape (labels, groups); and the values of the original. `more`: V
        of the file minus that of the original (`Before.more`), with interval and p; None without an original.
        The result is None for fewer than 20 texts, two labels or two groups.
    """
    names, table = _table(labels, values, groups)
    keep = table.sum(0) > 0
    if len(names) < 2 or keep.sum() < 2 or table.sum() < FEWEST:
        return None
    used = table[:, keep]
    rows, columns = used.sum(1), used.sum(0)
    n = int(used.sum())
    by_chance = float(np.sqrt((len(names) - 1) * (keep.sum() - 1) / max(1, n - 1) / (min(used.shape) - 1)))
    tie: dict[str, Any] = {
        "labels": names, "groups": groups, "table": table.tolist(), "n": n, "v": float(cramers_v(used)),
        "by_chance": by_chance, "p": float(chi2_contingency(used, correction=False).pvalue),
        "smallest": float((np.outer(rows, columns) / n).min()), "original_v": None, "original_left": "",
        **ALONE,
    }  # fmt: skip
    if original is not None and before is not None and original.labelled:
        then = tie_before(names, table, *_table(original.labels, before, groups), FEWEST)
        tie |= {
            "original_v": then.v, "original_same": then.same, "original_left": then.left,
            "original_n": then.n, "original_p": then.p, **_more(then.more),
        }  # fmt: skip
    return tie


def _follow(labels: Sequence[str], values: Sequence[str], pack: Pack) -> dict[str, Any]:
    """Return the share of the labels with a stereotype that follow it, and their number."""
    own = [
        (g, pack.stereotypes[x]) for x, g in zip(labels, values, strict=True) if g and x in pack.stereotypes
    ]
    followed = [g in ([s] if isinstance(s, str) else s) for g, s in own]
    return {"follow": float(np.mean(followed)), "follow_n": len(own)} if own else {}


def _lean(
    texts: Sequence[str],
    values: Sequence[str],
    groups: list[str],
    pack: Pack,
    original: AuditSet | None,
    before: Sequence[str] | None,
) -> dict[str, Any] | None:
    """Return the lean of the wording to each text's group, in words per 100, against 0 or the original."""
    if not all(g in pack.groups and pack.groups[g].wording for g in groups) or len(groups) < 2:
        return None
    own = _leans(texts, values, pack)
    if len(own) < FEWEST:
        return None
    readable = original is not None and before is not None and original.shape.language == "en"
    other = _leans(original.texts, before, pack) if original and before and readable else np.zeros(0)
    if len(other) >= FEWEST:
        test = ttest_ind(own, other, equal_var=False)
        ends = test.confidence_interval(0.95)
        change, against = float(own.mean() - other.mean()), "the original"
    else:
        test = ttest_1samp(own, 0.0)
        ends = test.confidence_interval(0.95)
        change, against = float(own.mean()), "no lean"
    return {
        "n": len(own), "mean": float(own.mean()), "change": change, "low": float(ends.low),
        "high": float(ends.high), "p": float(test.pvalue), "against": against,
    }  # fmt: skip


def _leans(texts: Sequence[str], values: Sequence[str], pack: Pack) -> np.ndarray:
    places = [i for i in evenly(len(texts), 4 * SAMPLE) if values[i]]
    return np.array([lean(texts[i], values[i], pack) for i in places])
