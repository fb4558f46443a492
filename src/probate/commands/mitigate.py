"""`probate mitigate`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from probate.commands.output import JsonFlag, give
from probate.core.deferred import deferred

with deferred():
    from probate.mitigations.files import session


def mitigate(
    strategy: Annotated[
        str, typer.Option("--strategy", help="Mitigations in their order, such as counterfactual,mask.")
    ],
    source: Annotated[
        Path,
        typer.Option("--in", help="File of augmented data: .jsonl, .csv or .parquet, plain text or chat."),
    ],
    out: Annotated[
        Path | None,
        typer.Option("--out", help="File for the result; the changes of each row are written next to it."),
    ] = None,
    groups: Annotated[
        str | None,
        typer.Option(
            "--groups",
            help=(
                "Identity packs whose words are masked; the first is balanced. Default: all packs with the "
                "language; the first --group, else gender, is balanced."
            ),
        ),
    ] = None,
    text: Annotated[
        str | None, typer.Option("--text", help="Column of the text, or of the chat turns.")
    ] = None,
    label: Annotated[str | None, typer.Option("--label", help="Column of the label.")] = None,
    group: Annotated[
        list[str] | None,
        typer.Option("--group", metavar="NAME=COLUMN", help="Column of a group; may be repeated."),
    ] = None,
    language: Annotated[
        str, typer.Option("--language", help="Language of the texts: en, es, pt, ar, zh.")
    ] = "en",
    model: Annotated[
        str | None,
        typer.Option(
            "--model",
            help="Model that rewrites, for counterfactual.how=rewrite: embedded, an id or a folder.",
        ),
    ] = None,
    overrides: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME.OPTION=VALUE", help="Option of a mitigation; may be repeated."),
    ] = None,
    show: Annotated[int, typer.Option("--show", help="Print this many changed rows, before and after.")] = 0,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Write nothing.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace an existing file.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="Show no progress.")] = False,
    as_json: JsonFlag = False,
) -> None:
    """Apply mitigations to a file of augmented data, and report what changed."""
    said, record = session.run_command(
        strategy.split(","), source, out, groups.split(",") if groups else [], text, label, group or [],
        language, model, overrides or [], show, dry_run=dry_run, force=force, quiet=quiet,
    )  # fmt: skip
    give([said], record, as_json)
