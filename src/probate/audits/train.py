"""Stage two of an audit: the largest study that fits a time budget.

It is planned by measured speed. At the end of the budget it stops, with the models that are trained.
"""

from __future__ import annotations

import json
import math
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
from probate.stats.hierarchy import EXPECTED
from probate.stats.smallest import detectable_between, values_by_arm
from probate.study.mixing import augmented_count
from probate.study.schema import Lora, Study, Training
from probate.study.taxonomy import NEUTRAL
from probate.tasks.catalogue import load_task

with deferred():
    from probate.models.inference import trunk
    from probate.train import examples as encoding
    from probate.train import losses, sft


RATIO = 0.5
EPOCHS = 4
SEEDS = 8
"""Seeds that should fit. Each trains two models: with augmented data, and with original data instead."""
FEWEST_SEEDS = 2
"""Smallest number of seeds for a statement about training."""
LAYERS = 6
LEAST, MOST = 4, 60
TEST = 30
"""Smallest number of held-out records of each label and group, where there are enough."""
FEWER_TESTS = 20, 10
"""Numbers of held-out records to try if two seeds of the smallest study do not fit."""
ITEMS_SHARE = 0.25
"""Largest share of the budget for them, because more training records are more like a real training."""
POOL = 3
"""Original records that training draws from, as a multiple of those that one model needs."""
ITEM_VARIANCE, SEED_VARIANCE = 0.07, 0.0029
"""Variances of the change of a gap, as a share: over held-out items (times their number), and over seeds.
They were measured on 8 seeds of biographies against CVs, and decide only how time is divided between both."""
RESERVE, LEAST_RESERVE = 0.04, 20.0
"""Share of the budget, and smallest number of seconds, for effects, report and cards at the end."""
PILOT, MORE_EPOCHS = 12, 2
"""Records of the pilot, and epochs from which the time of one is taken, without that of a model."""
READ_AS = {"inheritance": "the labels that it chooses", EXPECTED: "the probabilities of labels"}
"""Question → what the gap is measured in."""
QUESTIONS = 40
"""Items of the probe `knowledge`."""


@dataclass(frozen=True)
class Planned:
    """A study that fits the budget.

    Attributes
    ----------
    study : Study
        The study.
    train_per_cell, test_per_cell : int
        Original records of each label and group for training and for the test.
    seconds : float
        Time of one seed by measured speed, in seconds.
    said : list of str
        The plan in words.
    """

    study: Study
    train_per_cell: int
    test_per_cell: int
    seconds: float
    said: list[str]


def seconds_of(budget: str) -> float:
    """Convert a time such as `30m`, `2h`, `900s` or `900`.

    Parameters
    ----------
    budget : str
        The time.

    Returns
    -------
    float
        Seconds.

    Raises
    ------
    InputError
        `budget` is not a time, or is less than a minute.
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
    """Run the study in `out/study` and add its finding to `stage_one.findings`.

    Parameters
    ----------
    stage_one : StageOne
        Results of stage one. Its findings are extended.
    out : Path
        Folder to write to.
    budget : float
        Time from now, in seconds.
    model : str
        Model that is trained.
    dimension : str, optional
        Dimension of the groups. Default: the first one of the file.
    quiet : bool, default False
        Show no progress.

    Returns
    -------
    dict
        `arms`: number of trained models; `sentences`: the study in words; `report`: its path from `out`; the
        sizes of the study; and the effects on which the verdict is based.

    Raises
    ------
    InputError
        There is no original, there are no common labels or no groups, or a cell has too few records. Nothing
        is written in this case.
    StageError
        The budget is too small for any study, or no model finished.
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
    for sentence in planned.said:
        reporter.say(sentence)
    result = run(planned.study, out / "study", base=Path("."), quiet=quiet, deadline=deadline)
    return _told(stage_one, planned, result, out, name)


def _usable(stage_one: StageOne, dimension: str | None) -> tuple[AuditSet, str]:
    if stage_one.original is None:
        raise InputError(
            "--train: needs --original, because the effect of augmented data is measured against a model "
            "that was trained without it"
        )
    names = [d.name for d in stage_one.dimensions if len(d.groups) >= 2 and any(d.values)]
    if dimension is not None and dimension not in names:
        raise InputError(
            f"--train: the data has no groups of dimension '{dimension}'; available dimensions: "
            f"{', '.join(names) or 'none'}"
        )
    if not names:
        raise InputError(
            "--train: neither the file nor its texts show groups, so that no gap can be measured; name a "
            "column with --group"
        )
    common = {*stage_one.data.labels} & {*stage_one.original.labels} - {""}
    if len(common) < 2:
        raise InputError(
            "--train: fewer than two labels in both files; name their columns with --label and "
            f"--original-label (recognised: {stage_one.data.shape.label or 'none'}, "
            f"{stage_one.original.shape.label or 'none'})"
        )
    return stage_one.original, dimension or names[0]


def _groups(stage_one: StageOne, name: str) -> list[str]:
    """Return the two groups with the most texts, in the order of the pack."""
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
    """Write both sets with the columns text, label and dimension; return common labels and cell sizes."""

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
            f"{' and '.join(groups)}; the fullest: {fullest}"
        )
    for path, text in written.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(path, text)
    return kept, cells


@dataclass(frozen=True)
class Speed:
    """Measured time per record on this machine.

    Attributes
    ----------
    fill : dict of str to float
        Side (original, augmented) → seconds of the frozen lower layers, once for each distinct text.
    top : dict of str to float
        Side → seconds of an epoch of training above them.
    prompt : float
        Seconds of scoring the labels above them.
    model : float
        Seconds of a model besides its records.
    layers : int
        Number of topmost layers that are trained; fewer than 6 if the model has fewer than 12 layers.
    """

    fill: dict[str, float]
    top: dict[str, float]
    prompt: float
    model: float = 0.0
    layers: int = LAYERS

    def said(self) -> str:
        """Return the speed in words.

        Returns
        -------
        str
        """
        records = [
            f"{1000 * self.top[s]:.0f} ms per epoch and {1000 * self.fill[s]:.0f} ms once for each {s} record"
            for s in self.top
        ]
        return ", ".join([*records, f"{1000 * self.prompt:.0f} ms per prompt"])


def _speed(files: dict[str, Path], model: str, labels: list[str]) -> Speed:
    """Measure the speed on a few records of each side: the lower layers, then an epoch above them."""
    lm = load_lm(model)
    layers = min(LAYERS, max(1, lm.model.config.get_text_config(decoder=True).num_hidden_layers // 2))
    training = Training(epochs=1, lora=Lora(layers=layers))
    options = [lm.completion_ids(label) for label in labels]
    check_labels("labels", labels, options)

    def seconds(examples: list[losses.Example], training: Training) -> float:
        with tempfile.TemporaryDirectory() as folder:
            start = time.monotonic()
            sft.train(lm.model, examples, training, 0, Path(folder), pad_id=lm.pad_id)
            return time.monotonic() - start

    fill = dict.fromkeys(files, 0.0)
    top: dict[str, float] = {}
    prompt, whole = 0.0, 0.0
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
        examples = sorted(examples, key=lambda e: -e.tokens)
        seconds(examples, training)  # what is slow only once: shortcuts are compared on the longest texts
        below = trunk.trunk_of(lm.model)
        if below is not None:
            start = time.monotonic()  # in an empty trunk: an earlier audit may have kept these states
            below.fresh(lm.model).enter(lm.model, [e.prompt + e.completion for e in examples])
            fill[side] = (time.monotonic() - start) / len(examples)
        once = seconds(examples, training)
        more = seconds(examples, training.model_copy(update={"epochs": 1 + MORE_EPOCHS}))
        epoch = (more - once) / MORE_EPOCHS
        epoch = epoch if 0 < epoch < once else once  # other programs disturbed the measurement
        top[side], whole = epoch / len(records), max(whole, once - epoch)
        if side == "original":
            for _ in range(2):  # the first turn runs the lower layers
                start = time.monotonic()
                lm.score_choices([e.prompt for e in examples], [options] * len(examples))
                prompt = (time.monotonic() - start) / len(records)
    return Speed(fill, top, prompt, whole, layers)


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
    """Plan the largest study of which eight seeds fit into the budget.

    Parameters
    ----------
    files : dict of str to Path
        Side (original, augmented) → file.
    labels, groups : list of str
        Labels and groups of the study.
    dimension : str
        Dimension of the groups.
    cells : dict of str to Counter
        Side → number of records of each label and group.
    speed : Speed
        Measured speed.
    budget : float
        Time, in seconds.
    model : str
        Model that is trained.

    Returns
    -------
    Planned
        If eight seeds do not fit even at the smallest size, the smallest study with as many seeds as fit.

    Raises
    ------
    StageError
        Two seeds of the smallest study do not fit, or there are too few augmented records for it.
    """
    scarce = min(cells["original"][x, g] for x in labels for g in groups)
    count = len(labels) * len(groups)
    augmented = sum(cells["augmented"][x, g] for x in labels for g in groups)

    def once(train: int, test: int, seeds: int) -> float:
        """Return the time of the frozen layers: held-out texts and the records of all seeds, each once."""
        original = min(2 * train * seeds, scarce - test) + test
        more = min(augmented_count(train * count, RATIO) * seeds, augmented)
        return original * count * speed.fill["original"] + more * speed.fill["augmented"]

    def seed(train: int, test: int) -> float:
        """Return the time of a seed's two models: training, held-out texts, and questions of the probe."""
        more = augmented_count(train * count, RATIO)
        epoch = (2 * train * count + more) * speed.top["original"] + more * speed.top["augmented"]
        return epoch * EPOCHS + 2 * (test * count + QUESTIONS) * speed.prompt + 2 * speed.model

    def whole(train: int, test: int, seeds: int) -> float:
        return once(train, test, seeds) + seeds * seed(train, test)

    def held_out(train: int) -> int:
        """Return how many items make the variance smallest for its time (Neyman), or as many as there are."""
        item = speed.fill["original"] + 2 * SEEDS * speed.prompt
        best = SEEDS * math.sqrt(ITEM_VARIANCE / SEED_VARIANCE * seed(train, 0) / max(item, 1e-9))
        most = min(best, ITEMS_SHARE * budget / max(item, 1e-9))
        return max(min(TEST, scarce - 2 * train), min(math.ceil(most / count), scarce - POOL * train))

    best: tuple[int, int] | None = None
    fewest = min(TEST, max(LEAST, scarce // 3))  # more training records must not leave too few for the test
    for train_count in range(LEAST, min(MOST, (scarce - fewest) // 2) + 1):
        test = held_out(train_count)
        enough = augmented_count(train_count * count, RATIO) <= augmented
        if enough and whole(train_count, test, SEEDS) <= budget:
            best = train_count, test
    if best is None:
        sizes = [(LEAST, min(test, scarce - 2 * LEAST)) for test in (TEST, *FEWER_TESTS)]
        best = next((size for size in sizes if whole(*size, FEWEST_SEEDS) <= budget), sizes[-1])
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
            "name": "audit", "model": model,
            "description": (
                "What a model inherits from the audited file, compared with as many additional original "
                "records."
            ),
            "data": {
                "source": str(files["original"].resolve()), "columns": columns, "labels": labels,
                "train_per_cell": train_count, "test_per_cell": test, "prompt": _prompt(),
            },
            "augmented": {"source": str(files["augmented"].resolve()), "columns": columns},
            "bias": {"types": ["given"], "dimension": dimension, "groups": groups},
            "matched_control": "original", "ratios": [RATIO], "seeds": list(range(fit + 2)),
            "training": {"epochs": EPOCHS, "learning_rate": 1e-3, "lora": {"layers": speed.layers}},
            "tasks": ["occupation"], "probes": ["knowledge"],
        }
    )  # fmt: skip
    said = [
        f"stage two: {train_count} original records of each of {count} cells of label and group, and "
        f"{augmented_count(train_count * count, RATIO)} augmented records in total; {test * count} records "
        f"held out; γ {RATIO:g}, LoRA on the {speed.layers} topmost layers of {model}",
        f"measured: {speed.said()}; {spoken(once(*best, fit))} once, and one seed (two models) takes "
        f"{spoken(seed(*best))}, so that about {fit} seeds fit",
    ]
    return Planned(study, train_count, test, seed(*best), said)


def _told(stage_one: StageOne, planned: Planned, result: Run, out: Path, dimension: str) -> dict[str, Any]:
    effects = result.effects
    rows = effects[(effects["task"] == "occupation") & (effects["contrast"] == "against matched control")]
    main = rows[rows["question"].isin(["inheritance", EXPECTED])]
    detail = rows[(rows["question"] == "inheritance-detail") & (rows["metric"] == "accuracy")]
    sentences = list(planned.said)
    for r in (*main.itertuples(), *detail.itertuples()):
        if r.reason:
            sentences.append(f"{r.metric}, {r.comparison}: the change of the gap is undefined: {r.reason}")
            continue
        sentences.append(
            f"{r.metric}, {r.comparison}: the gap changed by {100 * r.estimate:+.1f} points "
            f"[{100 * r.ci_low:+.1f}, {100 * r.ci_high:+.1f}] against as many additional original records "
            f"(p {r.p:.4f}, adjusted {r.p_adjusted:.4f}; {r.n} items, {r.seeds} seeds); the smallest change "
            "that this study would detect with 80% power: "
            f"{_visible(result, planned.study, r.metric, r.comparison)}"
        )
    if main.empty:
        sentences.append(
            "no pair of models finished within the budget, so that no statement about inheritance is possible"
        )
    for r in main.itertuples():
        if r.reason:
            stage_one.findings.append(
                AuditFinding(
                    "inherited",
                    UNSURE,
                    f"{dimension}: cannot tell whether a model trained on the file changes its gap: "
                    f"{r.reason}",
                )
            )
            continue
        if r.seeds < 2:
            stage_one.findings.append(
                AuditFinding(
                    "inherited",
                    UNSURE,
                    f"{dimension}: cannot tell whether a model trained on the file changes its gap: "
                    f"{ONE_SEED}; give more time",
                )
            )
            continue
        sure = r.p_adjusted < 0.05 and abs(r.estimate) > planned.study.analysis.budget
        sentence = (
            f"{dimension}: a model trained on the file changes its gap in {READ_AS[r.question]} by "
            f"{100 * r.estimate:+.1f} points [{100 * r.ci_low:+.1f}, {100 * r.ci_high:+.1f}] on held-out "
            f"texts of the original ({r.seeds} seeds); texts like those of the file were not asked about"
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
    sentences.append(f"{trained} models trained; {left} left out because the budget was spent")
    return {
        "arms": trained, "sentences": sentences, "report": "study/report.html",
        "train_per_cell": planned.train_per_cell, "test_per_cell": planned.test_per_cell,
        "effects": main.to_dict("records"),
    }  # fmt: skip


def _visible(result: Run, study: Study, metric: str, comparison: str) -> str:
    """Return the smallest change that the study would detect with 80% power, in words.

    The spread between seeds is that of all arms of the study.
    """
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
    """Sort the findings by weight, after stage two has added its own.

    Parameters
    ----------
    stage_one : StageOne
        Results of the audit.

    Returns
    -------
    StageOne
    """
    return replace(
        stage_one,
        findings=sorted(
            stage_one.findings, key=lambda f: ("stop", "look", "cannot tell", "note").index(f.weight)
        ),
    )
