"""What a page that Probate wrote may load: its own style and pictures inside it, and nothing from anywhere."""

from __future__ import annotations

import base64
import hashlib
import re

_STYLE = re.compile(r"<style[^>]*>(.*?)</style>", re.DOTALL | re.IGNORECASE)
_SCRIPT = re.compile(r"<script[^>]*>(.*?)</script>", re.DOTALL | re.IGNORECASE)
_CHARSET = re.compile(r"<meta charset=[\"']?utf-8[\"']?>", re.IGNORECASE)


def policy(page: str, more: str = "") -> str:
    """The Content-Security-Policy of a page: only the scripts that stand in it run, known by their hashes.

    Styles are allowed inline: charts set them on single elements, and a style reaches no other server here.
    """
    scripts = " ".join(f"'sha256-{_hash(text)}'" for text in _SCRIPT.findall(page)) or "'none'"
    own = f"default-src 'none'; script-src {scripts}; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'"
    return f"{own}; {more}" if more else own


def guarded(page: str) -> str:
    """The page with its policy, and with no word to other sites on where a reader came from."""
    heads = f'<meta http-equiv="Content-Security-Policy" content="{policy(page)}"><meta name="referrer" content="no-referrer">'
    return _CHARSET.sub(lambda charset: f"{charset[0]}\n{heads}", page, count=1)


def _hash(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
