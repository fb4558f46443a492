"""Options that commands share, and the study that they name."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from probate.core.deferred import deferred
from probate.core.errors import InputError

with deferred():
    from probate.study import schema

StudyArgument = Annotated[str, typer.Argument(metavar="STUDY", help="A study file, or the name of a preset.")]
SetOption = Annotated[
    list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Override one key; may be repeated.")
]
ModelOption = Annotated[
    str | None, typer.Option("--model", help="The base model: overrides the study's `model`.")
]
BaseOption = Annotated[
    Path | None,
    typer.Option("--base", help="Folder that relative data paths start from; default: the study file's."),
]


CodeOption = Annotated[
    bool,
    typer.Option(
        "--allow-code",
        help="Let a folder of harness tasks that the study names run the code that its YAML files name.",
    ),
]
ServerOption = Annotated[
    list[str] | None,
    typer.Option(
        "--server",
        metavar="HOST=VARIABLE",
        help="A server that may be asked, with the key in this variable; may be repeated.",
    ),
]


def load_study(
    study: str, overrides: list[str] | None, model: str | None, base: Path | None = None
) -> tuple[schema.Study, Path]:
    """The study that a command names, and the folder that its relative paths start from."""
    loaded = schema.Study.load(study, overrides)
    if model:
        loaded = loaded.model_copy(update={"model": loaded.model.model_copy(update={"name": model})})
    if base is not None and not base.is_dir():
        raise InputError(f"--base {base}: no such folder")
    return loaded, base or (Path(study).parent if Path(study).exists() else Path("."))
