"""Options that commands share, and the study that they name."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from probate.core.deferred import deferred
from probate.core.errors import InputError

with deferred():
    from probate.study import loading, schema

StudyArgument = Annotated[str, typer.Argument(metavar="STUDY", help="Study file, or name of a preset.")]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Override one key of the study; may be repeated."),
]
ScaleOption = Annotated[
    str | None,
    typer.Option("--scale", metavar="NAME", help="A variant of the study, named in its `scales`: small."),
]
VariantOption = Annotated[
    str | None,
    typer.Option("--variant", metavar="NAME", help="One variant of the study, named in its `axes.variants`."),
]
ModelOption = Annotated[
    str | None,
    typer.Option(
        "--model",
        help="Base model; overrides `model` of the study. Presets with other families: paper-gender-qwen, "
        "paper-gender-deepseek.",
    ),
]
BaseOption = Annotated[
    Path | None,
    typer.Option("--base", help="Folder for relative data paths; default: that of the study file."),
]


CodeOption = Annotated[
    bool,
    typer.Option(
        "--allow-code",
        help="Allow harness tasks of the study to run the code that their YAML files name.",
    ),
]
ServerOption = Annotated[
    list[str] | None,
    typer.Option(
        "--server",
        metavar="HOST=VARIABLE",
        help="Server that may be used, with its key in this variable; may be repeated.",
    ),
]


def load_study(
    study: str,
    overrides: list[str] | None,
    model: str | None,
    base: Path | None = None,
    scale: str | None = None,
    variant: str | None = None,
) -> tuple[schema.Study, Path]:
    """Load the study of a command.

    Parameters
    ----------
    study : str
        Study file, or name of a preset.
    overrides : list of str or None
        `KEY=VALUE` pairs.
    model : str or None
        Base model, instead of that of the study.
    base : Path, optional
        Folder for relative data paths. Default: that of the study file, else the working folder.
    scale : str, optional
        Name of one of the study's `scales`.
    variant : str, optional
        Name of one of the study's variants.

    Returns
    -------
    tuple of (Study, Path)
        The study, and the folder for relative data paths.

    Raises
    ------
    InputError
        The study is not valid, or `base` does not exist.
    """
    loaded = schema.Study.load(study, overrides, scale)
    if variant:
        loaded = loaded.variant(variant)
    if model:
        local = loaded.model.model_copy(update={"name": model, "api": None})
        loaded = loaded.model_copy(update={"model": local})
    if base is not None and not base.is_dir():
        raise InputError(f"--base {base}: the folder does not exist")
    return loaded, base or loading.study_folder(study)
