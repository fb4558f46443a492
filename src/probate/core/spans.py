"""Spans of OpenTelemetry for stages, if the calling program has set it up.

`opentelemetry-instrument probate run …` exports them where its environment variables say.
"""

from __future__ import annotations

import sys
from contextlib import AbstractContextManager, nullcontext
from typing import Any


def span(name: str, **attributes: Any) -> AbstractContextManager[Any]:
    """Return a span as a context manager; it does nothing if OpenTelemetry was not imported before.

    Parameters
    ----------
    name : str
        Name of the span.
    **attributes
        Its attributes; their names get the prefix `probate.`.
    """
    trace = sys.modules.get("opentelemetry.trace")
    if trace is None:
        return nullcontext()
    own = {f"probate.{key}": value for key, value in attributes.items()}
    made: AbstractContextManager[Any] = trace.get_tracer("probate").start_as_current_span(
        name, attributes=own
    )
    return made
