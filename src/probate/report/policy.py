"""The content security policy of Probate's pages: they load nothing from other addresses."""

from __future__ import annotations

import base64
import hashlib
import re

_STYLE = re.compile(r"<style[^>]*>(.*?)</style>", re.DOTALL | re.IGNORECASE)
_SCRIPT = re.compile(r"<script[^>]*>(.*?)</script>", re.DOTALL | re.IGNORECASE)
_CHARSET = re.compile(r"<meta charset=[\"']?utf-8[\"']?>", re.IGNORECASE)


def policy(page: str, more: str = "") -> str:
    """Return the Content-Security-Policy of a page.

    Only the scripts in the page run; they are identified by their hashes. Inline styles are allowed, because
    charts set them on single elements; with this policy a style cannot reach a server.

    Parameters
    ----------
    page : str
        The HTML of the page.
    more : str, optional
        Further directives.

    Returns
    -------
    str
        The policy.
    """
    scripts = " ".join(f"'sha256-{_hash(text)}'" for text in _SCRIPT.findall(page)) or "'none'"
    own = (
        f"default-src 'none'; script-src {scripts}; style-src 'unsafe-inline'; img-src data:; base-uri "
        "'none'; form-action 'none'"
    )
    return f"{own}; {more}" if more else own


def guarded(page: str) -> str:
    """Add the content security policy and the referrer policy `no-referrer` to a page.

    Parameters
    ----------
    page : str
        The HTML of the page.

    Returns
    -------
    str
        The page with both `<meta>` elements.
    """
    heads = (
        f'<meta http-equiv="Content-Security-Policy" content="{policy(page)}">'
        '<meta name="referrer" content="no-referrer">'
    )
    return _CHARSET.sub(lambda charset: f"{charset[0]}\n{heads}", page, count=1)


def _hash(text: str) -> str:
    """Return the SHA-256 of a text in base64."""
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
