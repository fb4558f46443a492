"""Records and sentences on a model's answers against those of people, by country, region and persona."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from itertools import combinations
from typing import Any

import numpy as np

from probate.core.errors import InputError, some
from probate.stats import values
from probate.stats.east_west import SideGap, east_west
from probate.stats.values import Distance, Mean, Question, ShareComparison
from probate.tasks.personas import Mode, persona

ALL = "all countries"
SPOKEN: dict[Mode, str] = {
    "none": "asked without a persona",
    "english": "asked as a person of each country, in English",
    "own": "asked as a person of each country, with this sentence in the country's language",
}


def report(
    compared: Sequence[ShareComparison],
    rejected: Sequence[str],
    mode: Mode | None = None,
    questions: Sequence[Question] = (),
) -> dict[str, Any]:
    """Return distances by country and region, East against West and summary numbers, as a record.

    Comparisons without a distance are counted and left out.

    Parameters
    ----------
    compared : sequence of ShareComparison
        The comparisons.
    rejected : sequence of str
        A sentence for each row that was left out.
    mode : {'none', 'english', 'own'}, optional
        The persona; None if Probate did not ask the model.
    questions : sequence of Question
        All questions, to count those that the mode does not ask.

    Raises
    ------
    InputError
        No comparison has a distance.
    """
    silent = [q.country for q in questions if mode and persona(mode, q.country) is None]
    if silent and not compared:
        raise InputError(
            f"values: the persona '{mode}' has no sentence for any of the countries "
            f"({some(dict.fromkeys(silent))}); use --persona english"
        )
    undefined = sum(c.distance != c.distance for c in compared)
    compared = [c for c in compared if c.distance == c.distance]
    if not compared:
        raise InputError(
            "values: in every question the model assigns no probability to any option that is an answer; "
            "nothing can be compared"
        )
    scale = [c.moved for c in compared if c.moved == c.moved]
    return {
        "persona": mode,
        "not_asked": {"questions": len(silent), "countries": sorted(set(silent))},
        "questions": len({c.text for c in compared}),
        "rejected": list(rejected),
        "undefined": undefined,
        "countries": [asdict(m) for m in values.by_country(compared)],
        "regions": [asdict(m) for m in values.by_region(compared)],
        "east_west": asdict(east_west(compared)),
        "on_scales": float(np.mean(scale)) if scale else None,
        "scales": len(scale),
        "entropy": [float(np.mean([c.entropy[side] for c in compared])) for side in (0, 1)],
        "collapsed": float(np.mean([c.collapsed for c in compared])),
        "unanswered": float(np.mean([c.unanswered for c in compared])),
    }


def sentences(record: Mapping[str, Any]) -> list[str]:
    """Return the record of `report` in sentences."""
    printed = [
        f"{record['questions']:,} questions, {len(record['countries'])} countries; "
        f"{len(record['rejected'])} rows left out"
        + (f" (first: {record['rejected'][0]})" if record["rejected"] else ""),
        f"normalised entropy of the answers: model {record['entropy'][0]:.2f}, "
        f"people {record['entropy'][1]:.2f}; "
        f"one option has at least {100 * values.COLLAPSED:g}% of the model's probability in "
        f"{100 * record['collapsed']:.0f}% of questions; "
        f"people without an answer: {100 * record['unanswered']:.0f}%",
    ]
    silent = record["not_asked"]
    if silent["questions"]:
        printed.append(
            f"not asked: {silent['questions']} questions of {len(silent['countries'])} countries, because "
            f"there is no sentence in their language ({some(silent['countries'])})"
        )
    if record["undefined"]:
        printed.append(
            f"{record['undefined']} comparisons left out: "
            "the model assigns no probability to any option that is an answer"
        )
    if record["on_scales"] is not None:
        printed.append(
            f"on ordered scales ({record['scales']:,}), the mean distance of the model from people is "
            f"{100 * record['on_scales']:.0f}% of the scale (1-Wasserstein)"
        )
    for what in ("countries", "regions"):
        if record[what]:
            printed.append(f"Jensen-Shannon distance to people, {what}, closest first:")
        printed += [_row(m) for m in record[what]]
    return [*printed, *gap_said(SideGap(**record["east_west"]))]


def _row(mean: Mapping[str, Any], sign: str = "") -> str:
    m = Mean(**mean)
    interval = (
        f"[{m.low:{sign}.3f}, {m.high:{sign}.3f}]"
        if m.low == m.low
        else f"(no interval: fewer than {values.FEWEST} questions)"
    )
    return f"  {m.country:28}{m.value:{sign}.3f} {interval} over {m.n}"


def gap_said(gap: SideGap, of: str = "", sign: str = "") -> list[str]:
    """Return the difference between East and West, or `of` it, in sentences."""
    title = f"{of}East minus West"
    if gap.reason:
        said = f"{title}: not defined, because {gap.reason}"
    else:
        said = (
            f"{title}: {gap.value:+.3f} [{gap.low:+.3f}, {gap.high:+.3f}] over {gap.n} questions of both "
            f"sides (East {gap.east:{sign}.3f}, West {gap.west:{sign}.3f}; above 0: farther from Eastern "
            "people)"
        )
    if gap.unpaired != gap.unpaired:
        return [said]
    return [
        said,
        f"  each side over all of its questions (East {gap.east_n}, West {gap.west_n}): {gap.unpaired:+.3f} "
        f"[{gap.unpaired_low:+.3f}, {gap.unpaired_high:+.3f}]; the sides then differ in their questions, too",
    ]


def compared_models(
    compared: Mapping[str, list[ShareComparison]], rejected: Sequence[str]
) -> tuple[dict[str, Any], list[str]]:
    """Return the record and the sentences for `published`: each model's report, and the agreement of country
    orders.
    """
    reports = {
        name: report(own, rejected if name == next(iter(compared)) else []) for name, own in compared.items()
    }
    printed = [line for name, own in reports.items() for line in (f"{name}:", *sentences(own))]
    orders = {name: values.by_country(own) for name, own in compared.items()}
    pairs = {f"{a}, {b}": values.agreement(orders[a], orders[b]) for a, b in combinations(orders, 2)}
    printed += [f"rank correlation of the countries' order, {pair}: {r:+.2f}" for pair, r in pairs.items()]
    return {"models": reports, "agreement": pairs}, printed


def compared_modes(
    compared: Mapping[Mode, list[ShareComparison]], rejected: Sequence[str], questions: Sequence[Question]
) -> tuple[dict[str, Any], list[str]]:
    """Return the record and the sentences for one persona or several.

    Parameters
    ----------
    compared : mapping of list of ShareComparison
        Mode → comparisons, as `probate.tasks.values.against_people` returns them.
    rejected : sequence of str
        A sentence for each row that was left out.
    questions : sequence of Question
        All questions.

    Returns
    -------
    tuple of (dict, list of str)
        The report of the only mode; or each mode's report, and for each pair of modes the change of the
        distance, paired by question and country.
    """
    reports = {mode: report(own, rejected, mode, questions) for mode, own in compared.items()}
    printed = [
        line
        for mode, own in reports.items()
        for line in (f"persona {mode} ({SPOKEN[mode]}):", *sentences(own))
    ]
    if len(reports) == 1:
        return next(iter(reports.values())), printed
    moved = [change(a, b, compared[a], compared[b]) for a, b in combinations(compared, 2)]
    for record in moved:
        printed += change_sentences(record)
    return {"personas": reports, "changes": moved}, printed


def change(
    first: Mode, second: Mode, before: Sequence[Distance], after: Sequence[Distance]
) -> dict[str, Any]:
    """Return the change of the distance from one mode to another, as a record.

    Pairs of question and country whose prompt is the same in both modes are counted and left out: their
    change is 0 by construction.
    """
    pairs = values.changes(before, after)
    moved = [p for p in pairs if persona(first, p.country) != persona(second, p.country)]
    return {
        "from": first,
        "to": second,
        "pairs": len(moved),
        "same_prompt": len(pairs) - len(moved),
        "all": asdict(values.over_questions(ALL, moved, lowest=-1.0)) if moved else None,
        "regions": [asdict(m) for m in values.by_region(moved, lowest=-1.0)],
        "east_west": asdict(east_west(moved, most=2.0)),
    }


def change_sentences(record: Mapping[str, Any]) -> list[str]:
    """Return the record of `change` in sentences."""
    title = f"change of the distance from {record['from']} to {record['to']}"
    same = (
        f"; {record['same_prompt']} pairs left out, because their prompt is the same"
        if record["same_prompt"]
        else ""
    )
    if not record["pairs"]:
        return [f"{title}: no pair of question and country is asked in both{same}"]
    return [
        f"{title}, over {record['pairs']} pairs of question and country "
        f"(above 0: farther from people){same}:",
        _row(record["all"], "+"),
        *[_row(m, "+") for m in record["regions"]],
        *gap_said(SideGap(**record["east_west"]), "change of ", "+"),
    ]
