"""`probate compare`: read both, compare, say it."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from probate.comparison.pair import compare_results, lines, unread_lines
from probate.comparison.read import read_results
from probate.errors import InputError
from probate.study import Analysis


def run_compare(
    first: str, second: str, pairs: list[str], show: int, confidence: float, resamples: int
) -> tuple[list[str], dict[str, Any]]:
    """The comparison in words and as a record."""
    wanted = []
    for text in pairs:
        a, equals, b = text.partition("=")
        if not (equals and a and b):
            raise InputError(f"--pair {text}: must be A=B, as in --pair 'task: acc=task: acc_norm'")
        wanted.append((a, b))
    (a, kind_a), (b, kind_b) = read_results(first), read_results(second)
    found, flips, missing = compare_results(a, b, Analysis(confidence=confidence, resamples=resamples), wanted)
    said = [f"A: {kind_a}, {first}; B: {kind_b}, {second}", *unread_lines(missing), *lines(found, flips, show)]
    record = {
        "a": first,
        "b": second,
        "compared": [asdict(c) for c in found],
        "left_out": [asdict(m) for m in missing],
        "flipped": flips.to_dict("records"),
    }
    return said, record
