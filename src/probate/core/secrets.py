"""Removal of API keys.

Keys that this process has used are removed from server responses and from tracebacks.
"""

from __future__ import annotations

import base64
import re
from typing import Any

SHORTEST = 8
"""Minimum length of a key that is hidden. Placeholders are shorter, and removing them would damage texts."""
HIDDEN = "***"
_BREAK = r"(?:\s|\\[nrt]|%0[AaDd])*"

_known: dict[str, re.Pattern[str]] = {}


def remember(key: str) -> None:
    """Register a key. `hide` and `hidden` remove it from now on."""
    if len(key) >= SHORTEST and key not in _known:
        forms = [
            _BREAK.join(_char(c) for c in key),
            *(_BREAK.join(map(re.escape, form)) for form in _base64(key)),
        ]
        forms.append(_BREAK.join(re.escape(c) for c in key.encode().hex()))
        _known[key] = re.compile("|".join(forms), re.IGNORECASE)


def hide(text: str) -> str:
    """Return `text` with all keys replaced by `***`.

    Keys are also found in base64, in hexadecimal, escaped for a URL, for JSON or for HTML, and split over
    lines.
    """
    for form in _known.values():
        text = form.sub(HIDDEN, text)
    return text


def hidden(value: Any) -> Any:
    """Apply `hide` to every string in a JSON value, including keys of objects."""
    if isinstance(value, dict):
        return {hide(k) if isinstance(k, str) else k: hidden(v) for k, v in value.items()}
    if isinstance(value, list):
        return [hidden(v) for v in value]
    return hide(value) if isinstance(value, str) else value


def _char(c: str) -> str:
    quoted = "".join(f"%{b:02x}" for b in c.encode())
    return f"(?:{re.escape(c)}|{quoted}|\\\\u{ord(c):04x}|&#{ord(c)};|&#x{ord(c):x};)"


def _base64(key: str) -> list[str]:
    """Return the base64 forms of the key at each of the three offsets where it can begin in a base64 text."""
    forms = []
    for before in range(3):
        raw = b"\0" * before + key.encode()
        whole = base64.b64encode(raw).decode().rstrip("=")
        first, last = (0, 2, 3)[before], len(whole) - (1 if len(raw) % 3 else 0)
        core = whole[first:last]
        forms += sorted({core, core.replace("+", "-").replace("/", "_")})
    return forms
