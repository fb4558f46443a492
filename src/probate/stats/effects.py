"""Effects from outcomes: levels, gaps, and inheritance against γ = 0 and the matched control."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from probate.stats import amounts, comparisons, dose, unusable
from probate.stats.arms import (
    AGAINST_BASE,
    AGAINST_FIRST,
    AGAINST_MATCHED,
    AGAINST_REPLICATE,
    AGAINST_UNMITIGATED,
    ArmKind,
    Frames,
    arm_kinds,
)
from probate.stats.bounds import change_bounds
from probate.stats.contrast import Estimate
from probate.stats.hierarchy import adjusted
from probate.stats.measure import Measure
from probate.stats.pooled_effects import EVERY, pooled_rows
from probate.stats.pooled_grid import Grid
from probate.stats.relation import DIRECT_INDIRECT, direct_against_indirect
from probate.stats.usable import (
    Asked,
    Values,
    asked_of,
    missing_reason,
    most_unusable,
    undefined,
    usable_counts,
    values_of_arms,
    with_note,
)
from probate.study.plan import REPLICATE_SEED, Arm
from probate.study.schema import Analysis
from probate.study.taxonomy import NEUTRAL, SECOND

COLUMNS = (
    "question task metric contrast bias_type ratio mitigation round estimate ci_low ci_high p p_adjusted n "
    "test unit p_bh interval seeds family comparison within reason note unusable bound_low bound_high "
    "together_low together_high"
).split()
"""The columns of the contract, then Probate's additional columns."""

OF_ONE_ARM = ("level", "gap", "worst-group", "unusable-level", "unusable")
"""Questions about trained models as they are. All other questions are about training."""
ONE_SEED = "one training seed"


def effects_of(
    outcomes: pd.DataFrame,
    measures: dict[str, list[Measure]],
    analysis: Analysis,
    probes: Collection[str] = (),
    relations: Mapping[str, str] | None = None,
    bias: Mapping[tuple[str, float], float] | None = None,
    arms: Sequence[Arm] = (),
) -> pd.DataFrame:
    """Compute all effects of a run.

    An effect without usable answers of a group or an arm is undefined: it has a `reason` and no number. It is
    never taken as 0. The questions are:

    - `level`: mean of one group; `worst-group`: the group with the worst level; `gap`: difference between
      groups. All three are of one arm.
    - `inheritance`: change of the primary measure's gap, or of its level if it has one side;
      `inheritance-expected`: the same for the primary measure in expectation; `inheritance-detail`: for the
      other measures.
    - `null`: the control against a second control.
    - `mitigated`: as `inheritance`, for a mitigated arm; `mitigation`: change of the primary measure against
      the arm without the mitigation; `mitigation-detail`: the same for the other measures; `mitigation-cost`:
      change of accuracy over all groups.
    - `unusable-level`: share of unusable answers in one group; `unusable`: its difference between groups.
    - `round`: change of the primary measure in a later round against the first.
    - `dose-slope`: change of the gap per unit of γ; `dose-step`: change from one dose to the next;
      `coefficient`: change per unit of bias in the training data; `threshold`: γ at which the change of a
      share passes the budget.
    - `relation`: change of macro-F1, direct minus indirect tasks (task `all`).
    - `pooled-inheritance`, `pooled-mitigation`, `pooled-relation`: the same over all bias types and γ (bias
      type `all`; `probate.stats.pooled_effects`).

    Parameters
    ----------
    outcomes : pandas.DataFrame
        The outcomes table, with `groups` as dictionaries.
    measures : dict
        Task name → its measures.
    analysis : Analysis
        Confidence, resamples, seed, planned seeds and budget.
    probes : collection of str
        Tasks whose changes are the question `probe`, which is a family of its own.
    relations : mapping, optional
        Task name → `direct` or `indirect`.
    bias : mapping, optional
        (bias type, γ) → bias in the arm's training data (`neutral`: the matched control's; `none`, 0:
        D_o).
    arms : sequence of Arm
        The planned arms. Effects of an arm without outcomes are undefined, and no dose-response curve bridges
        it. Default: the arms in the outcomes.

    Returns
    -------
    pandas.DataFrame
        Columns `COLUMNS`. `comparison` names the groups: first − second; with more than two groups, each
        group against the rest, and all groups together. `together_low` and `together_high` are an interval
        that holds simultaneously for all γ and bias types of the task. An effect of training with one seed
        has no `p` and no `within`. `p_adjusted` holds for all effects together (`probate.stats.hierarchy`);
        `p_bh` is Benjamini and Hochberg's over all tests of a question.
    """
    rows, measured = [], []
    for task, task_measures in measures.items():
        kinds = arm_kinds(outcomes[outcomes["task"] == task], arms)
        grouped: set[tuple[str, ...]] = set()
        for measure in task_measures:
            answers = outcomes[outcomes["task"] == task]
            middle = amounts.typical_amount(measure, answers)
            measure = amounts.on_log_scale(measure, middle)
            frames = _frames(answers, kinds, measure)
            asked = asked_of([v for own in frames.values() for v in own.values()], measure)
            if not asked.sides and not (measure.primary and kinds):
                continue  # a part of a measure that these data do not have
            own = _Measured(task, measure, frames, asked, analysis, middle)
            measured += [own] if task not in probes else []
            rows += list(_measure_effects(own, "probe" if task in probes else "inheritance"))
            if measure.sides not in grouped and measure.statistic == "mean":
                rows += list(_unusable_effects(own))
                grouped.add(measure.sides)
            if (
                measure.primary
                and task not in probes
                and measure.statistic == "mean"
                and len(measure.sides) == 2
            ):
                rows += list(_dose_effects(own, bias or {}))
    table = pd.DataFrame(rows, columns=[*COLUMNS])
    between = list(_relation_effects(table, relations or {}, analysis))
    between += list(_pooled_effects(measured, relations or {}, analysis))
    return adjusted(
        _described(pd.DataFrame([*rows, *between], columns=[*COLUMNS])), AGAINST_MATCHED, AGAINST_BASE
    )


@dataclass(frozen=True)
class _Measured:
    """One measure of one task in all arms."""

    task: str
    measure: Measure
    frames: Frames
    asked: Asked
    analysis: Analysis
    typical: float
    """The typical amount, for amounts on a log scale; else NaN."""


def _row(
    question: str,
    task: str,
    metric: str,
    name: str,
    bias_type: str,
    ratio: float,
    comparison: str,
    e: Estimate,
    mitigation: str = "none",
    number: int = 1,
    unusable: float = 0.0,
    bounds: tuple[float, float] = (np.nan, np.nan),
    together: tuple[float, float] = (np.nan, np.nan),
) -> dict[str, object]:
    values = asdict(e)
    return {
        "question": question, "task": task, "metric": metric, "contrast": name, "bias_type": bias_type,
        "ratio": ratio, "mitigation": mitigation, "round": number, "estimate": values["value"],
        "ci_low": values["low"], "ci_high": values["high"], "p": values["p"], "p_adjusted": np.nan,
        "p_bh": np.nan, "n": values["n"], "test": values["test"], "unit": values["unit"],
        "interval": values["interval"], "seeds": values["seeds"], "family": "", "comparison": comparison,
        "within": values["within"], "reason": values["reason"], "note": values["note"], "unusable": unusable,
        "bound_low": bounds[0], "bound_high": bounds[1],
        "together_low": together[0], "together_high": together[1],
    }  # fmt: skip


def _relation_effects(
    table: pd.DataFrame, relations: Mapping[str, str], analysis: Analysis
) -> Iterable[dict[str, object]]:
    """Yield the change of macro-F1 in direct minus indirect tasks, for each arm and contrast."""
    changes = table[
        (table["metric"] == "macro_f1")
        & table["question"].str.startswith("inheritance")
        & (table["round"] == 1)
    ]
    for (bias_type, ratio, name), own in changes.groupby(["bias_type", "ratio", "contrast"], sort=False):
        sides = [
            own.loc[own["task"].map(relations.get) == side, "estimate"] for side in ("direct", "indirect")
        ]
        if all(len(side) for side in sides):
            e = direct_against_indirect(sides[0].tolist(), sides[1].tolist(), analysis)
            e, lost = (
                replace(e, seeds=int(own["seeds"].min())),
                own.loc[own["estimate"].isna(), "task"].tolist(),
            )
            if lost:
                e = undefined(f"the change of macro-F1 is undefined in {', '.join(lost)}")
            yield _row(
                "relation", "all", "macro_f1", str(name), str(bias_type), float(ratio), DIRECT_INDIRECT, e
            )


def _pooled_effects(
    measured: Sequence[_Measured], relations: Mapping[str, str], analysis: Analysis
) -> Iterable[dict[str, object]]:
    """Yield the effects over all bias types and γ."""
    grids = [Grid(m.task, m.measure, m.frames, m.asked, m.typical) for m in measured]
    for r in pooled_rows(
        [g for g in grids if g.measure.primary],
        [g for g in grids if g.measure.name == "macro_f1"],
        relations,
        analysis,
    ):
        yield _row(
            r.question,
            r.task,
            r.metric,
            r.contrast,
            EVERY,
            r.ratio,
            r.comparison,
            r.effect,
            r.mitigation,
            unusable=r.unusable,
            bounds=r.bounds,
        )


def _frames(outcomes: pd.DataFrame, kinds: Mapping[ArmKind, Sequence[int]], measure: Measure) -> Frames:
    """Return the measure's values of each kind of arm and seed; empty if an arm has no outcomes."""
    outcomes = outcomes.reset_index(drop=True)
    rows = outcomes.groupby(["bias_type", "ratio", "mitigation", "round", "seed"], sort=False).indices
    keys = {
        (cell, seed): (
            cell.bias_type, cell.ratio, cell.mitigation, cell.round, seed + REPLICATE_SEED * cell.replicate
        )
        for cell, seeds in kinds.items()
        for seed in seeds
    }  # fmt: skip
    names = {key: cell.arm(seed) for (cell, seed), key in keys.items()}
    values = values_of_arms(measure, outcomes, rows, names)
    return {cell: {s: values[keys[cell, s]] for s in seeds} for cell, seeds in kinds.items()}


def _measure_effects(own: _Measured, question: str) -> Iterable[dict[str, object]]:
    measure, frames = own.measure, own.frames
    for cell, by_seed in frames.items():
        yield from _levels(own, cell, by_seed)
    detail = "" if measure.primary else "-expected" if measure.expected else "-detail"
    null = f"{'null' if question == 'inheritance' else f'{question}-null'}{detail}"
    prefix = "" if question == "inheritance" else f"{question}-"
    question = f"{question}{detail}"
    base = ArmKind("none", 0.0)
    for cell in frames:
        if cell.bias_type == "none":
            continue
        matched = ArmKind(NEUTRAL, cell.ratio, round=cell.round)
        others = []
        if cell.round > 1:
            others.append((f"{prefix}round{detail}", AGAINST_FIRST, replace(cell, round=1)))
        if cell.mitigation != "none":
            others += [
                (f"{prefix}mitigated{detail}", AGAINST_BASE, base),
                (f"{prefix}mitigated{detail}", AGAINST_MATCHED, matched),
                (f"{prefix}mitigation{detail}", AGAINST_UNMITIGATED, replace(cell, mitigation="none")),
            ]
        elif cell.replicate:
            others.append((null, AGAINST_REPLICATE, matched))
        else:
            kind = question if cell.bias_type != NEUTRAL else question + "-control"
            others.append((kind, AGAINST_BASE, base))
            if cell.bias_type != NEUTRAL:
                others.append((kind, AGAINST_MATCHED, matched))
        for kind, name, other in others:
            if other in frames:
                yield from _changes(own, kind, name, cell, other)
                if name == AGAINST_UNMITIGATED and measure.name == "accuracy":
                    yield _overall(own, f"{prefix}mitigation-cost", name, cell, other)


def _arm_effect(
    own: _Measured, question: str, name: str, cell: ArmKind, comparison: str, e: Estimate, **more: Any
) -> dict[str, object]:
    bias_type = SECOND if cell.replicate else cell.bias_type
    if "unusable" not in question:
        e = amounts.with_scale(e, own.typical, level=question in ("level", "worst-group"))
    return _row(
        question,
        own.task,
        own.measure.name,
        name,
        bias_type,
        cell.ratio,
        comparison,
        e,
        cell.mitigation,
        cell.round,
        **more,
    )


def _levels(own: _Measured, cell: ArmKind, by_seed: Mapping[int, Values]) -> Iterable[dict[str, object]]:
    measure = own.measure
    estimates = comparisons.levels(
        [v.frame for v in by_seed.values() if len(v.frame)], measure, own.analysis, own.asked
    )
    for question, name, comparison, e in estimates:
        sides = (
            {measure.sides.index(name)}
            if question == "level"
            else comparisons.needed_sides(measure, comparison, own.asked)
        )
        lost = {s: why for s, v in by_seed.items() if (why := missing_reason([v], measure, own.asked, sides))}
        aside = usable_counts(list(by_seed.values()), measure, replace(own.asked, sides=frozenset(sides)))
        most = most_unusable(list(by_seed.values()), sides)
        yield _arm_effect(
            own, question, name, cell, comparison, with_note(e, lost, len(by_seed), aside), unusable=most
        )


def _paired(
    own: _Measured, cell: ArmKind, other: ArmKind, sides: Collection[int]
) -> tuple[dict[int, tuple[Values, Values]], dict[int, str]]:
    """Return (after, before) for each complete seed of two kinds of arm, and why other seeds are left out."""
    after, before = own.frames[cell], own.frames[other]
    pairs, lost = {}, {}
    for seed in sorted(after.keys() | before.keys()):
        if seed not in after or seed not in before:
            lost[seed] = f"there is no arm '{(cell if seed not in after else other).arm(seed)}'"
            continue
        pairs[seed] = after[seed], before[seed]
        why = missing_reason(pairs[seed], own.measure, own.asked, sides)
        if why:
            lost[seed] = why
    return {s: p for s, p in pairs.items() if s not in lost}, lost


def _changes(
    own: _Measured, question: str, name: str, cell: ArmKind, other: ArmKind
) -> Iterable[dict[str, object]]:
    """Yield every comparison of the change from one kind of arm to another."""
    measure, seeds = own.measure, own.frames[cell].keys() | own.frames[other].keys()
    both = [list(own.frames[c].values()) for c in (cell, other)]
    aside, common = (
        usable_counts([*both[0], *both[1]], measure, own.asked),
        own.asked.sides or frozenset(range(len(measure.sides))),
    )
    pairs, _ = _paired(
        own,
        cell,
        other,
        comparisons.needed_sides(measure, comparisons.comparison_names(measure)[-1], own.asked),
    )
    frames = [(a.frame, b.frame) for a, b in pairs.values()]
    many = sum(
        c.bias_type not in ("none", NEUTRAL) and c.mitigation == "none" and c.round == 1 for c in own.frames
    )
    strict = own.analysis.model_copy(update={"confidence": 1 - (1 - own.analysis.confidence) / max(1, many)})
    whole = (
        dict(comparisons.changes(frames, measure, strict, own.asked))
        if question == "inheritance" and many > 1
        else {}
    )
    for comparison, e in comparisons.changes(frames, measure, own.analysis, own.asked):
        _, lost = _paired(own, cell, other, comparisons.needed_sides(measure, comparison, own.asked))
        more: dict[str, Any] = {}
        if comparison in whole and not lost:
            more["together"] = whole[comparison].low, whole[comparison].high
        if aside:
            more |= {
                "unusable": most_unusable([*both[0], *both[1]], common),
                "bounds": change_bounds(both[0], both[1], measure, comparison),
            }
        yield _arm_effect(
            own, question, name, cell, comparison, with_note(e, lost, len(seeds), aside), **more
        )


def _overall(own: _Measured, question: str, name: str, cell: ArmKind, other: ArmKind) -> dict[str, object]:
    """Return the change of a share over all groups together; every group that is asked about must have
    values.
    """
    pairs, lost = _paired(own, cell, other, own.asked.sides)
    e = comparisons.overall([(a.frame, b.frame) for a, b in pairs.values()], own.analysis)
    both = [*own.frames[cell].values(), *own.frames[other].values()]
    aside = usable_counts(both, own.measure, own.asked)
    return _arm_effect(
        own, question, name, cell, comparisons.ALL, with_note(e, lost, len(pairs) + len(lost), aside),
        unusable=most_unusable(both, own.asked.sides),
    )  # fmt: skip


def _unusable_effects(own: _Measured) -> Iterable[dict[str, object]]:
    """Yield the shares of unusable answers in each arm that has any, and their differences between groups."""
    for cell, by_seed in own.frames.items():
        for question, name, comparison, e in unusable.unusable_shares(
            list(by_seed.values()), own.measure, own.analysis, own.asked
        ):
            yield _arm_effect(own, question, name, cell, comparison, e) | {"metric": "unusable"}


def _dose_effects(own: _Measured, bias: Mapping[tuple[str, float], float]) -> Iterable[dict[str, object]]:
    """Yield slope, steps, inheritance coefficient and threshold of each bias type.

    The reference is the matched control if each dose has one, else γ = 0.
    """
    task, measure, analysis = own.task, own.measure, own.analysis
    pair = " − ".join(measure.sides)
    plain = {
        c: f for c, f in own.frames.items() if c.mitigation == "none" and not c.replicate and c.round == 1
    }
    matched = {c.ratio: f for c, f in plain.items() if c.bias_type == NEUTRAL}
    base = plain.get(ArmKind("none", 0.0))
    for bias_type in dict.fromkeys(c.bias_type for c in plain if c.bias_type not in ("none", NEUTRAL)):
        curve = {c.ratio: f for c, f in plain.items() if c.bias_type == bias_type}
        name, reference = AGAINST_MATCHED, {r: f for r, f in matched.items() if r in curve}
        other = {r: bias.get((NEUTRAL, r), np.nan) for r in curve}
        if set(reference) != set(curve):
            if base is None:
                continue
            name, reference = AGAINST_BASE, dict.fromkeys(curve, base)
            other = dict.fromkeys(curve, bias.get(("none", 0.0), np.nan))
        most, parts = max(curve), _Doses(own, curve, reference)

        def row(
            question: str, ratio: float, e: Estimate, name: str = name, bias_type: str = bias_type
        ) -> dict[str, object]:
            return _row(
                question,
                task,
                measure.name,
                name,
                bias_type,
                ratio,
                pair,
                amounts.with_scale(e, own.typical, level=False),
            )

        if len(curve) > 1:
            yield row("dose-slope", most, parts.slope({r: r for r in curve}))
            for low, high in itertools.pairwise(sorted({0.0, *curve})):
                yield row("dose-step", high, parts.step(low, high), f"{name}, from γ {low:g}")
        more = {r: bias.get((bias_type, r), np.nan) - other[r] for r in curve}
        if bias and not np.isfinite([*more.values()]).all():
            unknown = ", ".join(f"{r:g}" for r, x in more.items() if not np.isfinite(x))
            yield row(
                "coefficient",
                most,
                undefined(
                    f"the bias of the training data is not known at γ {unknown}: a group has no record there"
                ),
            )
        elif any(more.values()) and bias:
            yield row("coefficient", most, parts.slope(more))
        if measure.unit == "share":
            yield row("threshold", most, parts.threshold(analysis.budget))


@dataclass(frozen=True)
class _Doses:
    """The arms of one bias type over γ, with the reference of each."""

    own: _Measured
    curve: Mapping[float, Mapping[int, Values]]
    reference: Mapping[float, Mapping[int, Values]]

    def _frames(
        self, ratios: Sequence[float]
    ) -> tuple[dict[float, Any], dict[float, Any], dict[int, str], int]:
        """Return values of the biased arms and references for complete seeds, why seeds are left out, and the
        number of seeds.

        A seed is complete if it lacks nothing at any of the given γ.
        """
        sides = range(len(self.own.measure.sides))
        seeds = sorted({s for r in ratios for s in (*self.curve[r], *self.reference[r])})
        lost: dict[int, str] = {}
        for seed, ratio in itertools.product(seeds, ratios):
            parts = [arms[ratio].get(seed) for arms in (self.curve, self.reference)]
            why = (
                missing_reason([p for p in parts if p], self.own.measure, self.own.asked, sides)
                if all(parts)
                else f"no arm of seed {seed}"
            )
            if why:
                lost.setdefault(seed, why)
        kept = [s for s in seeds if s not in lost]
        curve, reference = (
            {r: {s: arms[r][s].frame for s in kept} for r in ratios} for arms in (self.curve, self.reference)
        )
        return curve, reference, lost, len(seeds)

    def slope(self, dose_of: Mapping[float, float]) -> Estimate:
        curve, reference, lost, seeds = self._frames([r for r, x in dose_of.items() if x])
        return with_note(dose.slope(curve, reference, dose_of, self.own.analysis), lost, seeds)

    def step(self, low: float, high: float) -> Estimate:
        curve, reference, lost, seeds = self._frames([r for r in (low, high) if r > 0])
        return with_note(dose.step(curve, reference, low, high, self.own.analysis), lost, seeds)

    def threshold(self, budget: float) -> Estimate:
        """Estimate the threshold over the complete γ.

        It is undefined with one training seed, or if it may lie at an incomplete γ.
        """
        frames = {r: self._frames([r]) for r in self.curve}
        whole = [r for r, (curve, *_) in frames.items() if curve[r]]
        gone = {r: next(iter(frames[r][2].values())) for r in self.curve if r not in whole}
        curve, reference, lost, _ = self._frames(whole) if whole else ({}, {}, {}, 0)
        t = dose.threshold(curve, reference, sorted(self.curve), budget, self.own.analysis)
        why = "; ".join(f"γ {r:g}: {reason}" for r, reason in gone.items()) or "; ".join(
            dict.fromkeys(lost.values())
        )
        if np.isnan(t.ratio):
            return undefined(t.reason or why or "no item has a usable answer wherever one is needed")
        e = Estimate(
            t.ratio,
            t.low,
            t.high,
            np.nan,
            t.n,
            t.seeds,
            "none",
            "tests inverted, t over items and seeds",
            "γ",
        )
        named = [
            *(f"γ {r:g} left out: {reason}" for r, reason in gone.items()),
            *(f"seed {s} left out: {reason}" for s, reason in lost.items()),
        ]
        return replace(e, note="; ".join(filter(None, [dose.interval_note(t.low, t.high), *named])))


def _described(table: pd.DataFrame) -> pd.DataFrame:
    """Remove p and margin from effects of training that rest on one training seed.

    Their interval covers items only. The data do not show how much another training would differ, which is
    often more than the variation over items.
    """
    alone = ~table["question"].isin(OF_ONE_ARM) & (table["seeds"] == 1) & (table["reason"] == "")
    table.loc[alone, ["p", "within"]] = np.nan
    table.loc[alone, "test"] = f"none: {ONE_SEED}"
    table.loc[alone, "interval"] += ", over items only"
    return table
