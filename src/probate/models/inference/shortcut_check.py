"""Results of comparing shortcuts with the plain pass, and their sentences for the report; loads no torch."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class ShortcutCheck:
    """The result of comparing a shortcut with a model's plain pass.

    Attributes
    ----------
    shortcut : str
        Name of the shortcut.
    longest : int
        Length in tokens of the longest texts that the result covers.
    holds : bool
        True if the shortcut may be used for these texts.
    difference : float or None
        Difference from the plain pass as a share of the spread; lower is better. None if the shortcut failed.
    reason : str
        The reason why it failed.
    """

    shortcut: str
    longest: int
    holds: bool
    difference: float | None
    reason: str = ""


def sentences(findings: Iterable[ShortcutCheck]) -> list[str]:
    """Return one sentence per shortcut and result, for its longest texts; unused shortcuts come first."""
    widest: dict[tuple[bool, str], ShortcutCheck] = {}
    for finding in sorted(findings, key=lambda f: f.longest):
        widest[finding.holds, finding.shortcut] = finding
    return [_sentence(widest[key]) for key in sorted(widest)]


PASSES, TRAINING = "mixed precision in passes", "mixed precision in training"
"""Names of the checks that compare bfloat16 products with float32."""


def _sentence(finding: ShortcutCheck) -> str:
    if finding.holds and finding.shortcut in (PASSES, TRAINING):
        return (
            f"{finding.shortcut}: differs from float32 by {finding.difference:.1g} of the "
            f"{'loss' if finding.shortcut == TRAINING else 'spread'}, which is rounding "
            f"(compared on texts of {finding.longest} tokens)"
        )
    if finding.holds:
        return f"{finding.shortcut}: equals the model's plain pass up to {finding.longest} tokens"
    why = (
        "it fails on this model"
        if finding.difference is None
        else f"it differs by {finding.difference:.2g} of the spread"
    )
    return (
        f"{finding.shortcut}: not used up to {finding.longest} tokens ({why}); "
        "a slower, exact way was used instead"
    )
