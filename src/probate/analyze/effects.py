"""Outcomes become effects: levels and gaps of each arm, and inheritance against γ = 0 and the matched control."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace

import numpy as np
import pandas as pd
from statsmodels.stats.multitest import multipletests

from probate.analyze import compare, dose
from probate.analyze.contrast import Estimate
from probate.analyze.relation import DIRECT_INDIRECT, direct_against_indirect
from probate.bias.taxonomy import NEUTRAL
from probate.plan import REPLICATE_SEED
from probate.study import Analysis
from probate.tasks.base import Measure

COLUMNS = (
    "question task metric contrast bias_type ratio mitigation round estimate ci_low ci_high p p_adjusted n test unit "
    "p_bh interval seeds family comparison within"
).split()
"""The contract's columns, then Probate's own."""

AGAINST_BASE = "against γ = 0"
AGAINST_MATCHED = "against matched control"
AGAINST_REPLICATE = "control against second control"
AGAINST_FIRST = "against the first round"
AGAINST_UNMITIGATED = "against the arm without it"


@dataclass(frozen=True)
class Cell:
    """One kind of arm: all its seeds."""

    bias_type: str
    ratio: float
    replicate: bool = False
    mitigation: str = "none"
    round: int = 1


def cells(outcomes: pd.DataFrame) -> list[Cell]:
    """The kinds of arm in the outcomes: control, then biased, matched and replicate by ratio."""
    rows = outcomes[["bias_type", "ratio", "seed", "mitigation", "round"]].drop_duplicates()
    found = {Cell(b, float(r), int(s) >= REPLICATE_SEED, m, int(n)) for b, r, s, m, n in rows.itertuples(index=False)}
    order = list(dict.fromkeys(rows["mitigation"]))
    return sorted(
        found,
        key=lambda c: (
            c.mitigation != "none", c.bias_type != "none", c.bias_type == NEUTRAL, c.bias_type, c.ratio, c.replicate,
            order.index(c.mitigation), c.round,
        ),
    )  # fmt: skip


def effects_of(
    outcomes: pd.DataFrame,
    measures: dict[str, list[Measure]],
    analysis: Analysis,
    probes: Collection[str] = (),
    relations: Mapping[str, str] | None = None,
    bias: Mapping[tuple[str, float], float] | None = None,
    planned: Sequence[float] = (),
) -> pd.DataFrame:
    """All effects of a run.

    Args:
        outcomes: the outcomes table, `groups` as dictionaries.
        measures: task name → its measures.
        analysis: confidence, resamples, seed.
        probes: names among the tasks whose changes are the question `probe`, a family of its own.
        relations: task name → direct or indirect.
        bias: (bias type, γ) → bias in the arm's training data (`neutral`: the matched control's; `none`, 0: D_o).
        planned: the study's γ; one without outcomes failed, and no dose curve bridges it. Default: those of the outcomes.

    Returns:
        A frame with `COLUMNS`. Questions: `level` (mean of one group), `worst-group`, `gap` (in one arm), `inheritance`
        (change of the primary measure's gap, or of its level where it has one side), `inheritance-detail` (of the others),
        `null` (control against a second control), `mitigated` (as `inheritance`, of a mitigated arm), `mitigation` (change of the
        primary measure by a mitigation, against the arm without it), `mitigation-detail` (of the others) and `mitigation-cost`
        (of accuracy, over all groups), `round` (change of the primary measure in a later round against the first), `dose-slope` (change of the gap per
        unit of γ), `dose-step` (from one dose to the next), `coefficient` (per unit of bias in the training data), `threshold` (γ at which the change of a share passes the budget), `relation` (change of macro-F1, direct against indirect tasks; task `all`).
        `comparison` names the groups: first − second; with more than two,
        each against the rest and max − min. `p_adjusted` is Holm's, `p_bh` Benjamini and Hochberg's, each over the
        family named in `family`.
    """
    rows = []
    for task, found in measures.items():
        own = outcomes[outcomes["task"] == task]
        if own.empty:
            continue
        kinds = cells(own)
        for measure in found:
            frames = {cell: _frames(own, cell, measure) for cell in kinds}
            if not measure.primary and all(f.empty for by_seed in frames.values() for f in by_seed.values()):
                continue  # a part of a measure that these data do not have
            rows += list(_measure_effects(task, measure, frames, analysis, "probe" if task in probes else "inheritance"))
            if measure.primary and task not in probes and measure.statistic == "mean" and len(measure.sides) == 2:
                rows += list(
                    _dose_effects(task, measure, frames, analysis, bias or {}, planned or sorted({c.ratio for c in kinds}))
                )
    table = pd.DataFrame(rows, columns=[*COLUMNS])
    between = list(_relation_effects(table, relations or {}, analysis))
    return _adjust(pd.DataFrame([*rows, *between], columns=[*COLUMNS]))


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
) -> dict[str, object]:
    values = asdict(e)
    return {
        "question": question, "task": task, "metric": metric, "contrast": name, "bias_type": bias_type,
        "ratio": ratio, "mitigation": mitigation, "round": number, "estimate": values["value"], "ci_low": values["low"],
        "ci_high": values["high"], "p": values["p"], "p_adjusted": np.nan, "p_bh": np.nan, "n": values["n"],
        "test": values["test"], "unit": values["unit"], "interval": values["interval"], "seeds": values["seeds"],
        "family": "", "comparison": comparison, "within": values["within"],
    }  # fmt: skip


def _relation_effects(table: pd.DataFrame, relations: Mapping[str, str], analysis: Analysis) -> Iterable[dict[str, object]]:
    """The change of macro-F1 in direct tasks against that in indirect ones, for each arm and contrast."""
    changes = table[(table["metric"] == "macro_f1") & table["question"].str.startswith("inheritance") & (table["round"] == 1)]
    for (bias_type, ratio, name), own in changes.groupby(["bias_type", "ratio", "contrast"], sort=False):
        sides = [own.loc[own["task"].map(relations.get) == side, "estimate"] for side in ("direct", "indirect")]
        if all(len(side) for side in sides):
            e = direct_against_indirect(sides[0].tolist(), sides[1].tolist(), analysis)
            yield _row("relation", "all", "macro_f1", str(name), str(bias_type), float(ratio), DIRECT_INDIRECT, e)


def _frames(outcomes: pd.DataFrame, cell: Cell, measure: Measure) -> dict[int, pd.DataFrame]:
    """Seed → the measure's values in that arm."""
    own = outcomes[(outcomes["bias_type"] == cell.bias_type) & (outcomes["ratio"] == cell.ratio)]
    own = own[(own["mitigation"] == cell.mitigation) & (own["round"] == cell.round)]
    own = own[(own["seed"] >= REPLICATE_SEED) == cell.replicate]
    return {int(seed) % REPLICATE_SEED: measure.values(part) for seed, part in own.groupby("seed")}


def _measure_effects(
    task: str, measure: Measure, frames: dict[Cell, dict[int, pd.DataFrame]], analysis: Analysis, question: str
) -> Iterable[dict[str, object]]:
    def row(question: str, name: str, cell: Cell, comparison: str, e: Estimate) -> dict[str, object]:
        bias_type = f"{cell.bias_type} (second)" if cell.replicate else cell.bias_type
        return _row(question, task, measure.name, name, bias_type, cell.ratio, comparison, e, cell.mitigation, cell.round)

    for cell, by_seed in frames.items():
        for kind, name, comparison, e in compare.levels(list(by_seed.values()), measure, analysis):
            yield row(kind, name, cell, comparison, e)
    detail = "" if measure.primary else "-detail"
    null = f"{'null' if question == 'inheritance' else f'{question}-null'}{detail}"
    prefix = "" if question == "inheritance" else f"{question}-"
    question = f"{question}{detail}"
    base = frames.get(Cell("none", 0.0), {})
    for cell, by_seed in frames.items():
        if cell.bias_type == "none":
            continue
        matched = frames.get(Cell(NEUTRAL, cell.ratio, round=cell.round), {})
        others = []
        if cell.round > 1:
            others.append((f"{prefix}round{detail}", AGAINST_FIRST, frames.get(replace(cell, round=1), {})))
        if cell.mitigation != "none":
            plain = frames.get(Cell(cell.bias_type, cell.ratio, round=cell.round), {})
            others += [
                (f"{prefix}mitigated{detail}", AGAINST_BASE, base),
                (f"{prefix}mitigated{detail}", AGAINST_MATCHED, matched),
                (f"{prefix}mitigation{detail}", AGAINST_UNMITIGATED, plain),
            ]
        elif cell.replicate:
            others.append((null, AGAINST_REPLICATE, matched))
        else:
            kind = question if cell.bias_type != NEUTRAL else question + "-control"
            others.append((kind, AGAINST_BASE, base))
            if cell.bias_type != NEUTRAL:
                others.append((kind, AGAINST_MATCHED, matched))
        for kind, name, other in others:
            pairs = [(by_seed[s], other[s]) for s in sorted(by_seed.keys() & other.keys())]
            if pairs:
                for comparison, e in compare.changes(pairs, measure, analysis):
                    yield row(kind, name, cell, comparison, e)
                if name == AGAINST_UNMITIGATED and measure.name == "accuracy":
                    yield row(f"{prefix}mitigation-cost", name, cell, compare.ALL, compare.overall(pairs, analysis))


def _dose_effects(
    task: str,
    measure: Measure,
    frames: dict[Cell, dict[int, pd.DataFrame]],
    analysis: Analysis,
    bias: Mapping[tuple[str, float], float],
    planned: Sequence[float],
) -> Iterable[dict[str, object]]:
    """Slope, steps, inheritance coefficient and threshold of each bias type, against matched controls where each dose has one, else against γ = 0."""
    pair = " − ".join(measure.sides)
    plain = {c: f for c, f in frames.items() if c.mitigation == "none" and not c.replicate and c.round == 1}
    matched = {c.ratio: f for c, f in plain.items() if c.bias_type == NEUTRAL}
    base = plain.get(Cell("none", 0.0))
    for bias_type in dict.fromkeys(c.bias_type for c in plain if c.bias_type not in ("none", NEUTRAL)):
        curve = {c.ratio: f for c, f in plain.items() if c.bias_type == bias_type}
        name, reference = AGAINST_MATCHED, {r: f for r, f in matched.items() if r in curve}
        other = {r: bias.get((NEUTRAL, r), np.nan) for r in curve}
        if set(reference) != set(curve):
            if base is None:
                continue
            name, reference = AGAINST_BASE, dict.fromkeys(curve, base)
            other = dict.fromkeys(curve, bias.get(("none", 0.0), np.nan))
        most = max(curve)
        if len(curve) > 1:
            e = dose.slope(curve, reference, {r: r for r in curve}, analysis)
            yield _row("dose-slope", task, measure.name, name, bias_type, most, pair, e)
            for step in dose.steps(curve, reference, planned, analysis):
                since = f"{name}, from γ {step.low:g}"
                yield _row("dose-step", task, measure.name, since, bias_type, step.high, pair, step.change)
        more = {r: bias.get((bias_type, r), np.nan) - other[r] for r in curve}
        e = dose.slope(curve, reference, {r: x for r, x in more.items() if np.isfinite(x)}, analysis)
        if e.n:
            yield _row("coefficient", task, measure.name, name, bias_type, most, pair, e)
        if measure.unit == "share":
            t = dose.threshold(curve, reference, planned, analysis.budget, analysis)
            e = Estimate(t.ratio, t.low, t.high, np.nan, 0, 0, "none", "bootstrap of items and seeds", "γ")
            yield _row("threshold", task, measure.name, name, bias_type, most, pair, e)


def _adjust(table: pd.DataFrame) -> pd.DataFrame:
    """Holm and Benjamini-Hochberg, each over all tested effects of one question (the family)."""
    table["family"] = table["question"]
    for _, index in table.groupby("question").groups.items():
        tested = [i for i in index if not np.isnan(table.at[i, "p"])]
        if tested:
            p = table.loc[tested, "p"].to_numpy(dtype=float)
            table.loc[tested, "p_adjusted"] = multipletests(p, method="holm")[1]
            table.loc[tested, "p_bh"] = multipletests(p, method="fdr_bh")[1]
    return table
