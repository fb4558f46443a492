"""`probate compare`: read both, compare, say it."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from probate.core.errors import InputError
from probate.report.comparison.pair import compare_results, lines, unread_lines
from probate.report.comparison.read import read_results
from probate.study.schema import Analysis


def run_compare(
    first: str,
    second: str,
    pairs: list[str],
    groups: list[str],
    show: int,
    confidence: float,
    cluster: str = "",
) -> tuple[list[str], dict[str, Any]]:
    """The comparison in words and as a record. `groups`: NAME=COLUMN, columns of both tables that are groups; `cluster`: one that links items."""
    wanted = [_split("--pair", text, "A=B, as in --pair 'task: acc=task: acc_norm'") for text in pairs]
    columns = dict(_split("--group", text, "NAME=COLUMN, as in --group gender=sex") for text in groups)
    (a, kind_a), (b, kind_b) = (read_results(source, columns, cluster) for source in (first, second))
    found, flips, missing = compare_results(a, b, Analysis(confidence=confidence), wanted)
    said = [
        f"A: {kind_a}, {first}; B: {kind_b}, {second}",
        *unread_lines(missing),
        *lines(found, flips, show),
    ]
    record = {
        "a": first,
        "b": second,
        "compared": [asdict(c) for c in found],
        "left_out": [asdict(m) for m in missing],
        "flipped": flips.to_dict("records"),
    }
    return said, record


def _split(option: str, text: str, shape: str) -> tuple[str, str]:
    a, equals, b = (part.strip() for part in text.partition("="))
    if not (equals and a and b):
        raise InputError(f"{option} {text}: must be {shape}")
    return a, b
