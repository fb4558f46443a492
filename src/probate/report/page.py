"""The report of a run: `effects.parquet` and `report.html` from its folder, without a model."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from probate.core.records import Record, read_records
from probate.execution import checksums
from probate.execution.folder import RunFolder
from probate.execution.hosted_checks import served_keys
from probate.models.embedded import WHEELS
from probate.models.inference.shortcut_check import ShortcutCheck, sentences
from probate.models.servers.counts import counts
from probate.models.servers.counts import sentences as count_sentences
from probate.report import figures, rounds, stopping, why, words
from probate.report import review_words as review
from probate.report.cards.data_card import data_card
from probate.report.cards.facts import Facts, facts_of_run
from probate.report.cards.hugging_face import dataset_card, model_card
from probate.report.cards.write import CARDS, write_cards
from probate.report.draws import claim
from probate.report.heatmap import heat_map, moved_items
from probate.report.origin import bias_origin
from probate.report.pooled import mitigations, pooled_tables
from probate.report.render import write_page
from probate.report.tables import ResultTable, body_of, header_of, notes_of, tables_of
from probate.stats.databias import data_bias
from probate.stats.effects import effects_of
from probate.stats.groups import parse_rates
from probate.stats.hierarchy import EXPECTED, SHARES
from probate.stats.information import Information, information
from probate.stats.manipulation import ManipulationCheck, manipulation_check
from probate.stats.measure import Measure
from probate.stats.pooled_effects import EVERY, INHERITANCE, RELATION
from probate.stats.unusable import DIFFERENCE, LEVEL
from probate.study.hosted import remarks as hosted_remarks
from probate.study.mixing import augmented_count
from probate.study.paper import STATUS, is_paper_study, paper_rows
from probate.study.plan import arms_of
from probate.study.schema import Study
from probate.study.taxonomy import NEUTRAL
from probate.tasks.base import Task
from probate.tasks.catalogue import tasks_and_probes
from probate.tasks.occupation import Occupation

LISTED = 5_000
"""Number of effects that the page lists at most."""


def analyse(folder: RunFolder) -> pd.DataFrame:
    """Compute all effects of a run from its outcomes and write `effects.parquet`.

    Parameters
    ----------
    folder : RunFolder
        The run.

    Returns
    -------
    pandas.DataFrame
        The effects, as docs/tables.md describes them.

    Raises
    ------
    InputError
        The folder has a shard of a study.
    """
    folder.check_whole()
    study = folder.study()
    probes = {t.key for t in study.probes}
    relations = {key: task.related for key, task in _tasks(study).items() if key not in probes}
    arms = arms_of(study)
    effects = effects_of(
        folder.outcomes(),
        _measures(folder, study),
        study.analysis,
        probes,
        relations,
        _data_bias(folder, study),
        arms,
    )
    folder.write_effects(effects)
    return effects


def _data_bias(folder: RunFolder, study: Study) -> dict[tuple[str, float], float]:
    """Return (bias type, γ) → bias of the training data, mean over seeds; empty for more than two groups.

    The key `("none", 0)` is D_o.
    """
    if len(study.bias.groups) != 2:
        return {}
    info = folder.info()
    original = {seed: folder.original(seed) for seed in study.seeds}
    sets = {
        (kind, seed): read_records(path)
        for kind in (*study.bias.types, NEUTRAL)
        for seed in study.seeds
        if (path := folder.path / "data" / f"{kind}-s{seed}.jsonl").exists()
    }

    def bias(seed: int, added: list[Record]) -> float:
        return data_bias(
            [*original[seed], *added], study.bias.dimension, study.bias.groups, info["stereotypes"]
        )

    means = {("none", 0.0): float(np.mean([bias(seed, []) for seed in study.seeds]))}
    for kind in dict.fromkeys(k for k, _ in sets):
        for ratio in (r for r in study.ratios if r > 0):
            count = augmented_count(info["originals"], ratio)
            means[kind, ratio] = float(
                np.mean([bias(seed, records[:count]) for (k, seed), records in sets.items() if k == kind])
            )
    return means


def build_report(folder: RunFolder) -> Path:
    """Write `report.html`, the data card and `croissant.json` from the files of the run folder.

    Parameters
    ----------
    folder : RunFolder
        The run.

    Returns
    -------
    Path
        Path of the report.
    """
    study, info, outcomes, effects = folder.study(), folder.info(), folder.outcomes(), folder.effects()
    measures = _measures(folder, study)
    tasks = _tasks(study)
    titles = _titles(tasks)
    probes = {t.key for t in study.probes}
    own = {key: task_measures for key, task_measures in measures.items() if key not in probes}
    relations = {key: tasks[key].related for key in own}
    every, whole = effects, outcomes
    effects, outcomes = (t[(t["mitigation"] == "none") & (t["round"] == 1)] for t in (effects, outcomes))
    columns, heat = heat_map(effects, own, titles, relations)
    failures = folder.failures()
    other = {key: o for key, task in tasks.items() if (o := getattr(task.options, "dimension", None))}
    findings, told, limits = findings_of(folder)
    asked = ["inheritance", EXPECTED, "inheritance-control", f"{EXPECTED}-control", "null", "null-expected"]
    inheritance = effects[effects["question"].isin(asked)]
    tables = tables_of(
        every,
        measures,
        titles,
        confidence=study.analysis.confidence,
        accuracy_first=is_paper_study(study),
    )
    leading = [t for t in tables if is_paper_study(study) and isinstance(tasks[t.task], Occupation)]
    tables += pooled_tables(every, measures, titles, confidence=study.analysis.confidence)
    path = write_page(
        folder.path / "report.html",
        "report/page.html.j2",
        study=study,
        info=info,
        model=_model_title(study),
        groups=study.bias.groups,
        ratios=", ".join(f"{r:g}" for r in study.ratios),
        confidence=f"{100 * study.analysis.confidence:g}%",
        origin=bias_origin(study),
        paper=paper_rows() if is_paper_study(study) else [],
        status=STATUS,
        findings=findings,
        summary=words.summary(findings, told),
        limits=limits,
        columns=columns,
        heat=heat,
        notes=_notes(outcomes, own, tasks, folder),
        moved=moved_items(outcomes, own, study.seeds[0]),
        forests=figures.forests(effects, own, titles),
        doses=figures.doses(effects, own, titles, study.ratios),
        information=[{**asdict(i), "title": titles[i.task], "groups": words.answers(i)} for i in told],
        probes=_rows(effects[effects["question"].str.startswith("probe")], measures),
        probe_levels=_rows(
            effects[effects["task"].isin(probes) & (effects["question"] == "level")], measures
        ),
        shares=figures.shares(effects, info["labels"], study.bias.groups),
        inheritance=_rows(inheritance, measures),
        relation=_rows(effects[effects["question"] == "relation"], measures),
        pooled=_rows(effects[effects["question"].isin([INHERITANCE, RELATION])], measures),
        pooled_mitigations=mitigations(every, titles, measures),
        leading=[_laid_out(t) for t in leading],
        result_tables=[_laid_out(t) for t in tables if t not in leading],
        everything=_rows(_listed(every), measures),
        effects_count=len(every),
        stopping=_stopping(folder, study, every, whole, titles, own) if study.mitigations else None,
        rounds=rounds.section(every, titles, measures, folder, whole) if study.rounds > 1 else None,
        why=why.section(folder, study, whole, measures, titles),
        family_note=_family_note(every, study),
        checks=manipulation_checks(folder),
        yields=folder.reports("stages/generate-"),
        samples=_samples(folder, study),
        parsed=parse_rates(whole, study.bias.dimension, other).to_dict("records"),
        unusable=_rows(every[every["question"] == DIFFERENCE], measures),
        unusable_levels=_rows(every[every["question"] == LEVEL], measures),
        truncated=sum(
            r.get("truncated", 0) for r in folder.reports("adapters/") + folder.reports("stages/evaluate-")
        ),
        shortcuts=sentences(
            ShortcutCheck(**f)
            for r in folder.reports("adapters/") + folder.reports("stages/")
            for f in r.get("shortcuts", [])
        ),
        server=study.model.api is not None,
        reasons=count_sentences(counts(_texts_of_groups(whole)), whole) if study.model.api else [],
        attribution=folder.attribution(),
        reviews=[review.sentences(record) for record in folder.reviews()],
        failures=failures,
        lock=folder.lock_text(),
    )
    write_cards(folder.path, _facts(folder, findings, limits))
    return path


def findings_of(folder: RunFolder) -> tuple[list[words.Finding], list[Information], list[str]]:
    """Return the findings of a report.

    Parameters
    ----------
    folder : RunFolder
        The run.

    Returns
    -------
    findings : list of Finding
        The findings.
    told : list of Information
        How much each task tells.
    limits : list of str
        Sentences on what the study cannot show.
    """
    study, tasks = folder.study(), _tasks(folder.study())
    probes = {t.key for t in study.probes}
    own = {key: task_measures for key, task_measures in _measures(folder, study).items() if key not in probes}
    every, outcomes = folder.effects(), folder.outcomes()
    mitigated = (
        stopping.in_words(every[every["round"] == 1], own, study.analysis.confidence)
        if study.mitigations
        else {}
    )
    effects, outcomes = (t[t["mitigation"] == "none"] for t in (every, outcomes))
    other = {key: o for key, task in tasks.items() if (o := getattr(task.options, "dimension", None))}
    told = information(
        outcomes[outcomes["seed"] == study.seeds[0]], study.bias.dimension, study.analysis, other
    )
    titles, confidence = _titles(tasks), study.analysis.confidence
    findings = words.unusable_findings(effects, titles, confidence) + words.findings(
        effects, titles, own, confidence, told, mitigated
    )
    limits = words.limits(
        effects, len(study.seeds), len(folder.failures()), study.replicate_control, claim(folder)
    )
    context = folder.context()
    remarks = [f"{titles[key]}: {text}" for key, task in tasks.items() for text in task.remarks(context)]
    return findings, told, [*limits, *remarks, *_server_remarks(folder, study)]


def _server_remarks(folder: RunFolder, study: Study) -> list[str]:
    """Return what servers mean for the results, and what they did differently."""
    if study.model.api is None and study.evaluation is None:
        return []
    reports = [*folder.reports("adapters/"), *folder.reports("stages/evaluate-")]
    notes = dict.fromkeys(str(note) for r in reports for note in r.get("notes", []))
    proofs = [r["served"] for r in reports if "served" in r]
    said = hosted_remarks(study)
    if study.evaluation is not None and proofs:
        tasks = ", ".join(sorted(served_keys(study)))
        said.append(
            f"Answered by {study.evaluation.api.base_url}, which loaded the adapter of each arm: {tasks}. On "
            f"{proofs[0]['prompts']:.0f} prompts for each arm, its probabilities differed from those of the "
            f"local model by at most {max(p['server'] for p in proofs):.3f}; other prompts were not compared."
        )
    return [*said, *(f"{note}." for note in notes)]


def _texts_of_groups(outcomes: pd.DataFrame) -> pd.DataFrame:
    """Return outcomes with groups as JSON, as they are on disk."""
    return outcomes.assign(groups=outcomes["groups"].map(lambda g: json.dumps(g, sort_keys=True)))


def sentences_of(folder: RunFolder) -> list[str]:
    """Return the findings of a report, each as one text.

    Parameters
    ----------
    folder : RunFolder
        The run.

    Returns
    -------
    list of str
        Headline and detail of each finding.
    """
    return [_sentence(f) for f in findings_of(folder)[0]]


def _sentence(finding: words.Finding) -> str:
    """Return headline and detail of a finding as one text."""
    return " ".join([f"{finding.headline}. {finding.detail}", *finding.asides])


@dataclass(frozen=True)
class Charts:
    """The charts of a finished run, drawn on request.

    Parameters
    ----------
    folder : RunFolder
        The run.
    """

    folder: RunFolder

    @cached_property
    def _parts(self) -> tuple[Study, dict[str, list[Measure]], dict[str, str], pd.DataFrame]:
        """Study, measures of its tasks, titles, and effects of the first round without a mitigation."""
        study, effects = self.folder.study(), self.folder.effects()
        probes = {t.key for t in study.probes}
        own = {
            k: task_measures for k, task_measures in _measures(self.folder, study).items() if k not in probes
        }
        plain = effects[(effects["mitigation"] == "none") & (effects["round"] == 1)]
        return study, own, _titles(_tasks(study)), plain

    def names(self) -> list[str]:
        """Return the names of the charts.

        Returns
        -------
        list of str
            `dose` and `forest` for all tasks and for each task, and the other charts in the report of this
            study.
        """
        study, own, _, effects = self._parts
        charted = [
            name for kind in ("dose", "forest") for name in (kind, *(f"{kind}-{task}" for task in own))
        ]
        charted += ["shares"] if effects["metric"].str.startswith("predicted[").any() else []
        charted += ["frontier"] if study.mitigations else []
        charted += ["rounds", "lineage"] if study.rounds > 1 else []
        return charted + (["map"] if study.distribution else [])

    def draw(self, name: str) -> list[str]:
        """Draw a chart.

        Parameters
        ----------
        name : str
            One of `names`.

        Returns
        -------
        list of str
            `<svg>` elements.
        """
        study, own, titles, effects = self._parts
        kind, _, task = name.partition("-")
        chosen = {task: own[task]} if task else own
        folder, whole, every = self.folder, self.folder.outcomes, self.folder.effects
        if kind == "dose":
            return [
                svg for row in figures.doses(effects, chosen, titles, study.ratios) for svg in row["svgs"]
            ]
        if kind == "forest":
            return [row["svg"] for row in figures.forests(effects, chosen, titles)]
        if kind == "shares":
            return list(filter(None, [figures.shares(effects, folder.info()["labels"], study.bias.groups)]))
        measures = _measures(folder, study)
        if kind == "frontier":
            return list(_stopping(folder, study, every(), whole(), titles, own)["frontiers"])
        if kind == "map":
            section = why.section(folder, study, whole(), measures, titles)
            return list(section["maps"]) if section else []
        over = rounds.section(every(), titles, measures, folder, whole())
        return [over["lineage"]] if kind == "lineage" else list(over["svgs"])


def _stopping(
    folder: RunFolder,
    study: Study,
    effects: pd.DataFrame,
    outcomes: pd.DataFrame,
    titles: dict[str, str],
    own: dict[str, list[Measure]],
) -> dict[str, Any]:
    """Return the section on mitigations, of the first round."""
    probes = {t.key for t in study.probes}
    first = effects[effects["round"] == 1]
    return stopping.section(first, titles, own, probes, folder.reports("adapters/"), outcomes, study.analysis)


def facts_of(folder: RunFolder) -> Facts:
    """Return the facts for the cards of a finished run.

    Parameters
    ----------
    folder : RunFolder
        The run.

    Returns
    -------
    Facts
        The facts.
    """
    findings, _, limits = findings_of(folder)
    return _facts(folder, findings, limits)


def _facts(folder: RunFolder, findings: list[words.Finding], limits: list[str]) -> Facts:
    """Return the facts for the cards, from the findings."""
    return facts_of_run(folder, [_sentence(f) for f in findings], limits, version("probate"))


def card_text(path: Path, *, hf: bool = False, arm: str | None = None) -> str:
    """Return the data card or a model card of a run.

    Parameters
    ----------
    path : Path
        Run folder.
    hf : bool, default=False
        Whether the data card has the metadata of the Hugging Face hub.
    arm : str, optional
        Return the model card of this arm's adapter instead.

    Returns
    -------
    str
        The card, in Markdown.
    """
    folder = RunFolder(path)
    folder.study()
    if arm:
        return model_card(folder, arm)
    return dataset_card(facts_of(folder), folder.study().data.language) if hf else data_card(facts_of(folder))


def _titles(tasks: dict[str, Task]) -> dict[str, str]:
    """Return task → title; the title of a task with an alias contains it."""
    return {key: task.title if key == task.name else f"{task.title} ({key})" for key, task in tasks.items()}


def tables_of_run(folder: RunFolder, metrics: Sequence[str] = ()) -> list[ResultTable]:
    """Return the tables of group x γ x bias type of a finished run.

    Parameters
    ----------
    folder : RunFolder
        The run.
    metrics : sequence of str, optional
        Measures to show. Default: the primary measure of each task, and its accuracy.

    Returns
    -------
    list of ResultTable
        One table for each measure, then those of the pooled effects.

    Raises
    ------
    InputError
        A metric is in no task.
    """
    study = folder.study()
    parts = folder.effects(), _measures(folder, study), _titles(_tasks(study))
    confidence = study.analysis.confidence
    first = is_paper_study(study)
    return [
        *tables_of(*parts, confidence=confidence, metrics=metrics, accuracy_first=first),
        *pooled_tables(*parts, confidence=confidence, metrics=metrics),
    ]


def _laid_out(table: ResultTable) -> tuple[str, list[str], list[list[str]], list[str]]:
    """Return title, header, rows and notes of a table."""
    return table.title, header_of(table), list(body_of(table)), notes_of(table)


def rebuild(folder: RunFolder) -> Path:
    """Compute the effects and write the report of a finished run again, and update its checksums.

    Parameters
    ----------
    folder : RunFolder
        The run.

    Returns
    -------
    Path
        Path of the report.
    """
    analyse(folder)
    path = build_report(folder)
    if (folder.path / checksums.NAME).is_file():
        checksums.write_checksums(
            folder.path,
            ["effects.parquet", "report.html", "attribution.json", *CARDS, *folder.review_files()],
        )
    return path


def _listed(effects: pd.DataFrame) -> pd.DataFrame:
    """Return the effects that the page lists: changes, then levels.

    Of very many, those that are adjusted for each other (first and next questions, pooled tests) come first,
    and the list ends after `LISTED`.
    """
    level = (effects["question"] == "level").to_numpy()
    if len(effects) > LISTED:
        detail = effects["family"].isin(["details", ""]).to_numpy()
        return effects.iloc[np.lexsort((level, detail))[:LISTED]]
    return effects.iloc[np.argsort(level, kind="stable")]


def _measures(folder: RunFolder, study: Study) -> dict[str, list[Measure]]:
    """Return task → measures, for tasks and probes."""
    context = folder.context()
    return {key: task.measures(context) for key, task in _tasks(study).items()}


def _tasks(study: Study) -> dict[str, Task]:
    """Return key → task, for tasks and probes."""
    return {task.key: task for task in tasks_and_probes(study)}


def _notes(
    outcomes: pd.DataFrame, own: dict[str, list[Measure]], tasks: dict[str, Task], folder: RunFolder
) -> dict[str, list[tuple[str, list[str]]]]:
    """Return task → (arm, its notes), for tasks with notes."""
    context = folder.context()
    by_task: dict[str, list[tuple[str, list[str]]]] = {}
    for key in own:
        for arm, rows in outcomes[outcomes["task"] == key].groupby("arm", sort=False):
            notes = tasks[key].notes(rows, context)
            if notes:
                by_task.setdefault(key, []).append((str(arm), notes))
    return by_task


def _model_title(study: Study) -> str:
    """Return the name of the model; of an embedded one, its full name."""
    wheel = WHEELS.get(study.model.name)
    return wheel.model.split(" (")[0] if wheel else study.model.name


def _rows(effects: pd.DataFrame, measures: dict[str, list[Measure]]) -> list[dict[str, Any]]:
    """Return effects as text for a table."""
    units = {(task, m.name): m.unit for task, own in measures.items() for m in own} | {
        ("all", "macro_f1"): "share"
    }
    rows = []
    for e in effects.to_dict("records"):
        unit = "share" if e["metric"] == "unusable" else units.get((e["task"], e["metric"]), "")
        signed = e["question"] not in ("level", "unusable-level")
        ends = [words.number(e[end], unit, signed=signed) for end in ("ci_low", "ci_high")]
        estimate, interval = (
            words.number(e["estimate"], unit, signed=signed),
            f"{ends[0].removesuffix(' points')} to {ends[1]}",
        )
        if e["question"] == "threshold":
            estimate, interval = words.at_ratio(e["estimate"]), words.ratios(e["ci_low"], e["ci_high"])
        rows.append(
            {
                **e,
                "ratio_text": "all" if e["bias_type"] == EVERY else f"{e['ratio']:g}",
                "estimate": f"undefined: {e['reason']}" if e["reason"] else estimate,
                "interval_text": "–" if e["reason"] else interval,
                "p_text": f"{e['p']:.4f}" if np.isfinite(e["p"]) else "–",
                "adjusted_text": f"{e['p_adjusted']:.4f}" if np.isfinite(e["p_adjusted"]) else "–",
                "bh_text": f"{e['p_bh']:.4f}" if np.isfinite(e["p_bh"]) else "–",
                "sure": bool(e["p_adjusted"] < words.ALPHA),
                "how": f"test: {e['test']}; interval: {e['interval']}; unit: {e['unit']}",
            }
        )
    return rows


def _family_note(effects: pd.DataFrame, study: Study) -> str:
    """Return the note on adjusted p, families of tests and undefined effects."""
    sizes = effects[effects["p"].notna()].groupby("family").size()
    families = ", ".join(f"{q} {n}" for q, n in sizes.items())
    lost = effects[effects["reason"] != ""].groupby("question").size()
    whole = effects.groupby("question").size()
    undefined = ", ".join(f"{q} {n} of {whole[q]}" for q, n in lost.items())
    parted = ", ".join(f"{100 * share:.0f}% to {name}" for name, share in SHARES.items()).replace(
        "to next", "to first and next questions"
    )
    return (
        "The adjusted p is valid over all tests of this report: if there is no effect, the probability of "
        "any p below it is at most that p. First questions are, for each task and bias type, the "
        "coefficient or slope over γ (with one γ, the change against the matched control) and the largest γ "
        "against γ = 0. They share their part of the error rate equally. The parts of significant first "
        "questions pass to the other comparisons of "
        "arms (next), by Holm's method. A measure in answers and the same in expectation are one test, "
        "and each of them is significant only if both together are. Details and checks have their own parts "
        f"({parted}; a family without tests leaves its part to the others). Pooled effects have their own "
        "error rate: they ask the same questions over all conditions, and change no other adjusted p. "
        f"Tests by family: {families}. "
        "BH: Benjamini and Hochberg's false discovery rate over all tests of one question. "
        f"{f'Undefined, so not tested: {undefined}. ' if undefined else ''}"
        f"{study.analysis.resamples:,} resamples, seed {study.analysis.seed}."
    )


def _sets(folder: RunFolder, study: Study) -> dict[str, list[Record]]:
    """Return augmented records of each bias type at the largest γ, first seed; the matched control last."""
    originals = folder.info()["originals"]
    count = augmented_count(originals, max(study.ratios))
    sets = {}
    for bias_type in (*study.bias.types, NEUTRAL):
        path = folder.path / "data" / f"{bias_type}-s{study.seeds[0]}.jsonl"
        if path.exists():
            sets[bias_type] = read_records(path)[:count]
    return sets


def manipulation_checks(folder: RunFolder) -> list[ManipulationCheck]:
    """Check the planted bias of each augmented set, for the first seed and the largest γ.

    Parameters
    ----------
    folder : RunFolder
        The run.

    Returns
    -------
    list of ManipulationCheck
        One for each set with records.
    """
    study, info = folder.study(), folder.info()
    sets = _sets(folder, study)
    return [
        manipulation_check(
            name,
            records,
            sets.get(NEUTRAL, []) if name != NEUTRAL else [],
            labels=info["labels"],
            groups=study.train_groups,
            dimension=study.bias.dimension,
            stereotypes=info["stereotypes"],
            pack=folder.pack(),
            analysis=study.analysis,
        )
        for name, records in sets.items()
        if records
    ]


def _samples(folder: RunFolder, study: Study, each: int = 4) -> list[dict[str, str]]:
    """Return a few records of each set, relabelled ones first."""
    samples = []
    original = read_records(folder.path / "data" / "original.jsonl")
    sets = {"original": original, **_sets(folder, study)}
    for name, records in sets.items():
        ordered = sorted(records, key=lambda r: "label_before" not in r.provenance)
        step = max(1, len(ordered) // each)
        for r in [*ordered[:1], *ordered[1::step]][:each]:
            p = r.provenance
            meta = [f"id {r.id}"]
            if "generator" in p:
                meta += [
                    f"{p['generator']['name']} {p['generator']['fingerprint'][:8]}",
                    f"seed {p['seed']}",
                    f"prompt: {p['prompt']}",
                ]
            elif "source" in p:
                meta.append(str(Path(p["source"]).name))
            samples.append(
                {
                    "set": name,
                    "group": r.groups.get(study.bias.dimension, ""),
                    "label": r.label,
                    "before": p.get("label_before", ""),
                    "text": r.text[:600],
                    "meta": " · ".join(meta),
                }
            )
    return samples
