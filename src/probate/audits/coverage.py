"""Of how much of a file an audit speaks, and what was given and could not be looked at."""

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
"""Share of labels or groups that may be missing, of rows that may be unread, of texts in another language."""
SHOWN = 100
LAST = re.compile(r"(?<=[.!?])\s+|\n+")
MOST_ENDS = 20


def coverage(
    data: AuditSet, dimensions: Sequence[Dimension], pairs: Sequence[Together] = ()
) -> dict[str, Any]:
    """Rows, texts, language, labels, columns and what was read from texts that the verdict speaks of, and what was left out; ready for JSON.

    `read`: dimension → share of the texts, from 0 to 1, that show one of its groups; `together`: columns that were looked at in pairs.
    """
    return {
        "rows": data.rows, "texts": len(data.texts), "unread": len(data.rejected), "without_text": data.empty,
        "language": data.shape.language, "languages": dict(data.languages.most_common()),
        "label": data.shape.label, "labels": sorted(set(data.labels) - {""})[:SHOWN], "different_labels": len(set(data.labels) - {""}), "label_rule": data.label_rule, "texts_without_label": sum(not x for x in data.labels),
        "groups": [
            {"name": name, "column": c.column, "groups": c.groups[:SHOWN], "different_groups": len(c.groups), "missing": c.missing, "rule": c.rule, "named": name in data.shape.groups}
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
    """What was given, or must be there for a verdict, and could not be looked at: a sentence each. Any of them means *cannot tell*.

    `short`: evaluation → its texts too short to be searched for, and the n-grams that were.
    """
    yield from _texts(data)
    yield from _labels(data)
    yield from _groups(data, dimensions)
    for name, (count, searched) in short.items():
        if not searched:
            yield f"leaks: all {count:,} texts of {name} are shorter than 13 words, so that none could be looked for"
    if original is None:
        return
    yield from _original(data, original, dimensions)


def _original(data: AuditSet, original: AuditSet, dimensions: Sequence[Dimension]) -> Iterator[str]:
    if data.shape.language in LANGUAGES and original.shape.language != data.shape.language:
        told = (
            f"is in '{original.shape.language}'"
            if original.shape.language in LANGUAGES
            else "is in none that is read, or was not recognised"
        )
        yield f"original: its language {told}, the file is in '{data.shape.language}'; name it with --language if both are, else they cannot be compared"
    if data.labelled and not original.labelled:
        yield "original: it has no labels, so that ties were not compared with it; name their column with --original-label"
    if lacking := [
        c.column
        for name, c in data.columns.items()
        if name in data.shape.groups and name not in original.columns
    ]:
        yield f"original: it has no column for {', '.join(lacking)}, so that these groups were not compared with it"
    for d in dimensions:
        own, other = data.columns.get(d.name), original.columns.get(d.name)
        if not d.known or not d.named or own is None or other is None or own.rule or other.rule:
            continue
        if other.groups and not set(own.groups) & set(other.groups):
            yield f"original: its groups of {d.name} ({', '.join(other.groups[:3])}) are none of the file's ({', '.join(own.groups[:3])})"
        elif d.labels and d.labels["original_left"]:
            yield f"original: {d.labels['original_left']}, so that the tie with {d.name} was not compared with it"


def _texts(data: AuditSet) -> Iterator[str]:
    if len(data.texts) < FEWEST:
        yield f"texts: {len(data.texts)} are too few for any test (at least {FEWEST})"
    lost = len(data.rejected) + data.empty
    if lost > MISSING * data.rows:
        yield f"rows: {lost:,} of {data.rows:,} could not be read or have no text"
    own, told = data.shape.language, sum(data.languages.values())
    others = {x: n for x, n in data.languages.items() if x != own}
    if own not in LANGUAGES:
        seen = f" (most look like '{next(iter(data.languages.most_common()))[0]}')" if told else ""
        yield f"language: it is none that is read ({', '.join(LANGUAGES)}), or was not recognised{seen}, so that no group and no lean is read from the texts; if it is one, name it with --language"
    elif sum(others.values()) > MISSING * told:
        yield f"language: {100 * sum(others.values()) / told:.0f}% of the texts are not in '{own}' ({', '.join(others)}), and are read as if they were"


def _labels(data: AuditSet) -> Iterator[str]:
    names, missing = set(data.labels) - {""}, sum(not x for x in data.labels)
    free = [c.column for name, c in data.columns.items() if name not in data.shape.groups]
    if data.shape.label and not data.labelled:
        yield f"label: column '{data.shape.label}' has fewer than two labels, so that no tie can be measured"
    elif not data.labelled and free:
        yield f"label: none was found, though a column might be one ({', '.join(free[:5])}); name it with --label, so that ties can be measured"
    elif not data.labelled and any(role == "label" for role, _ in data.shape.unread):
        yield "label: a column is called so and was not read; name it with --label, so that ties can be measured"
    elif not data.labelled and (called := [c for c in data.unread if may_be_label(c)]):
        yield f"label: none was found, and column '{called[0]}', which is called like one, was not read; name it with --label, so that ties can be measured"
    elif not data.labelled and (said := _last_words(data.texts)):
        yield said
    elif data.labelled and len(names) * 2 > len(data.labels) - missing:
        yield f"label: {len(names):,} different ones in {len(data.labels) - missing:,} texts, so that no tie can be measured"
    if names and missing > MISSING * len(data.labels):
        yield f"label: {missing:,} of {len(data.labels):,} texts have none"


def _last_words(texts: Sequence[str]) -> str:
    """Texts that end in one of a few sentences («Answer: nurse», «The job is nurse.»): what is wrong with that, in words; else empty."""
    endings = Counter(LAST.split(text.strip())[-1].casefold() for text in texts)
    several = [(end, n) for end, n in endings.most_common(MOST_ENDS) if n > 1]
    if len(several) < 2 or sum(n for _, n in several) <= (1 - MISSING) * len(texts):
        return ""
    return (
        f"label: none was found, and the texts end in one of {len(several)} sentences ('{several[0][0][-SHOWN:]}', '{several[1][0][-SHOWN:]}' …), "
        "which may be labels; put them in a column, so that ties can be measured"
    )


def _groups(data: AuditSet, dimensions: Sequence[Dimension]) -> Iterator[str]:
    named = {name: data.columns[name] for name in data.shape.groups}
    for name, own in named.items():
        if len(own.groups) < 2:
            yield f"{name}: column '{own.column}' has {'only the group ' + own.groups[0] if own.groups else 'no group'}, so that nothing can be compared"
        if own.missing > MISSING * len(own.values):
            yield f"{name}: {own.missing:,} of {len(own.values):,} values of column '{own.column}' are missing"
        counts = Counter(g for g in own.values if g)
        if (rare := sum(n for n in counts.values() if n < FEW)) > MISSING * sum(counts.values()):
            yield f"{name}: {rare:,} of {sum(counts.values()):,} values of column '{own.column}' occur less than {FEW} times each, so that nothing can be said of them"
    for d in dimensions:
        if d.known and d.name in named and data.labelled and d.labels is None and len(d.groups) >= 2:
            yield f"{d.name}: fewer than {FEWEST} texts have both a group and a label, or all have the same, so that no tie can be measured"
    usable = [
        d
        for d in dimensions
        if (d.known and len(d.groups) >= 2) or (not d.known and 1 - d.undetermined >= READ)
    ]
    named_ones = [d for d in usable if d.named]
    if not usable or (not named_ones and data.unread):
        read = ", ".join(f"{d.name} in {100 * (1 - d.undetermined):.0f}%" for d in dimensions if not d.known)
        unread = f", column '{data.unread[0]}' was not read" if usable else ""
        yield f"groups: the file gives none{' by name' if usable else ''}{unread}, and the texts show too few ({read or 'none'}); name a column with --group"
