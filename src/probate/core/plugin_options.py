"""Options of tasks and mitigations: typed, with one form of error message."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from probate.core.errors import InputError, nearest


class Options(BaseModel):
    """Base class of the options of a task or a mitigation. Unknown options are errors.

    A plug-in declares its options as fields of a subclass, with types and defaults, as in any pydantic model.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)


Some = TypeVar("Some", bound=Options)


def read_options(kind: type[Some], given: Mapping[str, object], where: str) -> Some:
    """Validate the options of a task or a mitigation.

    Parameters
    ----------
    kind : subclass of Options
        The options that are allowed.
    given : mapping of str to object
        The options of the study.
    where : str
        Beginning of an error's message, as in `tasks: story`.

    Returns
    -------
    Options
        An instance of `kind`.

    Raises
    ------
    InputError
        If an option is unknown or its value is wrong.
    """
    try:
        return kind.model_validate(dict(given))
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(str, first["loc"]))
        allowed = list(kind.model_fields)
        raise InputError(
            f"{where}.options.{key}: {first['msg'].lower()}{nearest(key, allowed)}; "
            f"allowed: {', '.join(allowed) or 'none'}"
        ) from None
