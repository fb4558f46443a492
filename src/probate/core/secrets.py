"""Keys that this process has used are taken out of whatever a server sends back, and out of every traceback."""

from __future__ import annotations

import base64
import re
from typing import Any

SHORTEST = 8
"""A stand-in for a key is shorter; to take it out of texts would spoil them."""
HIDDEN = "***"
_BREAK = r"(?:\s|\\[nrt]|%0[AaDd])*"

_known: dict[str, re.Pattern[str]] = {}


def remember(key: str) -> None:
    """From now on `key` is hidden."""
    if len(key) >= SHORTEST and key not in _known:
        forms = [
            _BREAK.join(_char(c) for c in key),
            *(_BREAK.join(map(re.escape, form)) for form in _base64(key)),
        ]
        forms.append(_BREAK.join(re.escape(c) for c in key.encode().hex()))
        _known[key] = re.compile("|".join(forms), re.IGNORECASE)


def hide(text: str) -> str:
    """`text` without the keys, as they are or in base64, hexadecimal, quoted for an address or for JSON, or split over lines."""
    for form in _known.values():
        text = form.sub(HIDDEN, text)
    return text


def hidden(value: Any) -> Any:
    """A JSON value with `hide` for every string in it, names too."""
    if isinstance(value, dict):
        return {hide(k) if isinstance(k, str) else k: hidden(v) for k, v in value.items()}
    if isinstance(value, list):
        return [hidden(v) for v in value]
    return hide(value) if isinstance(value, str) else value


def _char(c: str) -> str:
    quoted = "".join(f"%{b:02x}" for b in c.encode())
    return f"(?:{re.escape(c)}|{quoted}|\\\\u{ord(c):04x}|&#{ord(c)};|&#x{ord(c):x};)"


def _base64(key: str) -> list[str]:
    """What every base64 text holds that has the key in it, at each of the three places where the key can begin."""
    forms = []
    for before in range(3):
        raw = b"\0" * before + key.encode()
        whole = base64.b64encode(raw).decode().rstrip("=")
        first, last = (0, 2, 3)[before], len(whole) - (1 if len(raw) % 3 else 0)
        core = whole[first:last]
        forms += sorted({core, core.replace("+", "-").replace("/", "_")})
    return forms
