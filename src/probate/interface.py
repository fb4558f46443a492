"""Functions of `import probate as pb`. Each does what the command of the same name does."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

import pandas as pd

from probate.core.cache import digest
from probate.core.consent import allow
from probate.core.deferred import deferred
from probate.core.errors import InputError
from probate.core.progress import Reporter

with deferred():
    from probate.audits import report as auditing
    from probate.audits import train as stage_two
    from probate.audits import verdict as audit_verdict
    from probate.core import frames
    from probate.data import corpora, rows
    from probate.data.shape import shape as shapes
    from probate.execution import calibrate as simulation
    from probate.execution import estimate, tracking
    from probate.execution.executors import base as executors
    from probate.mitigations.files import session
    from probate.report import merging, notebook, pipeline, recovery, results
    from probate.report.comparison import compare as comparison
    from probate.report.gate import decide
    from probate.study import loading, schema
    from probate.study import plan as plans

if TYPE_CHECKING:
    from probate.audits.report import Audit
    from probate.report.comparison.compare import Comparison
    from probate.report.gate.decide import Decision, Gate
    from probate.report.results import Run
    from probate.study.schema import Study

Table = Any
"""A path, a pandas.DataFrame, a datasets.Dataset or DatasetDict, or a list of dictionaries."""

OPTION = re.compile(r"(?<![\w-])--([a-z][a-z-]*)")
ARGUMENTS = {
    "group": "groups", "groups": "packs", "in": "data", "pair": "pairs", "server": "servers", "set": "options"
}  # fmt: skip
"""Option of a command → argument of the function, where the names differ."""


def run(
    study: Study | str | Path,
    out: str | Path,
    *,
    servers: Sequence[str] | Mapping[str, str] = (),
    allow_code: bool = False,
    track: str | None = None,
    quiet: bool = False,
    base: str | Path | None = None,
    deadline: float | None = None,
    executor: str = "inline",
    jobs: int | None = None,
    address: str | None = None,
    shard: str | None = None,
) -> Run:
    """Run a study, or continue it, and write its report.

    The function generates, mixes, fine-tunes, evaluates and analyses, as `probate run` does, with all rounds.
    With `axes` it does so for each pair of models, or for each variant.
    If the folder contains an earlier or interrupted run of the study, the run is continued, and only what
    changed is done again.

    Parameters
    ----------
    study : Study, str or path
        The study, its file, or the name of a preset.
    out : str or path
        The run folder. It is created if it does not exist.
    servers : sequence of str, or dict of str to str, optional
        Servers that may be used: `HOST` or `HOST=VARIABLE`, or a dictionary host → environment variable with
        the key.
    allow_code : bool, default False
        Allow harness tasks of the study to run the code that their YAML files name.
    track : {"mlflow"}, optional
        Tracker to which the finished run is also logged.
    quiet : bool, default False
        Show no progress.
    base : str or path, optional
        Folder for relative data paths. Default: the folder of the study file, else the working folder.
    deadline : float, optional
        Time at which the run ends, in seconds of `time.monotonic()`. An arm that would not finish in time is
        left out and recorded as a failure.
    executor : str, default "inline"
        Where arms are trained and measured: `inline` in this process, one after the other; `local` in other
        processes of this machine; `ray` on a Ray cluster; or a plug-in.
    jobs : int, optional
        Number of arms at the same time. More than one means `local` if no executor is named.
    address : str, optional
        With `ray`: address of the cluster, such as `"auto"`. Default: the cluster that this process has
        joined, else that of RAY_ADDRESS, else a new one on this machine.
    shard : str, optional
        Do only one part of the arms, such as `"2/8"`. The folder then has outcomes but no effects and no
        report; `merge` puts all parts together.

    Returns
    -------
    Run
        The results. Failed stages are in `Run.failures`; finished stages are kept.

    Raises
    ------
    InputError
        Data or settings are not valid, or another run writes to the folder.
    StageError
        A stage failed that all others need, such as loading the base model.

    References
    ----------
    Understanding and Mitigating Bias Inheritance in LLM-based Data Augmentation on Downstream Tasks (ACL
    2026, arXiv 2502.04419).

    Examples
    --------
    >>> import probate as pb
    >>> study = pb.Study.load("study.yaml")
    >>> run = pb.run(study, "runs/mine", quiet=True)
    >>> run.exit_code, run.report.name
    (0, 'report.html')
    """
    loaded = _study(study)
    allowed = [f"{h}={v}" for h, v in servers.items()] if isinstance(servers, Mapping) else list(servers)
    if track and shard:
        raise InputError("run: `track` logs results, which a shard does not have; log the merged run")
    if track:
        tracking.check_tracker(track)
    start = loaded._base if base is None else base
    with _as_arguments(**_tables_of(loaded)), allow(code=allow_code, servers=allowed):
        done = pipeline.run_study(
            loaded,
            out,
            base=start,
            quiet=quiet,
            deadline=deadline,
            place=executors.Place(executor, jobs, address),
            shard=plans.Shard.read(shard) if shard else None,
        )
    if track:
        for one in done.pairs.values() if done.pairs else [done]:
            tracking.track(one.folder)
    return done


def merge(folders: Sequence[str | Path], out: str | Path) -> Run:
    """Put the shards of a study together, and write effects and report.

    Outcomes, effects and report are those of one run of the whole study. No model is loaded.

    Parameters
    ----------
    folders : sequence of str or path
        The folder of each shard: of a run with `shard`. The order does not matter.
    out : str or path
        The new run folder. It must be empty or missing.

    Returns
    -------
    Run
        The results.

    Raises
    ------
    InputError
        A shard is missing, not finished or changed; shards are not of one study, on the same data, by the
        same versions; or two of them differ in something that both have.

    Examples
    --------
    >>> import probate as pb
    >>> pb.merge([], "runs/whole")
    Traceback (most recent call last):
    probate.core.errors.InputError: merge: no folder is given; name the folder of each shard
    """
    with _as_arguments():
        return merging.merge_runs(folders, out)


def audit(
    data: Table,
    original: Table | None = None,
    *,
    text: str | None = None,
    label: str | None = None,
    prompt: str | None = None,
    groups: Mapping[str, str] | None = None,
    language: str | None = None,
    original_text: str | None = None,
    original_label: str | None = None,
    items: Table | Sequence[Table] = (),
    items_text: str | None = None,
    train: str | None = None,
    out: str | Path | None = None,
    model: str = "embedded",
    dimension: str | None = None,
    quiet: bool = False,
) -> Audit:
    """Audit data that a model wrote, before a model is trained on it.

    The audit examines groups, their associations with labels, distribution, repeats, leaked evaluation items
    and traces of a generator. The verdict follows stated rules. The columns are recognised as in
    docs/files.md.

    Parameters
    ----------
    data : path, frame, data set or list of dict
        The data that a model wrote, with one record per row. A path, a `pandas.DataFrame`, a
        `datasets.Dataset` or `DatasetDict` (its split `train`), or a list of dictionaries.
    original : path, frame, data set or list of dict, optional
        The original data from which it was made.
    text, label, prompt : str, optional
        Columns of text, label and prompt. Default: recognised.
    groups : dict of str to str, optional
        Name of a group → its column, such as `{"gender": "sex"}`. Default: recognised.
    language : {"en", "es", "pt", "ar", "zh"}, optional
        Language of the texts. Default: recognised.
    original_text, original_label : str, optional
        Columns of the original data.
    items : path, frame, data set or list of dict, or a sequence of them, optional
        Evaluation items that the data must not contain.
    items_text : str, optional
        Column of the text of the items. Default: recognised.
    train : str, optional
        Time for the whole audit with stage two, such as `"30m"`. Stage two trains models with and without the
        data in the folder `out`, and measures what they inherit.
    out : str or path, optional
        Folder for report, record and cards. `Audit.save` writes them later.
    model : str, default "embedded"
        With `train`: model to train: `embedded`, a Hugging Face id or a folder.
    dimension : str, optional
        With `train`: dimension of the groups. Default: the first one of the data.
    quiet : bool, default False
        Show no progress.

    Returns
    -------
    Audit
        Verdict, findings and coverage.

    Raises
    ------
    InputError
        A file, column or argument is wrong.

    Examples
    --------
    >>> import probate as pb
    >>> audit = pb.audit(generated, original=frame, groups={"gender": "gender"}, quiet=True)
    >>> audit.coverage["label"], audit.exit_code in (0, 1, 4)
    ('label', True)
    >>> audit.save("audits/generated").name
    'audit.html'
    """
    if train is not None and out is None:
        raise InputError("audit: `train` needs a folder for the models; name it with `out`")
    listed = [items] if frames.is_table(items) and not _is_sequence_of_tables(items) else items
    if isinstance(listed, (str, os.PathLike)):
        listed = [listed]
    source = frames.table_source(data, "audit: data")
    other = None if original is None else frames.table_source(original, "audit: original")
    with _as_arguments(data=source, original=other):
        folder = None if out is None else auditing.audit_folder(Path(out), "audit: out")
        audited = auditing.audit_source(
            source,
            other,
            auditing.shape_of(text, label, prompt, groups or {}, language),
            auditing.shape_of(original_text, original_label, None, {}, None),
            [frames.table_source(own, "audit: items") for own in listed],
            items_text,
            budget=None if train is None else stage_two.seconds_of(train),
            out=folder,
            model=model,
            dimension=dimension,
            quiet=quiet,
        )
        if folder is not None:
            audited.save(folder)
    return audited


def compare(
    a: Run | Table,
    b: Run | Table,
    *,
    pairs: Mapping[str, str] | Sequence[tuple[str, str]] = (),
    groups: Mapping[str, str] | None = None,
    cluster: str = "",
    confidence: float = 0.95,
) -> Comparison:
    """Compare two sets of results, paired by item.

    Parameters
    ----------
    a, b : Run, path, frame, data set or list of dict
        Results before and after: runs, run folders, samples of lm-evaluation-harness, logs of inspect_ai, or
        tables with one item per row (columns `item`, `score`, and optionally `prediction`, `target`, `group`,
        `cluster`).
    pairs : dict of str to str, or sequence of pairs, optional
        Name in `a` and the corresponding name in `b`, if they differ.
    groups : dict of str to str, optional
        Name of a group → its column in both tables.
    cluster : str, optional
        Column of both tables with the cluster of each item. Default: `cluster`, if it exists.
    confidence : float, default 0.95
        Level of the intervals, between 0.5 and 1.

    Returns
    -------
    Comparison
        Changes with intervals and adjusted p, items that flipped, and what was left out.

    Raises
    ------
    InputError
        Results cannot be read, or have no item in common.

    Examples
    --------
    >>> import probate as pb
    >>> comparison = pb.compare("runs/self-written", pb.Run("runs/self-written"))
    >>> float(comparison.effects["change"].abs().max())
    0.0
    """
    wanted = list(pairs.items()) if isinstance(pairs, Mapping) else [(x, y) for x, y in pairs]
    if not 0.5 < confidence < 1:
        raise InputError(f"compare: confidence must be above 0.5 and below 1; got {confidence:g}")
    first, second = _results(a, "compare: a"), _results(b, "compare: b")
    with _as_arguments(a=first, b=second):
        return comparison.compare_sources(first, second, wanted, groups, confidence, cluster)


def check(
    run: Run | Audit | str | Path,
    *,
    max_gap: float = 0.05,
    tasks: Sequence[str] | Mapping[str, float] | None = None,
    mitigation: str = "none",
    unsure: str = "stop",
) -> Decision:
    """Decide whether the inherited change is within a limit.

    The decision uses the interval of the change of each gap at the largest bias ratio γ, against the matched
    control if there is one. It is `pass` if the whole interval lies within ±`max_gap`, `fail` if the whole
    interval lies beyond, and otherwise `cannot tell`.

    Parameters
    ----------
    run : Run, Audit, str or path
        A run or an audit, or the folder of one. An audit is judged by its verdict; of the other parameters,
        only `unsure` applies.
    max_gap : float, default 0.05
        The limit, in the unit of the tasks (0.05: five points).
    tasks : sequence of str, or dict of str to float, optional
        Tasks to judge. A dictionary gives each task its own limit, in its unit. Default: all tasks that
        measure shares.
    mitigation : str, default "none"
        Judge the arms with this mitigation.
    unsure : {"stop", "fail", "pass"}, default "stop"
        Exit code for `cannot tell`: 4, 1 or 0. The verdict does not change.

    Returns
    -------
    Decision
        The verdict, with one sentence for each effect. Its truth value is true only for `pass`.

    Raises
    ------
    InputError
        The folder is not a run or an audit, or the run does not have a task or mitigation.

    Examples
    --------
    >>> import probate as pb
    >>> decision = pb.check(pb.Run("runs/self-written"), max_gap=0.05, tasks=["occupation"])
    >>> decision.verdict, decision.exit_code
    ('cannot tell', 4)
    >>> "pass" if decision else "do not ship"
    'do not ship'
    """
    limits = dict(tasks) if isinstance(tasks, Mapping) else dict.fromkeys(tasks or ())
    given = {
        "max_gap": max_gap,
        "tasks": {task: {"max_gap": limit} for task, limit in limits.items()},
        "mitigation": mitigation,
        "unsure": unsure,
    }
    gate = loading.validated(decide.Gate, given, "check")
    with _as_arguments():
        if isinstance(run, (str, os.PathLike)):
            return decision_on(Path(run), gate)
        if isinstance(run, results.Run) and not run.parts:
            return decision_on(run.folder, gate)
        if isinstance(run, auditing.Audit):
            return _of_audit(*audit_verdict.judged(run.record), gate)
        if isinstance(run, results.Run):
            raise InputError(
                f"check: {run.folder} is a grid; check each of its runs (`Run.pairs`, `Run.variants`)"
            )
    raise InputError(f"check: `run` must be a run, an audit or the folder of one; got {type(run).__name__}")


def decision_on(folder: Path, gate: Gate) -> Decision:
    """Apply a gate to the folder of a run or of an audit.

    Parameters
    ----------
    folder : Path
        The folder.
    gate : Gate
        The gate.

    Returns
    -------
    Decision

    Raises
    ------
    InputError
        The folder is not a run or an audit, or the run does not have a task or mitigation of the gate.
    """
    if (folder / "audit.json").is_file():
        return _of_audit(*audit_verdict.judged_folder(folder), gate)
    return decide.check(folder, gate)


def _of_audit(said: list[str], verdict: str, code: int, gate: Gate) -> Decision:
    outcome = {1: decide.FAIL, 4: decide.UNSURE}.get(code, decide.PASS)
    code = decide.exit_code(outcome, gate)
    record = {"verdict": verdict, "exit": code, "said": said[:-1]}
    return decide.Decision(outcome, said[:-1], said[-1], code, record)


@overload
def mitigate(
    data: Table,
    strategy: str | Sequence[str],
    *,
    out: str | Path,
    text: str | None = ...,
    label: str | None = ...,
    groups: Mapping[str, str] | None = ...,
    packs: Sequence[str] = ...,
    language: str = ...,
    model: str | None = ...,
    options: Mapping[str, Mapping[str, Any]] | None = ...,
    force: bool = ...,
    quiet: bool = ...,
) -> Path: ...
@overload
def mitigate(
    data: Table,
    strategy: str | Sequence[str],
    *,
    out: None = ...,
    text: str | None = ...,
    label: str | None = ...,
    groups: Mapping[str, str] | None = ...,
    packs: Sequence[str] = ...,
    language: str = ...,
    model: str | None = ...,
    options: Mapping[str, Mapping[str, Any]] | None = ...,
    force: bool = ...,
    quiet: bool = ...,
) -> pd.DataFrame: ...
def mitigate(
    data: Table,
    strategy: str | Sequence[str],
    *,
    out: str | Path | None = None,
    text: str | None = None,
    label: str | None = None,
    groups: Mapping[str, str] | None = None,
    packs: Sequence[str] = (),
    language: str = "en",
    model: str | None = None,
    options: Mapping[str, Mapping[str, Any]] | None = None,
    force: bool = False,
    quiet: bool = False,
) -> pd.DataFrame | Path:
    """Apply mitigations to augmented data.

    Parameters
    ----------
    data : path, frame, data set or list of dict
        Augmented data, plain text or chat, with one record per row.
    strategy : str or sequence of str
        Mitigations in their order, such as `"mask"` or `["counterfactual", "mask"]`. `probate mitigations`
        lists them.
    out : str or path, optional
        File to write (`.jsonl`, `.csv`, `.parquet`). The changes of each row are written to
        `OUT.changes.jsonl`. Required if `data` is a path.
    text, label : str, optional
        Columns of text and label. Default: recognised as in docs/files.md.
    groups : dict of str to str, optional
        Name of a group → its column. Default: recognised.
    packs : sequence of str, optional
        Identity packs whose words are masked; the first is balanced. Default: all packs that have the
        language; the first of `groups`, else gender, is balanced.
    language : {"en", "es", "pt", "ar", "zh"}, default "en"
        Language of the texts.
    model : str, optional
        Model that rewrites, for `counterfactual` with `how: rewrite`: `embedded`, a Hugging Face id or a
        folder.
    options : dict of str to dict, optional
        Mitigation → its options, such as `{"mask": {"mode": "mask"}}`.
    force : bool, default False
        Replace `out` if it exists.
    quiet : bool, default False
        Show no progress.

    Returns
    -------
    pandas.DataFrame or Path
        With `out`, its path. Otherwise a frame with the columns of `data` in their order. Cells that were not
        changed keep their values and types, `reweight` adds the column `weight`, and the index is that of the
        given row from which each row comes. `frame.attrs["changes"]` is the path of a JSON Lines file with
        the changes of each row (`row` and `written` count from 1), and `frame.attrs["summary"]` summarises
        them.

    Raises
    ------
    InputError
        A file, column or option is wrong, or a mitigation acts on training instead of data.

    Examples
    --------
    >>> import pandas as pd
    >>> import probate as pb
    >>> masked = pb.mitigate(generated, "mask", quiet=True)
    >>> list(masked.columns) == list(generated.columns)
    True
    >>> changes = pd.read_json(masked.attrs["changes"], lines=True)
    >>> len(changes) <= len(masked)
    True
    """
    names = strategy.split(",") if isinstance(strategy, str) else list(strategy)
    in_memory = not isinstance(data, (str, os.PathLike))
    if out is None and not in_memory:
        raise InputError("mitigate: `data` is a path, so that a file to write is needed; name it with `out`")
    source = Path(frames.table_source(data, "mitigate: data"))
    settings = digest(names, text, label, groups, list(packs), language, model, options)
    target = source.with_name(f"{source.stem}-{settings[:16]}.jsonl") if out is None else Path(out)
    with _as_arguments(data=str(source)):
        result = session.mitigate_source(
            names,
            source,
            target,
            packs,
            shapes.Given(text, label, groups=dict(groups or {})),
            language,
            model,
            {name: dict(own) for name, own in (options or {}).items()},
            force=force or out is None,
            quiet=quiet,
        )
    if out is not None:
        return target
    frame = _like(frames.as_frame(data, "mitigate: data"), source, target, result.summary.rows)
    frame.attrs |= {
        "changes": f"{target}.changes.jsonl",
        "summary": "\n".join(session.summary_sentences(result.summary)),
    }
    return frame


def _like(given: pd.DataFrame, source: Path, target: Path, places: Sequence[int]) -> pd.DataFrame:
    """Return the rows of `target` as a frame like `given`, which `source` contains.

    `places` has for each row the number of the row from which it comes, from 1.
    """
    before = [row for _, row in rows.source_rows(str(source), "train", Path()) if isinstance(row, dict)]
    empty = target.stat().st_size == 0
    after = (
        []
        if empty
        else [row for _, row in rows.source_rows(str(target), "train", Path()) if isinstance(row, dict)]
    )
    frame = given.iloc[[place - 1 for place in places]].copy()
    for column in dict.fromkeys([*given.columns, *(c for row in after for c in row)]):
        if column not in given.columns:
            frame[column] = [row.get(column) for row in after]
            continue
        new, old = [row.get(column) for row in after], [before[place - 1].get(column) for place in places]
        if new == old:
            continue
        cells = [x if x != y else own for x, y, own in zip(new, old, frame[column].tolist(), strict=True)]
        kind = given[column].dtype
        if isinstance(kind, pd.CategoricalDtype):
            kind = pd.CategoricalDtype(
                list(dict.fromkeys([*kind.categories, *(c for c in cells if not pd.isna(c))]))
            )
        own = pd.Series(cells, index=frame.index, dtype=object)
        try:
            frame[column] = own.astype(kind)
        except (TypeError, ValueError):
            frame[column] = own
    return frame


@dataclass(frozen=True)
class Calibration:
    """Simulation of what a study can detect, before it is run.

    Attributes
    ----------
    sentences : list of str
        What `probate calibrate` prints.
    record : dict
        What `probate calibrate --json` prints.

    Examples
    --------
    >>> import probate as pb
    >>> calibration = pb.calibrate("self-written", runs=100, quiet=True)
    >>> list(calibration.frame.columns)
    ['task', 'effect', 'found', 'coverage', 'items', 'seeds', 'smallest']
    """

    sentences: list[str]
    record: dict[str, Any]

    @property
    def frame(self) -> pd.DataFrame:
        """pandas.DataFrame: One row for each task and true change of the gap (`effect`, a share).

        `found` is the share of simulated studies that detect the change, and `coverage` the share whose
        interval contains it. `smallest` is the smallest change that is detected with 80% power.
        """
        rows = [
            {
                "task": task, **cell, "items": own["design"]["n"], "seeds": own["design"]["seeds"],
                "smallest": own["smallest"],
            }
            for task, own in self.record["tasks"].items()
            for cell in own["effects"]
        ]  # fmt: skip
        return pd.DataFrame(rows)

    def __repr__(self) -> str:
        return "\n".join(["<Calibration>", *self.sentences])

    def _repr_html_(self) -> str:
        return notebook.block("What the study can detect", self.sentences)


def calibrate(
    study: Study | str | Path,
    *,
    source: Run | str | Path | None = None,
    rate: float = 0.5,
    agreement: float = 0.7,
    seed_sd: float = 0.05,
    items: int | None = None,
    gap: float | None = None,
    runs: int = 2000,
    plot: str | Path | None = None,
    base: str | Path | None = None,
    allow_code: bool = False,
    quiet: bool = False,
) -> Calibration:
    """Simulate what a study can detect: error rate, coverage, power and the smallest detectable change.

    Parameters
    ----------
    study : Study, str or path
        The study, its file, or the name of a preset.
    source : Run, str or path, optional
        A finished run with the items, rates and spread between seeds of each task. Default: they are assumed.
    rate : float, default 0.5
        Assumed share in the control, from 0.01 to 0.99.
    agreement : float, default 0.7
        Assumed share of answers that have the same cause in an arm and in the control, from 0 to 1.
    seed_sd : float, default 0.05
        Assumed standard deviation of the change between training seeds, as a share.
    items : int, optional
        Number of items of each task, at least 8. Default: that of the study.
    gap : float, optional
        Change to detect, as a share (0.1: ten points): how many items or seeds does it take?
    runs : int, default 2000
        Number of simulated studies for each figure, at least 100.
    plot : str or path, optional
        SVG file to which the estimated are drawn against the planted effects.
    base : str or path, optional
        Folder for relative data paths. Default: the folder of the study file, else the working folder.
    allow_code : bool, default False
        As in `run`.
    quiet : bool, default False
        Show no progress.

    Returns
    -------
    Calibration
        Sentences, and a frame with one row for each task and change.

    Raises
    ------
    InputError
        Data or settings are not valid.

    Examples
    --------
    >>> import probate as pb
    >>> calibration = pb.calibrate("self-written", items=200, runs=100, quiet=True)
    >>> set(calibration.frame["items"])
    {200}
    """
    loaded = _study(study)
    for name, value, low, high in (
        ("rate", rate, 0.01, 0.99), ("agreement", agreement, 0, 1), ("seed_sd", seed_sd, 0, float("inf")),
        ("runs", runs, 100, float("inf")), ("items", items, 8, float("inf")), ("gap", gap, 0.001, 1),
    ):  # fmt: skip
        if value is not None and not low <= value <= high:
            most = f" and at most {high:g}" if high < float("inf") else ""
            raise InputError(f"calibrate: {name} must be at least {low:g}{most}; got {value:g}")
    if plot is not None and Path(plot).suffix != ".svg":
        raise InputError(f"calibrate: plot {plot}: must end in .svg")
    with (
        _as_arguments(**_tables_of(loaded)),
        allow(code=allow_code),
        Reporter(quiet=quiet).stage("simulate", 0, "") as tick,
    ):
        simulated = simulation.calibrate(
            loaded,
            Path(loaded._base if base is None else base),
            source=None if source is None else Path(_results(source, "calibrate: source")),
            rate=rate,
            agreement=agreement,
            seed_sd=seed_sd,
            items=items,
            goal=gap,
            runs=runs,
            tick=tick,
        )
        if plot is not None:
            svg = recovery.recovery_plot(simulated["designs"], loaded.analysis, runs, tick)
            notebook.Figure("recovery", svg).save(plot)
    record = {"runs": runs, "tasks": simulated["tasks"], "plot": plot}
    return Calibration([*simulation.sentences(simulated), *([f"plot: {plot}"] if plot else [])], record)


@dataclass(frozen=True)
class PlanSummary:
    """What a study will do and cost: arms, stages, tokens, time and disk. Nothing is run.

    Attributes
    ----------
    sentences : list of str
        What `probate plan` prints.
    record : dict
        What `probate plan --json` prints. `seconds` and `bytes` are None if the size of the model is not
        known.

    Examples
    --------
    >>> import probate as pb
    >>> plan = pb.plan("self-written")
    >>> list(plan.arms.columns)
    ['arm', 'ratio', 'seed', 'records']
    """

    sentences: list[str]
    record: dict[str, Any]

    @property
    def arms(self) -> pd.DataFrame:
        """pandas.DataFrame: One row for each arm, with its name, bias ratio γ, seed and training records."""
        return pd.DataFrame(self.record["arms"])

    @property
    def stages(self) -> pd.DataFrame:
        """pandas.DataFrame: One row for each kind of stage, with the number of stages and their tokens."""
        return pd.DataFrame(self.record["stages"])

    def __repr__(self) -> str:
        return "\n".join(["<PlanSummary>", *self.sentences])

    def _repr_html_(self) -> str:
        said = [
            sentence
            for sentence in self.sentences
            if sentence.startswith(("original", "augmented", "kept", "server", "time", "disk"))
        ]
        return notebook.block(self.sentences[0], said, self.stages, self.arms)


def plan(
    study: Study | str | Path,
    *,
    out: str | Path | None = None,
    servers: Sequence[str] | Mapping[str, str] = (),
    allow_code: bool = False,
    base: str | Path | None = None,
) -> PlanSummary:
    """Show what a study will do and cost. Nothing is run.

    Parameters
    ----------
    study : Study, str or path
        The study, its file, or the name of a preset.
    out : str or path, optional
        Run folder with the ledger of server costs. Default: `runs/NAME`.
    servers, allow_code, base
        As in `run`.

    Returns
    -------
    PlanSummary
        Arms, stages and tokens, and an estimate of time (seconds) and disk (bytes).

    Raises
    ------
    InputError
        Data or settings are not valid.

    Examples
    --------
    >>> import probate as pb
    >>> plan = pb.plan(pb.Study.preset("self-written"))
    >>> len(plan.arms), list(plan.stages["stage"])
    (9, ['generate', 'train', 'evaluate'])
    """
    loaded = _study(study)
    allowed = [f"{h}={v}" for h, v in servers.items()] if isinstance(servers, Mapping) else list(servers)
    folder = Path("runs") / loaded.name if out is None else Path(out)
    with _as_arguments(**_tables_of(loaded)), allow(code=allow_code, servers=allowed):
        record = estimate.planned(loaded, Path(loaded._base if base is None else base), folder)
    return PlanSummary(estimate.sentences(record), record)


def _study(study: Study | str | Path) -> Study:
    if isinstance(study, schema.Study):
        return study
    if isinstance(study, (str, Path)):
        return schema.Study.load(study)
    raise InputError(
        f"study: must be a Study, a study file or the name of a preset; got {type(study).__name__}"
    )


def _results(value: Any, where: str) -> str:
    """Return the path of a run, of its folder, or of a table."""
    return str(value.folder) if isinstance(value, results.Run) else frames.table_source(value, where)


def _is_sequence_of_tables(value: Any) -> bool:
    return isinstance(value, (list, tuple)) and not any(isinstance(own, Mapping) for own in value)


@contextmanager
def _as_arguments(**tables: Any) -> Iterator[None]:
    """Make errors name arguments of a function instead of options of a command or files of tables.

    `tables` has for each name of a table its source.
    """
    folder = str(frames.frames_folder())
    held: dict[str, str] = {}
    for name, source in tables.items():
        if str(source).startswith(folder):
            held.setdefault(source, name)

    def argument(option: re.Match[str]) -> str:
        return f"`{ARGUMENTS.get(option[1], option[1].replace('-', '_'))}`"

    def told(said: str) -> str:
        for source, name in held.items():
            said = re.sub(re.escape(source) + r":(\d+)", rf"{name}: row \1", said).replace(source, name)
        return OPTION.sub(argument, said)

    try:
        yield
    except InputError as error:
        raise type(error)(*map(told, error.args)) from None


def _tables_of(study: Study) -> dict[str, str]:
    return {"data": study.data.source} | ({"augmented": study.augmented.source} if study.augmented else {})


def load_builtin(name: str, *, language: str = "en") -> pd.DataFrame:
    """Return a corpus that ships with Probate, for first steps and tests.

    Parameters
    ----------
    name : {"biographies", "opinions"}
        `biographies`: six occupations with 30 pairs each. The two records of a pair differ only in gender.
        `opinions`: answers to opinion questions, 60 for each of four cultures.
    language : {"en", "ar", "es", "pt", "zh"}, default "en"
        Language of the texts. `biographies` are in English only.

    Returns
    -------
    pandas.DataFrame
        One row per record, with the columns `id`, `pair`, `text` and `label`, and with `gender`
        (`biographies`, 360 rows), or `statement`, `culture` and `gender` (`opinions`, 240 rows).

    Raises
    ------
    InputError
        If there is no corpus of this name or in this language.

    Examples
    --------
    >>> import probate as pb
    >>> bios = pb.load_builtin("biographies")
    >>> bios["label"].nunique(), len(bios)
    (6, 360)
    """
    known = ("biographies", "opinions")
    if name not in known:
        raise InputError(f"load_builtin: there is no corpus '{name}'; use one of {', '.join(known)}")
    if name == "opinions":
        return pd.DataFrame(corpora.opinions(language))
    if language != "en":
        raise InputError(f"load_builtin: 'biographies' are in English (en) only, not in '{language}'")
    return pd.DataFrame(corpora.biographies())
