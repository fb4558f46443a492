"""Shares of groups by label: in the texts of a file, or in texts that a model writes about no given group."""

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
    """Estimate the shares of groups by label, corrected for the detector's errors where they are known.

    Parameters
    ----------
    texts : sequence of str
        The texts.
    labels : sequence of str
        The label of each text.
    pack : Pack
        The identity pack whose words the detector uses.
    truth : sequence of str, optional
        The group of each text. Then the detector's errors are measured on these texts and corrected for.
    known : tuple of three sequences of str, optional
        Other texts, their labels and their groups, on which the detector's errors are measured.
    reference : dict of str to float, optional
        Group → share to test against; the shares sum to 1. Default: equal shares.
    chosen : sequence of str, optional
        The groups. Default: those that occur in `truth`, else those of the pack except the groups that use
        "they", which is a plural in most texts.

    Returns
    -------
    dict
        `groups`, `n`, `undetermined` (texts without a detected group), `errors` (counts, true groups ×
        detected groups and "undetermined"; None if they are not known) and `shares` (one row for each label
        and group).

    Raises
    ------
    InputError
        The pack does not have a group, or the reference is not a share for each group.
    """
    groups = list(
        chosen or ([g for g in pack.groups if g in truth] if truth is not None else default_groups(pack))
    )
    _check(groups, pack)
    pack = pack.only(groups)
    if reference is not None and (set(reference) != set(groups) or abs(sum(reference.values()) - 1) > 1e-6):
        raise InputError(
            f"--reference: must give a share for each of {', '.join(groups)}, which sum to 1; got {reference}"
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
            own = [(true, said) for at, true, said in seen if label in ("", at)]
            errors[label] = confusion([true for true, _ in own], [said for _, said in own], groups)
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
        what = f"no group '{unknown[0]}'" if unknown else f"{len(groups)} given, at least 2 are needed,"
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
    """Estimate the shares of groups in what a model writes about labels without being asked for a group.

    The detector's errors are measured on what the model writes about each group.

    Parameters
    ----------
    lm : LM
        The model.
    labels : sequence of str
        The labels that it writes about.
    pack : Pack
        The identity pack.
    groups : sequence of str
        The groups.
    texts : int
        Texts for each label, and for each label and group.
    reference : dict of str to float, optional
        As in `imbalance`.
    tick : callable, optional
        Called with the number of texts that were written since the last call.

    Returns
    -------
    dict
        As of `imbalance`, with `texts`: [text, label, group asked for].

    Raises
    ------
    InputError
        As of `imbalance`.
    """
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
    """Return the pack's groups except those that use "they", which is a plural in most texts."""
    return [g for g in pack.groups if "they" not in pack.groups[g].pronouns]


def sentences(result: dict[str, Any]) -> list[str]:
    """Return the result as sentences: the detector's errors, then one for each label and group."""
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
