"""Which groups do texts show, label by label? Of a file, or of what a model writes when no group is asked for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from probate.core.errors import InputError
from probate.data.generation.group_texts import written
from probate.data.packs import Pack
from probate.stats.imbalance import UNCLEAR, Share, confusion, detect, group_shares
from probate.stats.p_values import p_figure

if TYPE_CHECKING:
    from probate.models.lm import LM


def imbalance(
    texts: Sequence[str],
    labels: Sequence[str],
    pack: Pack,
    *,
    truth: Sequence[str] | None = None,
    known: tuple[Sequence[str], Sequence[str], Sequence[str]] | None = None,
    reference: dict[str, float] | None = None,
    chosen: Sequence[str] | None = None,
) -> dict[str, Any]:
    """Shares of groups by label. `truth`: the group of each text where it is known; then the detector's errors are measured on
    these texts and taken out. `known`: other texts, their labels and groups, on which they are measured instead. `chosen`: the groups; default: those that occur in `truth`, else the pack's, but for such as go by «they», which
    in most texts is a plural.

    Raises
    ------
    InputError
        A group that the pack does not have; a reference that is not a share for each group.
    """
    groups = list(
        chosen or ([g for g in pack.groups if g in truth] if truth is not None else default_groups(pack))
    )
    _check(groups, pack)
    pack = pack.only(groups)
    if reference is not None and (set(reference) != set(groups) or abs(sum(reference.values()) - 1) > 1e-6):
        raise InputError(
            f"--reference: needs a share for each of {', '.join(groups)} that sum to 1, got {reference}"
        )
    detected = detect(texts, pack)
    errors = None
    if known is None and truth is not None:
        known = texts, labels, truth
    if known is not None:
        shown = detected if known[0] is texts else detect(known[0], pack)
        seen = list(zip(known[1], known[2], shown, strict=True))
        errors = {}
        for label in {*labels, ""}:
            own = [(true, shown_group) for at, true, shown_group in seen if label in ("", at)]
            errors[label] = confusion([true for true, _ in own], [shown_group for _, shown_group in own], groups)
    return {
        "groups": groups,
        "n": len(texts),
        "undetermined": Counter(detected)[UNCLEAR],
        "errors": errors[""].tolist() if errors is not None else None,
        "shares": [
            asdict(s) for s in group_shares(labels, detected, groups, reference=reference, errors=errors)
        ],
    }


def _check(groups: Sequence[str], pack: Pack) -> None:
    unknown = [g for g in groups if g not in pack.groups]
    if unknown or len(groups) < 2:
        what = f"no group '{unknown[0]}'" if unknown else f"only {len(groups)} of them"
        raise InputError(
            f"--groups: {what} in the identity pack '{pack.dimension}'; it has: {', '.join(pack.groups)}"
        )


def of_model(
    lm: LM,
    labels: Sequence[str],
    pack: Pack,
    groups: Sequence[str],
    texts: int,
    reference: dict[str, float] | None = None,
    tick: Callable[[int], None] | None = None,
) -> dict[str, Any]:
    """`imbalance` of what a model writes about `labels` without a group, the detector's errors measured on what it writes about each group."""
    _check(groups, pack)
    made = written(lm, labels, pack.only(groups), texts, tick=tick)
    rows = list(zip(made.texts, made.labels, made.asked, strict=True))
    neutral, asked = [r for r in rows if not r[2]], [r for r in rows if r[2]]
    known = [r[0] for r in asked], [r[1] for r in asked], [r[2] for r in asked]
    result = imbalance(
        [r[0] for r in neutral],
        [r[1] for r in neutral],
        pack,
        known=known,
        reference=reference,
        chosen=groups,
    )
    return {**result, "texts": [list(r) for r in rows]}


def default_groups(pack: Pack) -> list[str]:
    """The pack's groups, but for such as go by «they», which in most texts is a plural."""
    return [g for g in pack.groups if "they" not in pack.groups[g].pronouns]


def sentences(result: dict[str, Any]) -> list[str]:
    """In words: the detector, then a line for each label and group."""
    said = [
        f"{result['n']:,} texts; the group is undetermined in {result['undetermined']:,} "
        f"({100 * result['undetermined'] / result['n']:.0f}%)"
    ]
    if result["errors"]:
        for group, row in zip(result["groups"], result["errors"], strict=True):
            total = sum(row)
            seen = ", ".join(f"{g} {n}" for g, n in zip([*result["groups"], UNCLEAR], row, strict=True) if n)
            said.append(f"of {total:,} texts on {group} people the detector says: {seen or 'nothing'}")
    for row in result["shares"]:
        s = Share(**row)
        against = f"p against {100 * s.reference:.3g}%"
        fixed = ""
        if s.corrected == s.corrected:
            fixed = (
                f"; corrected {_interval(s.corrected, s.corrected_low, s.corrected_high)}, {against} "
                f"{p_figure(s.corrected_p)}"
            )
        said.append(
            f"{s.label or 'all':24}{s.group:12} {_interval(s.share, s.low, s.high)} of {s.n:,}; {against} "
            f"{p_figure(s.p)}{fixed}"
        )
    return said


def _interval(value: float, low: float, high: float) -> str:
    return f"{100 * value:.1f}% [{100 * low:.1f}, {100 * high:.1f}]"
