"""What the comparison of a shortcut with the plain pass found, and how a report says it; loads no torch."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Finding:
    """Whether `shortcut` may be used for texts of up to `longest` tokens.

    `difference`: from the plain pass, as a share of the spread; None where the shortcut could not run (`reason`).
    """

    shortcut: str
    longest: int
    holds: bool
    difference: float | None
    reason: str = ""


def said(findings: Iterable[Finding]) -> list[str]:
    """One sentence a shortcut and result, of its longest texts; those not used come first."""
    widest: dict[tuple[bool, str], Finding] = {}
    for found in sorted(findings, key=lambda f: f.longest):
        widest[found.holds, found.shortcut] = found
    return [_sentence(widest[key]) for key in sorted(widest)]


def _sentence(found: Finding) -> str:
    if found.holds:
        return f"{found.shortcut}: equals the model's plain pass up to {found.longest} tokens"
    why = (
        "it cannot run on this model"
        if found.difference is None
        else f"it differs by {found.difference:.2g} of the spread"
    )
    return f"{found.shortcut}: not used up to {found.longest} tokens ({why}); a plainer way was taken, slower but right"
