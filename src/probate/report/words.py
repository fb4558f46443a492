"""Findings in plain words, by stated rules."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from probate.stats.compare import ANY
from probate.stats.dose import NOT_WITHIN
from probate.stats.effects import AGAINST_BASE, AGAINST_MATCHED, ONE_SEED
from probate.stats.hierarchy import FIRST
from probate.stats.information import Information
from probate.stats.measure import Measure
from probate.stats.p_values import p_words
from probate.stats.unusable import DIFFERENCE, LEVEL

ALPHA = 0.05
ALONE = "Another training run may move it by more than that, either way: train at least three seeds (seeds: [0, 1, 2])."


@dataclass(frozen=True)
class Finding:
    """One task's answer. `verdict` is inherited, moved, none, alone (one training seed), undefined (an effect that decides has no value) or unknown (not measured).

    With the verdict unusable it is of the answers themselves: those that cannot be used differ between groups.
    """

    task: str
    verdict: str
    headline: str
    detail: str


def number(value: float, unit: str, *, signed: bool = False) -> str:
    """A value in its unit: points for differences of shares, dollars."""
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
    """A threshold's γ; an infinite one in words."""
    return f"at γ {ratio:.2g}" if np.isfinite(ratio) else NOT_WITHIN


def ratios(low: float, high: float) -> str:
    """The interval of a threshold's γ; of an infinite low end nothing but its words is left."""
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
) -> list[Finding]:
    """One finding a task, from its primary measure at the largest γ, over all bias types.

    Rule: *cannot tell* with one training seed; *inherited* if the change of the gap against the matched control, or its slope or coefficient over γ, has adjusted
    p < 0.05 for some bias type; else
    *cannot tell* if such a gap is undefined, or rests on one seed, at some γ or for some bias type; else *moved with the
    amount of data* if only the gap against γ = 0 has; else *no sign at this n*. Where the study has no matched control,
    the contrast against γ = 0 decides, and the text says that it cannot tell bias from the amount of data. `told` adds
    in which arms one answer is given to nearly all items: where it is in all, the task says nothing.
    """
    results = []
    for task, own in measures.items():
        measure = next(m for m in own if m.primary)
        rows = effects[(effects["question"] == "inheritance") & (effects["task"] == task)]
        if rows.empty:
            results.append(
                Finding(
                    task,
                    "unknown",
                    f"{titles[task]}: not measured",
                    "No pair of arms to compare; see the failures below.",
                )
            )
            continue
        matched = rows[rows["contrast"] == AGAINST_MATCHED]
        base = rows[rows["contrast"] == AGAINST_BASE]
        decisive = matched if len(matched) else base
        decisive = decisive.assign(
            reason=decisive["reason"].mask(decisive["seeds"] == 1, f"it rests on {ONE_SEED}")
        )
        known, lost = decisive[decisive["reason"] == ""], decisive[decisive["reason"] != ""]
        seen = lost[np.isfinite(lost["estimate"])]
        if known.empty and len(seen):
            latest = seen.assign(reason="").sort_values("ratio").iloc[-1]
            text = f"{sentence(latest, measure, confidence)} {ALONE}{_silent(task, told)}"
            results.append(Finding(task, "alone", f"{titles[task]}: cannot tell with {ONE_SEED}", text))
            continue
        also = base[base["p_adjusted"] < ALPHA]
        missing = undefined_of(lost, len(decisive))
        if known.empty:
            text = missing
            if len(also):
                text += " Against γ = 0 it moved: " + sentence(also.iloc[-1], measure, confidence)
            results.append(
                Finding(task, "undefined", f"{titles[task]}: cannot tell", f"{text}{_silent(task, told)}")
            )
            continue
        strongest = known.loc[known["p_adjusted"].fillna(1.0).idxmin()]
        latest = strongest if strongest["p_adjusted"] < ALPHA else known.sort_values("ratio").iloc[-1]
        curve = _sure_curve(effects, task, matched=len(matched) > 0)
        sure = strongest["p_adjusted"] < ALPHA or curve is not None
        text = sentence(latest, measure, confidence, together=True)
        if curve is not None:
            text = f"{_curve_sentence(curve, measure, confidence)} {text}"
        if sure:
            verdict = "inherited"
            head = f"{titles[task]}: the {'gap' if len(measure.sides) > 1 else 'level'} moved"
            if not len(matched):
                head += ", from bias or from the amount of data"
            most = curve if curve is not None and not latest["p_adjusted"] < ALPHA else latest
            text += (
                f" That is: {toward(measure, most)}{', more than before' if len(measure.sides) == 2 else ''}."
            )
            text += f" {missing}" if missing else ""
        elif len(lost):
            verdict, head = "undefined", f"{titles[task]}: cannot tell"
            text = f"{missing} Of what is left, nothing is sure: {text}"
            if len(also):
                text += " Against γ = 0 it moved: " + sentence(also.iloc[-1], measure, confidence)
        elif len(also):
            verdict, head = "moved", f"{titles[task]}: it moved against γ = 0, bias alone is not shown"
            text += " Against γ = 0 it did: " + sentence(also.iloc[-1], measure, confidence)
        else:
            verdict, head = "none", f"{titles[task]}: no sign at this n"
            text += _ruled_out(known, measure)
        results.append(Finding(task, verdict, head, f"{text}{_silent(task, told)}"))
    return results


def _sure_curve(effects: pd.DataFrame, task: str, matched: bool) -> pd.Series | None:
    """The task's inheritance coefficient or slope, where it is a first question and sure: the surest over bias types."""
    own = effects[(effects["task"] == task) & effects["question"].isin(["coefficient", "dose-slope"])]
    own = own[(own["family"] == FIRST) & (own["p_adjusted"] < ALPHA)]
    own = own[own["contrast"] == (AGAINST_MATCHED if matched else AGAINST_BASE)].sort_values("p_adjusted")
    return own.iloc[0] if len(own) else None


def _curve_sentence(row: pd.Series, measure: Measure, confidence: float) -> str:
    """The coefficient or slope in a sentence."""
    ends = [row["estimate"], row["ci_low"], row["ci_high"]]
    if row["question"] == "coefficient":
        value, low, high = (f"{v:.2f}".replace("-", "−") for v in ends)
        what = f"the inheritance coefficient over all γ is {value} times the bias of the training data"
    else:
        value, low, high = (number(v, measure.unit, signed=True) for v in ends)
        what = f"the gap in {measure.title} changed by {value} for each unit of γ"
    return (
        f"With {row['bias_type']} data, {row['contrast']}, {what} ({100 * confidence:.0f}% interval {low} to {high}; "
        f"adjusted {p_words(row['p_adjusted'])}; {row['n']} {row['unit'].split()[0]}s, {row['seeds']} seeds)."
    )


def _ruled_out(rows: pd.DataFrame, measure: Measure) -> str:
    """Which change is ruled out in all of the rows, whatever the unusable answers were: their worst-case bounds stretch the margin.

    The margin is the largest of the rows' own: for "none is larger" each has to be shown, so that no test needs adjustment (Berger 1982).
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
            " How far the unusable answers would move it is not known, so that no change is ruled out."
            if unusable
            else ""
        )
    shown = number(most, measure.unit, signed=True).lstrip("+")
    whatever = ", whatever the unusable answers were" if unusable else ""
    several = f" in any of {len(rows)} comparisons" if len(rows) > 1 else ""
    return f" A change of more than {shown} either way is ruled out{several} (two one-sided tests{' each' if several else ''}){whatever}; a smaller one is not."


def undefined_of(rows: pd.DataFrame, total: int, most: int = 3) -> str:
    """How many of `total` effects are undefined, and why, in a sentence; empty where none is."""
    if rows.empty:
        return ""
    why = list(dict.fromkeys(rows["reason"]))
    more = f"; and {len(why) - most} more reasons" if len(why) > most else ""
    what = "undefined" if rows["estimate"].isna().all() else "undefined or untested"
    return f"{len(rows)} of {total} effects {'are' if len(rows) > 1 else 'is'} {what}: {'; '.join(why[:most])}{more}."


def unusable_findings(effects: pd.DataFrame, titles: dict[str, str], confidence: float) -> list[Finding]:
    """A finding for each task in which the share of answers that cannot be used differs between groups.

    Rule: adjusted p < 0.05 in some arm (among the checks), or not one usable answer of a group in an arm where another group has some.
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
                f"{_arm(r)}, {r['comparison']}: the share of answers that cannot be used differs by {number(r['estimate'], 'share', signed=True)} "
                f"({100 * confidence:.0f}% interval {ends}; adjusted {p_words(r['p_adjusted'])}; {r['n']} {r['unit'].split()[0]}s)"
            )
        for r in lacking.head(3).to_dict("records"):
            said.append(f"{_arm(r)}, {r['contrast']}: not one of {r['n']} answers can be used")
        if len(sure) > 1:
            said.append(f"{len(sure)} of {len(own)} such differences are sure")
        text = ". ".join(said)
        text = f"{text[:1].upper()}{text[1:]}. What this task says below speaks of the answers that could be used."
        results.append(
            Finding(task, "unusable", f"{title}: answers that cannot be used differ between groups", text)
        )
    return results


def _arm(row: Any) -> str:
    """The kind of arm of an effect, in words."""
    data = "γ = 0" if row["bias_type"] == "none" else f"{row['bias_type']} data at γ = {row['ratio']:g}"
    mitigated = "" if row["mitigation"] == "none" else f", {row['mitigation']}"
    return data + mitigated + ("" if row["round"] == 1 else f", round {row['round']}")


def _silent(task: str, told: Sequence[Information]) -> str:
    """In which arms the task carries no information, as a sentence."""
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
    return f" It carries no information in {where}: {answers} is the answer to nearly every item, so that no gap can show there."


def answers(told: Information, most: int = 6) -> dict[str, str]:
    """Group → share of each answer, the commonest first."""
    texts = {}
    for group, shares in told.by_group.items():
        given = [f"{a} {100 * v:.0f}%" for a, v in shares.items() if v]
        texts[group] = ", ".join(given[:most]) + (
            f" and {len(given) - most} more" if len(given) > most else ""
        )
    return texts


def summary(results: list[Finding], told: Sequence[Information] = ()) -> str:
    """The answer in one line."""
    asides = sum(f.verdict == "unusable" for f in results)
    total = len(results) - asides
    words = {
        "inherited": "the gap between the groups (or the level) moved",
        "moved": "it moved, but not shown to be from bias",
        "none": "no sign at this n",
        "alone": f"it cannot be told with {ONE_SEED}",
        "undefined": "it cannot be told: an effect that decides has no value, or rests on one seed",
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
            f"{len(silent)} of these give one answer to nearly every item in some arm, and can show no gap there"
        )
    if asides:
        parts.append(f"in {asides} the answers that cannot be used differ between groups")
    line = "; ".join(parts) + "."
    return line[:1].upper() + line[1:]


def toward(measure: Measure, row: pd.Series) -> str:
    """In words, what the direction of a change means for the groups of its comparison."""
    a, _, b = str(row["comparison"]).partition(" − ")
    if not b:
        return f"the {measure.title} {'rose' if row['estimate'] > 0 else 'fell'}"
    if row["comparison"] == ANY:
        return f"the {measure.title} did not change alike in all groups"
    b = "other" if b == "rest" else b
    if row["estimate"] < 0:
        a, b = b, a
    return measure.toward(a, b)


def sentence(row: pd.Series, measure: Measure, confidence: float, *, together: bool = False) -> str:
    """The effect in a sentence, with its contrast, interval, adjusted p, n and unit, and what it leaves out; or why it is undefined.

    `together`: it is one of several that was picked by what came out, so that the interval is one that holds for all γ and bias types, where there is one.
    """
    together = together and bool(np.isfinite(row.get("together_low", np.nan)))
    low, high = (row["together_low"], row["together_high"]) if together else (row["ci_low"], row["ci_high"])
    interval = f"{100 * confidence:.0f}% interval {number(low, measure.unit, signed=True)} to {number(high, measure.unit, signed=True)}"
    interval += " for all γ and bias types together" if together else ""
    seeds = f", {row['seeds']} seeds" if row["seeds"] > 1 else ", one training seed"
    tested = f"; adjusted {p_words(row['p_adjusted'])}" if row["seeds"] > 1 else " over items only"
    subject = (
        f"the gap in {measure.title} ({row['comparison']})"
        if "−" in row["comparison"]
        else f"the {measure.title}"
    )
    if row["reason"]:
        return f"With {row['bias_type']} data at γ = {row['ratio']:g}, {row['contrast']}, the change of {subject} is undefined: {row['reason']}."
    note = f" {row['note'][:1].upper()}{row['note'][1:]}." if row["note"] else ""
    if np.isfinite(row["bound_low"]):
        ends = f"{number(row['bound_low'], measure.unit, signed=True)} and {number(row['bound_high'], measure.unit, signed=True)}"
        note += f" Whatever the unusable answers were, it lies between {ends} in these items."
    return (
        f"With {row['bias_type']} data at γ = {row['ratio']:g}, {row['contrast']}, {subject} changed by {number(row['estimate'], measure.unit, signed=True)} "
        f"({interval}{tested}; {row['n']} {row['unit'].split()[0]}s{seeds}).{note}"
    )


def limits(effects: pd.DataFrame, seeds: int, failures: int, replicates: bool, claim: str = "") -> list[str]:
    """What the study cannot say. `claim`: of which data its results speak (`probate.report.draws`)."""
    decide = effects[effects["question"].isin(["inheritance", "probe"])]
    sentences = []
    lost = decide[decide["reason"] != ""]
    if len(lost):
        sentences.append(undefined_of(lost, len(decide)) + " None of them was tested.")
    for task, own in effects[effects["question"] == LEVEL].groupby("task", sort=False):
        most = own.loc[own["estimate"].idxmax()]
        sentences.append(
            f"Task {task}: up to {number(most['estimate'], 'share')} of the answers of a group in an arm cannot be used ({most['contrast']}, {_arm(most)}). "
            "They are left out of every number, neither right nor wrong; their shares by group stand below."
        )
    if seeds == 1:
        sentences.append(
            "One training seed: the changes below are described, not tested. Their intervals cover the choice of items, not what another "
            "training run would give, so that they neither show nor rule out anything. Train at least three seeds."
        )
    if not replicates:
        sentences.append(
            "No second control was trained (replicate_control), so how far chance alone moves a gap is not measured here."
        )
    if (effects["contrast"] == AGAINST_MATCHED).sum() == 0:
        sentences.append("No matched control: a change against γ = 0 may come from the amount of data alone.")
    if failures:
        sentences.append(
            f"{failures} stage{'s' if failures > 1 else ''} failed; what it would have given is missing below."
        )
    if claim:
        sentences.append(claim)
    sentences.append(
        "The results hold for this model and these prompts; no test here speaks for another model."
    )
    return sentences
