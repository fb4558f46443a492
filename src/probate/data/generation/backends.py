"""The backend that writes the augmented records of a study: a loaded model, or a server."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from probate.data.generation.api_backend import ApiBackend
from probate.data.generation.augment import Backend
from probate.data.generation.transformers_backend import TransformersBackend
from probate.study.schema import ModelSpec

if TYPE_CHECKING:
    from probate.models.lm import LM


def generation_backend(spec: ModelSpec, lm: LM | None, cache: Path) -> Backend:
    """Return the generation backend of a model spec.

    Parameters
    ----------
    spec : ModelSpec
        The model that generates.
    lm : LM or None
        The loaded model; None for a model behind the server `spec.api`.
    cache : Path
        Folder of the server's answers.

    Returns
    -------
    Backend
        The loaded model or the server.

    Raises
    ------
    InputError
        `spec.api` cannot be used (`ApiSpec.checked`).
    ValueError
        There is neither a loaded model nor a server.
    """
    if lm is not None:
        return TransformersBackend(lm)
    if spec.api is None:
        raise ValueError("generation needs a loaded model, or a spec with a server")
    return ApiBackend(spec.api, cache)
