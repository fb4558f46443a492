"""Which server may be sent prompts, and which key: what the user says, never what a study says."""

from __future__ import annotations

import os
import re
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import urlsplit

from platformdirs import user_config_path

from probate.core.consent import given, read_servers
from probate.core.errors import InputError

VENDORS = {
    "api.openai.com": "OPENAI_API_KEY",
    "api.mistral.ai": "MISTRAL_API_KEY",
    "api.groq.com": "GROQ_API_KEY",
    "api.deepseek.com": "DEEPSEEK_API_KEY",
    "openrouter.ai": "OPENROUTER_API_KEY",
    "api.together.xyz": "TOGETHER_API_KEY",
}
"""A vendor's own host, over https, may have the vendor's own variable."""

NO_KEY = "none"
"""What is sent where there is no key: servers of one's own take any."""


def servers_file() -> Path:
    """The user's own list: `servers.txt` in the folder `PROBATE_CONFIG`, else in the user's folder for settings."""

    override = os.environ.get("PROBATE_CONFIG")
    return (Path(override).expanduser() if override else user_config_path("probate")) / "servers.txt"


def _allowed() -> dict[str, str]:
    path = servers_file()
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    listed = read_servers((x for line in lines if (x := line.partition("#")[0].strip())), str(path))
    return {**listed, **given().servers}


def host_of(url: str) -> str:
    """`host` or `host:port` of an address.

    Raises:
        InputError: no address, or one that holds a credential; the message does not.
    """
    try:
        found = urlsplit(url)
        name, port = found.hostname or "", found.port
    except ValueError:
        raise InputError("api.base_url: is no address; write it as in http://localhost:8000/v1") from None
    if "@" in url or found.query or found.fragment:
        raise InputError(
            f"api.base_url: the address of {name or 'the server'} holds a name, a password or a parameter; leave them out, and name the variable that holds the key with key_env"
        )
    if found.scheme not in ("http", "https") or not name or re.search(r"\s", url):
        raise InputError(f"api.base_url: must begin with http:// or https://, got {url!r}")
    name = f"[{name}]" if ":" in name else name
    return f"{name}:{port}" if port else name


def is_loopback(host: str) -> bool:
    """Whether a host is this machine."""
    name = re.sub(r":\d+$", "", host).strip("[]")
    try:
        return ip_address(name).is_loopback
    except ValueError:
        return name == "localhost"


def refusal(url: str, variable: str) -> str:
    """Why prompts, or the key in `variable`, may not go to `url`; "" where they may."""
    host = host_of(url)
    allowed = _own(host)
    if allowed is None and (is_loopback(host) or _vendor(url, host) == variable):
        return ""
    if allowed == variable and os.environ.get(variable) and _bare(url, host):
        return f"server {host}: the key in {variable} would be sent without encryption; use https, or allow it with --server http://{host}={variable}"
    if allowed is None or (
        allowed != variable and _vendor(url, host) != variable and os.environ.get(variable)
    ):
        return f"server {host} with the key in {variable} is not allowed; allow it with --server {host}={variable}, or in {servers_file()}"
    return ""


def key_for(url: str, variable: str) -> str:
    """The key to send to `url`: the value of `variable` where the user allows it there, else a stand-in that is none.

    Raises:
        InputError: the server is not allowed, the variable is not allowed for it, or a vendor's server has no key.
    """
    if said := refusal(url, variable):
        raise InputError(said)
    host = host_of(url)
    vendor = _vendor(url, host) == variable
    value = os.environ.get(variable, "") if vendor or _own(host) == variable else ""
    if not value and vendor:
        raise InputError(
            f"generator: {variable} is not set; put the key of {host} there (it goes into no file)"
        )
    return value or NO_KEY


def withheld(url: str, variable: str) -> str:
    """What is said where a server is asked without the key that a study names for it; "" where there is nothing to say."""
    if refusal(url, variable) or not os.environ.get(variable) or key_for(url, variable) != NO_KEY:
        return ""
    host = host_of(url)
    return f"{host} is sent no key: {variable} is set, but not allowed for it; allow it with --server {host}={variable}, or in {servers_file()}"


def _own(host: str) -> str | None:
    """The variable that the user allows for a host; None where the host is not allowed."""
    allowed = {name.removeprefix("http://"): variable for name, variable in _allowed().items()}
    return allowed.get(host, allowed.get(re.sub(r":\d+$", "", host)))


def _bare(url: str, host: str) -> bool:
    """Whether a key would go to another machine without encryption, which the user did not allow."""
    spelt = {f"http://{host}", "http://" + re.sub(r":\d+$", "", host)}
    return urlsplit(url).scheme == "http" and not is_loopback(host) and not spelt & set(_allowed())


def _vendor(url: str, host: str) -> str | None:
    return VENDORS.get(host) if urlsplit(url).scheme == "https" else None
