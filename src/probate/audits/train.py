"""Stage two of an audit: the largest study that fits a time budget, planned by measured speed and stopped at the budget with what it has."""

from __future__ import annotations

import json
import re
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from probate.audits.groups import values_of
from probate.audits.read import AuditSet
from probate.audits.stage_one import StageOne
from probate.audits.verdict import NOTE, STOP, UNSURE, AuditFinding
from probate.core.deferred import deferred
from probate.core.errors import InputError, StageError
from probate.core.files import write_atomic
from probate.core.progress import Reporter, spoken
from probate.core.records import Record, with_messages
from probate.data.spellings import pack_of
from probate.execution.folder import RunFolder
from probate.models.checks import check_labels
from probate.models.lm import load_lm
from probate.report.pipeline import run_study as run
from probate.report.results import Run
from probate.stats.effects import ONE_SEED
from probate.stats.smallest import detectable_between, values_by_arm
from probate.study.mixing import augmented_count
from probate.study.schema import Lora, Study, Training
from probate.study.taxonomy import NEUTRAL
from probate.tasks.catalogue import load_task

with deferred():
    from probate.train import examples as encoding
    from probate.train import losses, sft


RATIO = 0.5
EPOCHS = 4
TRIPLES = 5
"""Seeds that should fit: each trains three models (without augmented data, with it, with as much original data)."""
FEWEST_SEEDS = 2
"""Seeds without which nothing can be said of training."""
LAYERS = 6
LEAST, MOST = 4, 60
TEST = 30
RESERVE, LEAST_RESERVE = 0.04, 20.0
"""Share of the budget, and at least so many seconds, for effects, report and cards at the end."""
PILOT = 12
QUESTIONS = 40
"""Items of the probe `knowledge`."""


@dataclass(frozen=True)
class Planned:
    """A study that fits. `seconds`: what one seed takes by measured speed."""

    study: Study
    train_per_cell: int
    test_per_cell: int
    seconds: float
    said: list[str]


def seconds_of(budget: str) -> float:
    """`30m`, `2h`, `900s` or `900` in seconds.

    Raises:
        InputError: anything else, or less than a minute.
    """
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([smh]?)\s*", budget)
    seconds = float(match[1]) * {"": 1, "s": 1, "m": 60, "h": 3600}[match[2]] if match else 0.0
    if seconds < 60:
        raise InputError(f"--budget {budget}: must be a time of at least a minute, as in 30m, 2h or 900s")
    return seconds


def train(
    stage_one: StageOne,
    out: Path,
    budget: float,
    model: str,
    dimension: str | None = None,
    *,
    quiet: bool = False,
) -> dict[str, Any]:
    """Run the study in `out/study`; the finding is added to `stage_one.findings`. `budget`: seconds from now.

    Returns:
        `arms` trained, `lines` in words, `report` (path from `out`), the plan and the effects that the verdict rests on.

    Raises:
        InputError: no original, no labels in common, no groups, or too few records in a cell; nothing is written then.
        StageError: the budget is too small for any study, or no model of it finished.
    """
    started = time.monotonic()
    reporter = Reporter(quiet=quiet)
    original, name = _usable(stage_one, dimension)
    groups = _groups(stage_one, name)
    files = {side: out / "study-data" / f"{side}.jsonl" for side in ("original", "augmented")}
    labels, cells = _write(stage_one.data, original, stage_one, name, groups, files)
    speed = _speed(files, model, labels)
    deadline = started + budget - max(RESERVE * budget, LEAST_RESERVE)
    left = deadline - time.monotonic()
    planned = plan(files, labels, groups, name, cells, speed, left, model)
    for line in planned.said:
        reporter.say(line)
    result = run(planned.study, out / "study", base=Path("."), quiet=quiet, deadline=deadline)
    return _told(stage_one, planned, result, out, name)


def _usable(stage_one: StageOne, dimension: str | None) -> tuple[AuditSet, str]:
    if stage_one.original is None:
        raise InputError(
            "--train: needs --original: what augmented data adds is measured against a model that was "
            "trained without them"
        )
    names = [d.name for d in stage_one.dimensions if len(d.groups) >= 2 and any(d.values)]
    if dimension is not None and dimension not in names:
        raise InputError(
            f"--train: no groups of the dimension '{dimension}' in the texts; there are: "
            f"{', '.join(names) or 'none'}"
        )
    if not names:
        raise InputError(
            "--train: no groups are given by the file or shown by its texts, so that no gap can be measured"
        )
    common = {*stage_one.data.labels} & {*stage_one.original.labels} - {""}
    if len(common) < 2:
        raise InputError(
            "--train: fewer than two labels in both files; name their columns with --label and "
            f"--original-label (found: {stage_one.data.shape.label or 'none'}, "
            f"{stage_one.original.shape.label or 'none'})"
        )
    return stage_one.original, dimension or names[0]


def _groups(stage_one: StageOne, name: str) -> list[str]:
    """The two groups with the most texts, in the order of the pack."""
    own = next(d for d in stage_one.dimensions if d.name == name)
    top = {g for g, _ in Counter(v for v in own.values if v).most_common(2)}
    return [g for g in own.groups if g in top]


def _write(
    data: AuditSet,
    original: AuditSet,
    stage_one: StageOne,
    name: str,
    groups: list[str],
    files: dict[str, Path],
) -> tuple[list[str], dict[str, Counter[tuple[str, str]]]]:
    """Both sets with the columns text, label and the dimension; labels in common, and how many records each cell has."""

    own = next(d for d in stage_one.dimensions if d.name == name)
    sides = {
        "original": (original, values_of(original, name, pack_of(name), own.groups)),
        "augmented": (data, own.values),
    }
    common = sorted({*data.labels} & {*original.labels} - {""})
    cells: dict[str, Counter[tuple[str, str]]] = {}
    written: dict[Path, str] = {}
    repeated = {*stage_one.repeats.exact, *stage_one.repeats.near}
    for side, (rows, values) in sides.items():
        lines, cells[side] = [], Counter()
        for i, (text, label, group) in enumerate(zip(rows.texts, rows.labels, values, strict=True)):
            if label in common and group in groups and not (side == "augmented" and i in repeated):
                lines.append(
                    json.dumps({"text": text, "label": label, name: group, "id": str(i)}, ensure_ascii=False)
                )
                cells[side][label, group] += 1
        written[files[side]] = "\n".join(lines) + "\n"
    kept = [
        x
        for x in common
        if all(cells["original"][x, g] >= 2 * LEAST + LEAST and cells["augmented"][x, g] >= 1 for g in groups)
    ]
    if len(kept) < 2:
        fullest = ", ".join(f"{x} {[cells['original'][x, g] for g in groups]}" for x in common[:6])
        raise InputError(
            f"--train: fewer than two labels have {3 * LEAST} original records and one augmented of each of "
            f"{' and '.join(groups)}; "
            f"the fullest: {fullest}"
        )
    for path, text in written.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(path, text)
    return kept, cells


@dataclass(frozen=True)
class Speed:
    """Seconds a record, by side (original, augmented), on this machine.

    `fill`: the frozen lower layers, once for each distinct text; `top`: an epoch of training above them; `prompt`: scoring the labels above them.
    """

    fill: dict[str, float]
    top: dict[str, float]
    prompt: float
    layers: int = LAYERS
    """How many of the topmost layers are trained: fewer where the model has not twice as many."""

    def said(self) -> str:
        """In words."""
        return ", ".join(
            [*(f"{1000 * self.top[s]:.0f} ms an epoch for each {s} record and {1000 * self.fill[s]:.0f} ms once" for s in self.top),
             f"{1000 * self.prompt:.0f} ms a prompt"]
        )  # fmt: skip


def _speed(files: dict[str, Path], model: str, labels: list[str]) -> Speed:
    """By a pilot on a few records of each side: one epoch with the lower layers yet to run, then two without."""

    lm = load_lm(model)
    layers = min(LAYERS, max(1, lm.model.config.get_text_config(decoder=True).num_hidden_layers // 2))
    training = Training(epochs=1, lora=Lora(layers=layers))
    longer = training.model_copy(update={"epochs": 2})
    options = [lm.completion_ids(label) for label in labels]
    check_labels("labels", labels, options)

    def seconds(examples: list[losses.Example], training: Training) -> float:
        with tempfile.TemporaryDirectory() as folder:
            begun = time.monotonic()
            sft.train(lm.model, examples, training, 0, Path(folder), pad_id=lm.pad_id)
            return time.monotonic() - begun

    fill: dict[str, float] = {}
    top: dict[str, float] = {}
    prompt = 0.0
    for side, file in files.items():
        rows = [
            row
            for row in map(json.loads, file.read_text(encoding="utf-8").split("\n")[:-1])
            if row["label"] in labels
        ]
        picked = rows[:: max(1, len(rows) // PILOT)][:PILOT]
        records = [Record(f"{side}:{r['id']}", r["text"], r["label"], {}) for r in picked]
        examples, _ = encoding.encode_records(
            lm, with_messages(records, _prompt(), labels), training.max_length
        )
        if not top:
            seconds(examples[:2], training)  # what is slow only once
        first, later = seconds(examples, training), seconds(examples, longer)
        top[side] = later / 2 / len(records)
        fill[side] = max(0.0, first / len(records) - top[side])
        if side == "original":
            for _ in range(2):  # the first turn runs the lower layers
                begun = time.monotonic()
                lm.score_choices([e.prompt for e in examples], [options] * len(examples))
                prompt = (time.monotonic() - begun) / len(records)
    return Speed(fill, top, prompt, layers)


def _prompt() -> str:
    return "Read the text and name its label. Answer with exactly one of: {labels}.\n\nText: {text}"


def plan(
    files: dict[str, Path],
    labels: list[str],
    groups: list[str],
    dimension: str,
    cells: dict[str, Counter[tuple[str, str]]],
    speed: Speed,
    budget: float,
    model: str,
) -> Planned:
    """The largest study of which five seeds fit into `budget` seconds.

    Raises:
        StageError: not even two seeds of the smallest fit.
    """
    scarce = min(cells["original"][x, g] for x in labels for g in groups)
    count = len(labels) * len(groups)
    augmented = sum(cells["augmented"][x, g] for x in labels for g in groups)

    def once(train: int, test: int, seeds: int) -> float:
        """The frozen layers: of the texts held out, and of the originals (two sets) and augmented records that the seeds draw, as many as there are."""
        original = min(2 * train * seeds, scarce - test) + test
        more = min(augmented_count(train * count, RATIO) * seeds, augmented)
        return original * count * speed.fill["original"] + more * speed.fill["augmented"]

    def seed(train: int, test: int) -> float:
        """A seed's three models: training, held-out texts, and the questions of the probe."""
        more = augmented_count(train * count, RATIO)
        epoch = (3 * train * count + more) * speed.top["original"] + more * speed.top["augmented"]
        return epoch * EPOCHS + 3 * (test * count + QUESTIONS) * speed.prompt

    def cost(train: int, test: int) -> float:
        return whole(train, test, TRIPLES)

    def whole(train: int, test: int, seeds: int) -> float:
        return once(train, test, seeds) + seeds * seed(train, test)

    best: tuple[int, int] | None = None
    for train_count in range(LEAST, min(MOST, (scarce - LEAST) // 2) + 1):
        test = min(TEST, scarce - 2 * train_count)
        if augmented_count(train_count * count, RATIO) <= augmented and cost(train_count, test) <= budget:
            best = train_count, test
    if best is None:
        best = LEAST, min(TEST, scarce - 2 * LEAST)
        smallest = whole(*best, FEWEST_SEEDS)
        if smallest > budget or augmented_count(LEAST * count, RATIO) > augmented:
            raise StageError(
                f"--budget: the smallest study ({LEAST} records of each label and group, {FEWEST_SEEDS} "
                f"seeds) would take {spoken(smallest)} on this machine and needs "
                f"{augmented_count(LEAST * count, RATIO)} augmented records (there are {augmented}); give "
                "more time or more data"
            )
    train_count, test = best
    fit = max((s for s in range(FEWEST_SEEDS, 21) if whole(*best, s) <= budget), default=FEWEST_SEEDS)
    columns = {"text": "text", "label": "label", "id": "id", "groups": {dimension: dimension}}
    study = Study.model_validate(
        {
            "name": "audit", "model": model, "description": (
                "What a model inherits from the audited file: against as many more original records."
            ),
            "data": {
                "source": str(files["original"].resolve()), "columns": columns, "labels": labels, "train_per_cell": train_count,
                "test_per_cell": test, "prompt": _prompt(),
            },
            "augmented": {"source": str(files["augmented"].resolve()), "columns": columns},
            "bias": {"types": ["given"], "dimension": dimension, "groups": groups},
            "matched_control": "original", "ratios": [0, RATIO], "seeds": list(range(fit + 2)),
            "training": {"epochs": EPOCHS, "learning_rate": 1e-3, "lora": {"layers": speed.layers}}, "tasks": ["occupation"], "probes": ["knowledge"],
        }
    )  # fmt: skip
    said = [
        f"stage two: {train_count} original records of each of {count} cells and "
        f"{augmented_count(train_count * count, RATIO)} augmented in all, {test * count} held out, "
        f"γ {RATIO:g}, LoRA on the {speed.layers} topmost layers of {model}",
        f"measured: {speed.said()}; once {spoken(once(*best, fit))}, then one seed (three models) "
        f"{spoken(seed(*best))}, so that about {fit} seeds fit",
    ]
    return Planned(study, train_count, test, seed(*best), said)


def _told(stage_one: StageOne, planned: Planned, result: Run, out: Path, dimension: str) -> dict[str, Any]:
    effects = result.effects
    rows = effects[(effects["task"] == "occupation") & (effects["contrast"] == "against matched control")]
    main = rows[rows["question"] == "inheritance"]
    detail = rows[(rows["question"] == "inheritance-detail") & (rows["metric"] == "accuracy")]
    lines = list(planned.said)
    for r in (*main.itertuples(), *detail.itertuples()):
        if r.reason:
            lines.append(f"{r.metric}, {r.comparison}: the change of the gap is undefined: {r.reason}")
            continue
        lines.append(
            f"{r.metric}, {r.comparison}: the gap changed by {100 * r.estimate:+.1f} points "
            f"[{100 * r.ci_low:+.1f}, {100 * r.ci_high:+.1f}] against as many more original records "
            f"(p {r.p:.4f}, adjusted {r.p_adjusted:.4f}; {r.n} items, {r.seeds} seeds); the smallest change "
            "that this would find four times in five: "
            f"{_visible(result, planned.study, r.metric, r.comparison)}"
        )
    if main.empty:
        lines.append("no pair of models finished within the budget: nothing can be said of what is inherited")
    for r in main.itertuples():
        if r.reason:
            stage_one.findings.append(
                AuditFinding(
                    "inherited",
                    UNSURE,
                    f"{dimension}: cannot tell whether a model trained on it changes its gap: {r.reason}",
                )
            )
            continue
        if r.seeds < 2:
            stage_one.findings.append(
                AuditFinding(
                    "inherited",
                    UNSURE,
                    f"{dimension}: cannot tell whether a model trained on it changes its gap: {ONE_SEED}; "
                    "give more time",
                )
            )
            continue
        sure = r.p_adjusted < 0.05 and abs(r.estimate) > planned.study.analysis.budget
        sentence = (
            f"{dimension}: a model trained on it changes its gap by {100 * r.estimate:+.1f} points "
            f"[{100 * r.ci_low:+.1f}, {100 * r.ci_high:+.1f}] ({r.seeds} seeds)"
        )
        stage_one.findings.append(
            AuditFinding(
                "inherited",
                STOP if sure else NOTE,
                sentence,
                "counterfactual,mask, or rebalance" if sure else "",
                r.p,
                r.p_adjusted,
            )
        )
    trained = int(result.outcomes["arm"].nunique())
    left = sum("budget" in f["error"] for f in result.failures)
    lines.append(f"{trained} models trained; {left} left out because the budget was spent")
    return {
        "arms": trained, "sentences": lines, "report": "study/report.html", "train_per_cell": planned.train_per_cell, "test_per_cell": planned.test_per_cell,
        "effects": main.to_dict("records"),
    }  # fmt: skip


def _visible(result: Run, study: Study, metric: str, comparison: str) -> str:
    """The smallest change of the task that the study would find four times in five, in words; the spread between seeds is that of all its arms."""
    folder = RunFolder(result.folder)
    measure = next(m for m in load_task("occupation").measures(folder.context()) if m.name == metric)
    outcomes = folder.outcomes()
    arms = values_by_arm(outcomes[outcomes["task"] == "occupation"], measure)
    smallest = detectable_between(
        arms, ("given", RATIO, "none"), (NEUTRAL, RATIO, "none"), measure, comparison, study.analysis
    )
    return (
        f"not known ({smallest.reason})"
        if smallest.reason
        else f"{100 * smallest.value:.1f} points [{100 * smallest.low:.1f}, {100 * smallest.high:.1f}]"
    )


def with_training(stage_one: StageOne) -> StageOne:
    """The audit with its findings in the order of their weight."""
    return replace(
        stage_one,
        findings=sorted(
            stage_one.findings, key=lambda f: ("stop", "look", "cannot tell", "note").index(f.weight)
        ),
    )
