"""Which servers may be sent prompts, and which keys. The user decides this; a study cannot."""

from __future__ import annotations

import os
import re
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import urlsplit

from platformdirs import user_config_path

from probate.core.consent import current_consent, read_servers
from probate.core.errors import InputError

VENDORS = {
    "api.openai.com": "OPENAI_API_KEY",
    "api.mistral.ai": "MISTRAL_API_KEY",
    "api.groq.com": "GROQ_API_KEY",
    "api.deepseek.com": "DEEPSEEK_API_KEY",
    "openrouter.ai": "OPENROUTER_API_KEY",
    "api.together.xyz": "TOGETHER_API_KEY",
}
"""Host of a vendor → environment variable of its key. The key may be sent to that host over https."""

NO_KEY = "none"
"""Placeholder that is sent if there is no key. Self-hosted servers accept any key."""


def servers_file() -> Path:
    """Return the path of the user's list of servers.

    It is `servers.txt` in the folder that PROBATE_CONFIG names, else in the user's configuration folder.
    """
    override = os.environ.get("PROBATE_CONFIG")
    return (Path(override).expanduser() if override else user_config_path("probate")) / "servers.txt"


def _allowed() -> dict[str, str]:
    path = servers_file()
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    listed = read_servers((x for line in lines if (x := line.partition("#")[0].strip())), str(path))
    return {**listed, **current_consent().servers}


def host_of(url: str) -> str:
    """Return the `host` or `host:port` of a URL.

    Raises
    ------
    InputError
        If `url` is not a URL or contains a credential. The message does not contain the credential.
    """
    try:
        parts = urlsplit(url)
        name, port = parts.hostname or "", parts.port
    except ValueError:
        raise InputError("api.base_url: not a valid URL; write it as in http://localhost:8000/v1") from None
    if "@" in url or parts.query or parts.fragment:
        raise InputError(
            f"api.base_url: the URL of {name or 'the server'} contains a user name, a password or a "
            "parameter; remove it, and name the environment variable of the key in key_env"
        )
    if parts.scheme not in ("http", "https") or not name or re.search(r"\s", url):
        raise InputError(f"api.base_url: must begin with http:// or https://, got {url!r}")
    name = f"[{name}]" if ":" in name else name
    return f"{name}:{port}" if port else name


def is_loopback(host: str) -> bool:
    """Check whether a host is this machine."""
    name = re.sub(r":\d+$", "", host).strip("[]")
    try:
        return ip_address(name).is_loopback
    except ValueError:
        return name == "localhost"


def refusal(url: str, variable: str) -> str:
    """Return why prompts, or the key in `variable`, may not be sent to `url`; "" if they may."""
    host = host_of(url)
    allowed = _allowed_variable(host)
    if allowed is None and (is_loopback(host) or _vendor_variable(url, host) == variable):
        return ""
    if allowed == variable and os.environ.get(variable) and _unencrypted(url, host):
        return (
            f"server {host}: the key in {variable} would be sent without encryption; use https, or allow it "
            f"with --server http://{host}={variable}"
        )
    if allowed is None or (
        allowed != variable and _vendor_variable(url, host) != variable and os.environ.get(variable)
    ):
        return (
            f"server {host} with the key in {variable} is not allowed; allow it with "
            f"--server {host}={variable}, or in {servers_file()}"
        )
    return ""


def key_for(url: str, variable: str) -> str:
    """Return the key to send to a server.

    Parameters
    ----------
    url : str
        Address of the server.
    variable : str
        Environment variable that the study names for the key.

    Returns
    -------
    str
        The value of `variable` if the user allows it for this server, else the placeholder `NO_KEY`.

    Raises
    ------
    InputError
        If the server is not allowed, if the variable is not allowed for it, or if the key of a vendor is not
        set.
    """
    if reason := refusal(url, variable):
        raise InputError(reason)
    host = host_of(url)
    vendor = _vendor_variable(url, host) == variable
    value = os.environ.get(variable, "") if vendor or _allowed_variable(host) == variable else ""
    if not value and vendor:
        raise InputError(
            f"server {host}: {variable} is not set; set it to its key (it is not written to any file)"
        )
    return value or NO_KEY


def withheld(url: str, variable: str) -> str:
    """Return a warning if a server is not sent the key that the study names for it, else ""."""
    if refusal(url, variable) or not os.environ.get(variable) or key_for(url, variable) != NO_KEY:
        return ""
    host = host_of(url)
    return (
        f"no key is sent to {host}: {variable} is set, but not allowed for it; allow it with "
        f"--server {host}={variable}, or in {servers_file()}"
    )


def _allowed_variable(host: str) -> str | None:
    """Return the variable that the user allows for a host, or None if the host is not allowed."""
    allowed = {name.removeprefix("http://"): variable for name, variable in _allowed().items()}
    return allowed.get(host, allowed.get(re.sub(r":\d+$", "", host)))


def _unencrypted(url: str, host: str) -> bool:
    """Check whether a key would be sent to another machine without encryption against the user's settings."""
    forms = {f"http://{host}", "http://" + re.sub(r":\d+$", "", host)}
    return urlsplit(url).scheme == "http" and not is_loopback(host) and not forms & set(_allowed())


def _vendor_variable(url: str, host: str) -> str | None:
    return VENDORS.get(host) if urlsplit(url).scheme == "https" else None
