"""`probate audit`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from probate.commands.output import JsonFlag, give
from probate.core.deferred import deferred

with deferred():
    from probate.audits import report
    from probate.audits import train as stage_two
    from probate.data import readers


def audit(
    augmented: Annotated[
        str,
        typer.Option("--augmented", help="File that a model wrote (JSONL, CSV, Parquet, Arrow; .gz, .zst)."),
    ],
    original: Annotated[
        str | None, typer.Option("--original", help="Original file from which it was made.")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", help="Folder for report, record and cards; default: runs/audit-NAME."),
    ] = None,
    text: Annotated[
        str | None, typer.Option("--text", help="Column of the text, if it is not recognised.")
    ] = None,
    label: Annotated[str | None, typer.Option("--label", help="Column of the label.")] = None,
    prompt: Annotated[str | None, typer.Option("--prompt", help="Column of the prompt.")] = None,
    group: Annotated[
        list[str] | None,
        typer.Option("--group", metavar="DIM=COLUMN", help="Column of a group; may be repeated."),
    ] = None,
    language: Annotated[
        str | None, typer.Option("--language", help="Language, if it is not recognised: en, es, pt, ar, zh.")
    ] = None,
    original_text: Annotated[
        str | None, typer.Option("--original-text", help="Column of the original's text.")
    ] = None,
    original_label: Annotated[
        str | None, typer.Option("--original-label", help="Column of the original's label.")
    ] = None,
    items: Annotated[
        list[str] | None,
        typer.Option(
            "--items", help="Evaluation file whose items the data must not contain; may be repeated."
        ),
    ] = None,
    items_text: Annotated[
        str | None,
        typer.Option("--items-text", help="Column of the text of the items, if it is not recognised."),
    ] = None,
    clean: Annotated[
        Path | None,
        typer.Option(
            "--clean",
            help="Also write this file: the data without the rows that a finding recommends to remove.",
        ),
    ] = None,
    gate: Annotated[
        bool,
        typer.Option(
            "--gate",
            help="Exit code by verdict: 1 for stop, 4 if something cannot be told, 0 for look and no sign.",
        ),
    ] = False,
    train: Annotated[
        bool,
        typer.Option(
            "--train",
            help="Stage two: also train models with and without the file, and measure what they inherit.",
        ),
    ] = False,
    budget: Annotated[
        str, typer.Option("--budget", help="With --train: time for the whole audit, such as 30m or 2h.")
    ] = "30m",
    model: Annotated[
        str, typer.Option("--model", help="With --train: embedded, a Hugging Face id or a folder.")
    ] = "embedded",
    dimension: Annotated[
        str | None,
        typer.Option(
            "--dimension", help="With --train: dimension of the groups; default: the first one of the file."
        ),
    ] = None,
    as_json: JsonFlag = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="Show no progress.")] = False,
) -> None:
    """Audit a file that a model wrote; the verdict follows stated rules.

    The audit examines groups, their associations with labels, distribution, repeats, leaks and traces.
    """
    if out is not None:
        report.audit_folder(out, "--out")
    folder = out or Path("runs") / f"audit-{Path(augmented).name.split('.')[0]}"
    audited = report.audit_source(
        augmented,
        original,
        report.shape_of(text, label, prompt, readers.group_columns(group or []), language),
        report.shape_of(original_text, original_label, None, {}, None),
        items or [],
        items_text,
        budget=stage_two.seconds_of(budget) if train else None,
        out=folder,
        model=model,
        dimension=dimension,
        quiet=quiet,
    )
    kept = audited.clean(clean) if clean else (0, 0)
    said = [*audited.sentences, f"report: {audited.save(folder)}"]
    said += [f"written: {clean} ({kept[0]:,} rows; {kept[1]:,} rows removed)"] if clean else []
    give(said, audited.record, as_json)
    if gate or audited.failed:
        raise typer.Exit(audited.exit_code)
