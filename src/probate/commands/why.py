"""The commands of `probate why`: read, measure, print."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from probate.commands.output import JsonFlag, give
from probate.core.deferred import deferred
from probate.core.errors import InputError
from probate.core.files import write_atomic
from probate.core.progress import Reporter

with deferred():
    from probate.data import packs, spellings
    from probate.execution import folder as run_folder
    from probate.execution.misalignment import distribution as distances
    from probate.execution.misalignment import groups as shown
    from probate.execution.misalignment import items as attribution
    from probate.execution.misalignment import texts as reading
    from probate.models import embedder
    from probate.models import lm as loading
    from probate.report import charts, maps, page
    from probate.tasks import personas, survey_rows, values, values_report

app = typer.Typer(
    name="why",
    help="Measure misalignments between data, model and people that may explain inheritance.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
ModelOption = Annotated[str, typer.Option("--model", help="Model: embedded, a Hugging Face id or a folder.")]
OutOption = Annotated[
    Path | None, typer.Option("--out", help="Also write all results to this file, as JSON.")
]
QuietOption = Annotated[bool, typer.Option("--quiet", help="Show no progress.")]


@app.command()
def distribution(
    original: Annotated[
        str, typer.Option("--original", help="File of original texts (JSONL, CSV, Parquet).")
    ],
    augmented: Annotated[str, typer.Option("--augmented", help="File of augmented texts.")],
    text: Annotated[str | None, typer.Option("--text", help="Column of the original text.")] = None,
    augmented_text: Annotated[
        str | None, typer.Option("--augmented-text", help="Column of the augmented text.")
    ] = None,
    space: Annotated[
        str, typer.Option("--space", help="Embedding: sentences, model, or both (sentences,model).")
    ] = "sentences,model",
    model: ModelOption = "embedded",
    limit: Annotated[
        int, typer.Option("--limit", help="Largest number of texts of each file.", min=2)
    ] = 50_000,
    permutations: Annotated[
        int, typer.Option("--permutations", help="Permutations of each test.", min=100)
    ] = 10_000,
    source: Annotated[
        str | None,
        typer.Option(
            "--source",
            help="Column of the source that texts share (parent, pair, item), in one or both files.",
        ),
    ] = None,
    group: Annotated[
        str | None, typer.Option("--group", help="Column of the group in both files, for the map.")
    ] = None,
    map_file: Annotated[
        Path | None,
        typer.Option("--map", help="Also draw a map of the texts, by origin and group, to this SVG file."),
    ] = None,
    method: Annotated[
        str, typer.Option("--map-method", help="Method of the map: pca or umap (extra `maps`).")
    ] = "pca",
    out: OutOption = None,
    as_json: JsonFlag = False,
    quiet: QuietOption = False,
) -> None:
    """Compare original and augmented texts in embedding space.

    Measures MMD, energy distance, a classifier, coverage, diversity, words and lengths.
    """
    names = space.split(",")
    unknown = sorted(set(names) - {"sentences", "model"})
    if unknown:
        raise InputError(f"--space: unknown space '{unknown[0]}'; available: sentences, model")
    first, second = (
        reading.read_texts(original, text, limit=limit),
        reading.read_texts(augmented, augmented_text, "--augmented-text", limit),
    )
    if method not in ("pca", "umap"):
        raise InputError(f"--map-method: unknown method '{method}'; available: pca, umap")
    if map_file and map_file.suffix != ".svg":
        raise InputError(f"--map {map_file}: must end in .svg")
    grouped = (first.values(group, "--group"), second.values(group, "--group")) if group else None
    (ours, by_first), (theirs, by_second) = first.ties(source), second.ties(source)
    if source and not (by_first or by_second):
        raise InputError(f"--source: no column '{source}' in {original} or {augmented}")
    spaces: dict[str, Any] = {}
    if "sentences" in names:
        spaces["sentences"] = embedder.embed
    if "model" in names:
        spaces["model"] = distances.hidden_states(loading.load_lm(model))
    with Reporter(quiet=quiet).stage("embed and compare", 0, ""):
        record = distances.compare_distributions(
            first.texts,
            second.texts,
            spaces,
            groups=grouped,
            sources=reading.shared_sources(ours, theirs),
            method=method,
            permutations=permutations,
        )
    said = [
        f"original: {original}, read as {first.shape.describe()}",
        f"augmented: {augmented}, read as {second.shape.describe()}",
        f"sources of the texts: {_by(by_first)} in the original file, {_by(by_second)} in the augmented one",
        *distances.sentences(record),
    ]
    if map_file:
        for name, parts in record["spaces"].items():
            path = map_file.with_stem(f"{map_file.stem}-{name}") if len(record["spaces"]) > 1 else map_file
            write_atomic(path, charts.standalone(maps.text_map(parts["map"], name, f"map-{name}")))
            said.append(f"map: {path}")
    give(said, record, as_json, out)


def _by(columns: str) -> str:
    return f"by {columns}" if columns else "not named by a column"


@app.command()
def groups(
    source: Annotated[
        str | None,
        typer.Option("--in", help="File of texts, preferably written without naming a group."),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            "--model", help="Instead of --in: model that writes the texts (embedded, an id or a folder)."
        ),
    ] = None,
    labels_option: Annotated[
        str, typer.Option("--labels", help="With --model: labels about which it writes.")
    ] = "architect,dentist,nurse,painter,professor,software engineer",
    texts: Annotated[
        int,
        typer.Option(
            "--texts",
            help="With --model: number of texts for each label, and for each label and group.",
            min=2,
        ),
    ] = 20,
    text: Annotated[str | None, typer.Option("--text", help="Column of the text.")] = None,
    by: Annotated[str | None, typer.Option("--by", help="Column of a label, such as the occupation.")] = None,
    dimension: Annotated[
        str, typer.Option("--dimension", help="Identity pack whose groups are detected.")
    ] = "gender",
    chosen: Annotated[
        str | None, typer.Option("--groups", help="Groups to distinguish, such as female,male.")
    ] = None,
    truth: Annotated[
        str | None,
        typer.Option(
            "--truth",
            help="Column of the known group, to measure the detector's errors and correct for them.",
        ),
    ] = None,
    reference: Annotated[
        str | None,
        typer.Option(
            "--reference",
            help="Shares to test against, such as female=0.87,male=0.13; default: equal shares.",
        ),
    ] = None,
    out: OutOption = None,
    as_json: JsonFlag = False,
    quiet: QuietOption = False,
) -> None:
    """Measure which groups texts show, by label, with intervals and the detector's errors.

    The texts are those of a file, or those that a model writes when no group is named.
    """
    if (source is None) == (model is None):
        raise InputError("why groups: give either --in FILE or --model NAME")
    shares = _shares(reference) if reference else None
    if model:
        pack, about = packs.load_pack(dimension), [x.strip() for x in labels_option.split(",")]
        names = chosen.split(",") if chosen else shown.default_groups(pack)
        lm = loading.load_lm(model)
        with Reporter(quiet=quiet).stage("write", texts * len(about) * (1 + len(names)), "texts") as tick:
            made = shown.of_model(lm, about, pack, names, texts, shares, tick)
        give(shown.sentences(made), made, as_json, out)
        return
    read = reading.read_texts(str(source), text)
    labels = read.values(by, "--by") if by else [""] * len(read.texts)
    known = spellings.group_column(dimension, read.values(truth, "--truth"), truth).values if truth else None
    record = shown.imbalance(
        read.texts,
        labels,
        packs.load_pack(dimension),
        truth=known,
        reference=shares,
        chosen=chosen.split(",") if chosen else None,
    )
    give([f"read as {read.shape.describe()}", *shown.sentences(record)], record, as_json, out)


@app.command("values")
def values_command(
    source: Annotated[
        str,
        typer.Option(
            "--answers",
            help="File of people's answers: columns country, question, options, distribution (or counts); or "
            "hf:Anthropic/llm_global_opinions.",
        ),
    ],
    model: ModelOption = "embedded",
    persona: Annotated[
        list[str] | None,
        typer.Option(
            "--persona",
            help="Persona of the model: none (default), english (a person of each country, in English), own "
            "(in the country's language), or all; repeatable.",
        ),
    ] = None,
    published: Annotated[
        str | None,
        typer.Option(
            "--published",
            help="Column with the shares of a model in the same file, instead of asking a model.",
        ),
    ] = None,
    by: Annotated[
        str | None, typer.Option("--by", help="With --published: column that names the model.")
    ] = None,
    non_answers: Annotated[
        bool,
        typer.Option(
            "--non-answers",
            help="Count «don't know» and similar answers as options; default: left out on both sides.",
        ),
    ] = False,
    countries: Annotated[
        int,
        typer.Option(
            "--countries", help="Largest number of countries; those with the most questions are used.", min=1
        ),
    ] = 30,
    questions: Annotated[
        int,
        typer.Option(
            "--questions",
            help="Largest number of questions for each country; those that most countries answered are used.",
            min=1,
        ),
    ] = 50,
    out: OutOption = None,
    as_json: JsonFlag = False,
    quiet: QuietOption = False,
) -> None:
    """Compare a model's answers to survey questions with those of people, by country."""
    modes = _modes(persona)
    if published:
        if persona:
            raise InputError("--persona: leave it out with --published, because no model is asked")
        record, said = values_report.compared_models(
            *survey_rows.published(source, published, by, non_answers)
        )
        give(said, record, as_json, out)
        return

    read, rejected = survey_rows.read_questions(source)
    chosen = values.pick(read, countries, questions)
    lm = loading.load_lm(model)
    with Reporter(quiet=quiet).stage("ask", values.size(chosen, modes), "prompts") as tick:
        compared = values.against_people(lm, chosen, modes, tick, non_answers)
    record, said = values_report.compared_modes(compared, rejected, chosen)
    give(said, record, as_json, out)


def _modes(named: list[str] | None) -> list[personas.Mode]:
    chosen = named or ["none"]
    unknown = [name for name in chosen if name not in (*personas.MODES, "all")]
    if unknown:
        raise InputError(
            f"--persona: unknown persona '{unknown[0]}'; available: {', '.join(personas.MODES)}, all"
        )
    return [mode for mode in personas.MODES if mode in chosen or "all" in chosen]


@app.command()
def items(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A finished run folder.")],
    task: Annotated[str, typer.Option("--task", help="Task whose answers are choices.")] = "occupation",
    arm: Annotated[
        str | None,
        typer.Option("--arm", help="Biased arm; default: that with the largest γ and the first seed."),
    ] = None,
    most: Annotated[
        int, typer.Option("--items", help="Number of flipped items; the most certain come first.", min=1)
    ] = 5,
    each: Annotated[
        int, typer.Option("--nearest", help="Number of training records for each item.", min=1)
    ] = 5,
    as_json: JsonFlag = False,
) -> None:
    """Find the training records whose gradients are nearest to those of answers that the biased data changed.

    The report lists them too.
    """
    run = run_folder.RunFolder(folder)
    run.check_whole()
    record = attribution.attribute(run, loading.load_lm(run.study().model), task, arm, most, each)
    give([*attribution.sentences(record), f"report: {page.rebuild(run)}"], record, as_json)


def _shares(text: str) -> dict[str, float]:
    try:
        return {k.strip(): float(v) for k, _, v in (part.partition("=") for part in text.split(","))}
    except ValueError:
        raise InputError(
            f"--reference {text}: must be GROUP=SHARE,GROUP=SHARE, such as female=0.5,male=0.5"
        ) from None
