"""Which groups do texts show, label by label? Of a file, or of what a model writes when no group is asked for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from probate.analyze.imbalance import UNCLEAR, Share, confusion, detect, shares
from probate.bias.packs import Pack
from probate.errors import InputError


def imbalance(
    texts: Sequence[str],
    labels: Sequence[str],
    pack: Pack,
    *,
    truth: Sequence[str] | None = None,
    reference: dict[str, float] | None = None,
) -> dict[str, Any]:
    """Shares of the pack's groups by label. `truth`: the group of each text where it is known; then the detector's errors are measured on
    these texts and taken out.

    Raises:
        InputError: a reference that is not a share for each group.
    """
    groups = list(pack.groups)
    if reference is not None and (set(reference) != set(groups) or abs(sum(reference.values()) - 1) > 1e-6):
        raise InputError(f"--reference: needs a share for each of {', '.join(groups)} that sum to 1, got {reference}")
    found = detect(texts, pack)
    errors = confusion(truth, found, groups) if truth is not None else None
    return {
        "groups": groups,
        "n": len(texts),
        "undetermined": Counter(found)[UNCLEAR],
        "errors": errors.tolist() if errors is not None else None,
        "shares": [asdict(s) for s in shares(labels, found, groups, reference=reference, errors=errors)],
    }


def lines(found: dict[str, Any]) -> list[str]:
    """In words: the detector, then a line for each label and group."""
    said = [
        f"{found['n']:,} texts; the group is undetermined in {found['undetermined']:,} ({100 * found['undetermined'] / found['n']:.0f}%)"
    ]
    if found["errors"]:
        for group, row in zip(found["groups"], found["errors"], strict=True):
            total = sum(row)
            seen = ", ".join(f"{g} {n}" for g, n in zip([*found["groups"], UNCLEAR], row, strict=True) if n)
            said.append(f"of {total:,} texts on {group} people the detector says: {seen or 'nothing'}")
    for row in found["shares"]:
        s = Share(**row)
        fixed = f"; corrected {_interval(s.corrected, s.corrected_low, s.corrected_high)}" if s.corrected == s.corrected else ""
        said.append(
            f"{s.label or 'all':24}{s.group:12} {_interval(s.share, s.low, s.high)} of {s.n:,}; p against {100 * s.reference:g}%: {s.p:.4f}{fixed}"
        )
    return said


def _interval(value: float, low: float, high: float) -> str:
    return f"{100 * value:.1f}% [{100 * low:.1f}, {100 * high:.1f}]"
