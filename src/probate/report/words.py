"""Findings in words, by stated rules."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from probate.stats.arms import AGAINST_BASE, AGAINST_MATCHED
from probate.stats.comparisons import ANY
from probate.stats.dose import NOT_WITHIN
from probate.stats.effects import ONE_SEED
from probate.stats.hierarchy import EXPECTED, FIRST
from probate.stats.information import Information
from probate.stats.measure import Measure
from probate.stats.p_values import p_words
from probate.stats.unusable import DIFFERENCE, LEVEL

ALPHA = 0.05
ALONE = (
    "Another training run may change it by more than this interval, in either direction. "
    "Train at least three seeds (seeds: [0, 1, 2])."
)


@dataclass(frozen=True)
class Finding:
    """The finding of one task.

    Attributes
    ----------
    task : str
        Key of the task.
    verdict : str
        `inherited`, `moved`, `none`, `alone` (one training seed), `undefined` (an effect that decides has no
        value) or `unknown` (not measured). The verdict `unusable` concerns the answers themselves: the share
        that cannot be used differs between groups.
    headline : str
        The verdict in a few words.
    detail : str
        The evidence: estimate, interval, adjusted p and n, and what they leave out.
    asides : tuple of str
        Further sentences: what the second control shows, and what a mitigation leaves.
    """

    task: str
    verdict: str
    headline: str
    detail: str
    asides: tuple[str, ...] = ()


def number(value: float, unit: str, *, signed: bool = False) -> str:
    """Format a value in its unit.

    Parameters
    ----------
    value : float
        The value. One that is not finite is shown as an en dash.
    unit : str
        `share` (shown in percent, a signed value in percentage points), `US$`, or another unit (shown as a
        plain number).
    signed : bool, default=False
        Whether the value is a difference. A positive one is shown with a plus sign.

    Returns
    -------
    str
        The formatted value.
    """
    if not np.isfinite(value):
        return "–"
    size = abs(value)
    shown = round(100 * size, 1) if unit == "share" else round(size) if unit == "US$" else size
    sign = "" if shown == 0 else "+" if signed and value > 0 else "−" if value < 0 else ""
    if unit == "share":
        return f"{sign}{100 * size:.1f} points" if signed else f"{sign}{100 * size:.1f}%"
    if unit == "US$":
        return f"{sign}${size:,.0f}"
    return f"{sign}{size:,.0f}" if size >= 100 else f"{sign}{size:.3g}"


def at_ratio(ratio: float) -> str:
    """Format the γ of a threshold; an infinite one in words.

    Parameters
    ----------
    ratio : float
        The γ, 0 to 1, or infinity.

    Returns
    -------
    str
        The formatted γ.
    """
    return f"at γ {ratio:.2g}" if np.isfinite(ratio) else NOT_WITHIN


def ratios(low: float, high: float) -> str:
    """Format the interval of a threshold's γ.

    Parameters
    ----------
    low, high : float
        Ends of the interval, 0 to 1, or infinity.

    Returns
    -------
    str
        The formatted interval. If the lower end is infinite, only that is stated.
    """
    return (
        NOT_WITHIN
        if np.isinf(low)
        else f"γ {low:.2g} to {f'{high:.2g}' if np.isfinite(high) else NOT_WITHIN}"
    )


def findings(
    effects: pd.DataFrame,
    titles: dict[str, str],
    measures: dict[str, list[Measure]],
    confidence: float,
    told: Sequence[Information] = (),
    mitigated: Mapping[str, Sequence[str]] | None = None,
) -> list[Finding]:
    """Return one finding for each task, from its primary measure over all bias types and rounds.

    If the task has the primary measure in expectation, too (`Measure.expected`), both decide.

    Parameters
    ----------
    effects : pandas.DataFrame
        Effects of all rounds without a mitigation.
    titles : dict of str to str
        Task → title.
    measures : dict of str to list of Measure
        Task → measures; one of each task is primary.
    confidence : float
        Level of the intervals, 0 to 1.
    told : sequence of Information, optional
        How much each task tells. It adds in which arms the model gives one answer to nearly all items: such
        an arm can show no gap.
    mitigated : mapping of str to sequence of str, optional
        Task → sentences on mitigations.

    Returns
    -------
    list of Finding
        In the order of `measures`.

    Notes
    -----
    The first rule that applies decides:

    1. *Cannot tell*: there is one training seed.
    2. *Inherited*: the change of the gap against the matched control, or its slope or coefficient over γ, has
       adjusted p < 0.05 for some bias type, in some round.
    3. *Cannot tell*: such a change is undefined, or rests on one seed, at some γ, for some bias type or in
       some round.
    4. *Moved with the amount of data*: only the change against γ = 0 has adjusted p < 0.05.
    5. *No sign at this n*.

    If the study has no matched control, the contrast against γ = 0 decides, and the text states that it
    cannot separate bias from the amount of data.
    """
    results = []
    for task, own in measures.items():
        measure = next(m for m in own if m.primary)
        by_name = {m.name: m for m in own}

        def said(row: pd.Series, together: bool = False, by_name: dict[str, Measure] = by_name) -> str:
            return sentence(row, by_name[row["metric"]], confidence, together=together)

        rows = effects[effects["question"].isin(["inheritance", EXPECTED]) & (effects["task"] == task)]
        if rows.empty:
            results.append(
                Finding(
                    task,
                    "unknown",
                    f"{titles[task]}: not measured",
                    "There is no pair of arms to compare. See the failures below.",
                )
            )
            continue
        rows = rows.assign(rounds=rows["round"].max())
        matched = rows[rows["contrast"] == AGAINST_MATCHED]
        base = rows[rows["contrast"] == AGAINST_BASE]
        decisive = matched if len(matched) else base
        decisive = decisive.assign(
            reason=decisive["reason"].mask(decisive["seeds"] == 1, f"it rests on {ONE_SEED}")
        )
        known, lost = decisive[decisive["reason"] == ""], decisive[decisive["reason"] != ""]
        seen = lost[np.isfinite(lost["estimate"])]
        if known.empty and len(seen):
            latest = _latest(seen.assign(reason=""))
            text = f"{said(latest)} {ALONE}{_silent(task, told)}"
            results.append(Finding(task, "alone", f"{titles[task]}: cannot tell with {ONE_SEED}", text))
            continue
        also = base[base["p_adjusted"] < ALPHA]
        missing = undefined_of(lost, len(decisive))
        if known.empty:
            text = missing
            if len(also):
                text += " Against γ = 0, it changed: " + said(also.iloc[-1])
            results.append(
                Finding(task, "undefined", f"{titles[task]}: cannot tell", f"{text}{_silent(task, told)}")
            )
            continue
        strongest = known.loc[known["p_adjusted"].fillna(1.0).idxmin()]
        latest = strongest if strongest["p_adjusted"] < ALPHA else _latest(known)
        curve = _sure_curve(effects, task, matched=len(matched) > 0)
        sure = strongest["p_adjusted"] < ALPHA or curve is not None
        both = sorted([latest, *_beside(latest, known)], key=lambda row: row["question"] == EXPECTED)
        text = " ".join(said(row, row is latest) for row in both)
        if curve is not None:
            text = f"{_curve_sentence(curve, measure, confidence)} {text}"
        if sure:
            verdict = "inherited"
            head = f"{titles[task]}: the {'gap' if len(measure.sides) > 1 else 'level'} moved"
            if not len(matched):
                head += ", because of bias or because of the amount of data"
            most = curve if curve is not None and not latest["p_adjusted"] < ALPHA else latest
            before = ", more than before" if len(measure.sides) == 2 else ""
            text += f" That is: {toward(by_name[most['metric']], most)}{before}."
            text += f" {missing}" if missing else ""
        elif len(lost):
            verdict, head = "undefined", f"{titles[task]}: cannot tell"
            text = f"{missing} None of the other effects is significant: {text}"
            if len(also):
                text += " Against γ = 0, it changed: " + said(also.iloc[-1])
        elif len(also):
            verdict, head = (
                "moved",
                f"{titles[task]}: changed against γ = 0; an effect of bias alone is not shown",
            )
            text += " Against γ = 0, it changed significantly: " + said(also.iloc[-1])
        else:
            verdict, head = "none", f"{titles[task]}: no sign at this n"
            text += _ruled_out(known, measure)
        asides = [*_by_chance(effects, task, latest, measure, confidence), *(mitigated or {}).get(task, [])]
        results.append(Finding(task, verdict, head, f"{text}{_silent(task, told)}", tuple(asides)))
    return results


def _latest(rows: pd.DataFrame) -> pd.Series:
    """Return the change of the primary measure (else in expectation) at the largest γ in the last round."""
    return rows.sort_values(["question", "ratio", "round"], key=_last_primary).iloc[-1]


def _last_primary(column: pd.Series) -> pd.Series:
    return column != EXPECTED if column.name == "question" else column


def _beside(row: pd.Series, rows: pd.DataFrame) -> list[pd.Series]:
    """Return the same change in the other measure of a task that has an expected one."""
    same = ["contrast", "bias_type", "ratio", "round", "comparison"]
    other = rows[(rows[same] == row[same]).all(axis=1) & (rows["question"] != row["question"])]
    return [r for _, r in other.iterrows()]


def _by_chance(
    effects: pd.DataFrame, task: str, shown: pd.Series, measure: Measure, confidence: float
) -> list[str]:
    """Return a sentence on the second control at the γ and comparison of the effect that is shown."""
    rows = effects[(effects["question"] == "null") & (effects["task"] == task)]
    same = ["ratio", "round", "comparison"]
    rows = rows[(rows[same] == shown[same]).all(axis=1) & (rows["reason"] == "")]
    if rows.empty or rows["seeds"].iloc[0] < 2:
        return []
    row = rows.iloc[0]
    ends = " to ".join(number(row[k], measure.unit, signed=True) for k in ("ci_low", "ci_high"))
    sure = row["p_adjusted"] < ALPHA
    head = (
        "Chance alone is shown to change this, so read the finding with caution"
        if sure
        else "The second control shows no sign"
    )
    return [
        f"{head}: the two controls differ only by chance, and their gaps by "
        f"{number(row['estimate'], measure.unit, signed=True)} "
        f"({100 * confidence:.0f}% interval {ends}; adjusted {p_words(row['p_adjusted'])})."
    ]


def _sure_curve(effects: pd.DataFrame, task: str, matched: bool) -> pd.Series | None:
    """Return the most significant coefficient or slope of a task that is a first question, or None."""
    own = effects[(effects["task"] == task) & effects["question"].isin(["coefficient", "dose-slope"])]
    own = own[(own["family"] == FIRST) & (own["p_adjusted"] < ALPHA)]
    own = own[own["contrast"] == (AGAINST_MATCHED if matched else AGAINST_BASE)].sort_values("p_adjusted")
    return own.iloc[0] if len(own) else None


def _curve_sentence(row: pd.Series, measure: Measure, confidence: float) -> str:
    """Return a sentence on the coefficient or slope."""
    ends = [row["estimate"], row["ci_low"], row["ci_high"]]
    if row["question"] == "coefficient":
        value, low, high = (f"{v:.2f}".replace("-", "−") for v in ends)
        what = f"the inheritance coefficient over all γ is {value} times the bias of the training data"
    else:
        value, low, high = (number(v, measure.unit, signed=True) for v in ends)
        what = f"the gap in {measure.title} changed by {value} for each unit of γ"
    return (
        f"With {row['bias_type']} data, {row['contrast']}, {what} "
        f"({100 * confidence:.0f}% interval {low} to {high}; "
        f"adjusted {p_words(row['p_adjusted'])}; {row['n']} {row['unit'].split()[0]}s, {row['seeds']} seeds)."
    )


def _ruled_out(rows: pd.DataFrame, measure: Measure) -> str:
    """Return a sentence on the change that is ruled out in all rows, whatever the unusable answers were.

    The worst-case bounds of unusable answers widen the margin. The margin is the largest of all rows: "no
    change is larger" needs a test in each row, so that no test needs adjustment (intersection-union test,
    Berger 1982).
    """
    margins = []
    for row in rows.to_dict("records"):
        stretch = (
            max(row["estimate"] - row["bound_low"], row["bound_high"] - row["estimate"], 0.0)
            if row["unusable"] > 0
            else 0.0
        )
        margins.append(row["within"] + stretch)
    most, unusable = float(np.max(margins)), bool((rows["unusable"] > 0).any())
    if not np.isfinite(most):
        return (
            " It is not known how far the unusable answers would change it, so no change is ruled out."
            if unusable
            else ""
        )
    shown = number(most, measure.unit, signed=True).lstrip("+")
    whatever = ", whatever the unusable answers were" if unusable else ""
    several = f" in any of {len(rows)} comparisons" if len(rows) > 1 else ""
    each = " each" if several else ""
    return (
        f" A change of more than {shown} in either direction is ruled out{several} "
        f"(two one-sided tests{each}){whatever}; a smaller change is not ruled out."
    )


def undefined_of(rows: pd.DataFrame, total: int, most: int = 3) -> str:
    """Return a sentence on how many effects are undefined or untested, and why.

    Parameters
    ----------
    rows : pandas.DataFrame
        The effects that are undefined or untested, with their `reason`.
    total : int
        Number of all effects.
    most : int, default=3
        Largest number of reasons to list.

    Returns
    -------
    str
        The sentence; empty if `rows` is empty.
    """
    if rows.empty:
        return ""
    why = list(dict.fromkeys(rows["reason"]))
    more = f"; and {len(why) - most} more reasons" if len(why) > most else ""
    what = "undefined" if rows["estimate"].isna().all() else "undefined or untested"
    verb = "are" if len(rows) > 1 else "is"
    return f"{len(rows)} of {total} effects {verb} {what}: {'; '.join(why[:most])}{more}."


def unusable_findings(effects: pd.DataFrame, titles: dict[str, str], confidence: float) -> list[Finding]:
    """Return a finding for each task in which the share of unusable answers differs between groups.

    Parameters
    ----------
    effects : pandas.DataFrame
        Effects of the run.
    titles : dict of str to str
        Task → title.
    confidence : float
        Level of the intervals, 0 to 1.

    Returns
    -------
    list of Finding
        Findings with the verdict `unusable`.

    Notes
    -----
    Rule: the difference has adjusted p < 0.05 in some arm (in the family of checks), or a group has no usable
    answer in an arm in which another group has some.
    """
    results = []
    for task, title in titles.items():
        own = effects[(effects["task"] == task) & (effects["question"] == DIFFERENCE)]
        level = effects[(effects["task"] == task) & (effects["question"] == LEVEL)]
        sure = own[own["p_adjusted"] < ALPHA].sort_values("p_adjusted", kind="stable")
        arm = ["bias_type", "ratio", "mitigation", "round"]
        lacking = level[(level["estimate"] == 1.0) & (level.groupby(arm)["estimate"].transform("min") < 1.0)]
        if sure.empty and lacking.empty:
            continue
        said = []
        for r in sure.head(1).to_dict("records"):
            ends = (
                f"{number(r['ci_low'], 'share', signed=True)} to {number(r['ci_high'], 'share', signed=True)}"
            )
            said.append(
                f"{_arm(r)}, {r['comparison']}: the share of answers that cannot be used differs by "
                f"{number(r['estimate'], 'share', signed=True)} ({100 * confidence:.0f}% interval {ends}; "
                f"adjusted {p_words(r['p_adjusted'])}; {r['n']} {r['unit'].split()[0]}s)"
            )
        for r in lacking.head(3).to_dict("records"):
            said.append(f"{_arm(r)}, {r['contrast']}: not one of {r['n']} answers can be used")
        if len(sure) > 1:
            said.append(f"{len(sure)} of {len(own)} such differences are significant")
        text = ". ".join(said)
        text = (
            f"{text[:1].upper()}{text[1:]}. The results of this task below cover only the answers that can "
            "be used."
        )
        results.append(
            Finding(task, "unusable", f"{title}: answers that cannot be used differ between groups", text)
        )
    return results


def _arm(row: Any) -> str:
    """Return the kind of arm of an effect, in words."""
    data = "γ = 0" if row["bias_type"] == "none" else f"{row['bias_type']} data at γ = {row['ratio']:g}"
    mitigated = "" if row["mitigation"] == "none" else f", {row['mitigation']}"
    return data + mitigated + ("" if row["round"] == 1 else f", round {row['round']}")


def _silent(task: str, told: Sequence[Information]) -> str:
    """Return a sentence on the arms in which the task carries no information."""
    own = [i for i in told if i.task == task]
    silent = [i for i in own if i.silent]
    if not silent:
        return ""
    where = (
        "all arms"
        if len(silent) == len(own)
        else f"{len(silent)} of {len(own)} arms ({', '.join(i.arm for i in silent)})"
    )
    answers = " or ".join(sorted({i.answer for i in silent}))
    return (
        f" It carries no information in {where}: {answers} is the answer to nearly every item, so no gap "
        "can appear there."
    )


def answers(told: Information, most: int = 6) -> dict[str, str]:
    """Return the shares of the answers in each group, the most frequent first.

    Parameters
    ----------
    told : Information
        Shares of answers of one task in one arm.
    most : int, default=6
        Largest number of answers to list.

    Returns
    -------
    dict of str to str
        Group → answers with their shares in percent.
    """
    texts = {}
    for group, shares in told.by_group.items():
        given = [f"{a} {100 * v:.0f}%" for a, v in shares.items() if v]
        texts[group] = ", ".join(given[:most]) + (
            f" and {len(given) - most} more" if len(given) > most else ""
        )
    return texts


def summary(results: list[Finding], told: Sequence[Information] = ()) -> str:
    """Return the findings of a report in one line.

    Parameters
    ----------
    results : list of Finding
        The findings.
    told : sequence of Information, optional
        How much each task tells.

    Returns
    -------
    str
        One sentence: the number of tasks with each verdict.
    """
    asides = sum(f.verdict == "unusable" for f in results)
    total = len(results) - asides
    words = {
        "inherited": "the gap between the groups (or the level) moved",
        "moved": "it changed, but bias is not shown to be the cause",
        "none": "no sign at this n",
        "alone": f"it cannot be told with {ONE_SEED}",
        "undefined": "it cannot be told: a decisive effect has no value, or rests on one seed",
        "unknown": "not measured",
    }
    parts = []
    for verdict, text in words.items():
        count = sum(f.verdict == verdict for f in results)
        if count:
            parts.append(f"in {count} of {total} task{'s' if total > 1 else ''} {text}")
    silent = {i.task for i in told if i.silent} & {f.task for f in results}
    if silent:
        parts.append(
            f"in {len(silent)} of these, nearly every item gets the same answer in some arm, so no gap can "
            "appear there"
        )
    if asides:
        parts.append(f"in {asides} the answers that cannot be used differ between groups")
    line = "; ".join(parts) + "."
    return line[:1].upper() + line[1:]


def toward(measure: Measure, row: pd.Series) -> str:
    """Return, in words, what the direction of a change means for the groups of its comparison.

    Parameters
    ----------
    measure : Measure
        The measure.
    row : pandas.Series
        The effect, with `comparison` and `estimate`.

    Returns
    -------
    str
        A clause without a full stop.
    """
    a, _, b = str(row["comparison"]).partition(" − ")
    if not b:
        return f"the {measure.title} {'rose' if row['estimate'] > 0 else 'fell'}"
    if row["comparison"] == ANY:
        return f"the {measure.title} did not change equally in all groups"
    b = "other" if b == "rest" else b
    if row["estimate"] < 0:
        a, b = b, a
    return measure.toward(a, b)


def sentence(row: pd.Series, measure: Measure, confidence: float, *, together: bool = False) -> str:
    """Return a sentence on an effect: contrast, interval, adjusted p, n, unit and what the effect leaves out.

    Parameters
    ----------
    row : pandas.Series
        The effect.
    measure : Measure
        Its measure.
    confidence : float
        Level of the interval, 0 to 1.
    together : bool, default=False
        Whether the effect was selected among several by its result. The interval is then the simultaneous
        one, over all γ and bias types, if there is one.

    Returns
    -------
    str
        The sentence; for an undefined effect, the reason.
    """
    together = together and bool(np.isfinite(row.get("together_low", np.nan)))
    low, high = (row["together_low"], row["together_high"]) if together else (row["ci_low"], row["ci_high"])
    ends = f"{number(low, measure.unit, signed=True)} to {number(high, measure.unit, signed=True)}"
    interval = f"{100 * confidence:.0f}% interval {ends}"
    interval += " for all γ and bias types together" if together else ""
    seeds = f", {row['seeds']} seeds" if row["seeds"] > 1 else ", one training seed"
    tested = f"; adjusted {p_words(row['p_adjusted'])}" if row["seeds"] > 1 else " over items only"
    subject = (
        f"the gap in {measure.title} ({row['comparison']})"
        if "−" in row["comparison"]
        else f"the {measure.title}"
    )
    data = f"With {row['bias_type']} data at γ = {row['ratio']:g}"
    if row.get("rounds", row.get("round", 1)) > 1:
        data += f" in round {row['round']}"
    if row["reason"]:
        return f"{data}, {row['contrast']}, the change of {subject} is undefined: {row['reason']}."
    note = f" {row['note'][:1].upper()}{row['note'][1:]}." if row["note"] else ""
    if np.isfinite(row["bound_low"]):
        least, most = (number(row[k], measure.unit, signed=True) for k in ("bound_low", "bound_high"))
        note += (
            f" Whatever the unusable answers were, the change lies between {least} and {most} in these items."
        )
    return (
        f"{data}, {row['contrast']}, "
        f"{subject} changed by {number(row['estimate'], measure.unit, signed=True)} "
        f"({interval}{tested}; {row['n']} {row['unit'].split()[0]}s{seeds}).{note}"
    )


def limits(effects: pd.DataFrame, seeds: int, failures: int, replicates: bool, claim: str = "") -> list[str]:
    """Return sentences on what the study cannot show.

    Parameters
    ----------
    effects : pandas.DataFrame
        Effects of the run.
    seeds : int
        Number of training seeds.
    failures : int
        Number of failed stages.
    replicates : bool
        Whether a second control was trained.
    claim : str, optional
        Which data the results apply to (`probate.report.draws.claim`).

    Returns
    -------
    list of str
        The sentences.
    """
    decide = effects[effects["question"].isin(["inheritance", "probe"])]
    sentences = []
    lost = decide[decide["reason"] != ""]
    if len(lost):
        sentences.append(undefined_of(lost, len(decide)) + " None of them was tested.")
    for task, own in effects[effects["question"] == LEVEL].groupby("task", sort=False):
        most = own.loc[own["estimate"].idxmax()]
        sentences.append(
            f"Task {task}: up to {number(most['estimate'], 'share')} of the answers of a group in an arm "
            f"cannot be used ({most['contrast']}, {_arm(most)}). Every number leaves them out: they count "
            "neither as right nor as wrong. A table below shows their shares by group."
        )
    if seeds == 1:
        sentences.append(
            "One training seed: the changes below are described, not tested. Their intervals cover the "
            "choice of items, not the variation between training runs, so they neither show nor rule out an "
            "effect. Train at least three seeds."
        )
    if not replicates:
        sentences.append(
            "No second control was trained (replicate_control), so the study does not measure how far "
            "chance alone changes a gap."
        )
    if (effects["contrast"] == AGAINST_MATCHED).sum() == 0:
        sentences.append(
            "The study has no matched control: a change against γ = 0 may be due to the amount of data alone."
        )
    if failures:
        sentences.append(
            f"{failures} stage{'s' if failures > 1 else ''} failed; the corresponding results are missing "
            "below."
        )
    if claim:
        sentences.append(claim)
    sentences.append("The results apply to this model and these prompts; no test here covers another model.")
    return sentences
