"""What an answer or an error of the official client says: its body, its wait, whether anything was sent."""

from __future__ import annotations

import json
import math
import time
from email.utils import parsedate_to_datetime
from typing import Any

from probate.core.parse import json_value
from probate.core.secrets import hide


def body_of(answer: Any) -> dict[str, Any]:
    """Return an answer as plain JSON values; empty if it is not one, such as a page of HTML."""
    try:
        body = answer.model_dump(warnings=False)
        body = json_value(json.dumps(body, ensure_ascii=True))
    except (
        AttributeError,
        TypeError,
        ValueError,
        RecursionError,
    ):  # text, bytes, lone surrogates, types that the library did not foresee
        return {}
    return body if isinstance(body, dict) else {}


def retry_after(error: Any) -> float:
    """Return the seconds in a Retry-After header, which is a number or a date."""
    header = str(error.response.headers.get("retry-after", "")).strip()
    try:
        seconds = float(header)
    except ValueError:
        try:
            seconds = parsedate_to_datetime(header).timestamp() - time.time()
        except (TypeError, ValueError, IndexError):
            return 0.0
    return max(0.0, seconds) if math.isfinite(seconds) else 0.0


def never_sent(error: Exception) -> bool:
    """Return whether no connection was made, so that nothing can have been charged."""
    return type(error.__cause__).__name__ in (
        "ConnectError",
        "ConnectTimeout",
        "PoolTimeout",
        "UnsupportedProtocol",
    )


def short(error: Exception) -> str:
    """Return an error in one line, without the key."""
    text = " ".join(hide(str(error)).split())
    return text if len(text) <= 200 else f"{text[:199]}…"
