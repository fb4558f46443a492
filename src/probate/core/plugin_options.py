"""Options of tasks and mitigations: typed, and one form of error."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from probate.core.errors import InputError, nearest


class Options(BaseModel):
    """Base of the options that a task or a mitigation takes."""

    model_config = ConfigDict(extra="forbid", frozen=True)


Some = TypeVar("Some", bound=Options)


def read_options(kind: type[Some], given: Mapping[str, object], where: str) -> Some:
    """`given` as `kind`; `where` is what an error begins with, as in `tasks: story`.

    Raises:
        InputError: an option that is not there, or a wrong value.
    """
    try:
        return kind.model_validate(dict(given))
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(str, first["loc"]))
        allowed = list(kind.model_fields)
        raise InputError(
            f"{where}.options.{key}: {first['msg'].lower()}{nearest(key, allowed)}; allowed: {', '.join(allowed) or 'none'}"
        ) from None
