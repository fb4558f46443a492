"""What writes the augmented records of a study: a loaded model, or one behind a server."""

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
    """The backend that the model spec names: of its `api`, the server; else `lm`, which was loaded by `spec.backend`.

    `cache`: folder of the server's answers.

    Raises
    ------
    InputError
        `spec.api` cannot be used (`ApiSpec.checked`).
    """
    if lm is not None:
        return TransformersBackend(lm)
    if spec.api is None:
        raise ValueError("generation needs a loaded model, or a spec with a server")
    return ApiBackend(spec.api, cache)
