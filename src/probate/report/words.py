"""Findings in plain words, by stated rules."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from probate.analyze.compare import SPREAD
from probate.analyze.effects import AGAINST_BASE, AGAINST_MATCHED
from probate.analyze.information import Information
from probate.tasks.base import Measure

ALPHA = 0.05


@dataclass(frozen=True)
class Finding:
    """One task's answer. `verdict` is inherited, moved, none or unknown."""

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


def p_figure(p: float) -> str:
    """A p for a line of figures."""
    return "–" if not np.isfinite(p) else "< 0.0001" if p < 0.0001 else f"{p:.4f}"


def p_words(p: float) -> str:
    if not np.isfinite(p):
        return "p not defined"
    return "p < 0.001" if p < 0.001 else f"p = {p:.3f}"


def findings(
    effects: pd.DataFrame,
    titles: dict[str, str],
    measures: dict[str, list[Measure]],
    confidence: float,
    told: Sequence[Information] = (),
) -> list[Finding]:
    """One finding a task, from its primary measure at the largest γ, over all bias types.

    Rule: *inherited* if the gap against the matched control has adjusted p < 0.05 for some bias type; *moved with the
    amount of data* if only the gap against γ = 0 has; else *no sign at this n*. Where the study has no matched control,
    the contrast against γ = 0 decides, and the text says that it cannot tell bias from the amount of data. `told` adds
    in which arms one answer is given to nearly all items: where it is in all, the task says nothing.
    """
    found = []
    for task, own in measures.items():
        measure = next(m for m in own if m.primary)
        rows = effects[(effects["question"] == "inheritance") & (effects["task"] == task)]
        if rows.empty:
            found.append(
                Finding(task, "unknown", f"{titles[task]}: not measured", "No pair of arms to compare; see the failures below.")
            )
            continue
        matched = rows[rows["contrast"] == AGAINST_MATCHED]
        base = rows[rows["contrast"] == AGAINST_BASE]
        decisive = matched if len(matched) else base
        strongest = decisive.loc[decisive["p_adjusted"].fillna(1.0).idxmin()]
        latest = strongest if strongest["p_adjusted"] < ALPHA else decisive.sort_values("ratio").iloc[-1]
        sure = strongest["p_adjusted"] < ALPHA
        also = base[base["p_adjusted"] < ALPHA]
        text = sentence(latest, measure, confidence)
        if sure:
            verdict = "inherited"
            head = f"{titles[task]}: the {'gap' if len(measure.sides) > 1 else 'level'} moved"
            if not len(matched):
                head += ", from bias or from the amount of data"
            text += f" That is: {toward(measure, latest)}{', more than before' if len(measure.sides) == 2 else ''}."
        elif len(also):
            verdict, head = "moved", f"{titles[task]}: it moved against γ = 0, bias alone is not shown"
            text += " Against γ = 0 it did: " + sentence(also.iloc[-1], measure, confidence)
        else:
            verdict, head = "none", f"{titles[task]}: no sign at this n"
            if np.isfinite(latest["within"]):
                most = number(latest["within"], measure.unit, signed=True).lstrip("+")
                text += f" A change of more than {most} either way is ruled out (two one-sided tests); a smaller one is not."
        found.append(Finding(task, verdict, head, f"{text}{_silent(task, told)}"))
    return found


def _silent(task: str, told: Sequence[Information]) -> str:
    """In which arms the task carries no information, as a sentence."""
    own = [i for i in told if i.task == task]
    silent = [i for i in own if i.silent]
    if not silent:
        return ""
    where = "all arms" if len(silent) == len(own) else f"{len(silent)} of {len(own)} arms ({', '.join(i.arm for i in silent)})"
    answers = " or ".join(sorted({i.answer for i in silent}))
    return (
        f" It carries no information in {where}: {answers} is the answer to nearly every item, so that no gap can show there."
    )


def answers(told: Information, most: int = 6) -> dict[str, str]:
    """Group → share of each answer, the commonest first."""
    found = {}
    for group, shares in told.by_group.items():
        given = [f"{a} {100 * v:.0f}%" for a, v in shares.items() if v]
        found[group] = ", ".join(given[:most]) + (f" and {len(given) - most} more" if len(given) > most else "")
    return found


def summary(found: list[Finding], told: Sequence[Information] = ()) -> str:
    """The answer in one line."""
    total = len(found)
    words = {
        "inherited": "the gap between the groups (or the level) moved",
        "moved": "it moved, but not shown to be from bias",
        "none": "no sign at this n",
        "unknown": "not measured",
    }
    parts = []
    for verdict, text in words.items():
        count = sum(f.verdict == verdict for f in found)
        if count:
            parts.append(f"in {count} of {total} task{'s' if total > 1 else ''} {text}")
    silent = {i.task for i in told if i.silent} & {f.task for f in found}
    if silent:
        parts.append(f"{len(silent)} of these give one answer to nearly every item in some arm, and can show no gap there")
    line = "; ".join(parts) + "."
    return line[:1].upper() + line[1:]


def toward(measure: Measure, row: pd.Series) -> str:
    """In words, what the direction of a change means for the groups of its comparison."""
    a, _, b = str(row["comparison"]).partition(" − ")
    if not b:
        return f"the {measure.title} {'rose' if row['estimate'] > 0 else 'fell'}"
    if (a, b) == tuple(SPREAD.split(" − ")):
        return f"the groups lie {'further apart' if row['estimate'] > 0 else 'closer together'} in {measure.title}"
    b = "other" if b == "rest" else b
    if row["estimate"] < 0:
        a, b = b, a
    return measure.toward.replace("{a}", a).replace("{b}", b)


def sentence(row: pd.Series, measure: Measure, confidence: float) -> str:
    """The effect in one sentence, with its contrast, interval, adjusted p, n and unit."""
    interval = f"{100 * confidence:.0f}% interval {number(row['ci_low'], measure.unit, signed=True)} to {number(row['ci_high'], measure.unit, signed=True)}"
    seeds = f", {row['seeds']} seeds" if row["seeds"] > 1 else ""
    subject = f"the gap in {measure.title} ({row['comparison']})" if "−" in row["comparison"] else f"the {measure.title}"
    return (
        f"With {row['bias_type']} data at γ = {row['ratio']:g}, {row['contrast']}, {subject} changed by {number(row['estimate'], measure.unit, signed=True)} "
        f"({interval}; adjusted {p_words(row['p_adjusted'])}; {row['n']} {row['unit'].split()[0]}s{seeds})."
    )


def limits(effects: pd.DataFrame, seeds: int, failures: int, replicates: bool) -> list[str]:
    """What the study cannot say."""
    found = []
    if seeds == 1:
        found.append(
            "One training seed: intervals and tests cover the choice of items, not what another training run would give. "
            "Take at least three seeds before acting on a single contrast."
        )
    if not replicates:
        found.append(
            "No second control was trained (replicate_control), so how far chance alone moves a gap is not measured here."
        )
    if (effects["contrast"] == AGAINST_MATCHED).sum() == 0:
        found.append("No matched control: a change against γ = 0 may come from the amount of data alone.")
    if failures:
        found.append(f"{failures} stage{'s' if failures > 1 else ''} failed; what it would have given is missing below.")
    found.append("The results hold for this model, these data and these prompts; no test here speaks for another model.")
    return found
