"""`probate card`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from probate.core.deferred import deferred
from probate.core.errors import InputError
from probate.core.files import write_atomic
from probate.core.terminal import echo

with deferred():
    from probate.report import page


def card(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A finished run folder.")],
    hf: Annotated[
        bool, typer.Option("--hf", help="Write a Hugging Face card, with results in its metadata.")
    ] = False,
    arm: Annotated[
        str | None,
        typer.Option("--arm", help="With --hf: the model card of this adapter, instead of the data card."),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", help="Write the card to this file, such as README.md; default: print it."),
    ] = None,
) -> None:
    """Print or write the card of the data of a run, or of one of its adapters."""
    if arm and not hf:
        raise InputError("card: --arm needs --hf; a data card covers all data of the run")
    text = page.card_text(folder, hf=hf, arm=arm)
    if out:
        write_atomic(out, text)
        echo(f"written: {out}")
    else:
        echo(text, end="")
