"""How much of a file an audit covers, and what was given and could not be measured."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from probate.audits.groups import FEWEST, READ, Dimension
from probate.audits.read import AuditSet
from probate.audits.together import Together, may_be_label
from probate.audits.verdict import FEW
from probate.data.shape.language import LANGUAGES

MISSING = 0.2
"""Largest share of missing labels or groups, of unread rows, and of texts in another language."""
SHOWN = 100
LAST = re.compile(r"(?<=[.!?])\s+|\n+")
MOST_ENDS = 20


def coverage(
    data: AuditSet, dimensions: Sequence[Dimension], pairs: Sequence[Together] = ()
) -> dict[str, Any]:
    """Return what the verdict covers and what was left out, ready for JSON.

    Parameters
    ----------
    data : AuditSet
        The file that is audited.
    dimensions : sequence of Dimension
        Its dimensions.
    pairs : sequence of Together, optional
        Its pairs of columns.

    Returns
    -------
    dict
        Rows, texts, language, labels, columns and what was left out. `read`: dimension → share of the texts,
        from 0 to 1, that show one of its groups; `together`: pairs of columns that were examined.
    """
    return {
        "rows": data.rows, "texts": len(data.texts), "unread": len(data.rejected), "without_text": data.empty,
        "language": data.shape.language, "languages": dict(data.languages.most_common()),
        "label": data.shape.label, "labels": sorted(set(data.labels) - {""})[:SHOWN],
        "different_labels": len(set(data.labels) - {""}), "label_rule": data.label_rule,
        "texts_without_label": sum(not x for x in data.labels),
        "groups": [
            {
                "name": name, "column": c.column, "groups": c.groups[:SHOWN],
                "different_groups": len(c.groups), "missing": c.missing, "rule": c.rule,
                "named": name in data.shape.groups,
            }
            for name, c in data.columns.items()
        ],
        "read": {d.name: 1 - d.undetermined for d in dimensions if not d.known},
        "together": [t.names for t in pairs if t.kind == "groups"],
        "left_out": [*data.left, *(why for _, why in data.shape.unread)],
    }  # fmt: skip


def not_measured(
    data: AuditSet,
    original: AuditSet | None,
    dimensions: Sequence[Dimension],
    short: Mapping[str, tuple[int, int]],
) -> Iterator[str]:
    """Yield a sentence for all that was given, or is needed for a verdict, and could not be measured.

    Parameters
    ----------
    data : AuditSet
        The file that is audited.
    original : AuditSet or None
        The original file.
    dimensions : sequence of Dimension
        Dimensions of the audited file.
    short : dict of str to tuple of int
        Evaluation → number of its texts that are too short to be searched for, and number of the n-grams that
        were searched for.

    Yields
    ------
    str
        What could not be measured. Any of these sentences means *cannot tell*.
    """
    yield from _texts(data)
    yield from _labels(data)
    yield from _groups(data, dimensions)
    for name, (count, searched) in short.items():
        if not searched:
            yield (
                f"leaks: all {count:,} texts of {name} have fewer than 13 words, so that none could be "
                "searched for"
            )
    if original is None:
        return
    yield from _original(data, original, dimensions)


def _original(data: AuditSet, original: AuditSet, dimensions: Sequence[Dimension]) -> Iterator[str]:
    if data.shape.language in LANGUAGES and original.shape.language != data.shape.language:
        told = (
            f"is '{original.shape.language}'"
            if original.shape.language in LANGUAGES
            else "is not supported, or was not recognised"
        )
        yield (
            f"original: its language {told}, and the file is in '{data.shape.language}', so that they "
            "cannot be compared; if both have one language, name it with --language"
        )
    if data.labelled and not original.labelled:
        yield (
            "original: it has no labels, so that associations were not compared with it; name their column "
            "with --original-label"
        )
    if lacking := [
        c.column
        for name, c in data.columns.items()
        if name in data.shape.groups and name not in original.columns
    ]:
        yield (
            f"original: it has no column for {', '.join(lacking)}, so that these groups were not compared "
            "with it"
        )
    for d in dimensions:
        own, other = data.columns.get(d.name), original.columns.get(d.name)
        if not d.known or not d.named or own is None or other is None or own.rule or other.rule:
            continue
        if other.groups and not set(own.groups) & set(other.groups):
            yield (
                f"original: none of its groups of {d.name} ({', '.join(other.groups[:3])}) is in the file "
                f"({', '.join(own.groups[:3])})"
            )
        elif d.labels and d.labels["original_left"]:
            yield (
                f"original: {d.labels['original_left']}, so that the association with {d.name} was not "
                "compared with it"
            )


def _texts(data: AuditSet) -> Iterator[str]:
    if len(data.texts) < FEWEST:
        yield f"texts: {len(data.texts)} are too few for any test; at least {FEWEST} are needed"
    lost = len(data.rejected) + data.empty
    if lost > MISSING * data.rows:
        yield f"rows: {lost:,} of {data.rows:,} could not be read or have no text"
    own, told = data.shape.language, sum(data.languages.values())
    others = {x: n for x, n in data.languages.items() if x != own}
    if own not in LANGUAGES:
        seen = f" (most look like '{next(iter(data.languages.most_common()))[0]}')" if told else ""
        yield (
            f"language: it is not supported ({', '.join(LANGUAGES)} are) or was not recognised{seen}, so "
            "that no group and no lean was read from the texts; if it is one of these, name it with "
            "--language"
        )
    elif sum(others.values()) > MISSING * told:
        yield (
            f"language: {100 * sum(others.values()) / told:.0f}% of the texts are not in '{own}' "
            f"({', '.join(others)}), but were read as if they were"
        )


def _labels(data: AuditSet) -> Iterator[str]:
    names, missing = set(data.labels) - {""}, sum(not x for x in data.labels)
    free = [c.column for name, c in data.columns.items() if name not in data.shape.groups]
    if data.shape.label and not data.labelled:
        yield (
            f"label: column '{data.shape.label}' has fewer than two labels, so that no association can be "
            "measured"
        )
    elif not data.labelled and free:
        yield (
            f"label: no column was recognised, but one of these might be the label: {', '.join(free[:5])}; "
            "name it with --label, so that associations can be measured"
        )
    elif not data.labelled and any(role == "label" for role, _ in data.shape.unread):
        yield (
            "label: a column has this name but was not read; name it with --label, so that associations can "
            "be measured"
        )
    elif not data.labelled and (called := [c for c in data.unread if may_be_label(c)]):
        yield (
            f"label: no column was recognised, and column '{called[0]}', whose name suggests a label, was "
            "not read; name it with --label, so that associations can be measured"
        )
    elif not data.labelled and (said := _last_words(data.texts)):
        yield said
    elif data.labelled and len(names) * 2 > len(data.labels) - missing:
        yield (
            f"label: {len(names):,} different ones in {len(data.labels) - missing:,} texts, so that no "
            "association can be measured"
        )
    if names and missing > MISSING * len(data.labels):
        yield f"label: {missing:,} of {len(data.labels):,} texts have none"


def _last_words(texts: Sequence[str]) -> str:
    """Return what is wrong if the texts end in one of a few sentences («Answer: nurse»); else empty."""
    endings = Counter(LAST.split(text.strip())[-1].casefold() for text in texts)
    several = [(end, n) for end, n in endings.most_common(MOST_ENDS) if n > 1]
    if len(several) < 2 or sum(n for _, n in several) <= (1 - MISSING) * len(texts):
        return ""
    return (
        f"label: no column was recognised, and the texts end in one of {len(several)} sentences "
        f"('{several[0][0][-SHOWN:]}', '{several[1][0][-SHOWN:]}' …), which may be labels; put them in a "
        "column, so that associations can be measured"
    )


def _groups(data: AuditSet, dimensions: Sequence[Dimension]) -> Iterator[str]:
    named = {name: data.columns[name] for name in data.shape.groups}
    for name, own in named.items():
        if len(own.groups) < 2:
            only = f"only the group {own.groups[0]}" if own.groups else "no group"
            yield f"{name}: column '{own.column}' has {only}, so that nothing can be compared"
        if own.missing > MISSING * len(own.values):
            yield (
                f"{name}: {own.missing:,} of {len(own.values):,} values of column '{own.column}' are missing"
            )
        counts = Counter(g for g in own.values if g)
        if (rare := sum(n for n in counts.values() if n < FEW)) > MISSING * sum(counts.values()):
            yield (
                f"{name}: {rare:,} of {sum(counts.values()):,} values of column '{own.column}' occur fewer "
                f"than {FEW} times each, which is too few for a statement about them"
            )
    for d in dimensions:
        if d.known and d.name in named and data.labelled and d.labels is None and len(d.groups) >= 2:
            yield (
                f"{d.name}: fewer than {FEWEST} texts have both a group and a label, or all have the same "
                "ones, so that no association can be measured"
            )
    usable = [
        d
        for d in dimensions
        if (d.known and len(d.groups) >= 2) or (not d.known and 1 - d.undetermined >= READ)
    ]
    named_ones = [d for d in usable if d.named]
    if not usable or (not named_ones and data.unread):
        read = ", ".join(f"{d.name} in {100 * (1 - d.undetermined):.0f}%" for d in dimensions if not d.known)
        unread = f", column '{data.unread[0]}' was not read" if usable else ""
        by_name = " by name" if usable else ""
        yield (
            f"groups: the file gives none{by_name}{unread}, and the texts show too few ({read or 'none'}); "
            "name a column with --group"
        )
