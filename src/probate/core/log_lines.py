"""Progress, messages and errors as JSON lines on stderr, for programs that read them.

Each line is an object with `time` (UTC, ISO 8601) and `event`: `begin`, `progress` or `end` of a stage,
`message`, `warning` or `error`. All but ASCII is escaped, so that a terminal executes nothing.
"""

from __future__ import annotations

import json
import sys
from contextvars import ContextVar
from datetime import UTC, datetime

from probate.core.secrets import hide

JSON_LINES: ContextVar[bool] = ContextVar("probate_json_lines", default=False)
"""Whether stderr has JSON lines."""


def emit(event: str, **fields: object) -> None:
    """Write one line to stderr."""
    time = datetime.now(UTC).isoformat(timespec="milliseconds")
    line = json.dumps({"time": time, "event": event, **fields}, default=str)
    print(hide(line), file=sys.stderr, flush=True)
